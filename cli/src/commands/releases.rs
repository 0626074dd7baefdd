//! Releases on disk: list, keep, remove.

pub mod list;
pub mod pin;
pub mod remove;
pub mod unpin;
