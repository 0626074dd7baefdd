//! The steps that plans are made of.

use std::fmt;

use serde::{Deserialize, Serialize};

/// One idempotent action and its undo.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// Drop an older standby, which is stale from now on.
    Reserve,
    /// Check the image, the tree and the disk.
    Preflight,
    /// Copy the code into a release.
    Snapshot,
    /// Create the members.
    Create,
    /// Start the members.
    Start,
    /// Wait until every member is ready.
    AwaitReady,
    /// Fetch the warm paths on every member.
    Warm,
    /// Offer the pool to a switch.
    Stage,
    /// Move traffic to the pool: the point of no return.
    Route,
    /// Write down who is live now.
    Promote,
    /// Wait until the old pool holds no request.
    Drain,
    /// Keep the old pool warm; stop every older one.
    Park,
    /// Take the standby out of reach of a switch.
    Unstage,
    /// Stop and remove the standby's members.
    Discard,
    /// Stop a pool whose warm time is over.
    Retire,
    /// Remove a release that nothing uses.
    Reap,
}

/// What a failure of a step means for the operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// Before the point of no return: everything so far is undone.
    Undo,
    /// The point of no return: its own failure is undone, its success is final.
    Pivot,
    /// After it: tried again until it succeeds, or stuck.
    Retry,
}

impl Step {
    /// What its failure means.
    pub fn class(self) -> Class {
        match self {
            Self::Reserve
            | Self::Preflight
            | Self::Snapshot
            | Self::Create
            | Self::Start
            | Self::AwaitReady
            | Self::Warm
            | Self::Stage => Class::Undo,
            Self::Route => Class::Pivot,
            Self::Promote
            | Self::Drain
            | Self::Park
            | Self::Unstage
            | Self::Discard
            | Self::Retire
            | Self::Reap => Class::Retry,
        }
    }

    /// Its name for people and scripts.
    pub fn name(self) -> &'static str {
        match self {
            Self::Reserve => "reserve",
            Self::Preflight => "preflight",
            Self::Snapshot => "snapshot",
            Self::Create => "create",
            Self::Start => "start",
            Self::AwaitReady => "await_ready",
            Self::Warm => "warm",
            Self::Stage => "stage",
            Self::Route => "route",
            Self::Promote => "promote",
            Self::Drain => "drain",
            Self::Park => "park",
            Self::Unstage => "unstage",
            Self::Discard => "discard",
            Self::Retire => "retire",
            Self::Reap => "reap",
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
