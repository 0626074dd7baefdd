<?php
// Fills the database: php bin/install.php. Asks nothing; a database that is filled already stays as it is.
//
// The password of the account "admin" is that in WORDPRESS_ADMIN_PASSWORD; without it, one that nobody knows.

if (PHP_SAPI !== 'cli') {
    exit;
}
define('WP_INSTALLING', true);
$_SERVER['HTTP_HOST'] ??= 'localhost';
$_SERVER['REQUEST_METHOD'] ??= 'GET';
require __DIR__ . '/../public_html/wp-load.php';
require_once ABSPATH . 'wp-admin/includes/upgrade.php';

if (is_blog_installed()) {
    echo "install: the database is filled already\n";
    exit;
}
// Nobody is to be sent a mail.
add_filter('pre_wp_mail', '__return_true');
$password = getenv('WORDPRESS_ADMIN_PASSWORD') ?: wp_generate_password(32);
wp_install('Stratus demo', 'admin', 'admin@example.test', false, '', $password);
update_option('blogdescription', 'Deployed while you read it');
update_option('permalink_structure', '/%postname%/');
// Plain text that every page of the front holds, whatever the release.
wp_update_post([
    'ID' => 1,
    'post_title' => 'A shop that is never down',
    'post_content' => 'The line at the foot of the page names the release: PHP code. Its colour is the same release\'s '
        . 'style sheet: an asset. Both move at once, at every zerodowntime.switch.',
]);
switch_theme('twentytwentyone');
flush_rewrite_rules(false);
echo "install: WordPress is installed\n";
