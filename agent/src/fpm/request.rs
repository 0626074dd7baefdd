//! `FastCGI` parameters of the requests we make ourselves, as nginx would pass them.

use stratus_core::Pool;
use stratus_core::pool::{PING_PATH, STATUS_PATH};

use super::config::OPCACHE_RESET;

/// Parameters of a request.
pub type Params = Vec<(&'static str, String)>;

/// A path of the configuration that no visitor could ask for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path:?} is no path of a page: {rule}")]
pub struct InvalidPath {
    /// As configured.
    pub path: String,
    /// What is wrong with it.
    pub rule: &'static str,
}

/// FPM's ping.
pub fn ping() -> Params {
    own(PING_PATH, "")
}

/// FPM's status, with every process.
pub fn status() -> Params {
    own(STATUS_PATH, "json&full")
}

/// The script that resets `OPcache`, which lies with the members' configuration.
pub fn opcache_reset() -> Params {
    own(OPCACHE_RESET, "")
}

/// A page of the application: a script where `path` names one, else what the front controller makes of it.
///
/// # Errors
/// When `path` does not begin with `/`, climbs, or holds a control character.
pub fn page(pool: &Pool, host: &str, path: &str) -> Result<Params, InvalidPath> {
    let refuse = |rule| {
        let path = path.to_owned();
        Err(InvalidPath { path, rule })
    };
    let (file, query) = path.split_once('?').unwrap_or((path, ""));
    if !file.starts_with('/') {
        return refuse("begin it with a slash");
    }
    if file.split('/').any(|part| part == "..") {
        return refuse("leave out \"..\"");
    }
    if path.chars().any(|c| c.is_control() || c == ' ') {
        return refuse("leave out blanks and control characters");
    }
    // As nginx and FPM do it: case counts.
    let is_script = file.strip_suffix(".php").is_some_and(|name| name.len() > 1);
    let script = if is_script {
        file.to_owned()
    } else {
        format!("/{}", pool.front.trim_start_matches('/'))
    };
    let root = pool.php.mount.join(&pool.docroot);
    // Joining an empty docroot leaves a slash at the end.
    let root = root.to_string_lossy().trim_end_matches('/').to_owned();
    let mut params = vec![
        ("SCRIPT_FILENAME", format!("{root}{script}")),
        ("SCRIPT_NAME", script),
        ("DOCUMENT_ROOT", root),
        ("DOCUMENT_URI", file.to_owned()),
        ("REQUEST_URI", path.to_owned()),
        ("QUERY_STRING", query.to_owned()),
        ("HTTP_HOST", host.to_owned()),
        ("SERVER_NAME", host.to_owned()),
    ];
    params.extend(constant("Stratus"));
    Ok(params)
}

/// A request that FPM answers itself; it compares both names with its configured path.
fn own(path: &str, query: &str) -> Params {
    let uri = if query.is_empty() {
        path.to_owned()
    } else {
        format!("{path}?{query}")
    };
    let mut params = vec![
        ("SCRIPT_FILENAME", path.to_owned()),
        ("SCRIPT_NAME", path.to_owned()),
        ("REQUEST_URI", uri),
        ("QUERY_STRING", query.to_owned()),
    ];
    params.extend(constant("Stratus"));
    params
}

fn constant(agent: &str) -> Params {
    [
        ("REQUEST_METHOD", "GET"),
        ("CONTENT_TYPE", ""),
        ("CONTENT_LENGTH", ""),
        ("GATEWAY_INTERFACE", "CGI/1.1"),
        ("SERVER_PROTOCOL", "HTTP/1.1"),
        ("SERVER_SOFTWARE", "stratus"),
        ("SERVER_ADDR", "127.0.0.1"),
        ("SERVER_PORT", "80"),
        ("REMOTE_ADDR", "127.0.0.1"),
        ("REMOTE_PORT", "0"),
        ("REQUEST_SCHEME", "http"),
        ("REDIRECT_STATUS", "200"),
        ("HTTP_ACCEPT", "*/*"),
        ("HTTP_USER_AGENT", agent),
    ]
    .map(|(name, value)| (name, value.to_owned()))
    .into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fpm::sample;

    fn of<'a>(params: &'a Params, name: &str) -> &'a str {
        let found = params.iter().find(|(n, _)| *n == name);
        found.map_or("", |(_, value)| value.as_str())
    }

    #[test]
    fn a_script_is_asked_for_as_members_see_it() {
        let params = page(&sample::pool(), "shop.test", "/a/health.php?x=1").unwrap();
        for (name, value) in [
            ("SCRIPT_FILENAME", "/var/www/html/pub/a/health.php"),
            ("SCRIPT_NAME", "/a/health.php"),
            ("DOCUMENT_ROOT", "/var/www/html/pub"),
            ("REQUEST_URI", "/a/health.php?x=1"),
            ("QUERY_STRING", "x=1"),
            ("HTTP_HOST", "shop.test"),
        ] {
            assert_eq!(of(&params, name), value, "{name}");
        }
    }

    #[test]
    fn any_other_path_is_the_front_controllers() {
        let mut pool = sample::pool();
        pool.docroot = "".into();
        let params = page(&pool, "shop.test", "/about?x=1").unwrap();
        assert_eq!(of(&params, "SCRIPT_FILENAME"), "/var/www/html/index.php");
        assert_eq!(of(&params, "SCRIPT_NAME"), "/index.php");
        assert_eq!(of(&params, "REQUEST_URI"), "/about?x=1");
    }

    #[test]
    fn a_path_that_climbs_or_is_none_is_refused() {
        for path in ["about", "", "/../etc/passwd.php", "/a\nb", "/a b"] {
            assert!(page(&sample::pool(), "shop.test", path).is_err(), "{path}");
        }
    }
}
