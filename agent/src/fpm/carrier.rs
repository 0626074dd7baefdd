//! What runs a member, as far as its readiness and its drain need to know it.

use std::path::PathBuf;

use async_trait::async_trait;
use stratus_core::runtime::RuntimeError;

/// Whether a member's container runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It runs.
    Running,
    /// It was never started.
    Created,
    /// It ended, with this code.
    Ended(i64),
    /// There is none.
    Missing,
}

/// The container of one member.
#[async_trait]
pub trait Carrier: Send + Sync {
    /// Whether it runs.
    async fn state(&self) -> Result<State, RuntimeError>;

    /// The end of its log; empty when it cannot be read.
    async fn log(&self) -> String;

    /// Whether the kernel killed one of its processes for memory. The container itself may run on.
    async fn out_of_memory(&self) -> bool;
}

/// A member: where it listens and what runs it.
pub struct Member {
    /// Counted from 0.
    pub index: u16,
    /// Its socket, as this host sees it.
    pub socket: PathBuf,
    /// Its container.
    pub carrier: Box<dyn Carrier>,
}
