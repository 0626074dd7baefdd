//! Which nginx is new enough, and why.

use std::fmt;

/// The first with `keepalive_min_timeout`: without it every reload loses requests. Source: nginx CHANGES, 1.27.4.
pub const NEEDED: Version = Version(1, 27, 4);

/// A version of nginx.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub u32, pub u32, pub u32);

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

/// Reads the answer of `nginx -v`. Shape: `nginx version: nginx/1.30.6`.
pub fn parse(output: &str) -> Option<Version> {
    let line = output
        .lines()
        .find_map(|l| l.trim().strip_prefix("nginx version: "))?;
    let number = line.split_once('/')?.1;
    let mut parts = number.split(|c: char| !c.is_ascii_digit());
    let mut next = || parts.next()?.parse().ok();
    Some(Version(next()?, next()?, next()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_of_nginx_is_read() {
        let cases = [
            ("nginx version: nginx/1.30.6\n", Some(Version(1, 30, 6))),
            (
                "nginx version: nginx/1.22.1 (Debian)",
                Some(Version(1, 22, 1)),
            ),
            ("nginx version: openresty/1.27.1.2", Some(Version(1, 27, 1))),
            ("nginx: not found", None),
            ("nginx version: nginx/one", None),
        ];
        for (output, expected) in cases {
            assert_eq!(parse(output), expected, "{output}");
        }
    }

    #[test]
    fn the_nginx_of_debian_12_is_too_old() {
        assert!(Version(1, 22, 1) < NEEDED);
        assert!(Version(1, 28, 0) > NEEDED);
    }
}
