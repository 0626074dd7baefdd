//! What this host offers, as one JSON value: the first thing that whoever wants to use it asks.

use std::path::Path;

use serde::Serialize;
use stratus_core::fault::chain;

use crate::docker::{Engine, EngineError, Setup};
use crate::host::{self, DiskFacts, KernelFacts};

/// What this host offers.
#[derive(Debug, Clone, Serialize)]
pub struct Offer {
    /// Version of this program.
    pub agent: &'static str,
    /// Processors that this program may use; 0 when that could not be found out.
    pub cpus: usize,
    /// The container engine.
    pub engine: Answer<EngineOffer>,
    /// The kernel, as far as copying trees and serving depend on it.
    pub kernel: KernelFacts,
    /// The file system of the data folder.
    pub disk: Answer<DiskFacts>,
}

/// What was found, or why nothing was. Shape: `{"error": "…"}`.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
pub enum Answer<T> {
    /// It was looked at.
    Found(T),
    /// It could not be.
    Failed {
        /// Why not.
        error: String,
    },
}

/// The container engine.
#[derive(Debug, Clone, Serialize)]
pub struct EngineOffer {
    /// Shape: `20.10.24`.
    pub version: String,
    /// The newest API that it speaks. Shape: `1.41`.
    pub api: String,
    /// Shape: `linux/amd64`.
    pub platform: String,
    /// How it is set.
    #[serde(flatten)]
    pub setup: Setup,
}

impl Offer {
    /// Whether everything could be looked at.
    pub fn is_complete(&self) -> bool {
        matches!(
            (&self.engine, &self.disk),
            (Answer::Found(_), Answer::Found(_))
        )
    }
}

/// Looks at this host: the engine at `docker`, and the disk that `data` lies on or will lie on. Changes nothing.
pub async fn probe(docker: &Path, data: &Path) -> Offer {
    let facts = host::look(data, docker);
    Offer {
        agent: env!("CARGO_PKG_VERSION"),
        cpus: std::thread::available_parallelism().map_or(0, usize::from),
        engine: engine(docker).await.map_err(|e| chain(&e)).into(),
        kernel: facts.kernel,
        disk: facts.disk.into(),
    }
}

async fn engine(docker: &Path) -> Result<EngineOffer, EngineError> {
    let engine = Engine::connect(docker).await?;
    let version = engine.version().await?;
    Ok(EngineOffer {
        version: version.engine,
        api: version.api,
        platform: version.platform,
        setup: engine.setup().await?,
    })
}

impl<T> From<Result<T, String>> for Answer<T> {
    fn from(result: Result<T, String>) -> Self {
        match result {
            Ok(found) => Self::Found(found),
            Err(error) => Self::Failed { error },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_host_without_an_engine_still_says_what_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let offer = probe(&folder.path().join("none.sock"), folder.path()).await;
        assert!(!offer.is_complete());
        let shown = serde_json::to_value(&offer).unwrap();
        let error = shown["engine"]["error"].as_str().unwrap();
        assert!(error.contains("none.sock"), "{error}");
        assert!(shown["disk"]["free_bytes"].as_u64().unwrap() > 0);
        assert!(shown["kernel"]["openat2"].is_boolean(), "{shown}");
    }
}
