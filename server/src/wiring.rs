//! Puts the parts together. The only file that knows which machine is behind the traits.

use std::sync::Arc;

use stratus_core::{InstallationId, Store};

use crate::clock::SystemClock;
use crate::config::Config;
use crate::doctor::Machine as Examined;
use crate::engine::act::Machine;

/// A machine and what the doctor looks at.
pub struct Wired {
    /// Acts.
    pub machine: Machine,
    /// Is looked at.
    pub examined: Arc<dyn Examined>,
}
