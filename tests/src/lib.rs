//! The harness of the outer tests: stand-ins and drivers that every tier uses.

pub mod program;
pub mod scripted;
