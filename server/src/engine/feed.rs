//! Announces that a journal grew, and how far a snapshot is, to whoever watches.
//!
//! A notice only wakes: a watcher that missed some reads the journal again.

use stratus_core::OperationId;
use stratus_core::release::Counts;
use tokio::sync::broadcast;

/// Notices a slow watcher may be behind before it must read the journal again.
const CAPACITY: usize = 256;

/// What is announced.
#[derive(Debug, Clone)]
pub enum Notice {
    /// The journal of an operation grew.
    Appended(OperationId),
    /// A snapshot is this far.
    Progress(OperationId, Counts),
}

/// Hands notices to watchers.
#[derive(Debug, Clone)]
pub struct Feed {
    sender: broadcast::Sender<Notice>,
}

impl Feed {
    /// A feed without watchers.
    pub fn new() -> Self {
        Self {
            sender: broadcast::channel(CAPACITY).0,
        }
    }

    /// Announces.
    pub fn announce(&self, notice: Notice) {
        // Nobody listening is no error: the journal is the truth.
        let _ = self.sender.send(notice);
    }

    /// Begins to listen.
    pub fn watch(&self) -> broadcast::Receiver<Notice> {
        self.sender.subscribe()
    }
}

impl Default for Feed {
    fn default() -> Self {
        Self::new()
    }
}
