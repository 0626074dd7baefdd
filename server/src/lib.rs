//! The control server of Stratus: the engine that carries out operations, its store, and the gRPC interface.

pub mod clock;
pub mod engine;
pub mod store;
