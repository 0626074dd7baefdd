//! Looks whether the container engine is there and the live pools run; restores them when it came back.

use std::sync::Arc;
use std::time::Duration;

use stratus_core::PoolId;
use stratus_core::fault::chain;
use tokio_util::sync::CancellationToken;

use crate::control::Control;

/// How often it looks.
const ROUND: Duration = Duration::from_secs(1);

/// Runs until `shutdown`.
pub async fn watchdog(control: Arc<Control>, shutdown: CancellationToken) {
    let mut away = false;
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(ROUND) => {}
        }
        match control.machine.runtime.list().await {
            Ok(seen) => {
                if away {
                    tracing::warn!("the container engine is back");
                }
                away = false;
                let running = |id: &PoolId| seen.iter().any(|m| m.running && &m.pool == id);
                if let Err(error) = heal(&control, running).await {
                    tracing::error!(error = %chain(&error), "the live pools cannot be restored");
                }
            }
            Err(error) if !away => {
                away = true;
                tracing::error!(error = %chain(&error), "the container engine is away");
            }
            Err(_) => {}
        }
    }
}

/// Restores where a live pool has no running member at all. A pool that lost some is the engine's restart policy's
/// business, and drift until then.
async fn heal(
    control: &Control,
    running: impl Fn(&PoolId) -> bool,
) -> Result<(), stratus_core::store::StoreError> {
    for environment in control.engine.store().environments().await? {
        let state = control.engine.store().state(&environment.name).await?;
        let Some(live) = state.live else { continue };
        if !running(&PoolId::new(&environment.name, live.generation)) {
            control.machine.restore_live().await?;
            return Ok(());
        }
    }
    Ok(())
}
