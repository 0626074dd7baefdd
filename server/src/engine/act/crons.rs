//! The steps that keep crons away from a deployment.

use std::time::Duration;

use stratus_core::crons::Owner;
use stratus_core::operation::{Output, Plan};

use crate::engine::act::{ActError, Machine, Situation};

/// How long crons are held back at most: an operation that is stuck for longer lets them run again.
const LEASE: Duration = Duration::from_hours(24);
/// How long a deployment waits for crons that run.
const WAIT: Duration = Duration::from_mins(5);

impl Machine {
    /// Holds crons back and waits for those that run. One that does not end in time goes on with the release that it
    /// began on, unless no old code may run beside the hooks.
    pub(super) async fn stop_crons(&self, situation: &Situation<'_>) -> Result<Output, ActError> {
        let plan = situation.plan;
        let owner = Owner::Operation(plan.operation.clone());
        let stop = self
            .crons
            .stop(&plan.environment.name, &owner, "stratusd", LEASE, WAIT);
        let stopped = tokio::select! {
            stopped = stop => stopped?,
            () = situation.cancel.cancelled() => return Err(ActError::Cancelled),
        };
        let running = stopped.running.iter().map(|run| run.slot.cron.clone());
        let running: Vec<String> = running.collect();
        if !running.is_empty() && self.crons.is_shutting_down() {
            return Err(ActError::ShuttingDown);
        }
        if !running.is_empty() && plan.freezes() {
            let within = humantime::format_duration(WAIT);
            return Err(ActError::Cron(format!(
                "the cron {} still runs after {within}, and no old code may run beside the hooks; wait for its end, see crons.list",
                running.join(", ")
            )));
        }
        Ok(Output::StillRunning(running))
    }

    /// Ends what the operation held back; what others hold back stays so.
    pub(super) async fn start_crons(&self, plan: &Plan) -> Result<(), ActError> {
        let owner = Owner::Operation(plan.operation.clone());
        self.crons.start(&plan.environment.name, &owner).await?;
        Ok(())
    }
}
