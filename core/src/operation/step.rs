//! The steps that plans are made of.

use std::fmt;

use serde::{Deserialize, Serialize};

/// One idempotent action and its undo.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// Bring what the release is made from, where that is not the working tree, into a folder of the operation.
    Fetch,
    /// Hold crons back, and wait until none runs.
    StopCrons,
    /// Let crons run again.
    StartCrons,
    /// Stop the workers.
    HaltWorkers,
    /// Move the workers to the live release.
    Workers,
    /// Run the hooks that come before the copy.
    BeforeInit,
    /// Drop an older standby, which is stale from now on.
    Reserve,
    /// Check the image, the tree and the disk.
    Preflight,
    /// Copy the code into a release.
    Snapshot,
    /// Remove that folder again.
    Tidy,
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
    /// Run the hooks that come before traffic moves.
    BeforeSwitch,
    /// Stop the new pool's processes in their tracks: requests wait for them.
    Freeze,
    /// Let them go on.
    Thaw,
    /// Ask nginx until every member answers through it.
    Confirm,
    /// Move traffic to the pool: the point of no return.
    Route,
    /// Move traffic member by member, each of the pool's started and ready before it takes an old one's place.
    Roll,
    /// Write down who is live now.
    Promote,
    /// Wait until the old pool holds no request.
    Drain,
    /// Run the hooks that come after traffic moved.
    AfterSwitch,
    /// Look at the site as a visitor does: what a deployment is undone up to.
    Check,
    /// Clear the caches, inner before outer.
    Clear,
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
    /// What its failure means, unless a plan says otherwise: see [`Plan::class`](super::Plan::class).
    pub fn class(self) -> Class {
        match self {
            Self::StopCrons
            | Self::HaltWorkers
            | Self::Fetch
            | Self::BeforeInit
            | Self::Reserve
            | Self::Preflight
            | Self::Snapshot
            | Self::Tidy
            | Self::Create
            | Self::Start
            | Self::AwaitReady
            | Self::Warm
            | Self::Stage
            | Self::BeforeSwitch
            | Self::Freeze
            | Self::Thaw
            | Self::Confirm
            | Self::AfterSwitch
            | Self::Check => Class::Undo,
            Self::Route | Self::Roll => Class::Pivot,
            Self::Promote
            | Self::Drain
            | Self::Workers
            | Self::Clear
            | Self::StartCrons
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
            Self::Fetch => "fetch",
            Self::StopCrons => "stop_crons",
            Self::StartCrons => "start_crons",
            Self::HaltWorkers => "halt_workers",
            Self::Workers => "workers",
            Self::BeforeInit => "before_init",
            Self::Reserve => "reserve",
            Self::Preflight => "preflight",
            Self::Snapshot => "snapshot",
            Self::Tidy => "tidy",
            Self::Create => "create",
            Self::Start => "start",
            Self::AwaitReady => "await_ready",
            Self::Warm => "warm",
            Self::Stage => "stage",
            Self::BeforeSwitch => "before_switch",
            Self::Freeze => "freeze",
            Self::Thaw => "thaw",
            Self::Confirm => "confirm",
            Self::Route => "route",
            Self::Roll => "roll",
            Self::Promote => "promote",
            Self::Drain => "drain",
            Self::AfterSwitch => "after_switch",
            Self::Check => "check",
            Self::Clear => "clear",
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
