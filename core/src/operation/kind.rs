//! The kinds of operation.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::environment::PhpOptions;
use crate::snapshots::Verify;
use crate::source::Source;
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
    /// Copy the code, start a pool, move traffic to it: init and switch in one.
    Reinit {
        /// How the copy is checked.
        verify: Verify,
        /// The options of `php.ini` that the environment has from then on, beside those of its spec; none: as before.
        #[serde(default)]
        php_options: Option<PhpOptions>,
    },
    /// A whole deployment: hooks around init and switch, and a look at the site at the end.
    Deploy {
        /// How the copy is checked.
        verify: Verify,
        /// How traffic moves.
        mode: Mode,
        /// What the release is made from; none: the working tree.
        #[serde(default)]
        from: Option<Box<Source>>,
    },
    /// Drop the standby.
    Abort,
    /// Stop the previous pool, whose warm time is over, or remove a standby whose time is or one that has no role
    /// (background).
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

/// How a deployment moves traffic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// All at one instant, while the old pool finishes what it has.
    #[default]
    BlueGreen,
    /// All at one instant, and no old code runs beside the hooks: requests wait meanwhile.
    Consistent,
    /// Member by member: each is ready before it takes the place of an old one, and both releases serve meanwhile.
    Rolling,
}

impl Mode {
    /// Its name for people and scripts.
    pub fn name(self) -> &'static str {
        match self {
            Self::BlueGreen => "blue-green",
            Self::Consistent => "consistent",
            Self::Rolling => "rolling",
        }
    }
}

impl Kind {
    /// Its name for people, scripts and the store.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Init { .. } => "init",
            Self::Switch => "switch",
            Self::Rollback => "rollback",
            Self::Reinit { .. } => "reinit",
            Self::Deploy { .. } => "deploy",
            Self::Abort => "abort",
            Self::Retire { .. } => "retire",
            Self::Reap { .. } => "reap",
        }
    }

    /// How the copy is checked, where there is one.
    pub fn verify(&self) -> Option<Verify> {
        match self {
            Self::Init { verify } | Self::Reinit { verify, .. } | Self::Deploy { verify, .. } => {
                Some(*verify)
            }
            _ => None,
        }
    }

    /// What the release is made from, where that is not the working tree.
    pub fn source(&self) -> Option<&Source> {
        match self {
            Self::Deploy { from, .. } => from.as_deref(),
            _ => None,
        }
    }

    /// Whether it makes a new generation.
    pub fn makes_generation(&self) -> bool {
        self.verify().is_some()
    }

    /// Whether it moves traffic.
    pub fn moves_traffic(&self) -> bool {
        matches!(
            self,
            Self::Switch | Self::Rollback | Self::Reinit { .. } | Self::Deploy { .. }
        )
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
