//! An operation: one asked change of one environment, as a plan and a journal.
//!
//! ```text
//!            ┌── Apply(step) ◄─┐ more steps
//!  Submit ──►│                 ├──────────────► Completed
//!            └── step fails ───┘
//!                  │ before or at the pivot         after it: tried again, then
//!                  ▼                                      ▼
//!                Undo(step) … Undo(first) ──► Undone    Stuck ──(resume, resolve)──► on
//! ```
//!
//! [`decide`](decide::decide) alone says what comes next; the server's executor does it and writes it down.

pub mod decide;
pub mod journal;
pub mod kind;
pub mod plan;
#[cfg(test)]
mod sample;
pub mod step;

pub use decide::{Decision, Outcome, decide};
pub use journal::{Direction, Entry, Event, Output, Ran};
pub use kind::{Kind, Mode};
pub use plan::Plan;
pub use step::{Class, Step};
