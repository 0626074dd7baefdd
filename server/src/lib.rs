//! The control server of Stratus: the engine that carries out operations, its store, and the gRPC interface.

pub mod caches;
pub mod clock;
pub mod config;
pub mod control;
pub mod crons;
pub mod data_dir;
pub mod doctor;
pub mod edits;
pub mod engine;
pub mod grpc;
pub mod report;
pub mod serve;
pub mod store;
pub mod tasks;
pub mod wiring;
