//! Environments: what is configured.

pub mod apply;
pub mod list;
pub mod show;
