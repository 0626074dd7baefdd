//! What was asked of the environments, and what became of it.

pub mod cancel;
pub mod list;
pub mod resolve;
pub mod resume;
pub mod show;
pub mod watch;
