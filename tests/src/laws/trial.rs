//! One operation in one world, with faults, crashes and restarts.

use std::sync::Arc;
use std::time::Duration;

use stratus_core::Store;
use stratus_core::operation::{Direction, Event, Outcome, Plan, Step};
use stratus_core::store::{Operation, StoreError};
use stratus_server::engine::Engine;
use stratus_server::engine::act::{Actor, Machine};
use stratus_server::engine::executor::Executor;
use tokio_util::sync::CancellationToken;

use crate::laws::Seeded;
use crate::laws::bench::{Bench, Photo, record, restore};
use crate::laws::diff::assert_same;
use crate::laws::faults::{Fail, Failing, NaivePromote, TrustsFailures, Twice};
use crate::laws::tap::{Crash, Scope, Tap, WriteAhead};

/// Longer than any operation takes, in a time that is not waited for.
const LIMIT: Duration = Duration::from_hours(1);

/// What is done to the operation.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rig {
    pub fails: Vec<Fail>,
    pub twice: bool,
}

impl Rig {
    pub(crate) fn failing(fails: impl IntoIterator<Item = Fail>) -> Self {
        Self {
            fails: fails.into_iter().collect(),
            twice: false,
        }
    }
}

/// An operation that is recorded and can be begun.
pub(crate) struct Trial {
    pub operation: Operation,
    /// The world before it.
    pub before: Photo,
    bench: Bench,
    tap: Arc<Tap>,
    machine: Machine,
    actor: Actor,
    failing: Vec<Arc<Failing>>,
}

impl Trial {
    pub(crate) async fn new(
        bench: Bench,
        plan: Plan,
        rig: &Rig,
        seeded: Option<Seeded>,
        ahead: WriteAhead,
    ) -> Self {
        let before = bench.photo().await;
        let operation = record(plan);
        bench.begin(&operation).await;
        let tap = Arc::new(Tap::new(bench.store.clone(), ahead));
        tap.start(Scope::Journal, None);
        let machine = bench.brittle(&tap);
        let mut actor: Actor = Arc::new(machine.clone());
        if seeded == Some(Seeded::PromoteNotIdempotent) {
            let store = tap.clone();
            actor = Arc::new(NaivePromote {
                inner: actor,
                store,
            });
        }
        let mut failing = Vec::new();
        for fail in &rig.fails {
            let wrapped = Arc::new(Failing::new(actor, *fail));
            failing.push(wrapped.clone());
            actor = wrapped;
        }
        if seeded == Some(Seeded::FailingStepNotUndone) {
            actor = Arc::new(TrustsFailures::new(actor));
        }
        if rig.twice {
            actor = Arc::new(Twice(actor));
        }
        Self {
            operation,
            before,
            bench,
            tap,
            machine,
            actor,
            failing,
        }
    }

    /// The steps of the plan.
    pub(crate) fn steps(&self) -> &[Step] {
        &self.operation.plan.steps
    }

    /// Goes on until the operation ends. The past is over: only what is left is done.
    pub(crate) async fn run(&self) -> Outcome {
        self.attempt().await.expect("nobody ends this process")
    }

    /// Runs a process that dies at `crash`.
    pub(crate) async fn run_until(&self, scope: Scope, crash: Crash) {
        self.tap.start(scope, Some(crash));
        let ended = self.attempt().await;
        assert!(ended.is_err(), "it ended before {crash:?}: {ended:?}");
    }

    /// The server starts again.
    pub(crate) async fn restart(&self) {
        self.tap.start(Scope::Journal, None);
        restore(&self.machine).await;
        self.tap.start(Scope::Journal, None);
    }

    /// Writes since the process began.
    pub(crate) fn writes(&self) -> u32 {
        self.tap.writes()
    }

    /// Effects since the process began, the journal's writes not counted.
    pub(crate) fn effects(&self) -> u32 {
        self.tap.effects()
    }

    /// The effect at `trip` fails.
    pub(crate) fn trip(&self, trip: Crash) {
        self.tap.trip(trip);
    }

    /// Counts the writes of `scope` from now on.
    pub(crate) fn count(&self, scope: Scope) {
        self.tap.start(scope, None);
    }

    async fn attempt(&self) -> Result<Outcome, StoreError> {
        let stored = self.bench.store.operation(&self.operation.id).await;
        let stored = stored.expect("memory is readable");
        if let Some(outcome) = stored.and_then(|operation| operation.outcome) {
            return Ok(outcome);
        }
        let executor: Executor = self.bench.executor(self.tap.clone(), self.actor.clone());
        let run = tokio::time::timeout(LIMIT, executor.run(&self.operation)).await;
        let ended = run.expect("an operation ends within an hour")?;
        Ok(ended.expect("nobody shuts the server down"))
    }

    /// A user asks to stop, whatever the server thinks of it.
    pub(crate) async fn request_cancel(&self) {
        let id = &self.operation.id;
        let written = self.bench.store.append(id, 0, &Event::CancelRequested);
        written.await.expect("memory is never full");
    }

    /// A user asks to stop at the last moment before `step` begins.
    pub(crate) fn cancel_before(&self, step: usize) {
        self.tap.cancel_before(step);
    }

    /// Whether a step has begun, by its index, as the journal tells it.
    pub(crate) async fn has_begun(&self, wanted: impl Fn(usize) -> bool) -> bool {
        self.tells(|event| match event {
            Event::Started { step, .. } => wanted(*step),
            _ => false,
        })
        .await
    }

    /// Whether every step has succeeded, as the journal tells it.
    pub(crate) async fn has_succeeded(&self) -> bool {
        let last = self.steps().len() - 1;
        self.tells(|event| {
            matches!(event, Event::Succeeded { step, direction: Direction::Forward, .. } if *step == last)
        })
        .await
    }

    async fn tells(&self, of: impl Fn(&Event) -> bool) -> bool {
        let entries = self.bench.store.journal(&self.operation.id, 0).await;
        let entries = entries.expect("memory is readable");
        entries.iter().any(|entry| of(&entry.event))
    }

    /// The world as it is now.
    pub(crate) async fn photo(&self) -> Photo {
        self.bench.photo().await
    }

    /// The world as it must be after the operation was undone: an `init` that began has dropped a stale standby.
    pub(crate) async fn undone(&self) -> Photo {
        let before = self.before.clone();
        match self.operation.plan.stale {
            Some(stale)
                if self
                    .has_begun(|step| self.steps()[step] == Step::Reserve)
                    .await =>
            {
                before.without_standby(stale)
            }
            _ => before,
        }
    }

    /// No step fails any more.
    pub(crate) fn heal(&self) {
        for failing in &self.failing {
            failing.heal();
        }
    }

    /// A server over this world, as a user would talk to it.
    pub(crate) fn engine(&self) -> Engine {
        let runtime = Arc::new(self.bench.machine.clone());
        let clock = self.bench.clock.clone();
        let shutdown = CancellationToken::new();
        Engine::new(
            self.tap.clone(),
            runtime,
            self.actor.clone(),
            clock,
            shutdown,
        )
    }

    /// Ends the test unless the operation ended like this, in this world, and nothing was ever wrong on the way.
    pub(crate) async fn check(
        &self,
        complaint: &str,
        case: &str,
        expected: (Outcome, &Photo),
        outcome: Outcome,
    ) {
        self.check_order(case);
        assert_same(complaint, case, &expected.0, &outcome);
        let photo = self.photo().await;
        assert_same(complaint, case, expected.1, &photo);
        let wrong = photo.wrong_at_rest();
        assert!(wrong.is_empty(), "not tidy: {case}: {wrong:?}");
    }

    /// Ends the test if anything was wrong at any time.
    pub(crate) fn check_order(&self, case: &str) {
        let violations = self.bench.machine.violations();
        assert!(
            violations.is_empty(),
            "out of order: {case}: {violations:?}"
        );
    }
}
