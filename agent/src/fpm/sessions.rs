//! Where PHP keeps its sessions when that is a Redis: its URL as the extension `redis` of PHP reads it.
//!
//! Source: <https://github.com/phpredis/phpredis#php-session-handler>

use std::fmt::Write as _;

use reqwest::Url;

/// Redis's own port.
const PORT: u16 = 6379;

/// The URL is none of a Redis.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the URL of sessions cannot be understood; write it as redis://redis-session:6380")]
pub struct SessionsError;

/// `session.save_path` for a URL. Shape: `tcp://redis-session:6380?database=2`.
///
/// # Errors
/// When it is no URL of a Redis.
pub fn save_path(url: &str) -> Result<String, SessionsError> {
    let url = Url::parse(url).map_err(|_| SessionsError)?;
    let scheme = match url.scheme() {
        "redis" => "tcp",
        "rediss" => "tls",
        _ => return Err(SessionsError),
    };
    let host = url.host_str().ok_or(SessionsError)?;
    let mut path = format!("{scheme}://{host}:{}", url.port().unwrap_or(PORT));
    let mut and = '?';
    let mut add = |name: &str, value: &str| {
        let _ = write!(path, "{and}{name}={value}");
        and = '&';
    };
    // Both are percent-encoded in a URL, and PHP decodes both. A quote, which would end the setting, is encoded too.
    let encoded = |text: &str| text.replace('\'', "%27");
    if let Some(password) = url.password() {
        match url.username() {
            "" => add("auth", &encoded(password)),
            user => {
                add("auth[user]", &encoded(user));
                add("auth[pass]", &encoded(password));
            }
        }
    }
    let database = url.path().trim_matches('/');
    if !database.is_empty() {
        let number: u32 = database.parse().map_err(|_| SessionsError)?;
        add("database", &number.to_string());
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_written_as_php_reads_it() {
        for (url, path) in [
            ("redis://redis-session:6380", "tcp://redis-session:6380"),
            ("redis://r/2", "tcp://r:6379?database=2"),
            ("rediss://:p%26w@r:1/0", "tls://r:1?auth=p%26w&database=0"),
            (
                "redis://shop:it's@r",
                "tcp://r:6379?auth[user]=shop&auth[pass]=it%27s",
            ),
        ] {
            assert_eq!(save_path(url), Ok(path.to_owned()));
        }
        for url in ["", "redis:", "http://r", "redis://r/x"] {
            assert_eq!(save_path(url), Err(SessionsError), "{url}");
        }
    }
}
