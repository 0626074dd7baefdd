//! Looks whether the container engine is there and the live pools run; restores them when it came back.

use std::sync::Arc;
use std::time::Duration;

use stratus_core::PoolId;
use stratus_core::fault::chain;
use stratus_core::runtime::Observed;
use stratus_core::store::StoreError;
use tokio_util::sync::CancellationToken;

use crate::control::Control;

/// How often it looks.
const ROUND: Duration = Duration::from_secs(1);

/// Rounds in which a live pool is short of members before they are made again: until then the engine's own restart
/// policy has its chance.
const PATIENCE: u32 = 5;

/// Runs until `shutdown`.
pub async fn watchdog(control: Arc<Control>, shutdown: CancellationToken) {
    let mut away = false;
    let mut short = 0;
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
                if let Err(error) = heal(&control, &seen, &mut short).await {
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

/// Restores at once where a live pool has no running member at all, and where it is short of some for too long.
async fn heal(control: &Control, seen: &[Observed], short: &mut u32) -> Result<(), StoreError> {
    let (mut is_short, mut is_down) = (false, false);
    for environment in control.engine.store().environments().await? {
        let state = control.engine.store().state(&environment.name).await?;
        let Some(live) = state.live else { continue };
        // A consistent deployment stops the old pool itself, and starts it again where it goes back to it.
        let holder = control.engine.holder(&environment.name).await?;
        if holder.is_some_and(|holder| holder.plan.freezes()) {
            continue;
        }
        let id = PoolId::new(&environment.name, live.generation);
        let running = seen.iter().filter(|m| m.running && m.pool == id).count();
        is_down |= running == 0;
        is_short |= running < usize::from(live.members);
    }
    *short = if is_short { *short + 1 } else { 0 };
    if is_down || *short >= PATIENCE {
        *short = 0;
        control.machine.restore_live().await?;
    }
    Ok(())
}
