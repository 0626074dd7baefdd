//! The fake machine's caches: they are always clear, and tell what they were asked.

use async_trait::async_trait;

use crate::Environment;
use crate::cache::{Cleaner, Clear, ClearError, Cleared, Scope, Target};
use crate::fake::machine::FakeMachine;

#[async_trait]
impl Cleaner for FakeMachine {
    async fn clear(&self, clear: Clear<'_>) -> Result<Cleared, ClearError> {
        let what = match clear.scope {
            Scope::All { generation: None } => "all".to_owned(),
            Scope::All {
                generation: Some(generation),
            } => format!("all for generation {generation}"),
            Scope::Parts(parts) => {
                let parts = parts.urls.iter().chain(&parts.tags).chain(&parts.paths);
                parts.cloned().collect::<Vec<_>>().join(" ")
            }
        };
        let call = format!("clear {} {}: {what}", clear.environment.name, clear.target);
        self.change(&call, |state| {
            state
                .violations
                .extend(state.world.why_not_clear(&clear.environment.name));
        });
        Ok(Cleared::default())
    }

    async fn is_done(&self, _: &Environment, _: &Target, _: &str) -> Result<bool, ClearError> {
        Ok(true)
    }
}
