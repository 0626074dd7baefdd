<?php
// The demo's settings, from environment variables. It stands above the served folder, where WordPress finds it, too.

/** The value of an environment variable, which must be set. */
$variable = static function (string $name): string {
    $value = getenv($name);
    if ($value === false || $value === '') {
        http_response_code(500);
        exit("$name is not set: give it to the environment under php.env\n");
    }
    return $value;
};

define('DB_HOST', $variable('WORDPRESS_DB_HOST'));
define('DB_NAME', $variable('WORDPRESS_DB_NAME'));
define('DB_USER', $variable('WORDPRESS_DB_USER'));
define('DB_PASSWORD', $variable('WORDPRESS_DB_PASSWORD'));
define('DB_CHARSET', 'utf8mb4');
define('DB_COLLATE', '');
$table_prefix = 'wp_';

// The same in every release, or a deployment would log everybody out.
foreach (['AUTH', 'SECURE_AUTH', 'LOGGED_IN', 'NONCE'] as $use) {
    define("{$use}_KEY", hash_hmac('sha256', "$use key", DB_PASSWORD));
    define("{$use}_SALT", hash_hmac('sha256', "$use salt", DB_PASSWORD));
}

// At whatever name and port it is asked for.
$host = $_SERVER['HTTP_HOST'] ?? 'localhost';
if (!preg_match('/^[A-Za-z0-9.-]+(:[0-9]+)?$/', $host)) {
    http_response_code(400);
    exit("The Host header is no name.\n");
}
define('WP_HOME', (($_SERVER['HTTPS'] ?? '') === 'on' ? 'https://' : 'http://') . $host);
define('WP_SITEURL', WP_HOME);

// Its code changes by deployment only, and it asks nothing of the network.
define('DISALLOW_FILE_MODS', true);
define('AUTOMATIC_UPDATER_DISABLED', true);
define('WP_HTTP_BLOCK_EXTERNAL', true);
// Its jobs are a cron of the environment: php public_html/wp-cron.php
define('DISABLE_WP_CRON', true);

defined('ABSPATH') || define('ABSPATH', __DIR__ . '/public_html/');
require_once ABSPATH . 'wp-settings.php';
