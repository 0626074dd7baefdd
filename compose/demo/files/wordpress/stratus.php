<?php
/*
 * Plugin Name: Stratus demo
 * Description: Shows which release and generation answer, counts the requests of a session, and says what may be cached.
 *
 * /stratus/session   "session=N generation=G release=R user=NAME": N rises by one with every request of a session
 */

namespace Stratus\Demo;

/** How long Varnish may keep a page, in seconds. */
const KEEP_SECONDS = 300;

/** Number of the release that this code belongs to. */
function release(): int
{
    return (require __DIR__ . '/stratus/release.php')['number'];
}

/** The generation that the pool's own script has named; "-" outside a pool. */
function generation(): string
{
    foreach (headers_list() as $header) {
        [$name, $value] = explode(':', $header, 2);
        if (strcasecmp($name, 'X-Stratus-Generation') === 0) {
            return trim($value);
        }
    }
    return '-';
}

/** Counts this request of the visitor's session, and begins one where there is none. */
function count_request(): int
{
    // A session that is gone must show as a counter that fell: an id that the store does not know is not taken over.
    $options = ['use_strict_mode' => 1, 'cookie_httponly' => true, 'cookie_samesite' => 'Lax', 'cache_limiter' => ''];
    if (!session_start($options)) {
        http_response_code(503);
        header('Retry-After: 1');
        exit("The store of the sessions does not answer.\n");
    }
    $count = $_SESSION['requests'] = ($_SESSION['requests'] ?? 0) + 1;
    session_write_close();
    return $count;
}

/** Requests of this visitor's session so far; 0 for a visitor without one. Decided once a request. */
function session_requests(): int
{
    static $count = null;
    return $count ??= isset($_COOKIE[session_name()]) ? count_request() : 0;
}

/** The line that tests and people read. */
function line(int $session): string
{
    return sprintf('session=%d generation=%s release=%d', $session, generation(), release());
}

/** Answers /stratus/session. */
function session_page(): void
{
    if (parse_url($_SERVER['REQUEST_URI'] ?? '', PHP_URL_PATH) !== '/stratus/session') {
        return;
    }
    $user = wp_get_current_user();
    $line = line(count_request());
    header('Content-Type: text/plain; charset=utf-8');
    header('Cache-Control: private, no-store');
    exit($line . ' user=' . ($user->exists() ? $user->user_login : '-') . "\n");
}

/** Says whether a page may be kept, and under which tags. */
function cache_headers(): void
{
    $anonymous = session_requests() === 0 && !is_user_logged_in() && $_COOKIE === [];
    $plain = is_singular() || is_home() || is_front_page() || is_archive();
    if (!$anonymous || !$plain || is_preview() || post_password_required()) {
        header('Cache-Control: private, no-store');
        return;
    }
    header('Cache-Control: public, max-age=0, s-maxage=' . KEEP_SECONDS);
    $tags = array_map(static fn ($post) => "post_$post->ID", $GLOBALS['wp_query']->posts ?? []);
    header('X-Magento-Tags: ' . implode(',', ['wordpress', ...$tags]));
}

add_action('init', __NAMESPACE__ . '\session_page');
add_action('template_redirect', __NAMESPACE__ . '\cache_headers');
add_action('wp_head', static function (): void {
    printf("<meta name=\"stratus-release\" content=\"%d\" />\n", release());
    printf("<link rel=\"stylesheet\" href=\"%s?r=%d\" />\n", esc_url(plugins_url('stratus/release.css', __FILE__)), release());
});
add_action('wp_footer', static function (): void {
    printf("<p class=\"stratus-release\">%s</p>\n", line(session_requests()));
});
