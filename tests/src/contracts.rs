//! What every implementation of a trait of `core` promises: one function per trait, run on the fake and on the real one.

pub mod crons;
pub mod router;
pub mod runtime;
pub mod store;
pub mod tasks;
