//! Law 4: cancel after a crash is still clean. The only law that sees a missing write-ahead.

use stratus_core::operation::Outcome;
use stratus_core::operation::step::Class;

use crate::laws::Scenario;
use crate::laws::tap::{Scope, crashes};
use crate::laws::trial::Rig;

const COMPLAINT: &str = "cancel after a crash left a trace";

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
                let begun = trial.has_begun(|step| step.class() != Class::Undo).await;
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
}
