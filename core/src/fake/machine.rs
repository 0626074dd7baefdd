//! The fake machine, and its file tree and router.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Duration;

use async_trait::async_trait;

use crate::environment::Environment;
use crate::fake::world::World;
use crate::release::{Counts, OnDisk, Snapshot};
use crate::route::{Closed, Links, RouteTable, Site};
use crate::router::{Loaded, RouterError, Visit};
use crate::snapshots::{CodeTree, Difference, Fetch, Fetched, Forecast, SnapshotError, Take};
use crate::tasks::TaskId;
use crate::tenant::{TenantError, TenantRules};
use crate::{EnvironmentName, Generation, OperationId, PoolId, ReleaseId, Router, Snapshots};

/// Engine, router, file tree and access log in memory. Clones share one world.
#[derive(Debug, Clone, Default)]
pub struct FakeMachine {
    pub(super) state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub world: World,
    pub revision: u64,
    /// What was wrong at any time since the beginning.
    pub violations: Vec<String>,
    /// Calls by name.
    pub calls: Vec<String>,
    /// What the working tree holds: the release that a snapshot makes of it.
    pub tree: u64,
    /// What its owner adds to the site.
    pub rules: TenantRules,
    /// Whether pools go on with their requests past every limit.
    pub endless: bool,
    /// Who waits for a change of a task.
    pub waiting: Vec<Waker>,
    /// How often each call about tasks still goes unanswered.
    pub unanswered: BTreeMap<&'static str, u32>,
    /// The times that stopped tasks were given.
    pub graces: Vec<(TaskId, Duration)>,
}

impl FakeMachine {
    /// A copy of the world as it is now.
    pub fn world(&self) -> World {
        self.state().world.clone()
    }

    /// Everything that was ever wrong.
    pub fn violations(&self) -> Vec<String> {
        self.state().violations.clone()
    }

    /// The calls so far, by name.
    pub fn calls(&self) -> Vec<String> {
        self.state().calls.clone()
    }

    /// Changes the working tree, so that the next snapshot is another release.
    pub fn edit(&self) {
        self.state().tree += 1;
    }

    /// Changes what the working tree's owner adds to the site.
    pub fn write_rules(&self, rules: TenantRules) {
        self.state().rules = rules;
    }

    /// From now on requests of pools outlive every drain.
    pub fn never_drain(&self) {
        self.state().endless = true;
    }

    /// Changes the world by hand, as a clumsy person would.
    pub fn meddle(&self, change: impl FnOnce(&mut World)) {
        change(&mut self.state().world);
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a change and looks at what became of the world.
    pub(super) fn change<T>(&self, call: &str, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state();
        state.calls.push(call.to_owned());
        let result = change(&mut state);
        state.waiting.drain(..).for_each(Waker::wake);
        let found = state.world.violations();
        for violation in found {
            let seen = format!("after {call}: {violation}");
            if !state.violations.contains(&seen) {
                state.violations.push(seen);
            }
        }
        result
    }
}

/// The release that a tree edited `tree` times becomes.
fn release(tree: u64) -> ReleaseId {
    format!("{tree:064x}")
        .parse()
        .expect("64 hexadecimal digits are a release id")
}

#[async_trait]
impl Snapshots for FakeMachine {
    async fn fetch(&self, fetch: Fetch<'_>) -> Result<Fetched, SnapshotError> {
        self.change("fetch", |state| {
            state.world.fetched.insert(fetch.operation.clone())
        });
        Ok(Fetched {
            tree: format!("/fetched/{}", fetch.operation).into(),
            files: 1,
            bytes: 1,
            commit: None,
        })
    }

    async fn forget_fetched(
        &self,
        _: &EnvironmentName,
        operation: &OperationId,
    ) -> Result<(), SnapshotError> {
        self.change("forget_fetched", |state| {
            state.world.fetched.remove(operation)
        });
        Ok(())
    }

    async fn preflight(
        &self,
        _: &Environment,
        _: CodeTree<'_>,
        _: Option<&ReleaseId>,
    ) -> Result<Forecast, SnapshotError> {
        Ok(Forecast {
            files: 1,
            bytes: 1,
            inodes: 1,
        })
    }

    async fn take(&self, request: Take<'_>) -> Result<Snapshot, SnapshotError> {
        if let CodeTree::Fetched(operation) = request.tree
            && !self.state().world.fetched.contains(operation)
        {
            return Err(SnapshotError::Source {
                detail: format!("nothing was fetched by {operation}"),
            });
        }
        self.change("take", |state| {
            state.world.partials.insert(request.operation.clone())
        });
        let counts = Counts {
            files: 1,
            bytes: 1,
            copied: 1,
            linked: 0,
            bytes_copied: 1,
        };
        (request.progress)(counts);
        let release = self.change("publish", |state| {
            let release = release(state.tree);
            state.world.partials.remove(request.operation);
            let key = (request.environment.name.clone(), release.clone());
            state
                .world
                .releases
                .entry(key)
                .or_insert_with(|| request.operation.clone());
            release
        });
        Ok(Snapshot {
            release,
            counts,
            stripped: Vec::new(),
            rewritten: Vec::new(),
        })
    }

    async fn discard(
        &self,
        environment: &EnvironmentName,
        operation: &OperationId,
    ) -> Result<(), SnapshotError> {
        self.change("discard", |state| {
            state.world.partials.remove(operation);
            let ours = |key: &(EnvironmentName, ReleaseId), by: &OperationId| {
                &key.0 == environment && by == operation
            };
            state.world.releases.retain(|key, by| !ours(key, by));
        });
        Ok(())
    }

    async fn remove(
        &self,
        environment: &EnvironmentName,
        release: &ReleaseId,
    ) -> Result<(), SnapshotError> {
        self.change("remove_release", |state| {
            state
                .world
                .releases
                .remove(&(environment.clone(), release.clone()));
        });
        Ok(())
    }

    async fn sweep(
        &self,
        _: &EnvironmentName,
        running: &[OperationId],
    ) -> Result<(), SnapshotError> {
        self.change("sweep", |state| {
            state
                .world
                .partials
                .retain(|partial| running.contains(partial));
            let is_running = |of: &OperationId| running.contains(of);
            state.world.fetched.retain(is_running);
        });
        Ok(())
    }

    async fn compare(
        &self,
        _: &Environment,
        of: &ReleaseId,
    ) -> Result<Vec<(PathBuf, Difference)>, SnapshotError> {
        let same = *of == release(self.state().tree);
        let edited = (PathBuf::from("index.php"), Difference::Changed);
        Ok(if same { Vec::new() } else { vec![edited] })
    }

    async fn list(&self, environment: &EnvironmentName) -> Result<Vec<OnDisk>, SnapshotError> {
        let state = self.state();
        let of_environment = state
            .world
            .releases
            .iter()
            .filter(|((e, _), _)| e == environment);
        Ok(of_environment
            .map(|((_, release), operation)| OnDisk {
                release: release.clone(),
                created_ms: u64::from_str_radix(release.as_str(), 16).unwrap_or(0),
                operation: operation.clone(),
                files: 1,
                bytes: 1,
            })
            .collect())
    }
}

#[async_trait]
impl Router for FakeMachine {
    async fn load(&self, table: &RouteTable) -> Result<Loaded, RouterError> {
        Ok(self.change("load", |state| {
            let reloaded = state.world.table != *table;
            if reloaded {
                state.world.table = table.clone();
                state.revision += 1;
            }
            Loaded {
                revision: state.revision,
                reloaded,
            }
        }))
    }

    async fn test(&self, _: &RouteTable) -> Result<(), RouterError> {
        self.change("test", |_| ());
        Ok(())
    }

    async fn read_rules(&self, _: &Site) -> Result<TenantRules, TenantError> {
        Ok(self.state().rules.clone())
    }

    async fn settle(&self) -> Result<(), RouterError> {
        Ok(())
    }

    async fn flip(&self, environment: &EnvironmentName, links: Links) -> Result<(), RouterError> {
        self.change("flip", |state| state.world.flip(environment, links));
        Ok(())
    }

    async fn links(&self, environment: &EnvironmentName) -> Result<Links, RouterError> {
        Ok(self
            .state()
            .world
            .links
            .get(environment)
            .copied()
            .unwrap_or_default())
    }

    async fn set_closed(
        &self,
        environment: &EnvironmentName,
        why: Closed,
        closed: bool,
    ) -> Result<(), RouterError> {
        self.change("set_closed", |state| {
            let key = (environment.clone(), why);
            if closed {
                state.world.closed.insert(key);
            } else {
                state.world.closed.remove(&key);
            }
        });
        Ok(())
    }

    async fn is_closed(
        &self,
        environment: &EnvironmentName,
        why: Closed,
    ) -> Result<bool, RouterError> {
        let key = (environment.clone(), why);
        Ok(self.state().world.closed.contains(&key))
    }

    async fn visit(&self, _: &str, _: &str) -> Result<Visit, RouterError> {
        let status = self.state().world.status;
        Ok(Visit {
            status,
            body: b"welcome".to_vec(),
        })
    }

    async fn confirm(
        &self,
        environment: &EnvironmentName,
        generation: Generation,
        _: u16,
    ) -> Result<(), RouterError> {
        let live = self.links(environment).await?.live;
        let id = PoolId::new(environment, generation);
        if live == Some(generation) && self.state().world.answers(&id) {
            return Ok(());
        }
        let detail = format!("asked for generation {generation}, {live:?} answers");
        Err(RouterError::NotConfirmed { detail })
    }
}
