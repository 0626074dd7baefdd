//! The kinds of operation.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::snapshots::Verify;
use crate::{Generation, ReleaseId};

/// What is asked of an environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Copy the code, start a pool beside the live one.
    Init {
        /// How the copy is checked.
        verify: Verify,
    },
    /// Move traffic to the standby.
    Switch,
    /// Move traffic back to the previous generation.
    Rollback,
    /// Drop the standby.
    Abort,
    /// Stop the previous pool, whose warm time is over, or remove one that has no role (background).
    Retire {
        /// Which one.
        generation: Generation,
    },
    /// Remove a release that nothing uses (background).
    Reap {
        /// Which one.
        release: ReleaseId,
    },
}

impl Kind {
    /// Its name for people, scripts and the store.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Init { .. } => "init",
            Self::Switch => "switch",
            Self::Rollback => "rollback",
            Self::Abort => "abort",
            Self::Retire { .. } => "retire",
            Self::Reap { .. } => "reap",
        }
    }

    /// Whether the server started it by itself: such an operation has one step and yields to a user's.
    pub fn is_background(&self) -> bool {
        matches!(self, Self::Retire { .. } | Self::Reap { .. })
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
