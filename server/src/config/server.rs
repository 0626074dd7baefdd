//! The keys `server` and `nginx`.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use stratus_agent::layout::{Layout, SOCKET_PATH_MAX};
use stratus_core::environment::User;

use super::section::Value;
use super::{Nginx, Server, path, scalar};

/// Reads `server`; what is wrong is reported and replaced by its default.
pub(super) fn read(value: Option<&Value<'_>>) -> Server {
    let default = Server {
        data_dir: "/var/lib/stratus".into(),
        socket: "/run/stratus/stratus.sock".into(),
        network: None,
    };
    let planned = ["listen", "panel", "metrics"];
    let Some(section) = value.and_then(|v| v.section(&["data_dir", "socket", "network"], &planned))
    else {
        return default;
    };
    let server = Server {
        data_dir: section.or("data_dir", default.data_dir, path::absolute),
        socket: section.or("socket", default.socket, path::absolute),
        network: section
            .get("network")
            .and_then(|value| value.parse(network)),
    };
    if let Some(value) = section.get("data_dir") {
        check(
            &value,
            &layout(&server.data_dir).access_socket(),
            "shorten server.data_dir",
        );
    }
    if let Some(value) = section.get("socket") {
        check(&value, &server.socket, "shorten it");
    }
    server
}

/// The name of a Docker network in which containers know each other by name.
fn network(text: &str) -> Result<String, String> {
    let name = scalar::container(text)?;
    if ["bridge", "host", "none"].contains(&name.as_str()) {
        return Err(format!(
            "`{name}` is a network of the engine's own, where no container has a name; create one, such as stratus"
        ));
    }
    Ok(name)
}

/// Notes a socket path that the kernel does not take.
pub(super) fn check(value: &Value<'_>, socket: &Path, advice: &str) {
    let length = socket.as_os_str().len();
    if length > SOCKET_PATH_MAX {
        value.fault(format!(
            "the path of a socket would be {length} bytes long, and the kernel takes {SOCKET_PATH_MAX}; {advice}"
        ));
    }
}

/// The layout under `data_dir`, for paths in which the installation does not appear.
pub(super) fn layout(data_dir: &Path) -> Layout {
    let nobody = "000000".parse().expect("six hexadecimal digits");
    Layout::new(data_dir, nobody)
}

/// Reads `nginx`; what is wrong is reported and replaced by its default.
pub(super) fn read_nginx(value: Option<&Value<'_>>) -> Nginx {
    let default = Nginx {
        container: "stratus-nginx".into(),
        http: SocketAddr::from((Ipv4Addr::LOCALHOST, 8000)),
        https: None,
        varnish: false,
        access_log: false,
        debug_header: false,
        user: User { uid: 33, gid: 33 },
    };
    let known = [
        "container",
        "http",
        "https",
        "varnish",
        "access_log",
        "debug_header",
        "user",
    ];
    let Some(section) = value.and_then(|v| v.section(&known, &[])) else {
        return default;
    };
    let http = section.or("http", default.http, scalar::address);
    let https = section.get("https").and_then(|value| {
        let address = value.parse(scalar::address)?;
        if address == http {
            value.fault("is the address of nginx.http; give it a port of its own");
        }
        Some(address)
    });
    Nginx {
        container: section.or("container", default.container, scalar::container),
        http,
        https,
        varnish: section.or("varnish", default.varnish, scalar::flag),
        access_log: section.or("access_log", default.access_log, scalar::flag),
        debug_header: section.or("debug_header", default.debug_header, scalar::flag),
        user: section.or("user", default.user, scalar::user),
    }
}
