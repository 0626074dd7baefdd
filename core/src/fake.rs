//! The outside world in memory: for the laws, for faults, and for `stratusd --demo`.
//!
//! One [`FakeMachine`] is engine, router, file tree and access log at once, so that what each does is seen by the
//! others: a request can only be served by a pool that runs, and stopping a pool that still holds one is noticed.

mod cleaner;
mod crons;
mod machine;
mod runtime;
mod store;
mod tasks;
mod traffic;
mod world;

pub use machine::FakeMachine;
pub use store::MemoryStore;
pub use world::{FakePool, FakeTask, World};
