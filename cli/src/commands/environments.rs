//! Environments: what is configured.

pub mod apply;
pub mod diff;
pub mod list;
pub mod show;
