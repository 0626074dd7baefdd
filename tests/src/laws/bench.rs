//! One world to try an operation in: a fake machine, a store in memory, a clock held still.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use stratus_core::fake::{FakeMachine, MemoryStore, World};
use stratus_core::operation::plan::{Context, Warmth};
use stratus_core::operation::{Kind, Outcome, Plan};
use stratus_core::route::RouteTable;
use stratus_core::store::Operation;
use stratus_core::{
    Cleaner, Environment, EnvironmentState, Generation, Pool, PoolId, Store, Tasks,
};
use stratus_server::caches::Clearing;
use stratus_server::clock::Clock;
use stratus_server::crons::Crons;
use stratus_server::engine::act::{Actor, Machine, Turns};
use stratus_server::engine::executor::Executor;
use stratus_server::engine::feed::Feed;
use stratus_server::engine::journal::Journal;
use tokio_util::sync::CancellationToken;

use crate::laws::brittle::Brittle;
use crate::laws::tap::Tap;

/// Something that happened before the operation under test.
#[derive(Debug, Clone)]
pub enum Past {
    /// The working tree changed.
    Edit,
    /// An operation ran to its end.
    Ran(Kind),
    /// The configured number of members changed.
    Members(u16),
    /// Time went by.
    Waited(Duration),
}

/// A changed tree, copied and started.
pub const fn init() -> Past {
    Past::Ran(Kind::Init {
        verify: stratus_core::snapshots::Verify::Metadata,
    })
}

/// Traffic moved to the standby.
pub const fn switch() -> Past {
    Past::Ran(Kind::Switch)
}

/// A clock that moves only when told.
#[derive(Debug)]
pub struct HandClock(AtomicU64);

impl HandClock {
    /// A clock that shows `now_ms`.
    pub fn at(now_ms: u64) -> Self {
        Self(AtomicU64::new(now_ms))
    }

    /// Moves it.
    pub fn advance(&self, by: Duration) {
        let by_ms = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
        self.0.fetch_add(by_ms, Ordering::Relaxed);
    }

    /// Sets it back.
    pub fn back(&self, by: Duration) {
        let by_ms = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
        self.0.fetch_sub(by_ms, Ordering::Relaxed);
    }
}

impl Clock for HandClock {
    fn now_ms(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Everything that an operation may change, without journals and without the generation counter.
#[derive(Debug, Clone, PartialEq)]
pub struct Photo {
    /// The machine.
    pub world: World,
    /// The roles.
    pub state: EnvironmentState,
    /// The pools that the store knows.
    pub pools: Vec<Pool>,
    /// The stored route table.
    pub routes: RouteTable,
}

impl Photo {
    /// What must not be when no operation is under way: one sentence each.
    pub fn wrong_at_rest(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        let live = self.state.live.as_ref().map(|live| live.generation);
        for (id, pool) in &self.world.pools {
            if !self.state.generations().any(|known| known == id.generation) {
                wrong.push(format!("{id} is left over"));
            }
            if pool.restarts != (live == Some(id.generation)) {
                wrong.push(format!("the engine restarts {id}: {}", pool.restarts));
            }
        }
        let stored: Vec<_> = self.pools.iter().map(|pool| &pool.id).collect();
        if !self.world.pools.keys().eq(stored.iter().copied()) {
            wrong.push(format!("the state knows {stored:?}"));
        }
        if !self.world.partials.is_empty() {
            wrong.push("a copy is incomplete".to_owned());
        }
        if !self.world.fetched.is_empty() {
            wrong.push("what was fetched lies about".to_owned());
        }
        let links = self.world.links.values().next();
        if links.and_then(|links| links.live) != live {
            wrong.push(format!("{live:?} is live, traffic goes to {links:?}"));
        }
        if self.world.table != self.routes {
            wrong.push("nginx serves another table than is stored".to_owned());
        }
        wrong
    }

    /// The same without the pool of `generation`, which was the standby.
    #[must_use]
    pub fn without_standby(mut self, generation: Generation) -> Self {
        self.state.unstage(generation);
        self.pools.retain(|pool| pool.id.generation != generation);
        self.world.pools.retain(|id, _| id.generation != generation);
        self
    }
}

/// One world.
pub struct Bench {
    /// Engine, router, file tree and access log.
    pub machine: FakeMachine,
    /// State and journals.
    pub store: Arc<MemoryStore>,
    /// The time.
    pub clock: Arc<HandClock>,
    /// The environment under test.
    pub environment: Environment,
    operations: u32,
}

impl Bench {
    /// A machine on which `environment` is configured and nothing runs.
    pub(crate) async fn new(environment: Environment) -> Self {
        let bench = Self {
            machine: FakeMachine::default(),
            store: Arc::default(),
            clock: Arc::new(HandClock::at(1_000_000)),
            environment,
            operations: 0,
        };
        bench.configure().await;
        bench
    }

    async fn configure(&self) {
        let specs = [self.environment.clone()];
        let stored = self.store.put_environments(&specs).await;
        stored.expect("memory is never full");
        restore(&self.machine(self.store.clone())).await;
    }

    /// The real steps over this world, with state in `store`.
    pub(crate) fn machine(&self, store: Arc<dyn Store>) -> Machine {
        Machine {
            runtime: Arc::new(self.machine.clone()),
            tasks: Arc::new(self.machine.clone()),
            router: Arc::new(self.machine.clone()),
            snapshots: Arc::new(self.machine.clone()),
            traffic: Arc::new(self.machine.clone()),
            caches: self.clearing(store.clone(), Arc::new(self.machine.clone())),
            crons: self.crons(store.clone(), Arc::new(self.machine.clone())),
            store,
            clock: self.clock.clone(),
            routes: Arc::default(),
            workers: Turns::default(),
        }
    }

    fn crons(&self, store: Arc<dyn Store>, tasks: Arc<dyn Tasks>) -> Crons {
        Crons::new(store, tasks, self.clock.clone(), CancellationToken::new())
    }

    fn clearing(&self, store: Arc<dyn Store>, cleaner: Arc<dyn Cleaner>) -> Clearing {
        Clearing::new(store, cleaner, self.clock.clone(), CancellationToken::new())
    }

    /// The same, with every effect on the machine behind `tap`.
    pub(crate) fn brittle(&self, tap: &Arc<Tap>) -> Machine {
        let brittle = Arc::new(Brittle {
            machine: self.machine.clone(),
            tap: tap.clone(),
        });
        Machine {
            runtime: brittle.clone(),
            tasks: brittle.clone(),
            router: brittle.clone(),
            snapshots: brittle.clone(),
            caches: self.clearing(tap.clone(), brittle.clone()),
            crons: self.crons(tap.clone(), brittle),
            ..self.machine(tap.clone())
        }
    }

    /// Makes `past` happen.
    pub(crate) async fn perform(&mut self, past: &Past) {
        match past {
            Past::Edit => self.machine.edit(),
            Past::Waited(time) => self.clock.advance(*time),
            Past::Members(members) => {
                self.environment.replicas.min = *members;
                self.environment.replicas.max = *members;
                self.configure().await;
            }
            Past::Ran(kind) => {
                let plan = self.plan(kind.clone()).await;
                let operation = record(plan);
                self.begin(&operation).await;
                let actor = Arc::new(self.machine(self.store.clone()));
                let executor = self.executor(self.store.clone(), actor);
                let ended = executor.run(&operation).await;
                let ended = ended.expect("memory is never full");
                assert_eq!(ended, Some(Outcome::Completed), "preparing with {kind}");
            }
        }
    }

    /// The plan for `kind` as the engine would make it, with an id that is the same in every run.
    pub(crate) async fn plan(&mut self, kind: Kind) -> Plan {
        self.operations += 1;
        let name = &self.environment.name;
        let state = self.store.state(name).await.expect("memory is readable");
        let generation = match kind {
            Kind::Init { .. } => self.store.next_generation(name).await,
            _ => Ok(Generation::default()),
        };
        let context = Context {
            environment: &self.environment,
            state: &state,
            generation: generation.expect("memory is never full"),
            warmth: self.warmth(&state),
        };
        let id = format!("op-{}", self.operations);
        let plan = Plan::new(id.parse().expect("a valid id"), kind, context);
        plan.expect("a scenario allows its operation")
    }

    fn warmth(&self, state: &EnvironmentState) -> Warmth {
        let previous = state.previous.as_ref();
        let id = previous.map(|p| PoolId::new(&self.environment.name, p.generation));
        let world = self.machine.world();
        match id.and_then(|id| world.pools.get(&id).cloned()) {
            Some(pool) if pool.running => Warmth::Warm,
            _ => Warmth::Cold,
        }
    }

    pub(crate) async fn begin(&self, operation: &Operation) {
        let begun = self.store.begin(operation).await;
        begun.expect("nothing else runs");
    }

    pub(crate) fn executor(&self, store: Arc<dyn Store>, actor: Actor) -> Executor {
        Executor {
            actor,
            journal: Journal::new(store, self.clock.clone(), Feed::new()),
            clock: self.clock.clone(),
            cancel: CancellationToken::new(),
            shutdown: CancellationToken::new(),
        }
    }

    /// The world as it is now.
    pub(crate) async fn photo(&self) -> Photo {
        let name = &self.environment.name;
        Photo {
            world: self.machine.world(),
            state: self.store.state(name).await.expect("memory is readable"),
            pools: self.store.pools(name).await.expect("memory is readable"),
            routes: self.store.routes().await.expect("memory is readable"),
        }
    }
}

/// What a server does when it starts, before it goes on with operations.
pub(crate) async fn restore(machine: &Machine) {
    machine.restore_live().await.expect("the store answers");
    machine.restore_routes().await.expect("the router answers");
}

/// `plan` as an operation that a user asked for.
pub fn record(plan: Plan) -> Operation {
    Operation {
        id: plan.operation.clone(),
        request: format!("request of {}", plan.operation),
        actor: "uid 0".to_owned(),
        created_ms: 1,
        finished_ms: None,
        outcome: None,
        plan,
    }
}
