//! A release: an immutable copy of the code at one moment, named by the digest of its manifest.

use serde::{Deserialize, Serialize};

use crate::{OperationId, ReleaseId};

/// What a snapshot made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// The release.
    pub release: ReleaseId,
    /// How much of it was copied and how much linked.
    pub counts: Counts,
    /// Entries whose setuid, setgid bits or file capabilities were stripped (bounded list).
    pub stripped: Vec<String>,
    /// Absolute links that were rewritten relative (bounded list).
    pub rewritten: Vec<String>,
}

/// How far a snapshot is, or was in the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Counts {
    /// Regular files of the release.
    pub files: u64,
    /// Their size in bytes.
    pub bytes: u64,
    /// Files copied.
    pub copied: u64,
    /// Files hard-linked from the previous release.
    pub linked: u64,
    /// Bytes copied: with the time it took, the rate.
    pub bytes_copied: u64,
}

/// A release on disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OnDisk {
    /// The release.
    pub release: ReleaseId,
    /// When it was made, milliseconds since 1970.
    pub created_ms: u64,
    /// Who made it.
    pub operation: OperationId,
    /// Regular files.
    pub files: u64,
    /// Their size in bytes.
    pub bytes: u64,
}
