//! What existing deploy scripts rely on: every row of the contract's table and every rule has a test here that names it, or
//! stands in `rows.rs` with the tests that hold it.
//!
//! Scripts are run as they are written, by a real shell with real `awk`, `grep` and `kill`, against a whole Stratus.

mod commands;
mod rows;
mod rules;
mod scene;
mod semantics;
