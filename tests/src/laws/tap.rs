//! A store that dies at a chosen write, and can come back: the disk survives, the process does not. Effects on the
//! machine can be counted with the writes.

mod crons;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use stratus_core::cache::{PendingClear, Target};
use stratus_core::operation::{Direction, Entry, Event, Outcome};
use stratus_core::route::RouteTable;
use stratus_core::store::{Begun, Operation, Pin, StoreError};
use stratus_core::{
    Environment, EnvironmentName, EnvironmentState, Generation, OperationId, Pool, PoolId,
    ReleaseId, Store,
};

/// More writes than any operation needs: it goes round in circles.
const WRITES_MAX: u32 = 1000;

/// Where a process dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Crash {
    /// At which write since it started, counted from 1.
    pub write: u32,
    /// Whether that write reached the disk.
    pub side: Side,
}

/// Before or after something took place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// It did not.
    Before,
    /// It did.
    After,
}

impl Side {
    /// Both.
    pub const BOTH: [Self; 2] = [Self::Before, Self::After];
}

/// Which writes count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// The journal's.
    Journal,
    /// Those of the steps too: roles, pools, routes, and every effect on the machine.
    Every,
}

/// Whether `Started` is written before the effect, as it must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriteAhead {
    /// It is.
    Kept,
    /// It reaches the disk together with the result: a seeded fault.
    Withheld,
}

/// An effect on the machine failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tripped;

/// A store that can die.
pub struct Tap {
    inner: Arc<dyn Store>,
    ahead: WriteAhead,
    desk: Mutex<Desk>,
}

#[derive(Default)]
struct Desk {
    writes: u32,
    crash: Option<Crash>,
    every: bool,
    dead: bool,
    /// Counts effects that are not the journal's; the one at which an error comes back, once.
    effects: u32,
    trip: Option<Crash>,
    withheld: Option<(OperationId, u64, Event)>,
    /// The step before whose `Started` a user's cancel is written, once.
    cancel_before: Option<usize>,
}

/// Every crash at one of `writes` writes.
pub fn crashes(writes: u32) -> impl Iterator<Item = Crash> {
    (1..=writes).flat_map(|write| Side::BOTH.map(|side| Crash { write, side }))
}

impl Tap {
    /// A living store over `inner`.
    pub fn new(inner: Arc<dyn Store>, ahead: WriteAhead) -> Self {
        Self {
            inner,
            ahead,
            desk: Mutex::default(),
        }
    }

    /// A process begins: it will die at `crash`, counted from now.
    pub fn start(&self, scope: Scope, crash: Option<Crash>) {
        let every = scope == Scope::Every;
        *self.desk() = Desk {
            crash,
            every,
            ..Desk::default()
        };
    }

    /// The process lives, and the effect at `trip`, counted from now and without the journal, fails once.
    pub fn trip(&self, trip: Crash) {
        self.desk().trip = Some(trip);
    }

    /// A user's cancel reaches the journal just before `step` is written down as begun.
    pub fn cancel_before(&self, step: usize) {
        self.desk().cancel_before = Some(step);
    }

    /// Whether that cancel is due with `event`.
    fn is_cancelled_before(&self, event: &Event) -> bool {
        let Event::Started {
            step,
            direction: Direction::Forward,
        } = event
        else {
            return false;
        };
        let mut desk = self.desk();
        let due = desk.cancel_before == Some(*step);
        if due {
            desk.cancel_before = None;
        }
        due
    }

    /// How many effects there were since the process began, the journal's writes not counted.
    pub fn effects(&self) -> u32 {
        self.desk().effects
    }

    /// How many writes there were since the process began.
    pub fn writes(&self) -> u32 {
        self.desk().writes
    }

    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the process lives on after this write; an error when it is dead or dies before it.
    fn enter(&self, of: Scope) -> Result<Fate, StoreError> {
        let mut desk = self.desk();
        if desk.dead {
            return Err(gone());
        }
        if of == Scope::Every && !desk.every {
            return Ok(Fate::Lives);
        }
        desk.writes += 1;
        assert!(desk.writes < WRITES_MAX, "the operation never ends");
        match desk.crash {
            Some(crash) if crash.write == desk.writes => {
                desk.dead = crash.side == Side::Before;
                if desk.dead {
                    return Err(gone());
                }
                Ok(Fate::Dies)
            }
            _ => Ok(Fate::Lives),
        }
    }

    /// An effect on the machine: the process may die before or after it, or it fails.
    pub(crate) async fn effect<T: Send, E: From<Tripped> + Send>(
        &self,
        effect: impl Future<Output = Result<T, E>> + Send,
    ) -> Result<T, E> {
        let fate = self.enter(Scope::Every).map_err(|_| Tripped)?;
        let trips = self.trips();
        if trips == Some(Side::Before) {
            return Err(Tripped.into());
        }
        let done = effect.await?;
        if fate == Fate::Dies {
            self.desk().dead = true;
        }
        if fate == Fate::Dies || trips.is_some() {
            return Err(Tripped.into());
        }
        Ok(done)
    }

    /// On which side this effect fails, if it does.
    fn trips(&self) -> Option<Side> {
        let mut desk = self.desk();
        desk.effects += 1;
        let trip = desk.trip.filter(|trip| trip.write == desk.effects);
        trip.map(|trip| trip.side)
    }

    async fn write<T: Send>(
        &self,
        of: Scope,
        write: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        let fate = self.enter(of)?;
        let trips = (of == Scope::Every).then(|| self.trips()).flatten();
        if trips == Some(Side::Before) {
            return Err(gone());
        }
        let written = write.await?;
        if fate == Fate::Dies {
            self.desk().dead = true;
        }
        if fate == Fate::Dies || trips.is_some() {
            return Err(gone());
        }
        Ok(written)
    }

    /// Writes what was withheld.
    async fn catch_up(&self) -> Result<(), StoreError> {
        let withheld = self.desk().withheld.take();
        if let Some((operation, at_ms, event)) = withheld {
            self.inner.append(&operation, at_ms, &event).await?;
        }
        Ok(())
    }

    fn living(&self) -> Result<&dyn Store, StoreError> {
        if self.desk().dead {
            return Err(gone());
        }
        Ok(&*self.inner)
    }
}

#[derive(PartialEq, Eq)]
enum Fate {
    Lives,
    Dies,
}

fn gone() -> StoreError {
    StoreError::Failed {
        detail: "the process is dead".to_owned(),
    }
}

#[async_trait]
impl Store for Tap {
    async fn begin(&self, operation: &Operation) -> Result<Begun, StoreError> {
        self.write(Scope::Every, self.inner.begin(operation)).await
    }

    async fn append(
        &self,
        operation: &OperationId,
        at_ms: u64,
        event: &Event,
    ) -> Result<u64, StoreError> {
        let withhold = self.ahead == WriteAhead::Withheld && matches!(event, Event::Started { .. });
        self.write(Scope::Journal, async {
            self.catch_up().await?;
            if withhold {
                self.desk().withheld = Some((operation.clone(), at_ms, event.clone()));
                let written = self.inner.journal(operation, 0).await?;
                return Ok(written.last().map_or(0, |entry| entry.number) + 1);
            }
            if self.is_cancelled_before(event) {
                self.inner
                    .append(operation, at_ms, &Event::CancelRequested)
                    .await?;
            }
            self.inner.append(operation, at_ms, event).await
        })
        .await
    }

    async fn finish(
        &self,
        operation: &OperationId,
        at_ms: u64,
        outcome: Outcome,
    ) -> Result<u64, StoreError> {
        self.write(Scope::Journal, self.inner.finish(operation, at_ms, outcome))
            .await
    }

    async fn journal(&self, operation: &OperationId, after: u64) -> Result<Vec<Entry>, StoreError> {
        self.living()?.journal(operation, after).await
    }

    async fn operation(&self, id: &OperationId) -> Result<Option<Operation>, StoreError> {
        self.living()?.operation(id).await
    }

    async fn requested(&self, request: &str) -> Result<Option<Operation>, StoreError> {
        self.living()?.requested(request).await
    }

    async fn operations(
        &self,
        environment: Option<&EnvironmentName>,
        limit: u32,
    ) -> Result<Vec<Operation>, StoreError> {
        self.living()?.operations(environment, limit).await
    }

    async fn unfinished(&self) -> Result<Vec<Operation>, StoreError> {
        self.living()?.unfinished().await
    }

    async fn next_generation(
        &self,
        environment: &EnvironmentName,
    ) -> Result<Generation, StoreError> {
        self.write(Scope::Every, self.inner.next_generation(environment))
            .await
    }

    async fn state(&self, environment: &EnvironmentName) -> Result<EnvironmentState, StoreError> {
        self.living()?.state(environment).await
    }

    async fn put_state(
        &self,
        environment: &EnvironmentName,
        state: &EnvironmentState,
    ) -> Result<(), StoreError> {
        self.write(Scope::Every, self.inner.put_state(environment, state))
            .await
    }

    async fn pool(&self, id: &PoolId) -> Result<Option<Pool>, StoreError> {
        self.living()?.pool(id).await
    }

    async fn pools(&self, environment: &EnvironmentName) -> Result<Vec<Pool>, StoreError> {
        self.living()?.pools(environment).await
    }

    async fn put_pool(&self, pool: &Pool) -> Result<(), StoreError> {
        self.write(Scope::Every, self.inner.put_pool(pool)).await
    }

    async fn forget_pool(&self, id: &PoolId) -> Result<(), StoreError> {
        self.write(Scope::Every, self.inner.forget_pool(id)).await
    }

    async fn environments(&self) -> Result<Vec<Environment>, StoreError> {
        self.living()?.environments().await
    }

    async fn put_environments(&self, environments: &[Environment]) -> Result<(), StoreError> {
        self.write(Scope::Every, self.inner.put_environments(environments))
            .await
    }

    async fn routes(&self) -> Result<RouteTable, StoreError> {
        self.living()?.routes().await
    }

    async fn put_routes(&self, table: &RouteTable) -> Result<(), StoreError> {
        self.write(Scope::Every, self.inner.put_routes(table)).await
    }

    async fn pinned(&self, environment: &EnvironmentName) -> Result<Vec<ReleaseId>, StoreError> {
        self.living()?.pinned(environment).await
    }

    async fn pin(
        &self,
        environment: &EnvironmentName,
        release: &ReleaseId,
        pin: Pin,
    ) -> Result<(), StoreError> {
        self.write(Scope::Every, self.inner.pin(environment, release, pin))
            .await
    }

    async fn pending_clears(&self) -> Result<Vec<PendingClear>, StoreError> {
        self.living()?.pending_clears().await
    }

    async fn put_pending_clear(&self, pending: &PendingClear) -> Result<(), StoreError> {
        self.write(Scope::Every, self.inner.put_pending_clear(pending))
            .await
    }

    async fn forget_pending_clear(
        &self,
        environment: &EnvironmentName,
        target: &Target,
    ) -> Result<(), StoreError> {
        let forgotten = self.inner.forget_pending_clear(environment, target);
        self.write(Scope::Every, forgotten).await
    }
}
