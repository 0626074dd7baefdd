//! How nginx speaks to PHP: the transport, and the parameters of a request.

use std::path::Path;

use stratus_core::route::PageCache;

use super::front;
use crate::nginx::config::{Arg, Directive, Unprintable};

/// What holds for every request to a member.
pub(super) fn transport() -> Vec<Directive> {
    vec![
        // Kept connections stick to the old pool, and idle ones hold its workers.
        Directive::words("fastcgi_keep_conn", &["off"]),
        // Never `non_idempotent`: a POST is not sent twice.
        Directive::words("fastcgi_next_upstream", &["error", "timeout"]),
        Directive::words("fastcgi_connect_timeout", &["5s"]),
        // PHP's own limits end a script; these only bound a member that hangs. A pool that stands still reads as little of an
        // upload as it answers, for the longest `hold` there is.
        Directive::words("fastcgi_send_timeout", &["600s"]),
        Directive::words("fastcgi_read_timeout", &["600s"]),
        // Shops send long headers (cache tags).
        Directive::words("fastcgi_buffer_size", &["64k"]),
        Directive::words("fastcgi_buffers", &["16", "32k"]),
        Directive::words("fastcgi_busy_buffers_size", &["96k"]),
    ]
}

/// The parameters of a request for a script under `document_root`, a path as members see it. Behind a cache of pages they
/// say how the visitor came, and not how nginx asked itself.
pub(super) fn parameters(
    document_root: &Path,
    page_cache: PageCache,
) -> Result<Vec<Directive>, Unprintable> {
    let seen = |variable| match page_cache {
        PageCache::Varnish => Arg::var(front::as_visitors_see(variable).unwrap_or(variable)),
        PageCache::Absent => Arg::var(variable),
    };
    let root = Arg::path(document_root)?;
    let script = root.clone().then(Arg::var("fastcgi_script_name"));
    let mut all = vec![
        parameter("SCRIPT_FILENAME", script),
        parameter("DOCUMENT_ROOT", root),
        parameter("GATEWAY_INTERFACE", "CGI/1.1".into()),
        parameter("SERVER_SOFTWARE", "nginx".into()),
        parameter("REDIRECT_STATUS", "200".into()),
        // A visitor's `Proxy:` header must not become the environment variable of that name.
        parameter("HTTP_PROXY", "".into()),
    ];
    let variables: &[(&'static str, &'static str)] = &[
        ("QUERY_STRING", "query_string"),
        ("REQUEST_METHOD", "request_method"),
        ("CONTENT_TYPE", "content_type"),
        ("CONTENT_LENGTH", "content_length"),
        ("SCRIPT_NAME", "fastcgi_script_name"),
        ("REQUEST_URI", "request_uri"),
        ("DOCUMENT_URI", "document_uri"),
        ("SERVER_PROTOCOL", "server_protocol"),
        ("REQUEST_SCHEME", "scheme"),
        ("REMOTE_ADDR", "remote_addr"),
        ("REMOTE_PORT", "remote_port"),
        ("REMOTE_USER", "remote_user"),
        ("SERVER_ADDR", "server_addr"),
        ("SERVER_PORT", "server_port"),
        ("SERVER_NAME", "server_name"),
    ];
    all.extend(
        variables
            .iter()
            .map(|(name, variable)| parameter(name, seen(*variable))),
    );
    all.push(Directive::line(
        "fastcgi_param",
        ["HTTPS".into(), seen("https"), "if_not_empty".into()],
    ));
    Ok(all)
}

/// The parameters of a request for a path that FPM itself answers.
pub(super) fn fpm_path(path: &'static str) -> Vec<Directive> {
    vec![
        parameter("SCRIPT_NAME", path.into()),
        parameter("SCRIPT_FILENAME", path.into()),
        parameter("REQUEST_URI", path.into()),
        parameter("REQUEST_METHOD", "GET".into()),
        parameter("QUERY_STRING", "".into()),
        parameter("SERVER_PROTOCOL", "HTTP/1.1".into()),
        parameter("GATEWAY_INTERFACE", "CGI/1.1".into()),
    ]
}

fn parameter(name: &'static str, value: Arg) -> Directive {
    Directive::line("fastcgi_param", [name.into(), value])
}
