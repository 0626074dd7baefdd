//! A member's container, as its readiness and its drain see it.

use async_trait::async_trait;
use stratus_core::runtime::RuntimeError;

use super::engine::Engine;
use super::error::EngineError;
use crate::fpm::carrier::{Carrier, State};

/// Log lines that are read.
const LOG_LINES: u32 = 60;
/// What the engine says of a container that was never started.
const NEVER: &str = "0001-01-01T00:00:00Z";

/// A container by name.
pub(crate) struct Container {
    pub engine: Engine,
    pub name: String,
}

#[async_trait]
impl Carrier for Container {
    async fn state(&self) -> Result<State, RuntimeError> {
        match self.engine.facts(&self.name).await {
            Ok(facts) if facts.running => Ok(State::Running),
            Ok(facts) if facts.started_at == NEVER => Ok(State::Created),
            Ok(facts) => Ok(State::Ended(facts.exit)),
            Err(EngineError::NotFound { .. }) => Ok(State::Missing),
            Err(other) => Err(other.into()),
        }
    }

    async fn log(&self) -> String {
        let log = self.engine.logs_tail(&self.name, LOG_LINES).await;
        log.unwrap_or_else(|error| format!("({error})"))
    }

    async fn out_of_memory(&self) -> bool {
        match self.engine.facts(&self.name).await {
            Ok(facts) => {
                self.engine
                    .saw_out_of_memory(&facts.id, &facts.started_at)
                    .await
            }
            Err(_) => false,
        }
    }
}
