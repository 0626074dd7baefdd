//! What visitors saw during a change of route, counted from nginx's access records.

use serde::{Deserialize, Serialize};

use crate::{EnvironmentName, Generation, OperationId};

/// Requests between the change of route and the end of the drain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Tally {
    /// Answered by the old generation.
    pub served_old: u64,
    /// Answered by the new generation.
    pub served_new: u64,
    /// Not answered by any member: the visitor saw an error that nginx made, or a cut answer.
    pub lost: u64,
    /// Cut on one member and answered by another.
    pub cut: u64,
    /// Answered by PHP without saying by which generation.
    pub unattributed: u64,
    /// Answered by the new generation after they had waited for it to be let go.
    #[serde(default)]
    pub held: u64,
    /// The longest of these waits, milliseconds.
    #[serde(default)]
    pub longest_hold_ms: u64,
}

/// Counts requests per environment and generation.
pub trait Traffic: Send + Sync {
    /// Begins to count for `operation`; a second call changes nothing.
    fn open(&self, operation: &OperationId, environment: &EnvironmentName);

    /// The new generation is about to be let go: what began before has waited for it.
    fn let_go(&self, operation: &OperationId);

    /// Ends the count. `None` when it cannot be told: the count was not begun by this process, or records were lost.
    fn close(&self, operation: &OperationId, old: Generation, new: Generation) -> Option<Tally>;
}
