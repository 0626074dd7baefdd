//! Which generation may answer a request: the marked moments of a run.
//!
//! A switch from 42 to 43 is told as `allow(43)`, then the switch, then `mark(43)`:
//!
//! ```text
//! sent under mark 42 ──────────► 42 is right, and 43 from allow(43) on
//!              allow 43 ─ switch ─ mark 43
//! sent under mark 43             └────────► 43 alone is right, until the next allow
//! ```
//!
//! Numbers are never compared by size, so a rollback is told in the same way.

use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLock};

/// The mark that was in force at one instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    generation: u32,
    sequence: u64,
}

/// The marks and announcements of one run, shared by its clients.
#[derive(Debug, Default)]
pub(crate) struct Marks {
    state: RwLock<State>,
}

#[derive(Debug, Default)]
struct State {
    sequence: u64,
    in_force: Option<Mark>,
    /// When each generation was last said to be live, or about to be.
    announced: BTreeMap<u32, u64>,
}

impl Marks {
    /// Says that `generation` alone is live from now on.
    pub(crate) fn mark(&self, generation: u32) {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        let sequence = state.announce(generation);
        state.in_force = Some(Mark {
            generation,
            sequence,
        });
    }

    /// Says that `generation` may become live at any moment from now on.
    pub(crate) fn allow(&self, generation: u32) {
        self.state
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .announce(generation);
    }

    /// The mark to judge a request by that is written next.
    pub(crate) fn in_force(&self) -> Option<Mark> {
        self.state
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .in_force
    }

    /// Whether `generation` may answer, now, a request sent under `mark`.
    pub(crate) fn permits(&self, mark: Option<Mark>, generation: u32) -> bool {
        let Some(mark) = mark else { return true };
        if mark.generation == generation {
            return true;
        }
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        state
            .announced
            .get(&generation)
            .is_some_and(|&when| when > mark.sequence)
    }
}

impl State {
    fn announce(&mut self, generation: u32) -> u64 {
        self.sequence += 1;
        self.announced.insert(generation, self.sequence);
        self.sequence
    }
}

impl Mark {
    /// The generation that was said to be live.
    pub(crate) fn generation(self) -> u32 {
        self.generation
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn before_any_mark_every_generation_is_right() {
        let marks = Marks::default();
        assert!(marks.permits(marks.in_force(), 7));
    }

    #[test]
    fn after_a_mark_both_older_and_newer_generations_are_wrong() {
        let marks = Marks::default();
        marks.mark(42);
        let sent = marks.in_force();
        assert!(marks.permits(sent, 42));
        assert!(!marks.permits(sent, 41));
        assert!(!marks.permits(sent, 43));
    }

    #[test]
    fn a_request_sent_before_the_mark_may_be_answered_by_either() {
        let marks = Marks::default();
        marks.mark(42);
        let sent = marks.in_force();
        marks.allow(43);
        assert!(marks.permits(sent, 42) && marks.permits(sent, 43));
        marks.mark(43);
        assert!(marks.permits(sent, 42) && marks.permits(sent, 43));
        assert!(!marks.permits(marks.in_force(), 42));
    }

    #[test]
    fn after_a_rollback_the_newer_generation_is_wrong() {
        let marks = Marks::default();
        marks.mark(42);
        marks.allow(43);
        marks.mark(43);
        marks.allow(42);
        let during = marks.in_force();
        assert!(marks.permits(during, 42) && marks.permits(during, 43));
        marks.mark(42);
        assert!(!marks.permits(marks.in_force(), 43));
    }

    #[test]
    fn a_mark_forgets_what_was_allowed_before_it() {
        let marks = Marks::default();
        marks.mark(42);
        marks.allow(43); // a switch that failed
        marks.mark(42);
        assert!(!marks.permits(marks.in_force(), 43));
    }
}
