//! Where the server is: a unix socket, written as a path or as `unix:/path`.

use std::path::{Path, PathBuf};
use std::str::FromStr;

/// The address used when none is named.
pub const DEFAULT: &str = "unix:/run/stratus/stratus.sock";

/// The socket of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address(PathBuf);

/// A text that is no address.
#[derive(Debug, thiserror::Error)]
#[error(
    "{0:?} is no server address; write a path or unix:/path, the default is unix:/run/stratus/stratus.sock"
)]
pub struct BadAddress(String);

impl Address {
    /// The socket's path.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl FromStr for Address {
    type Err = BadAddress;

    fn from_str(text: &str) -> Result<Self, BadAddress> {
        let path = text
            .strip_prefix("unix://")
            .or_else(|| text.strip_prefix("unix:"))
            .or_else(|| (text.contains('/') && !text.contains("://")).then_some(text))
            .filter(|path| !path.is_empty());
        path.map(|path| Self(path.into()))
            .ok_or_else(|| BadAddress(text.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_and_a_unix_address_name_the_same_socket() {
        for text in ["/run/s.sock", "unix:/run/s.sock", "unix:///run/s.sock"] {
            let address: Address = text.parse().unwrap();
            assert_eq!(address.path(), Path::new("/run/s.sock"));
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in ["", "unix:", "host", "https://host:7443/", "host:7443"] {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
    }
}
