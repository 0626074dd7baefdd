//! Law 2: failure leaves no trace.

use std::time::Duration;

use stratus_core::fault::Fault;
use stratus_core::operation::decide::{FORWARD_TRIES, SETTLE_TRIES};
use stratus_core::operation::step::Class;
use stratus_core::operation::{Direction, Outcome, Plan, Step};

use crate::laws::bench::Photo;
use crate::laws::faults::{FOR_EVER, Fail};
use crate::laws::tap::{Side, crashes};
use crate::laws::trial::{Rig, Trial};
use crate::laws::{Scenario, reversible};

const COMPLAINT: &str = "failure left a trace";

/// How a stuck operation is helped on.
#[derive(Debug, Clone, Copy)]
enum Help {
    Resume,
    Resolve,
}

impl Scenario {
    /// Each step fails before and after its effect, for good, for a while, and until its tries are used up: the world is
    /// as it was, or, after the pivot, as it should be. What is stuck can be resumed and resolved.
    ///
    /// # Panics
    /// When it is not so.
    pub async fn failure_leaves_no_trace(&self) {
        let calm = self.trial(&Rig::default()).await;
        calm.run().await;
        let wanted = calm.photo().await;
        for (index, &step) in calm.steps().iter().enumerate() {
            for side in Side::BOTH {
                if calm.operation.plan.class(index) == Class::Retry {
                    self.fails_after_the_pivot(index, step, side, &wanted).await;
                } else {
                    self.fails_before_the_pivot(step, side, &wanted).await;
                }
            }
        }
        self.failing_undos_leave_no_trace(&calm.operation.plan)
            .await;
        self.half_a_step_leaves_no_trace(calm.effects(), &wanted)
            .await;
    }

    /// Each single effect fails once, before and after it took place: wherever in a step that is.
    async fn half_a_step_leaves_no_trace(&self, effects: u32, wanted: &Photo) {
        for trip in crashes(effects) {
            let trial = self.trial(&Rig::default()).await;
            trial.trip(trip);
            let outcome = trial.run().await;
            let undone = trial.undone().await;
            let expected = match outcome {
                Outcome::Undone => (Outcome::Undone, &undone),
                _ => (Outcome::Completed, wanted),
            };
            let case = format!("the effect {trip:?} failed");
            trial.check(COMPLAINT, &case, expected, outcome).await;
        }
    }

    async fn fails_before_the_pivot(&self, step: Step, side: Side, wanted: &Photo) {
        for (fault, times) in [
            (Fault::Permanent, FOR_EVER),
            (Fault::Permanent, 1),
            (Fault::Transient, FOR_EVER),
            (Fault::Transient, FORWARD_TRIES),
        ] {
            let (trial, case) = self.failing(step, side, fault, times).await;
            let outcome = trial.run().await;
            let undone = (Outcome::Undone, &trial.undone().await);
            trial.check(COMPLAINT, &case, undone, outcome).await;
        }
        let (trial, case) = self
            .failing(step, side, Fault::Transient, FORWARD_TRIES - 1)
            .await;
        let outcome = trial.run().await;
        let completed = (Outcome::Completed, wanted);
        trial.check(COMPLAINT, &case, completed, outcome).await;
    }

    async fn fails_after_the_pivot(&self, index: usize, step: Step, side: Side, wanted: &Photo) {
        let completed = (Outcome::Completed, wanted);
        for fault in [Fault::Permanent, Fault::Transient] {
            let (trial, case) = self.failing(step, side, fault, SETTLE_TRIES - 1).await;
            let outcome = trial.run().await;
            trial.check(COMPLAINT, &case, completed, outcome).await;
        }
        for help in [Help::Resume, Help::Resolve] {
            if matches!((help, side), (Help::Resolve, Side::Before)) {
                // A user who says it is settled when it is not gets what was asked for.
                continue;
            }
            let (trial, case) = self.failing(step, side, Fault::Transient, FOR_EVER).await;
            let case = format!("{case}, then {help:?}");
            let stuck = Outcome::Stuck {
                step: index,
                direction: Direction::Forward,
            };
            assert_eq!(trial.run().await, stuck, "{case}");
            let outcome = trial.help(help).await;
            trial.check(COMPLAINT, &case, completed, outcome).await;
        }
    }

    async fn failing(
        &self,
        step: Step,
        side: Side,
        fault: Fault,
        times: u32,
    ) -> (Box<Trial>, String) {
        let fail = Fail {
            step,
            direction: Direction::Forward,
            side,
            fault,
            times,
        };
        (self.trial(&Rig::failing([fail])).await, format!("{fail:?}"))
    }

    /// The last step that can be undone fails, and then each undo on the way back.
    async fn failing_undos_leave_no_trace(&self, plan: &Plan) {
        let steps = &plan.steps;
        let Some((last, _)) = reversible(plan).last() else {
            return;
        };
        let first = Fail {
            step: steps[last],
            direction: Direction::Forward,
            side: Side::After,
            fault: Fault::Permanent,
            times: FOR_EVER,
        };
        for (index, &step) in steps.iter().enumerate().take(last + 1) {
            for (side, times) in [
                (Side::Before, SETTLE_TRIES - 1),
                (Side::After, SETTLE_TRIES - 1),
                (Side::After, FOR_EVER),
            ] {
                let then = Fail {
                    step,
                    direction: Direction::Back,
                    side,
                    fault: Fault::Permanent,
                    times,
                };
                self.undo_fails(index, first, then).await;
            }
        }
    }

    async fn undo_fails(&self, index: usize, first: Fail, then: Fail) {
        for help in [Help::Resume, Help::Resolve] {
            let trial = self.trial(&Rig::failing([first, then])).await;
            let case = format!("{first:?}, then {then:?}, then {help:?}");
            let mut outcome = trial.run().await;
            if then.times == FOR_EVER {
                let stuck = Outcome::Stuck {
                    step: index,
                    direction: Direction::Back,
                };
                assert_eq!(outcome, stuck, "{case}");
                outcome = trial.help(help).await;
            }
            let undone = (Outcome::Undone, &trial.undone().await);
            trial.check(COMPLAINT, &case, undone, outcome).await;
        }
    }
}

impl Trial {
    /// What hindered it is gone, or settled by hand; a user says so.
    async fn help(&self, help: Help) -> Outcome {
        let engine = self.engine();
        let id = &self.operation.id;
        let helped = match help {
            Help::Resume => {
                self.heal();
                engine.resume(id).await
            }
            Help::Resolve => engine.resolve(id).await,
        };
        helped.expect("a stuck operation can be helped");
        tokio::time::timeout(Duration::from_hours(1), engine.stopped())
            .await
            .expect("an operation ends within an hour");
        let stored = engine.store().operation(id).await;
        let stored = stored.expect("memory is readable").expect("it is stored");
        stored.outcome.expect("it has ended")
    }
}
