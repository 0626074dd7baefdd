//! Judges nginx and its container.

use std::net::SocketAddr;
use std::path::Path;

use super::{Finding, Network, NginxFacts, bad, good, warning};
use crate::config::Config;

/// The first with `keepalive_min_timeout`, without which a reload loses requests.
const VERSION_MIN: (u32, u32, u32) = (1, 27, 4);

pub(super) fn judge(nginx: Result<Option<NginxFacts>, String>, config: &Config) -> Vec<Finding> {
    let name = &config.nginx.container;
    let nginx = match nginx {
        Ok(Some(nginx)) => nginx,
        Ok(None) => {
            return vec![bad(
                "nginx",
                format!("there is no container {name}"),
                "start it (compose/single.yaml), or name the right one under nginx.container",
            )];
        }
        Err(error) => {
            return vec![bad(
                "nginx",
                format!("container {name} cannot be looked at: {error}"),
                "see what is said about the engine",
            )];
        }
    };
    if !nginx.running {
        return vec![bad(
            "nginx",
            format!("container {name} does not run"),
            format!("read `docker logs {name}`, then `docker start {name}`"),
        )];
    }
    let mut findings = vec![
        version(&nginx),
        control(&nginx, name),
        user(&nginx, config),
        port(&nginx, "nginx.http", config.nginx.http),
    ];
    if let Some(https) = config.nginx.https {
        findings.push(port(&nginx, "nginx.https", https));
    }
    findings.extend(mounts(&nginx, config));
    if nginx.cpu_limited {
        findings.push(warning(
            "nginx",
            "its CPU time is limited, which delays every site and every switch",
            "remove the CPU limit from its container",
        ));
    }
    findings
}

fn version(nginx: &NginxFacts) -> Finding {
    let Some(version) = &nginx.version else {
        return bad(
            "nginx",
            "its version could not be found out",
            "use an image in which `nginx -v` works",
        );
    };
    let mut parts = version.split('.').map(|part| part.parse::<u32>().ok());
    let mut next = || parts.next().flatten();
    let number = (next(), next(), next());
    if let (Some(major), Some(minor), Some(patch)) = number
        && (major, minor, patch) >= VERSION_MIN
    {
        return good("nginx", format!("version {version}"));
    }
    bad(
        "nginx",
        format!("version {version} has no keepalive_min_timeout: reloads lose requests"),
        "use nginx 1.27.4 or newer",
    )
}

fn control(nginx: &NginxFacts, name: &str) -> Finding {
    if nginx.answers {
        return good("nginx", "it answers on its control socket");
    }
    bad(
        "nginx",
        "it does not answer on its control socket, so no change can be confirmed",
        format!(
            "read `docker logs {name}`, and see to it that it runs with the nginx.conf of server.data_dir"
        ),
    )
}

fn user(nginx: &NginxFacts, config: &Config) -> Finding {
    let wanted = config.nginx.user;
    match nginx.user {
        Some(user) if user == wanted => {
            good("nginx", format!("it runs as {}:{}", user.uid, user.gid))
        }
        Some(user) => bad(
            "nginx",
            format!(
                "it runs as {}:{} and nginx.user is {}:{}, who alone may use the members' sockets",
                user.uid, user.gid, wanted.uid, wanted.gid
            ),
            "correct nginx.user or the container's user",
        ),
        None => warning(
            "nginx",
            "who its workers run as could not be found out",
            format!(
                "start its container with user {}:{}",
                wanted.uid, wanted.gid
            ),
        ),
    }
}

fn port(nginx: &NginxFacts, key: &str, wanted: SocketAddr) -> Finding {
    let published = match &nginx.network {
        Network::Host => return good("nginx", "it shares the host's network"),
        Network::Published(published) => published,
    };
    let leads = published.iter().any(|address| {
        address.port() == wanted.port()
            && (address.ip() == wanted.ip() || address.ip().is_unspecified())
    });
    if leads {
        return good("nginx", format!("{wanted} leads to it"));
    }
    let published = published
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>();
    bad(
        "nginx",
        match published.as_slice() {
            [] => format!("{key} is {wanted}, and its container publishes no port"),
            _ => format!(
                "{key} is {wanted}, and its container publishes {}",
                published.join(", ")
            ),
        },
        format!("correct {key} or the container's port"),
    )
}

fn mounts(nginx: &NginxFacts, config: &Config) -> Vec<Finding> {
    let sees = |path: &Path| nginx.mounts.iter().any(|mount| path.starts_with(mount));
    let data = &config.server.data_dir;
    let mut findings = Vec::new();
    for folder in ["env", "nginx", "nginx/run"].map(|name| data.join(name)) {
        if !sees(&folder) {
            findings.push(missing(&folder, "it cannot serve anything"));
        }
    }
    // Below nginx's own, which it may only read.
    let sockets = data.join("nginx/varnish");
    if config.nginx.varnish && !nginx.mounts.contains(&sockets) {
        findings.push(missing(&sockets, "it cannot listen there for Varnish"));
    }
    let logs = data.join("nginx/log");
    if config.nginx.access_log && !nginx.mounts.contains(&logs) {
        findings.push(missing(&logs, "it cannot write what visitors ask for"));
    }
    for environment in &config.environments {
        let served = environment
            .shared
            .iter()
            .any(|path| path.starts_with(&environment.docroot));
        if served && !sees(&environment.code) {
            let harm = format!(
                "files in the shared folders of {} are not found",
                environment.name
            );
            findings.push(missing(&environment.code, &harm));
        }
    }
    if findings.is_empty() {
        findings.push(good("nginx", "it sees every folder that it serves from"));
    }
    findings
}

fn missing(folder: &Path, harm: &str) -> Finding {
    bad(
        "nginx",
        format!(
            "it does not see {} at the same path: {harm}",
            folder.display()
        ),
        format!("mount {} into its container", folder.display()),
    )
}
