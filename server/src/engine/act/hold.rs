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
        let Some(since) = holds(plan, situation.entries)
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
        self.close_overdue(plan).await;
        work.await
    }

    /// Shows visitors the maintenance page where an operation is stuck while requests wait: whoever helps may come in an hour.
    pub(super) async fn close_if_held(&self, situation: &Situation<'_>) {
        if holds(situation.plan, situation.entries) {
            self.close_overdue(situation.plan).await;
        }
    }

    async fn close_overdue(&self, plan: &Plan) {
        let (environment, limit) = (&plan.environment.name, plan.environment.hold);
        if !self.points_at_target(plan).await {
            // Its way back is under way: the old pool answers.
            return;
        }
        tracing::warn!(%environment, ?limit, "requests are held for longer than they may: visitors get the maintenance page");
        let closed = self
            .router
            .set_closed(environment, Closed::Overdue, true)
            .await;
        if let Err(error) = closed {
            tracing::error!(%environment, %error, "the maintenance page cannot be shown");
        }
    }

    /// Whether nginx leads visitors to the pool of `plan`; where that cannot be told it may.
    pub(in crate::engine) async fn points_at_target(&self, plan: &Plan) -> bool {
        match self.router.links(&plan.environment.name).await {
            Ok(links) => links.live == plan.target.as_ref().map(|target| target.generation),
            Err(_) => true,
        }
    }

    /// Lets the pool answer what waits for it, and opens the site again. An engine that was restarted meanwhile has stopped
    /// the pool.
    pub(super) async fn thaw(&self, plan: &Plan) -> Result<(), ActError> {
        self.let_go(plan).await?;
        Ok(self.runtime.start(&self.target_pool(plan).await?).await?)
    }

    /// Lets the pool go on, and opens the site again.
    pub(super) async fn let_go(&self, plan: &Plan) -> Result<(), ActError> {
        self.traffic.let_go(&plan.operation);
        self.runtime.thaw(&target(plan)?).await?;
        self.open_again(plan).await
    }

    /// Ends what an overdue hold began.
    pub(super) async fn open_again(&self, plan: &Plan) -> Result<(), ActError> {
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

/// When traffic pointed at the pool that stands still. Before the step has succeeded old workers may have to end first,
/// while the old pool answers.
fn begun(plan: &Plan, entries: &[Entry]) -> Option<u64> {
    let route = index(plan, Step::Route);
    at(entries, |event| {
        is_settled(event, route, Direction::Forward)
    })
}

/// Whether requests may wait for the pool of `plan`: traffic points at it, or is about to, and it stands still.
pub(in crate::engine) fn holds(plan: &Plan, entries: &[Entry]) -> bool {
    has_moved(plan, entries) && ended(plan, entries).is_none()
}

/// Whether traffic may point at the pool of `plan`, a consistent deployment, which is not the live one yet.
pub(in crate::engine) fn has_moved(plan: &Plan, entries: &[Entry]) -> bool {
    let (route, promote) = (index(plan, Step::Route), index(plan, Step::Promote));
    let begun = |entry: &Entry| matches!(entry.event, Event::Started { step, direction: Direction::Forward } if Some(step) == route);
    let over = |entry: &Entry| {
        is_settled(&entry.event, promote, Direction::Forward)
            || is_settled(&entry.event, route, Direction::Back)
    };
    plan.freezes() && entries.iter().any(begun) && !entries.iter().any(over)
}

/// Whether an event says that a step has its effect, or has none any more.
fn is_settled(event: &Event, wanted: Option<usize>, way: Direction) -> bool {
    match event {
        Event::Succeeded {
            step, direction, ..
        }
        | Event::Resolved { step, direction } => Some(*step) == wanted && *direction == way,
        _ => false,
    }
}

/// When it was let go.
fn ended(plan: &Plan, entries: &[Entry]) -> Option<u64> {
    let thaw = index(plan, Step::Thaw);
    at(entries, |event| is_settled(event, thaw, Direction::Forward))
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
