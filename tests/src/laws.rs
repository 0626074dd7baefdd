//! The four laws that every operation obeys, on fakes, each step and each journal write in turn.
//!
//! 1. *Twice is once.* Every step applied twice, every undo twice: same world.
//! 2. *Failure leaves no trace.* Each step fails, before and after its effect: the world as it was, up to the pivot.
//! 3. *A crash changes nothing.* Stop at every write, twice over, and go on: same outcome, same world.
//! 4. *Cancel after a crash is still clean.* The only law that sees a missing write-ahead.
//!
//! And in every state of every run: traffic points at a pool that runs, and no pool is signalled that holds a request.
//!
//! A new operation costs a line in `tests/saga_laws.rs`: a [`Scenario`] says what happened before and what is asked.

pub mod bench;
mod brittle;
mod cancel;
pub mod control;
mod crash;
mod diff;
mod failure;
pub mod faults;
pub mod sample;
pub mod tap;
pub mod trial;
mod twice;

use stratus_core::Environment;
use stratus_core::operation::{Class, Kind, Plan, Step};

use crate::laws::bench::{Bench, Past};
use crate::laws::tap::WriteAhead;
use crate::laws::trial::{Rig, Trial};

/// What happened before, and what is asked now.
#[derive(Debug, Clone)]
pub struct Scenario {
    kind: Kind,
    past: Vec<Past>,
    shape: fn(&mut Environment),
    seeded: Option<Seeded>,
}

/// A fault planted on purpose: the laws must notice it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seeded {
    /// The step that failed is taken for one without effect, as a saga library would.
    FailingStepNotUndone,
    /// The old pool is stopped while traffic still points at it.
    ParkBeforeRoute,
    /// A second promotion makes the live pool its own predecessor.
    PromoteNotIdempotent,
    /// `Started` becomes durable together with the result only.
    EffectBeforeStarted,
}

impl Scenario {
    /// `kind`, asked of a new environment.
    pub fn of(kind: Kind) -> Self {
        Self {
            kind,
            past: Vec::new(),
            shape: |_| {},
            seeded: None,
        }
    }

    /// After `past` happened, in this order.
    #[must_use]
    pub fn after(mut self, past: impl IntoIterator<Item = Past>) -> Self {
        self.past.extend(past);
        self
    }

    /// With an environment changed by `shape`.
    #[must_use]
    pub fn shaped(mut self, shape: fn(&mut Environment)) -> Self {
        self.shape = shape;
        self
    }

    /// With a fault planted.
    #[must_use]
    pub fn seeded(mut self, fault: Seeded) -> Self {
        self.seeded = Some(fault);
        self
    }

    /// A fresh world in which the past has happened and the operation is recorded, not begun.
    pub(crate) async fn trial(&self, rig: &Rig) -> Box<Trial> {
        let mut environment = sample::environment("shop");
        (self.shape)(&mut environment);
        let mut bench = Bench::new(environment).await;
        for past in &self.past {
            bench.perform(past).await;
        }
        let mut plan = bench.plan(self.kind.clone()).await;
        if self.seeded == Some(Seeded::ParkBeforeRoute) {
            park_before_route(&mut plan);
        }
        let ahead = if self.seeded == Some(Seeded::EffectBeforeStarted) {
            WriteAhead::Withheld
        } else {
            WriteAhead::Kept
        };
        Box::new(Trial::new(bench, plan, rig, self.seeded, ahead).await)
    }
}

/// The steps of `plan` that are undone when it fails, with their index.
pub(crate) fn reversible(plan: &Plan) -> impl Iterator<Item = (usize, Step)> {
    let steps = plan.steps.iter().copied().enumerate();
    steps.filter(|(index, _)| plan.class(*index) != Class::Retry)
}

fn park_before_route(plan: &mut Plan) {
    let late = [Step::Promote, Step::Park];
    plan.steps.retain(|step| !late.contains(step));
    let route = plan.steps.iter().position(|step| *step == Step::Route);
    let route = route.expect("only a plan that moves traffic can park too early");
    plan.steps.splice(route..route, late);
}
