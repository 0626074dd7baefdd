//! How answers look: lines, tables, progress and JSON. Nothing here talks to the server.

pub mod caches;
pub mod crons;
pub mod escape;
pub mod events;
pub mod operations;
pub mod plan;
pub mod pools;
pub mod report;
pub mod steps;
pub mod table;
pub mod units;
