//! A whole engine over the fakes, as a user talks to it.

use std::sync::Arc;
use std::time::Duration;

use stratus_core::fake::{FakeMachine, MemoryStore};
use stratus_core::fault::Fault;
use stratus_core::operation::{Direction, Kind, Outcome, Step};
use stratus_core::store::Operation;
use stratus_core::{Environment, EnvironmentState, OperationId, Store};
use stratus_server::caches::Clearing;
use stratus_server::crons::Crons;
use stratus_server::engine::Engine;
use stratus_server::engine::act::{Act, Actor, Machine, Turns};
use stratus_server::engine::admission::{Submission, SubmitError};
use tokio_util::sync::CancellationToken;

use crate::laws::bench::HandClock;
use crate::laws::faults::{Fail, Failing, Gate};
use crate::laws::sample;
use crate::laws::tap::Side;

/// Longest wait for anything.
const LIMIT: Duration = Duration::from_mins(10);

/// An engine and the world it works on.
pub struct Control {
    /// The engine.
    pub engine: Engine,
    /// The world.
    pub machine: FakeMachine,
    /// State and journals.
    pub store: Arc<MemoryStore>,
    /// Its crons.
    pub crons: Crons,
    /// The time.
    pub clock: Arc<HandClock>,
    /// Stops the engine.
    pub shutdown: CancellationToken,
}

impl Control {
    /// An engine on a machine where nothing runs.
    pub fn new() -> Self {
        Self::with(|actor| actor)
    }

    /// The same with steps changed by `wrap`.
    pub fn with<A: Into<Actor>>(wrap: impl FnOnce(Actor) -> A) -> Self {
        let machine = FakeMachine::default();
        let store: Arc<MemoryStore> = Arc::default();
        let clock = Arc::new(HandClock::at(1_000_000));
        Self::over(machine, store, clock, wrap)
    }

    /// An engine whose operations are held at `step`.
    pub fn held_at(step: Step) -> (Self, Arc<Gate>) {
        Self::keeping(|actor| Gate::at(step, actor))
    }

    /// An engine where `step` fails `times` times, before its effect.
    pub fn failing(step: Step, fault: Fault, times: u32) -> (Self, Arc<Failing>) {
        let fail = Fail {
            step,
            direction: Direction::Forward,
            side: Side::Before,
            fault,
            times,
        };
        Self::keeping(|actor| Arc::new(Failing::new(actor, fail)))
    }

    /// An engine over what `wrap` makes of the real steps, and that.
    fn keeping<A: Act + 'static>(wrap: impl FnOnce(Actor) -> Arc<A>) -> (Self, Arc<A>) {
        let mut kept = None;
        let control = Self::with(|actor| -> Actor {
            let wrapped = wrap(actor);
            kept = Some(wrapped.clone());
            wrapped
        });
        (control, kept.expect("every engine has its steps"))
    }

    /// A server that starts again over what this one left; it has not recovered yet.
    #[must_use]
    pub fn started_again(self) -> Self {
        Self::over(self.machine, self.store, self.clock, |actor| actor)
    }

    /// A new engine over an old world: a server that starts again.
    pub fn over<A: Into<Actor>>(
        machine: FakeMachine,
        store: Arc<MemoryStore>,
        clock: Arc<HandClock>,
        wrap: impl FnOnce(Actor) -> A,
    ) -> Self {
        let shutdown = CancellationToken::new();
        let caches = Clearing::new(
            store.clone(),
            Arc::new(machine.clone()),
            clock.clone(),
            shutdown.clone(),
        );
        let crons = Crons::new(
            store.clone(),
            Arc::new(machine.clone()),
            clock.clone(),
            shutdown.clone(),
        );
        let actor: Actor = Arc::new(Machine {
            runtime: Arc::new(machine.clone()),
            tasks: Arc::new(machine.clone()),
            router: Arc::new(machine.clone()),
            snapshots: Arc::new(machine.clone()),
            traffic: Arc::new(machine.clone()),
            caches,
            crons: crons.clone(),
            store: store.clone(),
            clock: clock.clone(),
            routes: Arc::default(),
            workers: Turns::default(),
        });
        let engine = Engine::new(
            store.clone(),
            Arc::new(machine.clone()),
            wrap(actor).into(),
            clock.clone(),
            shutdown.clone(),
        );
        Self {
            engine,
            machine,
            store,
            crons,
            clock,
            shutdown,
        }
    }

    /// Submits `kind` for `environment` under a request id of its own.
    ///
    /// # Errors
    /// The engine's.
    pub async fn submit_for(
        &self,
        environment: Environment,
        kind: Kind,
    ) -> Result<Operation, SubmitError> {
        let request = uuid::Uuid::new_v4().to_string();
        self.engine
            .submit(submission(&request, environment, kind))
            .await
    }

    /// Submits `kind` for the environment `shop`.
    ///
    /// # Errors
    /// The engine's.
    pub async fn submit(&self, kind: Kind) -> Result<Operation, SubmitError> {
        self.submit_for(sample::environment("shop"), kind).await
    }

    /// Submits `kind` for `shop` and waits until it has ended.
    ///
    /// # Panics
    /// When it is refused or does not end.
    pub async fn run(&self, kind: Kind) -> Outcome {
        let operation = self.submit(kind).await.expect("admitted");
        self.ended(&operation.id).await
    }

    /// An edited tree, copied, started and live.
    ///
    /// # Panics
    /// When that fails.
    pub async fn deploy(&self) {
        self.machine.edit();
        for kind in [sample::init(), Kind::Switch] {
            assert_eq!(self.run(kind).await, Outcome::Completed);
        }
    }

    /// Waits until an operation has ended.
    ///
    /// # Panics
    /// When it does not.
    pub async fn ended(&self, id: &OperationId) -> Outcome {
        let mut notices = self.engine.feed().watch();
        let ended = async {
            loop {
                let stored = self.store.operation(id).await;
                let stored = stored.expect("memory is readable").expect("it is stored");
                if let Some(outcome) = stored.outcome {
                    return outcome;
                }
                // Woken by a notice or by having missed some: either way the store is asked again.
                let _ = notices.recv().await;
            }
        };
        let ended = tokio::time::timeout(LIMIT, ended).await;
        ended.expect("an operation ends")
    }

    /// The journal of an operation as it is stored.
    ///
    /// # Panics
    /// Never.
    pub async fn journal(&self, id: &OperationId) -> String {
        let entries = self.store.journal(id, 0).await.expect("memory is readable");
        serde_json::to_string(&entries).expect("events are written as JSON")
    }

    /// The roles of `shop`.
    ///
    /// # Panics
    /// Never.
    pub async fn state(&self) -> EnvironmentState {
        let name = sample::environment("shop").name;
        self.store.state(&name).await.expect("memory is readable")
    }
}

impl Default for Control {
    fn default() -> Self {
        Self::new()
    }
}

/// What a user with this `request` id asks.
pub fn submission(request: &str, environment: Environment, kind: Kind) -> Submission {
    Submission {
        request: request.to_owned(),
        environment,
        kind,
        actor: "uid 0".to_owned(),
    }
}
