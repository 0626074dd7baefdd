//! Free ports on loopback.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};

/// A port of 127.0.0.1 that was free a moment ago.
///
/// # Errors
/// When there is none.
pub fn free_port() -> std::io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}
