//! The domain of Stratus: what an environment, a release, a pool and an operation are, and what comes next.
//!
//! **Invariant:** nothing here does I/O, reads a clock or draws a random number. Time and identifiers come in as
//! arguments; the outside world is reached through the traits [`Runtime`], [`Tasks`], [`Router`], [`Snapshots`],
//! [`Traffic`], [`Cleaner`], [`Store`] and [`CronStore`], which the `agent` and `server` crates implement and which [`fake`] implements
//! in memory.
#![warn(missing_docs)]

pub mod cache;
pub mod crons;
pub mod environment;
#[cfg(feature = "fake")]
pub mod fake;
pub mod fault;
pub mod id;
pub mod operation;
pub mod pool;
pub mod release;
pub mod route;
pub mod router;
pub mod runtime;
pub mod snapshots;
pub mod source;
pub mod state;
pub mod store;
pub mod tasks;
pub mod tenant;
pub mod traffic;

pub use cache::Cleaner;
pub use crons::CronStore;
pub use environment::Environment;
pub use fault::{Fault, Faulty};
pub use id::{EnvironmentName, Generation, InstallationId, OperationId, ReleaseId};
pub use pool::{Pool, PoolId};
pub use router::Router;
pub use runtime::Runtime;
pub use snapshots::Snapshots;
pub use state::EnvironmentState;
pub use store::Store;
pub use tasks::Tasks;
pub use traffic::Traffic;
