//! The steps around code that is not the working tree's: bring it here, and remove it once there is a release of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use stratus_core::operation::{Output, Plan};
use stratus_core::snapshots::{CodeTree, Fetch};

use crate::engine::act::{ActError, Machine, Situation};

impl Machine {
    /// Fetches what the plan's release is made from.
    pub(super) async fn fetch(&self, situation: &Situation<'_>) -> Result<Output, ActError> {
        let plan = situation.plan;
        let source = plan
            .kind
            .source()
            .ok_or_else(|| ActError::Inconsistent(format!("{} has nothing to fetch", plan.kind)))?;
        let cancel = Arc::new(AtomicBool::new(false));
        let fetch = Fetch {
            environment: &plan.environment,
            operation: &plan.operation,
            source,
            cancel: cancel.clone(),
        };
        let fetching = self.snapshots.fetch(fetch);
        tokio::pin!(fetching);
        let fetched = tokio::select! {
            fetched = &mut fetching => fetched?,
            () = situation.cancel.cancelled() => {
                cancel.store(true, Ordering::Relaxed);
                fetching.await?
            }
        };
        Ok(Output::Fetched(fetched))
    }

    /// Removes what was fetched.
    pub(super) async fn forget_fetched(&self, plan: &Plan) -> Result<(), ActError> {
        let environment = &plan.environment.name;
        let forgotten = self.snapshots.forget_fetched(environment, &plan.operation);
        Ok(forgotten.await?)
    }
}

/// The tree that the release of `plan` is a copy of.
pub(super) fn code_tree(plan: &Plan) -> CodeTree<'_> {
    match plan.kind.source() {
        None => CodeTree::Working,
        Some(_) => CodeTree::Fetched(&plan.operation),
    }
}
