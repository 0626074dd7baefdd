//! Which generation of an environment is live, standby, previous.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::environment::PhpOptions;
use crate::{Generation, ReleaseId};

/// A pool as the environment remembers it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolRecord {
    /// Its generation.
    pub generation: Generation,
    /// What it serves.
    pub release: ReleaseId,
    /// How many members it has.
    pub members: u16,
    /// Since when it has its present role, milliseconds since 1970.
    pub since_ms: u64,
}

/// The roles of an environment's pools.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct EnvironmentState {
    /// Serves the visitors.
    pub live: Option<PoolRecord>,
    /// Ready, waits for a switch.
    pub standby: Option<PoolRecord>,
    /// Served before; the target of a rollback.
    pub previous: Option<PoolRecord>,
    /// Until when the previous pool stays warm, milliseconds since 1970; `None`: it is parked cold.
    pub warm_until_ms: Option<u64>,
    /// Options of `php.ini` that were set by command; they win over those of the spec.
    #[serde(default)]
    pub php_options: PhpOptions,
}

impl EnvironmentState {
    /// Makes `record` the standby.
    pub fn stage(&mut self, record: PoolRecord) {
        self.standby = Some(record);
    }

    /// Drops the standby if it is of `generation`.
    pub fn unstage(&mut self, generation: Generation) {
        if self
            .standby
            .as_ref()
            .is_some_and(|s| s.generation == generation)
        {
            self.standby = None;
        }
    }

    /// Makes `record` the live pool and the live one the previous.
    ///
    /// # Idempotence
    /// A second call with the same generation changes nothing: the previous pool is not overwritten by the live one.
    pub fn promote(&mut self, record: PoolRecord) {
        if self
            .live
            .as_ref()
            .is_some_and(|l| l.generation == record.generation)
        {
            return;
        }
        self.unstage(record.generation);
        self.previous = self.live.take();
        self.warm_until_ms = None;
        self.live = Some(record);
    }

    /// Marks the previous pool warm until `until_ms`.
    pub fn keep_warm(&mut self, until_ms: u64) {
        if self.previous.is_some() {
            self.warm_until_ms = Some(until_ms);
        }
    }

    /// Marks the previous pool cold if it is of `generation`.
    pub fn cool(&mut self, generation: Generation) {
        if self
            .previous
            .as_ref()
            .is_some_and(|p| p.generation == generation)
        {
            self.warm_until_ms = None;
        }
    }

    /// Whether a pool that was prepared has waited for its switch for longer than `limit`.
    pub fn standby_is_over(&self, limit: Duration, now_ms: u64) -> bool {
        let age_ms = |since_ms| u128::from(now_ms.saturating_sub(since_ms));
        self.standby
            .as_ref()
            .is_some_and(|standby| age_ms(standby.since_ms) >= limit.as_millis())
    }

    /// The generations that have a role.
    pub fn generations(&self) -> impl Iterator<Item = Generation> + '_ {
        [&self.live, &self.standby, &self.previous]
            .into_iter()
            .flatten()
            .map(|r| r.generation)
    }

    /// The releases that a pool with a role uses.
    pub fn releases(&self) -> impl Iterator<Item = &ReleaseId> + '_ {
        [&self.live, &self.standby, &self.previous]
            .into_iter()
            .flatten()
            .map(|r| &r.release)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(generation: u32) -> PoolRecord {
        PoolRecord {
            generation: Generation(generation),
            release: format!("{generation:064x}").parse().unwrap(),
            members: 1,
            since_ms: 0,
        }
    }

    /// Generation 1 is previous and warm, 2 is live, 3 is standby.
    fn full() -> EnvironmentState {
        EnvironmentState {
            live: Some(record(2)),
            standby: Some(record(3)),
            previous: Some(record(1)),
            warm_until_ms: Some(7),
            php_options: PhpOptions::new(),
        }
    }

    #[test]
    fn promotion_moves_each_pool_one_role_on() {
        let mut state = full();
        state.promote(record(3));
        let expected = EnvironmentState {
            live: Some(record(3)),
            standby: None,
            previous: Some(record(2)),
            ..EnvironmentState::default()
        };
        assert_eq!(state, expected);
    }

    #[test]
    fn a_second_promotion_changes_nothing() {
        let mut state = full();
        state.promote(record(3));
        state.keep_warm(9);
        let once = state.clone();
        state.promote(record(3));
        assert_eq!(state, once);
    }

    #[test]
    fn going_back_exchanges_live_and_previous_and_leaves_the_standby() {
        let mut state = full();
        state.promote(record(1));
        assert_eq!(state.live, Some(record(1)));
        assert_eq!(state.previous, Some(record(2)));
        assert_eq!(state.standby, Some(record(3)));
    }

    #[test]
    fn the_first_promotion_has_no_previous() {
        let mut state = EnvironmentState::default();
        state.stage(record(1));
        state.promote(record(1));
        state.keep_warm(9);
        let expected = EnvironmentState {
            live: Some(record(1)),
            ..EnvironmentState::default()
        };
        assert_eq!(state, expected);
    }

    #[test]
    fn only_the_standby_that_is_meant_is_unstaged() {
        let mut state = full();
        state.unstage(Generation(2));
        assert_eq!(state, full());
        state.unstage(Generation(3));
        assert_eq!(state.standby, None);
    }

    #[test]
    fn only_the_previous_pool_that_is_meant_cools() {
        let mut state = full();
        state.cool(Generation(2));
        assert_eq!(state.warm_until_ms, Some(7));
        state.cool(Generation(1));
        assert_eq!(state.warm_until_ms, None);
    }

    #[test]
    fn every_role_names_its_generation_and_release() {
        let generations: Vec<_> = full().generations().map(|g| g.0).collect();
        assert_eq!(generations, [2, 3, 1]);
        assert_eq!(full().releases().count(), 3);
    }
}
