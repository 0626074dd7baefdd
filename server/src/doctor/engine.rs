//! Judges the engine.

use super::{EngineFacts, Finding, bad, good, warning};

/// The oldest API that is spoken.
const API_MIN: (u32, u32) = (1, 41);

pub(super) fn judge(engine: Result<EngineFacts, String>) -> Vec<Finding> {
    match engine {
        Ok(engine) => vec![api(&engine), storage(&engine), restart(&engine)],
        Err(error) => vec![bad(
            "engine",
            format!("the engine does not answer: {error}"),
            "start it (systemctl start docker), and let stratusd reach /var/run/docker.sock",
        )],
    }
}

fn api(engine: &EngineFacts) -> Finding {
    let message = format!("Docker Engine {}, API {}", engine.version, engine.api);
    let parts = engine.api.split_once('.');
    let api = parts.and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
    if api.is_some_and(|api: (u32, u32)| api >= API_MIN) {
        return good("engine", message);
    }
    bad(
        "engine",
        format!("{message}: API {}.{} is needed", API_MIN.0, API_MIN.1),
        "upgrade Docker Engine to 20.10 or newer",
    )
}

fn storage(engine: &EngineFacts) -> Finding {
    let driver = &engine.storage_driver;
    let message = format!("its storage driver is {driver}");
    if ["vfs", "devicemapper", "aufs"].contains(&driver.as_str()) {
        return warning(
            "engine",
            format!("{message}, which is slow: each member costs a copy or a device"),
            "set \"storage-driver\": \"overlay2\" in /etc/docker/daemon.json",
        );
    }
    good("engine", message)
}

fn restart(engine: &EngineFacts) -> Finding {
    if engine.live_restore {
        return good(
            "engine",
            "members live on while the engine is restarted (live-restore)",
        );
    }
    if engine.swarm {
        return good(
            "engine",
            "it is part of a swarm, which excludes live-restore",
        );
    }
    warning(
        "engine",
        "a restart of the engine stops every site: live-restore is off",
        "set \"live-restore\": true in /etc/docker/daemon.json and reload the engine (systemctl reload docker)",
    )
}
