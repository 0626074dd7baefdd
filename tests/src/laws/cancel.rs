//! Law 4: cancel after a crash is still clean. The only law that sees a missing write-ahead.

use stratus_core::operation::Outcome;
use stratus_core::operation::step::Class;

use crate::laws::Scenario;
use crate::laws::tap::{Scope, crashes};
use crate::laws::trial::Rig;

const COMPLAINT: &str = "cancel after a crash left a trace";

const LAST_MOMENT: &str = "a cancel at the last moment was not heeded";

impl Scenario {
    /// Stops at every write, and a user asks to stop before the server goes on: undone without a trace, unless the pivot
    /// had begun or everything was done; then it completes.
    ///
    /// # Panics
    /// When it is not so.
    pub async fn cancel_after_a_crash_is_clean(&self) {
        let calm = self.trial(&Rig::default()).await;
        calm.count(Scope::Every);
        calm.run().await;
        let wanted = calm.photo().await;
        let every = calm.writes();
        let calm = self.trial(&Rig::default()).await;
        calm.run().await;
        for (scope, writes) in [(Scope::Journal, calm.writes()), (Scope::Every, every)] {
            for crash in crashes(writes) {
                let trial = self.crashed(&Rig::default(), scope, &[crash]).await;
                trial.request_cancel().await;
                let plan = &trial.operation.plan;
                let begun = trial
                    .has_begun(|step| plan.class(step) != Class::Undo)
                    .await;
                let completes = begun || trial.has_succeeded().await;
                let found = trial.run().await;
                let undone = trial.undone().await;
                let expected = if completes {
                    (Outcome::Completed, &wanted)
                } else {
                    (Outcome::Undone, &undone)
                };
                let case = format!("{crash:?} of {scope:?}");
                trial.check(COMPLAINT, &case, expected, found).await;
            }
        }
    }

    /// A cancel that is written just before a step is, is heeded while the pivot has not begun: the step that began after
    /// it has no effect.
    ///
    /// # Panics
    /// When it is not so.
    pub async fn cancel_at_the_last_moment_is_heeded(&self) {
        let calm = self.trial(&Rig::default()).await;
        calm.run().await;
        let wanted = calm.photo().await;
        for step in 0..calm.steps().len() {
            let trial = self.trial(&Rig::default()).await;
            trial.cancel_before(step);
            let found = trial.run().await;
            let plan = &trial.operation.plan;
            let committed = (0..step).any(|earlier| plan.class(earlier) != Class::Undo);
            let undone = trial.undone().await;
            let expected = if committed {
                (Outcome::Completed, &wanted)
            } else {
                (Outcome::Undone, &undone)
            };
            let case = format!("before step {step}, {}", plan.steps[step]);
            trial.check(LAST_MOMENT, &case, expected, found).await;
        }
    }
}
