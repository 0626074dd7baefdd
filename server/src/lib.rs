//! The control server of Stratus: the engine that carries out operations, its store, and the gRPC interface.

pub mod clock;
pub mod config;
pub mod engine;
pub mod store;
