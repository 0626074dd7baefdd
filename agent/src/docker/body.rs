//! The pieces every container body is made of: what it may see, and what it may not do.

use std::collections::HashMap;
use std::path::PathBuf;

use bollard::models::{HostConfig, HostConfigLogConfig, Mount, MountType};

use super::error::EngineError;

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

/// A folder in memory, `nosuid,nodev`, that goes with the container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tmpfs {
    /// In the container: absolute.
    pub target: PathBuf,
    /// Its bound, in bytes.
    pub bytes: u64,
}

/// The engine speaks JSON, so a path must be text.
pub(crate) fn text(path: &std::path::Path) -> Result<String, EngineError> {
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
