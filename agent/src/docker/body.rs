//! The pieces every container body is made of: what it may see, and what it may not do.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use bollard::models::{
    HostConfig, HostConfigLogConfig, Mount, MountType, MountVolumeOptions, ResourcesUlimits,
    RestartPolicy, RestartPolicyNameEnum,
};
use stratus_core::environment::{Php, Setting};

use super::error::EngineError;
use crate::fpm::config;

/// Most that the environment's code may keep in `/tmp`; it counts as memory.
const TMP_MAX: u64 = 256 << 20;
/// Bound of `/run`.
const RUN_BYTES: u64 = 1 << 20;
/// Where, and below which, nothing else is mounted.
const RESERVED: [&str; 4] = ["/proc", "/sys", "/dev", "/stratus"];
/// Where nothing else is mounted; below them it may be.
const OCCUPIED: [&str; 3] = ["/", "/tmp", "/run"];

/// A folder or file of the host, seen in a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bind {
    /// On the host: absolute, and there already.
    pub source: PathBuf,
    /// In the container: absolute.
    pub target: PathBuf,
    /// Whether the container may only read it.
    pub read_only: bool,
}

impl Bind {
    /// To be read only.
    pub fn read(source: PathBuf, target: &Path) -> Self {
        Self {
            source,
            target: target.to_owned(),
            read_only: true,
        }
    }

    /// To be written to.
    pub fn write(source: PathBuf, target: &Path) -> Self {
        Self {
            read_only: false,
            ..Self::read(source, target)
        }
    }
}

/// A folder in memory, `nosuid,nodev`, that goes with the container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tmpfs {
    /// In the container: absolute.
    pub target: PathBuf,
    /// Its bound, in bytes.
    pub bytes: u64,
}

/// The engine speaks JSON, so a path must be text.
pub(crate) fn text(path: &Path) -> Result<String, EngineError> {
    path.to_str()
        .map(str::to_owned)
        .ok_or_else(|| EngineError::Refused {
            what: format!("mount {}", path.display()),
            detail: "the path is no UTF-8 text; rename it".to_owned(),
        })
}

/// The mount of one bind.
pub(crate) fn mount(bind: &Bind) -> Result<Mount, EngineError> {
    Ok(Mount {
        typ: Some(MountType::BIND),
        source: Some(text(&bind.source)?),
        target: Some(text(&bind.target)?),
        read_only: Some(bind.read_only),
        ..Mount::default()
    })
}

/// A host part that grants nothing: no capability, no new privilege, a read-only root, bounded logs, no restart.
pub(crate) fn restricted(memory: u64, tmpfs: &[Tmpfs]) -> Result<HostConfig, EngineError> {
    let tmpfs = tmpfs
        .iter()
        .map(|t| {
            let options = format!("rw,nosuid,nodev,size={},mode=1777", t.bytes);
            Ok((text(&t.target)?, options))
        })
        .collect::<Result<HashMap<_, _>, EngineError>>()?;
    let memory = i64::try_from(memory).unwrap_or(i64::MAX);
    Ok(HostConfig {
        cap_drop: Some(vec!["ALL".to_owned()]),
        security_opt: Some(vec!["no-new-privileges".to_owned()]),
        readonly_rootfs: Some(true),
        privileged: Some(false),
        ipc_mode: Some("private".to_owned()),
        memory: Some(memory),
        memory_swap: Some(memory),
        tmpfs: Some(tmpfs),
        log_config: Some(HostConfigLogConfig {
            typ: Some("local".to_owned()),
            config: Some(HashMap::from([
                ("max-size".to_owned(), "10m".to_owned()),
                ("max-file".to_owned(), "2".to_owned()),
            ])),
        }),
        ..HostConfig::default()
    })
}

/// The host part of whatever runs an environment's code: [`restricted`], within its limits, seeing `binds` and, first
/// of all, `volume`: its name and where it is mounted.
pub(crate) fn confined(
    php: &Php,
    network: &str,
    processes: i64,
    binds: &[Bind],
    volume: Option<(String, PathBuf)>,
) -> Result<HostConfig, EngineError> {
    let tmpfs = [
        Tmpfs {
            target: "/tmp".into(),
            bytes: (php.memory / 4).clamp(RUN_BYTES, TMP_MAX),
        },
        Tmpfs {
            target: "/run".into(),
            bytes: RUN_BYTES,
        },
    ];
    let mut mounts = binds.iter().map(mount).collect::<Result<Vec<_>, _>>()?;
    if let Some((name, target)) = volume {
        // First, so that the shared folders are mounted over it.
        mounts.insert(0, overlay_mount(name, text(&target)?));
    }
    let core = ResourcesUlimits {
        name: Some("core".to_owned()),
        soft: Some(0),
        hard: Some(0),
    };
    Ok(HostConfig {
        mounts: Some(mounts),
        network_mode: Some(network.to_owned()),
        // Process 1 is deaf to a signal it has no handler for, and does not reap what others left: a process that is
        // told to end in its first moments would not hear it. docker-init forwards and reaps.
        init: Some(true),
        pids_limit: Some(processes),
        nano_cpus: Some(i64::from(php.cpus_milli) * 1_000_000),
        ulimits: Some(vec![core]),
        restart_policy: Some(RestartPolicy {
            name: Some(RestartPolicyNameEnum::NO),
            maximum_retry_count: None,
        }),
        ..restricted(php.memory, &tmpfs)?
    })
}

/// PHP reads our `php.ini` part after everything of the image's; an empty entry stands for PHP's own folder.
pub(crate) fn environment(php: &Php, image_scan_dir: Option<&str>) -> Vec<String> {
    let own = php.env.get("PHP_INI_SCAN_DIR").map(Setting::expose);
    let before = own.or(image_scan_dir).unwrap_or_default();
    let scanned = format!("{before}:{}/{}", config::CONF, config::INI_FOLDER);
    let mut environment: Vec<_> = php
        .env
        .iter()
        .filter(|(name, _)| *name != "PHP_INI_SCAN_DIR")
        .map(|(name, value)| format!("{name}={}", value.expose()))
        .collect();
    environment.push(format!("PHP_INI_SCAN_DIR={scanned}"));
    environment
}

/// Refuses root, and mounts over the system or over what is ours.
pub(crate) fn check(what: &str, php: &Php, links: &[PathBuf]) -> Result<(), EngineError> {
    let refuse = |detail: String| {
        let what = what.to_owned();
        Err(EngineError::Refused { what, detail })
    };
    if php.user.uid == 0 {
        return refuse("php.user is root; name another user, such as the owner of the code".into());
    }
    for target in std::iter::once(&php.mount).chain(links) {
        let reserved = RESERVED.iter().any(|r| target.starts_with(r))
            || OCCUPIED.iter().any(|o| target == Path::new(o));
        if !target.is_absolute() || reserved {
            return refuse(format!("nothing can be mounted at {}", target.display()));
        }
    }
    Ok(())
}

fn overlay_mount(volume: String, target: String) -> Mount {
    Mount {
        typ: Some(MountType::VOLUME),
        source: Some(volume),
        target: Some(target),
        read_only: Some(false),
        volume_options: Some(MountVolumeOptions {
            // Else the engine copies what the image has at the mount point into the overlay.
            no_copy: Some(true),
            ..MountVolumeOptions::default()
        }),
        ..Mount::default()
    }
}
