//! The operator's description of an environment: what is served, from where, by how many members.
//!
//! A spec is read from the configuration, checked there, and never changed by the system.

pub mod caches;
pub mod checks;
pub mod services;
pub mod sessions;
pub mod tasks;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::EnvironmentName;

pub use caches::Caches;
pub use checks::{Check, Maintenance};
pub use services::{Database, Sessions};
pub use sessions::{RedisDatabase, session_databases};
pub use tasks::{Argv, Cron, Hooks, Worker};

/// One application at one set of host names.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Environment {
    /// Its name.
    pub name: EnvironmentName,
    /// Server names, lower case; the first environment of the configuration also answers for unknown names.
    pub hosts: Vec<String>,
    /// The working tree that `init` copies: absolute.
    pub code: PathBuf,
    /// Served folder, relative to `code`; empty for the tree itself.
    pub docroot: PathBuf,
    /// Front controller, relative to the docroot, for paths that are no file.
    pub front: String,
    /// Folders that are not copied: members see the working tree's, live. Relative to `code`.
    pub shared: Vec<PathBuf>,
    /// Absolute roots that symlinks may lead into; mounted at the same path.
    pub links: Vec<PathBuf>,
    /// Not copied: a relative path, or a bare name that matches at any depth.
    pub exclude: Vec<PathBuf>,
    /// Folders and files under the docroot that are never served. Relative to the docroot.
    pub deny: Vec<PathBuf>,
    /// Whether members see the code read-only.
    pub code_access: CodeAccess,
    /// The autoscaling toggle.
    pub autoscaling: bool,
    /// The zero-downtime toggle.
    pub zero_downtime: bool,
    /// The PHP-FPM members.
    pub php: Php,
    /// How many members.
    pub replicas: Replicas,
    /// When a member is ready.
    pub ready: Ready,
    /// Paths fetched on every new member before it is offered.
    pub warm: Vec<String>,
    /// Limit for requests in flight on the old pool.
    pub drain: Duration,
    /// What is kept of the past.
    pub keep: Keep,
    /// Largest request body, in bytes.
    pub upload_limit: u64,
    /// What a deploy runs.
    #[serde(default)]
    pub hooks: Hooks,
    /// What runs at set times.
    #[serde(default)]
    pub crons: Vec<Cron>,
    /// What runs all the time.
    #[serde(default)]
    pub workers: Vec<Worker>,
    /// What is cleared after a change of generation.
    #[serde(default)]
    pub caches: Caches,
    /// What the application stores its data in.
    #[serde(default)]
    pub database: Option<Database>,
    /// Where PHP keeps its sessions.
    #[serde(default)]
    pub sessions: Sessions,
    /// What visitors get during maintenance.
    #[serde(default)]
    pub maintenance: Maintenance,
    /// What a deploy looks at after the switch.
    #[serde(default)]
    pub check: Check,
    /// How long a consistent deploy may hold requests.
    #[serde(default = "default_hold")]
    pub hold: Duration,
}

impl Environment {
    /// The environment with `options` in its `php.ini`; they win over those of the spec.
    #[must_use]
    pub fn with_php_options(mut self, options: &PhpOptions) -> Self {
        let options = options
            .iter()
            .map(|(name, value)| (name.clone(), value.clone()));
        self.php.ini.extend(options);
        self
    }
}

/// How long a pool that was prepared waits for its switch, unless the operator says otherwise.
pub const STANDBY: Duration = Duration::from_hours(24);

/// The limit of a consistent deploy where nothing is said.
pub const HOLD: Duration = Duration::from_secs(30);

/// For specs that were stored before the key was known.
fn default_hold() -> Duration {
    HOLD
}

/// Whether the code of a release can be written to by its members.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CodeAccess {
    /// Mounted read-only.
    Immutable,
    /// Under an overlay of each container's own, which goes with the container.
    Overlay,
}

/// Options of `php.ini` that were set by command, by name.
pub type PhpOptions = BTreeMap<String, String>;

/// How the members run PHP-FPM.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Php {
    /// Image reference as the operator wrote it.
    pub image: String,
    /// The FPM program in the image.
    pub fpm: String,
    /// Where members see the release: absolute.
    pub mount: PathBuf,
    /// Who the members run as.
    pub user: User,
    /// `pm.max_children` of one member.
    pub workers: u16,
    /// `php.ini` settings.
    pub ini: BTreeMap<String, String>,
    /// Environment variables of the workers.
    pub env: BTreeMap<String, Setting>,
    /// Memory limit of one member, in bytes.
    pub memory: u64,
    /// CPU limit of one member, in thousandths of a CPU.
    pub cpus_milli: u32,
}

/// A value of the configuration. A secret one is stored, but neither [`fmt::Debug`] nor [`fmt::Display`] shows it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setting {
    value: String,
    secret: bool,
}

impl Setting {
    /// A value that may be shown.
    pub fn plain(value: impl Into<String>) -> Self {
        Self {
            value: value.into(),
            secret: false,
        }
    }

    /// A value that is never shown.
    pub fn secret(value: impl Into<String>) -> Self {
        Self {
            value: value.into(),
            secret: true,
        }
    }

    /// The value itself, for the program that needs it.
    pub fn expose(&self) -> &str {
        &self.value
    }

    /// Whether it is never shown.
    pub fn is_secret(&self) -> bool {
        self.secret
    }
}

impl From<&str> for Setting {
    fn from(value: &str) -> Self {
        Self::plain(value)
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.secret { "<secret>" } else { &self.value })
    }
}

impl fmt::Debug for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.secret {
            f.write_str("<secret>")
        } else {
            self.value.fmt(f)
        }
    }
}

/// Numeric user and group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
}

/// Bounds of the number of members.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replicas {
    /// What a new pool starts with.
    pub min: u16,
    /// What autoscaling may go up to.
    pub max: u16,
}

/// The readiness check, run through `FastCGI` on each member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ready {
    /// Path of a script under the docroot, with an optional query.
    pub path: String,
    /// Status it must answer.
    pub status: u16,
    /// How long a pool has to become ready.
    pub within: Duration,
    /// Successes in a row.
    pub successes: u32,
}

/// What is kept of the past.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keep {
    /// Releases on disk.
    pub releases: u32,
    /// How long the previous pool stays warm for a rollback.
    pub warm: Duration,
    /// How long a pool that was prepared waits for its switch.
    #[serde(default = "standby")]
    pub standby: Duration,
}

/// What an environment has that was stored before there was a limit.
fn standby() -> Duration {
    STANDBY
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_value_is_stored_but_never_shown() {
        let secret = Setting::secret("hunter2");
        assert_eq!(format!("{secret} {secret:?}"), "<secret> <secret>");
        assert_eq!(format!("{:?}", Setting::plain("a")), "\"a\"");
        let stored = serde_json::to_string(&secret).expect("plain data");
        assert_eq!(
            serde_json::from_str::<Setting>(&stored).expect("just written"),
            secret
        );
    }
}
