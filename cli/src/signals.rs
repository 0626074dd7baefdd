//! Interrupts while an operation is followed: the first one detaches, the second one ends the program at once.

use std::sync::Arc;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;

use crate::error::CliError;

/// Listens for SIGINT and SIGTERM.
pub struct Interrupts(Arc<Notify>);

impl Interrupts {
    /// Begins to listen; from here on the first signal ends nothing by itself.
    pub fn listen() -> Result<Self, CliError> {
        let failed = |source| CliError::output("listen for signals", source);
        let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
        let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
        let first = Arc::new(Notify::new());
        let notify = Arc::clone(&first);
        tokio::spawn(async move {
            for _ in 0..2 {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                notify.notify_one();
            }
            // Printing is stuck behind a reader that does not read: leave without a word.
            std::process::exit(130);
        });
        Ok(Self(first))
    }

    /// Waits for the first signal.
    pub async fn first(&self) {
        self.0.notified().await;
    }
}
