//! A pool: the identical containers that serve one release in one generation.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::environment::{CodeAccess, Php, Sessions, User};
use crate::{EnvironmentName, Generation, InstallationId, ReleaseId};

/// FPM's ping path on a member's socket; the answer is the generation.
pub const PING_PATH: &str = "/.stratus/ping";
/// FPM's status path on a member's socket.
pub const STATUS_PATH: &str = "/.stratus/status";
/// Response header in which every member names its generation.
pub const GENERATION_HEADER: &str = "X-Stratus-Generation";

/// Identifies a pool: `shop-g42`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PoolId {
    /// The environment it serves.
    pub environment: EnvironmentName,
    /// Its generation.
    pub generation: Generation,
}

impl fmt::Display for PoolId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-g{}", self.environment, self.generation)
    }
}

impl PoolId {
    /// The pool of `generation`.
    pub fn new(environment: &EnvironmentName, generation: Generation) -> Self {
        Self {
            environment: environment.clone(),
            generation,
        }
    }

    /// Name of a member's container. Shape: `shop-g42-0-5f3a9c`.
    pub fn member(&self, index: u16, installation: &InstallationId) -> String {
        format!("{self}-{index}-{installation}")
    }
}

/// Everything that is needed to create a pool's members again, at any later time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Pool {
    /// Which pool.
    pub id: PoolId,
    /// What it serves.
    pub release: ReleaseId,
    /// The image by digest (`sha256:…`).
    pub image: String,
    /// How many members.
    pub members: u16,
    /// How they run PHP-FPM.
    pub php: Php,
    /// Whether the code is read-only.
    pub code_access: CodeAccess,
    /// The working tree, for the shared folders.
    pub code: PathBuf,
    /// Shared folders, relative to `code` and to the mount point.
    pub shared: Vec<PathBuf>,
    /// Roots that links lead into, mounted at the same path.
    pub links: Vec<PathBuf>,
    /// Served folder, relative to the mount point.
    pub docroot: PathBuf,
    /// Front controller, relative to the docroot, which answers warm paths that name no script.
    pub front: String,
    /// Largest request body, in bytes; PHP's own limits follow it.
    pub upload_limit: u64,
    /// Where PHP keeps its sessions. Left out where it is the default: pools of earlier versions are then the same.
    #[serde(default, skip_serializing_if = "Sessions::is_files")]
    pub sessions: Sessions,
}

impl Pool {
    /// Who its processes run as.
    pub fn user(&self) -> User {
        self.php.user
    }
}
