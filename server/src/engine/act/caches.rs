//! The step `clear`, and what an undone route leaves in caches.

use std::time::Duration;

use stratus_core::Generation;
use stratus_core::cache::{Scope, Target};
use stratus_core::operation::{Output, Plan};

use crate::engine::act::{ActError, Machine, target};

/// How long an operation waits for its caches: they go on without it.
const LIMIT: Duration = Duration::from_secs(20);

impl Machine {
    /// Clears what the old generation may have filled. A cache that fails is a line of the report, never of the operation.
    pub(super) async fn clear(&self, plan: &Plan) -> Result<Output, ActError> {
        let environment = &plan.environment;
        let targets = Target::after_a_switch(&environment.caches);
        let scope = for_generation(target(plan)?.generation);
        let reports = self
            .caches
            .clear(environment, targets, &scope, LIMIT)
            .await?;
        Ok(Output::Cleared(reports))
    }

    /// Clears in the background what requests left that went on while the caches were cleared.
    pub(super) async fn clear_late(&self, plan: &Plan) -> Result<(), ActError> {
        let scope = for_generation(target(plan)?.generation);
        Ok(self.caches.clear_later(&plan.environment, &scope).await?)
    }

    /// Clears in the background what a generation left that had traffic for a moment.
    pub(super) async fn clear_undone(&self, plan: &Plan) -> Result<(), ActError> {
        let scope = match &plan.origin {
            Some(origin) => for_generation(origin.generation),
            None => Scope::ALL,
        };
        Ok(self.caches.clear_later(&plan.environment, &scope).await?)
    }
}

fn for_generation(generation: Generation) -> Scope {
    Scope::All {
        generation: Some(generation),
    }
}
