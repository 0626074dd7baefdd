//! Where the load goes: a loopback address, and nothing else.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;

/// Why an address is no target.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// Not `http://`.
    #[error("`{0}` is not a URL of the form http://127.0.0.1:8000")]
    Form(String),
    /// A path, a query or a fragment after the address.
    #[error("`{0}` names a path: give paths with --get, --post, --slow or --upload")]
    Path(String),
    /// A name, or an address of another machine.
    #[error("`{0}` is not a loopback address: load goes to 127.0.0.0/8, [::1] or localhost only")]
    NotLoopback(String),
}

/// An HTTP server on this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target {
    address: SocketAddr,
}

impl Target {
    /// Accepts a loopback address, also one written as IPv6.
    pub fn new(address: SocketAddr) -> Result<Self, TargetError> {
        if address.ip().to_canonical().is_loopback() {
            Ok(Self { address })
        } else {
            Err(TargetError::NotLoopback(address.to_string()))
        }
    }

    /// The socket to connect to.
    pub fn address(self) -> SocketAddr {
        self.address
    }
}

impl FromStr for Target {
    type Err = TargetError;

    /// Parses `http://127.0.0.1:8000`. No name is ever resolved: `localhost` means 127.0.0.1.
    fn from_str(url: &str) -> Result<Self, TargetError> {
        let rest = url
            .strip_prefix("http://")
            .ok_or_else(|| TargetError::Form(url.to_owned()))?;
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        if authority.contains(['/', '?', '#']) {
            return Err(TargetError::Path(url.to_owned()));
        }
        if let Ok(address) = authority.parse::<SocketAddr>() {
            return Self::new(address);
        }
        if let Ok(ip) = authority.trim_matches(['[', ']']).parse::<IpAddr>() {
            return Self::new(SocketAddr::new(ip, 80));
        }
        let (name, port) = match authority.rsplit_once(':') {
            Some((name, port)) => (
                name,
                port.parse()
                    .map_err(|_| TargetError::Form(url.to_owned()))?,
            ),
            None => (authority, 80),
        };
        match name {
            "localhost" => Self::new(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port)),
            "" => Err(TargetError::Form(url.to_owned())),
            _ => Err(TargetError::NotLoopback(name.to_owned())),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}", self.address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_addresses_are_targets() {
        for (url, address) in [
            ("http://127.0.0.1:8000", "127.0.0.1:8000"),
            ("http://127.9.9.9:1/", "127.9.9.9:1"),
            ("http://localhost:8000", "127.0.0.1:8000"),
            ("http://localhost", "127.0.0.1:80"),
            ("http://[::1]:8000", "[::1]:8000"),
            ("http://[::1]", "[::1]:80"),
            ("http://[::ffff:127.0.0.1]:8000", "[::ffff:127.0.0.1]:8000"),
        ] {
            let target: Target = url.parse().expect("a loopback URL");
            assert_eq!(
                target.address(),
                address.parse().expect("an address"),
                "{url}"
            );
        }
    }

    #[test]
    fn every_other_machine_is_refused() {
        for url in [
            "http://10.0.0.1:80",
            "http://192.168.0.1",
            "http://0.0.0.0:8000",
            "http://[::]:8000",
            "http://[::ffff:10.0.0.1]:80",
            "http://example.org",
            "http://localhost.example.org:80",
            "http://127.0.0.1.example.org",
        ] {
            let error = url.parse::<Target>().expect_err(url);
            assert!(
                matches!(error, TargetError::NotLoopback(_)),
                "{url}: {error}"
            );
        }
    }

    #[test]
    fn what_is_no_plain_address_is_refused() {
        for url in [
            "https://127.0.0.1",
            "127.0.0.1:80",
            "http://",
            "http://localhost:x",
        ] {
            let error = url.parse::<Target>().expect_err(url);
            assert!(matches!(error, TargetError::Form(_)), "{url}: {error}");
        }
        let error = "http://127.0.0.1:80/doku.php"
            .parse::<Target>()
            .expect_err("a path");
        assert!(matches!(error, TargetError::Path(_)), "{error}");
    }
}
