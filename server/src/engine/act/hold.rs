//! What a consistent deployment does while requests wait for its new pool: it has a limit, and its length is told.

use std::time::Duration;

use stratus_core::operation::{Direction, Entry, Event, Output, Plan, Step};
use stratus_core::route::Closed;

use crate::engine::act::{ActError, Machine, Situation, target};

impl Machine {
    /// Does `work` while requests wait. Beyond the limit new ones get the maintenance page; what waits goes on waiting.
    pub(super) async fn while_held<T>(
        &self,
        situation: &Situation<'_>,
        work: impl Future<Output = T>,
    ) -> T {
        let plan = situation.plan;
        let Some(since) = plan
            .freezes()
            .then(|| begun(plan, situation.entries))
            .flatten()
        else {
            return work.await;
        };
        let held = self.clock.now_ms().saturating_sub(since);
        let left = plan
            .environment
            .hold
            .saturating_sub(Duration::from_millis(held));
        tokio::pin!(work);
        tokio::select! {
            done = &mut work => return done,
            () = tokio::time::sleep(left) => {}
        }
        let (environment, limit) = (&plan.environment.name, plan.environment.hold);
        tracing::warn!(%environment, ?limit, "requests are held for longer than they may: visitors get the maintenance page");
        if let Err(error) = self
            .router
            .set_closed(environment, Closed::Overdue, true)
            .await
        {
            tracing::error!(%environment, %error, "the maintenance page cannot be shown");
        }
        work.await
    }

    /// Lets the pool answer what waits for it, and opens the site again.
    pub(super) async fn let_go(&self, plan: &Plan) -> Result<(), ActError> {
        self.traffic.let_go(&plan.operation);
        self.runtime.thaw(&target(plan)?).await?;
        let environment = &plan.environment.name;
        Ok(self
            .router
            .set_closed(environment, Closed::Overdue, false)
            .await?)
    }

    /// How long requests were held, and what visitors saw.
    pub(super) async fn hold(&self, situation: &Situation<'_>) -> Output {
        let plan = situation.plan;
        let since = begun(plan, situation.entries);
        let until = ended(plan, situation.entries);
        Output::Held {
            hold_ms: since
                .zip(until)
                .map_or(0, |(since, until)| until.saturating_sub(since)),
            tally: self.close_tally(plan).await,
        }
    }
}

/// When traffic first pointed at the pool that stands still.
fn begun(plan: &Plan, entries: &[Entry]) -> Option<u64> {
    let route = index(plan, Step::Route);
    at(
        entries,
        |event| matches!(event, Event::Started { step, direction: Direction::Forward } if Some(*step) == route),
    )
}

/// When it was let go.
fn ended(plan: &Plan, entries: &[Entry]) -> Option<u64> {
    let thaw = index(plan, Step::Thaw);
    at(
        entries,
        |event| matches!(event, Event::Succeeded { step, direction: Direction::Forward, .. } if Some(*step) == thaw),
    )
}

fn index(plan: &Plan, wanted: Step) -> Option<usize> {
    plan.steps.iter().position(|step| *step == wanted)
}

fn at(entries: &[Entry], is: impl Fn(&Event) -> bool) -> Option<u64> {
    entries
        .iter()
        .find(|entry| is(&entry.event))
        .map(|entry| entry.at_ms)
}
