//! What the engine says of its host, for the doctor.

use super::engine::Engine;
use super::error::EngineError;

/// How the engine keeps containers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// Shape: `overlay2`.
    pub storage_driver: String,
    /// Whether containers outlive a restart of the engine.
    pub live_restore: bool,
    /// Shape: `6.1.0-25-amd64`.
    pub kernel: String,
    /// Whether it counts swap, so that a memory limit bounds memory and swap together.
    pub swap_limit: bool,
    /// What it uses beyond namespaces. Shape: `name=seccomp,profile=default`.
    pub security: Vec<String>,
    /// Memory, in bytes.
    pub memory: u64,
    /// Processors.
    pub cpus: u32,
}

impl Engine {
    /// What the engine says of its host.
    pub async fn host(&self) -> Result<Host, EngineError> {
        let found = self.ask("ask for the host", self.docker().info()).await?;
        Ok(Host {
            storage_driver: found.driver.unwrap_or_default(),
            live_restore: found.live_restore_enabled.unwrap_or(false),
            kernel: found.kernel_version.unwrap_or_default(),
            swap_limit: found.swap_limit.unwrap_or(false),
            security: found.security_options.unwrap_or_default(),
            memory: found.mem_total.and_then(|m| m.try_into().ok()).unwrap_or(0),
            cpus: found.ncpu.and_then(|n| n.try_into().ok()).unwrap_or(0),
        })
    }
}
