//! Carries out one operation: asks `decide`, writes down what begins, acts, writes down what came of it.
//!
//! The executor owns its operation. It stops only when the operation ended, the journal cannot be written, or the
//! server shuts down; always between steps, never inside one, and not while requests wait for a pool that stands still.

use std::sync::Arc;

use stratus_core::operation::decide::backoff;
use stratus_core::operation::step::Class;
use stratus_core::operation::{Decision, Direction, Entry, Event, Outcome, Output, Plan, decide};
use stratus_core::store::{Operation, StoreError};
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::engine::act::{ActError, Actor, Situation, holds};
use crate::engine::failpoint::{self, Point};
use crate::engine::journal::Journal;

/// Carries out one operation.
pub struct Executor {
    /// Acts on the machine.
    pub actor: Actor,
    /// Writes events.
    pub journal: Journal,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Asks long steps before the point of no return to give up.
    pub cancel: CancellationToken,
    /// Asks to stop between steps.
    pub shutdown: CancellationToken,
}

impl Executor {
    /// Goes on with `operation` from wherever its journal says it is. `None`: the server shuts down.
    ///
    /// # Errors
    /// When the journal cannot be written. Nothing may begin that is not written down, so the executor stops there.
    pub async fn run(&self, operation: &Operation) -> Result<Option<Outcome>, StoreError> {
        let mut entries = Vec::new();
        loop {
            let read = entries.last().map_or(0, |e: &Entry| e.number);
            entries.extend(self.journal.read(&operation.id, read).await?);
            // Nobody but this process lets go what waits for a pool that stands still.
            let holding = holds(&operation.plan, &entries);
            if self.shutdown.is_cancelled() && !holding {
                return Ok(None);
            }
            let (step, direction, failures) = match decide(&operation.plan, &entries) {
                Decision::Done(outcome) => {
                    if matches!(outcome, Outcome::Stuck { .. }) {
                        let situation = self.situation(&operation.plan, &entries);
                        self.actor.gave_up(&situation).await;
                    }
                    self.journal.finish(&operation.id, outcome).await?;
                    return Ok(Some(outcome));
                }
                Decision::Apply { step, failures } => (step, Direction::Forward, failures),
                Decision::Undo { step, failures } => (step, Direction::Back, failures),
            };
            if failures > 0 {
                let class = operation.plan.class(step);
                let heeds = Heeds {
                    cancel: direction == Direction::Forward && class == Class::Undo,
                    shutdown: !holding,
                };
                if self.waited(backoff(failures), heeds).await.is_err() {
                    continue;
                }
            }
            self.take(operation, &entries, step, direction).await?;
        }
    }

    /// Waits before another try; an error is a reason to look at the journal again.
    ///
    /// Only a step before the pivot heeds a cancel: of one that came too late the journal would say nothing new, and the
    /// tries would be used up without a wait.
    async fn waited(&self, wait: std::time::Duration, heeds: Heeds) -> Result<(), ()> {
        tokio::select! {
            () = tokio::time::sleep(wait) => Ok(()),
            () = self.shutdown.cancelled(), if heeds.shutdown => Err(()),
            () = self.cancel.cancelled(), if heeds.cancel => Err(()),
        }
    }

    fn situation<'a>(&'a self, plan: &'a Plan, entries: &'a [Entry]) -> Situation<'a> {
        Situation {
            plan,
            entries,
            cancel: self.cancel.clone(),
            feed: self.journal.feed(),
        }
    }

    async fn take(
        &self,
        operation: &Operation,
        entries: &[Entry],
        step: usize,
        direction: Direction,
    ) -> Result<(), StoreError> {
        let plan = &operation.plan;
        let name = plan.steps[step];
        let pass = |point| failpoint::pass(&plan.kind, name, direction, point);
        pass(Point::BeforeStarted);
        let number = self
            .journal
            .append(&operation.id, &Event::Started { step, direction })
            .await?;
        pass(Point::AfterStarted);
        if number != entries.last().map_or(0, |e| e.number) + 1 {
            // A user's word came in between. It was said before this step began: what comes next is decided again.
            return Ok(());
        }
        let situation = self.situation(plan, entries);
        let result = match direction {
            Direction::Forward => self.actor.apply(name, &situation).await,
            Direction::Back => self
                .actor
                .undo(name, &situation)
                .await
                .map(|()| Output::None),
        };
        pass(Point::AfterEffect);
        let event = match result {
            Ok(output) => Event::Succeeded {
                step,
                direction,
                output,
            },
            Err(error) => failed(operation, step, direction, &error),
        };
        self.journal.append(&operation.id, &event).await?;
        pass(Point::AfterResult);
        Ok(())
    }
}

/// What ends a wait early.
struct Heeds {
    cancel: bool,
    shutdown: bool,
}

fn failed(operation: &Operation, step: usize, direction: Direction, error: &ActError) -> Event {
    let message = stratus_core::fault::chain(error);
    tracing::warn!(
        operation = %operation.id, step = %operation.plan.steps[step], ?direction, error = %message, "step failed"
    );
    Event::Failed {
        step,
        direction,
        fault: error.fault(),
        message,
    }
}
