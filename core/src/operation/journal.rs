//! The journal: append-only events, the only truth about how far an operation is.

use serde::{Deserialize, Serialize};

use crate::cache::ClearReport;
use crate::environment::Argv;
use crate::fault::Fault;
use crate::operation::decide::Outcome;
use crate::release::Snapshot;
use crate::snapshots::{Fetched, Forecast};
use crate::traffic::Tally;

/// An event with its place in the journal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Counted from 1 within the operation.
    pub number: u64,
    /// When it was written, milliseconds since 1970.
    pub at_ms: u64,
    /// What happened.
    pub event: Event,
}

/// What happened to an operation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// An effect may begin from now on.
    Started {
        /// Index in the plan.
        step: usize,
        /// Forward or back.
        direction: Direction,
    },
    /// The effect is complete.
    Succeeded {
        /// Index in the plan.
        step: usize,
        /// Forward or back.
        direction: Direction,
        /// What later steps and the report need.
        output: Output,
    },
    /// The effect failed; some of it may have happened.
    Failed {
        /// Index in the plan.
        step: usize,
        /// Forward or back.
        direction: Direction,
        /// Whether it may pass.
        fault: Fault,
        /// For people.
        message: String,
    },
    /// A user asked to stop.
    CancelRequested,
    /// A user asked to try a stuck step again.
    Resumed,
    /// A user says that a stuck step's effect is as it should be.
    Resolved {
        /// Index in the plan.
        step: usize,
        /// Forward or back.
        direction: Direction,
    },
    /// Nothing more will happen.
    Finished {
        /// How it ended.
        outcome: Outcome,
    },
}

/// Whether a step is applied or undone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Apply.
    Forward,
    /// Undo.
    Back,
}

/// What a step leaves for later steps and for the report.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Output {
    /// Nothing.
    None,
    /// Of Preflight.
    Checked {
        /// The image by digest.
        image: String,
        /// What the copy will need.
        forecast: Forecast,
    },
    /// Of `StopCrons`: the crons that still run, on the release that they began on.
    StillRunning(Vec<String>),
    /// Of Fetch.
    Fetched(Fetched),
    /// Of the hooks.
    Ran(Vec<Ran>),
    /// Of Snapshot.
    Copied(Snapshot),
    /// Of the end of a consistent deployment.
    Held {
        /// How long the new pool stood still while traffic pointed at it, milliseconds.
        hold_ms: u64,
        /// What visitors saw from the change of route on, where it could be counted.
        tally: Option<Tally>,
    },
    /// Of Park, where requests of the old pool were cut: what visitors saw, where it could be counted.
    Counted(Option<Tally>),
    /// Of Drain.
    Drained {
        /// How long it took, milliseconds.
        drained_ms: u64,
        /// Requests cut at the limit.
        remaining: u64,
        /// What visitors saw, where it could be counted.
        tally: Option<Tally>,
    },
    /// Of Check: why the site was not looked at.
    NotLookedAt(String),
    /// Of Clear: how each cache fared.
    Cleared(Vec<ClearReport>),
}

/// A command that ran to its end, and well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ran {
    /// What ran.
    pub command: Argv,
    /// How long it took, milliseconds.
    pub ms: u64,
    /// The end of what it wrote.
    pub output: String,
}

/// The output of the latest success of the forward step for which `pick` answers.
pub fn output<'a, T>(entries: &'a [Entry], pick: impl Fn(&'a Output) -> Option<T>) -> Option<T> {
    entries.iter().rev().find_map(|entry| match &entry.event {
        Event::Succeeded {
            direction: Direction::Forward,
            output,
            ..
        } => pick(output),
        _ => None,
    })
}

/// The image that Preflight found.
pub fn image(entries: &[Entry]) -> Option<&str> {
    output(entries, |o| match o {
        Output::Checked { image, .. } => Some(image.as_str()),
        _ => None,
    })
}

/// What Fetch brought.
pub fn fetched(entries: &[Entry]) -> Option<&Fetched> {
    output(entries, |o| match o {
        Output::Fetched(fetched) => Some(fetched),
        _ => None,
    })
}

/// The snapshot that Snapshot made.
pub fn snapshot(entries: &[Entry]) -> Option<&Snapshot> {
    output(entries, |o| match o {
        Output::Copied(snapshot) => Some(snapshot),
        _ => None,
    })
}
