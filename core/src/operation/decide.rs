//! The one function that says what comes next. Pure: the same plan and journal give the same answer.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::fault::Fault;
use crate::operation::journal::{Direction, Entry, Event};
use crate::operation::plan::Plan;
use crate::operation::step::Class;

/// How often a step that may pass is tried before the operation unwinds.
pub const FORWARD_TRIES: u32 = 4;
/// How often a step after the pivot, or an undo, is tried before the operation is stuck.
pub const SETTLE_TRIES: u32 = 8;

/// What comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Apply the step at this index of the plan.
    Apply {
        /// Index in the plan.
        step: usize,
        /// How often it failed so far: the wait before the next try follows from it.
        failures: u32,
    },
    /// Undo the step at this index.
    Undo {
        /// Index in the plan.
        step: usize,
        /// How often the undo failed so far.
        failures: u32,
    },
    /// Nothing more.
    Done(Outcome),
}

/// How an operation ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Every step succeeded.
    Completed,
    /// Everything is as it was.
    Undone,
    /// A step neither succeeds nor can be undone; `operations.resume` or `operations.resolve` go on.
    Stuck {
        /// Index in the plan.
        step: usize,
        /// What was tried.
        direction: Direction,
    },
}

impl Outcome {
    /// Its name for people and scripts.
    pub fn name(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Undone => "undone",
            Self::Stuck { .. } => "stuck",
        }
    }
}

/// How long to wait before a step that failed `failures` times is tried again: 100 ms, doubled, 5 s at most.
pub fn backoff(failures: u32) -> Duration {
    if failures == 0 {
        return Duration::ZERO;
    }
    Duration::from_millis(100 * (1 << (failures - 1).min(10))).min(Duration::from_secs(5))
}

/// Says what comes next for `plan` after what `entries` tell.
///
/// # Panics
/// When the journal names a step that the plan does not have: it is another operation's.
pub fn decide(plan: &Plan, entries: &[Entry]) -> Decision {
    let history = History::read(plan, entries);
    if history.forward.iter().all(|attempt| attempt.succeeded) {
        return Decision::Done(Outcome::Completed);
    }
    if history.unwinds(plan) {
        return unwind(plan, &history);
    }
    let next = history
        .forward
        .iter()
        .position(|attempt| !attempt.succeeded);
    let step = next.expect("a plan that is not complete has a next step");
    let failures = history.forward[step].failures;
    if plan.class(step) == Class::Retry && failures >= SETTLE_TRIES {
        return Decision::Done(Outcome::Stuck {
            step,
            direction: Direction::Forward,
        });
    }
    Decision::Apply { step, failures }
}

fn unwind(plan: &Plan, history: &History) -> Decision {
    let open = (0..plan.steps.len()).rev().find(|&step| {
        plan.class(step) != Class::Retry
            && history.forward[step].started
            && !history.back[step].succeeded
    });
    match open {
        None => Decision::Done(Outcome::Undone),
        Some(step) if history.back[step].failures >= SETTLE_TRIES => {
            Decision::Done(Outcome::Stuck {
                step,
                direction: Direction::Back,
            })
        }
        Some(step) => Decision::Undo {
            step,
            failures: history.back[step].failures,
        },
    }
}

/// What the journal tells of one direction of one step.
#[derive(Debug, Clone, Copy, Default)]
struct Attempt {
    started: bool,
    succeeded: bool,
    failures: u32,
    /// It failed in a way that trying again does not change.
    hopeless: bool,
}

struct History {
    forward: Vec<Attempt>,
    back: Vec<Attempt>,
    /// The point of no return was reached: no cancel counts from there on.
    committed: bool,
    /// A cancel came in time.
    cancelled: bool,
}

impl History {
    fn read(plan: &Plan, entries: &[Entry]) -> Self {
        let steps = plan.steps.len();
        let mut history = Self {
            forward: vec![Attempt::default(); steps],
            back: vec![Attempt::default(); steps],
            committed: false,
            cancelled: false,
        };
        for entry in entries {
            history.take(plan, &entry.event);
        }
        history
    }

    fn take(&mut self, plan: &Plan, event: &Event) {
        match event {
            Event::Started { step, direction } => {
                self.committed |= plan.class(*step) != Class::Undo;
                self.of(*step, *direction).started = true;
            }
            Event::Succeeded {
                step, direction, ..
            }
            | Event::Resolved { step, direction } => {
                self.of(*step, *direction).succeeded = true;
            }
            Event::Failed {
                step,
                direction,
                fault,
                ..
            } => {
                let attempt = self.of(*step, *direction);
                attempt.failures += 1;
                attempt.hopeless |= *fault == Fault::Permanent;
            }
            Event::CancelRequested => self.cancelled |= !self.committed,
            Event::Resumed => self.resume(),
            Event::Finished { .. } => {}
        }
    }

    fn of(&mut self, step: usize, direction: Direction) -> &mut Attempt {
        match direction {
            Direction::Forward => &mut self.forward[step],
            Direction::Back => &mut self.back[step],
        }
    }

    /// Gives every stuck try a fresh count. A failure that began the unwinding stays: what is half undone is undone.
    fn resume(&mut self) {
        for attempt in &mut self.back {
            attempt.failures = 0;
        }
        for attempt in &mut self.forward {
            attempt.failures = attempt.failures.min(FORWARD_TRIES);
        }
    }

    fn unwinds(&self, plan: &Plan) -> bool {
        let mut forward = self.forward.iter().enumerate();
        let failed = forward.any(|(step, attempt)| {
            plan.class(step) != Class::Retry
                && !attempt.succeeded
                && (attempt.hopeless || attempt.failures >= FORWARD_TRIES)
        });
        failed || self.cancelled
    }
}

/// Whether `plan` is past its point of no return: a cancel changes nothing any more.
///
/// # Panics
/// As [`decide`].
pub fn is_committed(plan: &Plan, entries: &[Entry]) -> bool {
    History::read(plan, entries).committed
}

/// Whether a cancel came before the point of no return. Their order in the journal says so, and nothing else.
///
/// # Panics
/// As [`decide`].
pub fn is_cancelled(plan: &Plan, entries: &[Entry]) -> bool {
    History::read(plan, entries).cancelled
}

#[cfg(test)]
mod tests;
