//! Law 1: twice is once.

use stratus_core::fault::Fault;
use stratus_core::operation::{Direction, Outcome, Plan};

use crate::laws::faults::{FOR_EVER, Fail};
use crate::laws::tap::Side;
use crate::laws::trial::Rig;
use crate::laws::{Scenario, reversible};

const COMPLAINT: &str = "twice is not once";

impl Scenario {
    /// Every step applied twice, and every undo: same world, same outcome.
    ///
    /// # Panics
    /// When it is not so.
    pub async fn twice_is_once(&self) {
        let once = self.trial(&Rig::default()).await;
        let outcome = once.run().await;
        once.check_order("once");
        assert_eq!(outcome, Outcome::Completed, "without a fault it completes");
        let twice = Rig {
            twice: true,
            ..Rig::default()
        };
        let trial = self.trial(&twice).await;
        let outcome = trial.run().await;
        let same = (Outcome::Completed, &once.photo().await);
        trial.check(COMPLAINT, "forward", same, outcome).await;
        self.undone_twice_is_undone_once(&once.operation.plan).await;
    }

    async fn undone_twice_is_undone_once(&self, plan: &Plan) {
        for (_, step) in reversible(plan) {
            let fail = Fail {
                step,
                direction: Direction::Forward,
                side: Side::After,
                fault: Fault::Permanent,
                times: FOR_EVER,
            };
            let mut rig = Rig::failing([fail]);
            rig.twice = true;
            let trial = self.trial(&rig).await;
            let outcome = trial.run().await;
            let same = (Outcome::Undone, &trial.undone().await);
            let case = format!("{step} failed, everything undone twice");
            trial.check(COMPLAINT, &case, same, outcome).await;
        }
    }
}
