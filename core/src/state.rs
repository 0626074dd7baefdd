//! Which generation of an environment is live, standby, previous.

use serde::{Deserialize, Serialize};

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
