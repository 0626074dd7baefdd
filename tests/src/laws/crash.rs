//! Law 3: a crash changes nothing.

use stratus_core::fault::Fault;
use stratus_core::operation::step::Class;
use stratus_core::operation::{Direction, Outcome};

use crate::laws::Scenario;
use crate::laws::bench::Photo;
use crate::laws::faults::{FOR_EVER, Fail};
use crate::laws::tap::{Crash, Scope, Side, crashes};
use crate::laws::trial::{Rig, Trial};

const COMPLAINT: &str = "a crash changed something";

impl Scenario {
    /// Stops at every journal write, before and after it, and again at every write of what is left: same outcome, same
    /// world. The same, once, at every write of the steps.
    ///
    /// # Panics
    /// When it is not so.
    pub async fn a_crash_changes_nothing(&self) {
        let calm = self.trial(&Rig::default()).await;
        let outcome = calm.run().await;
        let wanted = calm.photo().await;
        for first in crashes(calm.writes()) {
            let trial = self
                .crashed(&Rig::default(), Scope::Journal, &[first])
                .await;
            let found = trial.run().await;
            let case = format!("{first:?}");
            let same = (outcome, &wanted);
            trial.check(COMPLAINT, &case, same, found).await;
            for second in crashes(trial.writes()) {
                let both = [first, second];
                let trial = self.crashed(&Rig::default(), Scope::Journal, &both).await;
                let found = trial.run().await;
                let case = format!("{both:?}");
                trial.check(COMPLAINT, &case, same, found).await;
            }
        }
        self.a_crash_within_a_step_changes_nothing(outcome, &wanted)
            .await;
    }

    async fn a_crash_within_a_step_changes_nothing(&self, outcome: Outcome, wanted: &Photo) {
        let calm = self.trial(&Rig::default()).await;
        calm.count(Scope::Every);
        calm.run().await;
        for crash in crashes(calm.writes()) {
            let trial = self.crashed(&Rig::default(), Scope::Every, &[crash]).await;
            let found = trial.run().await;
            let case = format!("{crash:?} of every write");
            trial
                .check(COMPLAINT, &case, (outcome, wanted), found)
                .await;
        }
    }

    /// A step fails, and the server stops at every write of what follows: still undone without a trace, or, after the
    /// pivot, completed.
    ///
    /// # Panics
    /// When it is not so.
    pub async fn a_crash_while_it_unwinds_changes_nothing(&self) {
        let calm = self.trial(&Rig::default()).await;
        calm.run().await;
        let wanted = calm.photo().await;
        for (index, &step) in calm.steps().iter().enumerate() {
            for side in Side::BOTH {
                let retried = calm.operation.plan.class(index) == Class::Retry;
                let fail = Fail {
                    step,
                    direction: Direction::Forward,
                    side,
                    fault: Fault::Permanent,
                    times: if retried { 3 } else { FOR_EVER },
                };
                let rig = Rig::failing([fail]);
                self.crashes_while_failing(&rig, retried.then_some(&wanted))
                    .await;
            }
        }
    }

    async fn crashes_while_failing(&self, rig: &Rig, completed: Option<&Photo>) {
        let calm = self.trial(rig).await;
        calm.run().await;
        for crash in crashes(calm.writes()) {
            let trial = self.crashed(rig, Scope::Journal, &[crash]).await;
            let found = trial.run().await;
            let undone = trial.undone().await;
            let expected = match completed {
                Some(wanted) => (Outcome::Completed, wanted),
                None => (Outcome::Undone, &undone),
            };
            let case = format!("{:?}, {crash:?}", rig.fails);
            trial.check(COMPLAINT, &case, expected, found).await;
        }
    }

    /// A world in which the server died at each of `crashes`, one after the other, and is back.
    pub(crate) async fn crashed(&self, rig: &Rig, scope: Scope, crashes: &[Crash]) -> Box<Trial> {
        let trial = self.trial(rig).await;
        for crash in crashes {
            trial.run_until(scope, *crash).await;
            trial.restart().await;
        }
        trial
    }
}
