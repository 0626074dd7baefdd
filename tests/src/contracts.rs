//! Contracts: one function per trait, run on the fake and on the real thing alike.

pub mod store;
