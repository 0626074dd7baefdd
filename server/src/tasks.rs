//! What the server does by itself: restore what is live and its workers, stop pools whose warm time is over, remove old
//! releases.
//!
//! Level-triggered: every round looks at the whole state, so nothing depends on an event having been seen.

mod retention;
mod watchdog;
mod workers;

pub use retention::{reapable, retention};
pub use watchdog::watchdog;
pub use workers::workers;
