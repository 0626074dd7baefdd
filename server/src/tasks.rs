//! What the server does by itself: restore what is live, stop pools whose warm time is over, remove old releases.
//!
//! Level-triggered: every round looks at the whole state, so nothing depends on an event having been seen.

mod retention;
mod watchdog;

pub use retention::{reapable, retention};
pub use watchdog::watchdog;
