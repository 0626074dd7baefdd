//! Keeps workers those of the live releases, as they are configured.

use std::sync::Arc;
use std::time::Duration;

use stratus_core::fault::chain;
use tokio_util::sync::CancellationToken;

use crate::control::Control;

/// How often it looks.
const ROUND: Duration = Duration::from_secs(5);

/// Runs until `shutdown`. An engine that is away is the watchdog's to tell of.
pub async fn workers(control: Arc<Control>, shutdown: CancellationToken) {
    loop {
        let settled = tokio::select! {
            settled = control.machine.restore_all_workers() => settled,
            () = shutdown.cancelled() => return,
        };
        if let Err(error) = settled {
            tracing::debug!(error = %chain(&error), "workers cannot be looked at");
        }
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(ROUND) => {}
        }
    }
}
