//! A store in memory: what it wrote survives a stopped executor, as a disk would.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use crate::cache::{PendingClear, Target};
use crate::environment::Environment;
use crate::fake::crons::CronRows;
use crate::operation::{Entry, Event, Outcome};
use crate::route::RouteTable;
use crate::store::{Begun, Operation, Pin, StoreError};
use crate::{
    EnvironmentName, EnvironmentState, Generation, OperationId, Pool, PoolId, ReleaseId, Store,
};

/// State in memory.
#[derive(Debug, Default)]
pub struct MemoryStore {
    rows: Mutex<Rows>,
}

#[derive(Debug, Default)]
pub(super) struct Rows {
    operations: Vec<Operation>,
    events: BTreeMap<OperationId, Vec<Entry>>,
    generations: BTreeMap<EnvironmentName, Generation>,
    states: BTreeMap<EnvironmentName, EnvironmentState>,
    pools: BTreeMap<PoolId, Pool>,
    environments: Vec<Environment>,
    routes: RouteTable,
    pins: BTreeSet<(EnvironmentName, ReleaseId)>,
    clears: BTreeMap<(EnvironmentName, Target), PendingClear>,
    pub(super) crons: CronRows,
}

impl MemoryStore {
    pub(super) fn rows(&self) -> MutexGuard<'_, Rows> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Rows {
    fn append(&mut self, operation: &OperationId, at_ms: u64, event: Event) -> u64 {
        let entries = self.events.entry(operation.clone()).or_default();
        let number = entries.last().map_or(0, |e| e.number) + 1;
        entries.push(Entry {
            number,
            at_ms,
            event,
        });
        number
    }

    fn operation(&mut self, id: &OperationId) -> Option<&mut Operation> {
        self.operations.iter_mut().find(|o| &o.id == id)
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn begin(&self, operation: &Operation) -> Result<Begun, StoreError> {
        let mut rows = self.rows();
        if let Some(known) = rows
            .operations
            .iter()
            .find(|o| o.request == operation.request)
        {
            return Ok(Begun::Known(known.id.clone()));
        }
        let environment = &operation.plan.environment.name;
        let mut unfinished = rows.operations.iter().filter(|o| o.finished_ms.is_none());
        if let Some(holder) = unfinished.find(|o| &o.plan.environment.name == environment) {
            return Err(StoreError::Busy {
                holder: holder.id.clone(),
            });
        }
        rows.operations.push(operation.clone());
        Ok(Begun::New)
    }

    async fn append(
        &self,
        operation: &OperationId,
        at_ms: u64,
        event: &Event,
    ) -> Result<u64, StoreError> {
        let mut rows = self.rows();
        if matches!(event, Event::Resumed | Event::Resolved { .. })
            && let Some(stored) = rows.operation(operation)
        {
            stored.outcome = None;
        }
        Ok(rows.append(operation, at_ms, event.clone()))
    }

    async fn finish(
        &self,
        operation: &OperationId,
        at_ms: u64,
        outcome: Outcome,
    ) -> Result<u64, StoreError> {
        let mut rows = self.rows();
        if let Some(stored) = rows.operation(operation) {
            stored.outcome = Some(outcome);
            stored.finished_ms = (!matches!(outcome, Outcome::Stuck { .. })).then_some(at_ms);
        }
        Ok(rows.append(operation, at_ms, Event::Finished { outcome }))
    }

    async fn journal(&self, operation: &OperationId, after: u64) -> Result<Vec<Entry>, StoreError> {
        let rows = self.rows();
        let entries = rows.events.get(operation).into_iter().flatten();
        Ok(entries.filter(|e| e.number > after).cloned().collect())
    }

    async fn operation(&self, id: &OperationId) -> Result<Option<Operation>, StoreError> {
        Ok(self.rows().operation(id).cloned())
    }

    async fn requested(&self, request: &str) -> Result<Option<Operation>, StoreError> {
        let rows = self.rows();
        Ok(rows
            .operations
            .iter()
            .find(|o| o.request == request)
            .cloned())
    }

    async fn operations(
        &self,
        environment: Option<&EnvironmentName>,
        limit: u32,
    ) -> Result<Vec<Operation>, StoreError> {
        let rows = self.rows();
        let asked = rows.operations.iter().rev();
        let asked = asked.filter(|o| environment.is_none_or(|e| &o.plan.environment.name == e));
        Ok(asked.take(limit as usize).cloned().collect())
    }

    async fn unfinished(&self) -> Result<Vec<Operation>, StoreError> {
        let rows = self.rows();
        Ok(rows
            .operations
            .iter()
            .filter(|o| o.finished_ms.is_none())
            .cloned()
            .collect())
    }

    async fn next_generation(
        &self,
        environment: &EnvironmentName,
    ) -> Result<Generation, StoreError> {
        let mut rows = self.rows();
        let last = rows.generations.entry(environment.clone()).or_default();
        *last = last.next();
        Ok(*last)
    }

    async fn state(&self, environment: &EnvironmentName) -> Result<EnvironmentState, StoreError> {
        Ok(self
            .rows()
            .states
            .get(environment)
            .cloned()
            .unwrap_or_default())
    }

    async fn put_state(
        &self,
        environment: &EnvironmentName,
        state: &EnvironmentState,
    ) -> Result<(), StoreError> {
        self.rows()
            .states
            .insert(environment.clone(), state.clone());
        Ok(())
    }

    async fn pool(&self, id: &PoolId) -> Result<Option<Pool>, StoreError> {
        Ok(self.rows().pools.get(id).cloned())
    }

    async fn pools(&self, environment: &EnvironmentName) -> Result<Vec<Pool>, StoreError> {
        let rows = self.rows();
        let of_environment = rows
            .pools
            .values()
            .filter(|p| &p.id.environment == environment);
        Ok(of_environment.cloned().collect())
    }

    async fn put_pool(&self, pool: &Pool) -> Result<(), StoreError> {
        self.rows().pools.insert(pool.id.clone(), pool.clone());
        Ok(())
    }

    async fn forget_pool(&self, id: &PoolId) -> Result<(), StoreError> {
        self.rows().pools.remove(id);
        Ok(())
    }

    async fn environments(&self) -> Result<Vec<Environment>, StoreError> {
        Ok(self.rows().environments.clone())
    }

    async fn put_environments(&self, environments: &[Environment]) -> Result<(), StoreError> {
        self.rows().environments = environments.to_vec();
        Ok(())
    }

    async fn routes(&self) -> Result<RouteTable, StoreError> {
        Ok(self.rows().routes.clone())
    }

    async fn put_routes(&self, table: &RouteTable) -> Result<(), StoreError> {
        self.rows().routes = table.clone();
        Ok(())
    }

    async fn pinned(&self, environment: &EnvironmentName) -> Result<Vec<ReleaseId>, StoreError> {
        let rows = self.rows();
        let of_environment = rows.pins.iter().filter(|(e, _)| e == environment);
        Ok(of_environment.map(|(_, release)| release.clone()).collect())
    }

    async fn pin(
        &self,
        environment: &EnvironmentName,
        release: &ReleaseId,
        pin: Pin,
    ) -> Result<(), StoreError> {
        let key = (environment.clone(), release.clone());
        let mut rows = self.rows();
        match pin {
            Pin::Keep => rows.pins.insert(key),
            Pin::Release => rows.pins.remove(&key),
        };
        Ok(())
    }

    async fn pending_clears(&self) -> Result<Vec<PendingClear>, StoreError> {
        Ok(self.rows().clears.values().cloned().collect())
    }

    async fn put_pending_clear(&self, pending: &PendingClear) -> Result<(), StoreError> {
        let key = (pending.environment.clone(), pending.target.clone());
        self.rows().clears.insert(key, pending.clone());
        Ok(())
    }

    async fn forget_pending_clear(
        &self,
        environment: &EnvironmentName,
        target: &Target,
    ) -> Result<(), StoreError> {
        let key = (environment.clone(), target.clone());
        self.rows().clears.remove(&key);
        Ok(())
    }
}
