//! Submits `retire` and `reap` where they are due. They are operations like any other and yield to a user's. Logs are kept
//! bounded by the way.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use stratus_core::fault::chain;
use stratus_core::operation::Kind;
use stratus_core::release::OnDisk;
use stratus_core::{Environment, EnvironmentState, ReleaseId};
use tokio_util::sync::CancellationToken;

use crate::control::Control;
use crate::engine::admission::{Submission, SubmitError};

/// How often a round begins when nothing wakes it earlier.
const ROUND: Duration = Duration::from_secs(5);

/// Runs until `shutdown`.
pub async fn retention(control: Arc<Control>, shutdown: CancellationToken) {
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(ROUND) => {}
        }
        if let Err(error) = control.machine.router.tend_logs().await {
            tracing::warn!(error = %chain(&error), "the logs of visitors' requests");
        }
        let environments = match control.engine.store().environments().await {
            Ok(environments) => environments,
            Err(error) => {
                tracing::error!(error = %chain(&error), "retention: no environments");
                continue;
            }
        };
        for environment in environments {
            if let Err(error) = round(&control, &environment).await {
                tracing::warn!(environment = %environment.name, %error, "retention");
            }
        }
    }
}

async fn round(control: &Control, environment: &Environment) -> anyhow::Result<()> {
    let store = control.engine.store();
    if control.engine.holder(&environment.name).await?.is_some() {
        return Ok(());
    }
    let state = store.state(&environment.name).await?;
    if let Some(previous) = &state.previous
        && state
            .warm_until_ms
            .is_some_and(|until| until <= control.machine.clock.now_ms())
    {
        return submit(
            control,
            environment,
            Kind::Retire {
                generation: previous.generation,
            },
        )
        .await;
    }
    let now_ms = control.machine.clock.now_ms();
    if let Some(standby) = &state.standby
        && state.standby_is_over(environment.keep.standby, now_ms)
    {
        let generation = standby.generation;
        return submit(control, environment, Kind::Retire { generation }).await;
    }
    let seen = control.machine.runtime.list().await?;
    let of_environment = seen
        .iter()
        .filter(|m| m.pool.environment == environment.name);
    let orphan = of_environment
        .map(|m| m.pool.generation)
        .find(|generation| !state.generations().any(|g| g == *generation));
    if let Some(generation) = orphan {
        return submit(control, environment, Kind::Retire { generation }).await;
    }
    let on_disk = control.machine.snapshots.list(&environment.name).await?;
    let mut kept = store.pinned(&environment.name).await?;
    kept.extend(control.machine.releases_of_tasks(&environment.name).await?);
    let old = reapable(&on_disk, &state, &kept, environment.keep.releases);
    match old.into_iter().next() {
        Some(release) => submit(control, environment, Kind::Reap { release }).await,
        None => Ok(()),
    }
}

async fn submit(control: &Control, environment: &Environment, kind: Kind) -> anyhow::Result<()> {
    let submission = Submission {
        request: uuid::Uuid::now_v7().to_string(),
        environment: environment.clone(),
        kind,
        actor: "stratusd".to_owned(),
    };
    match control.engine.submit(submission).await {
        // A user's operation came first, or the reason is gone: the next round looks again.
        Ok(_)
        | Err(SubmitError::Held { .. } | SubmitError::Plan(_) | SubmitError::ShuttingDown) => {
            Ok(())
        }
        Err(error) => Err(error.into()),
    }
}

/// The releases that may go, oldest first: not used, not to be kept, beyond the newest `keep`.
pub fn reapable(
    on_disk: &[OnDisk],
    state: &EnvironmentState,
    kept: &[ReleaseId],
    keep: u32,
) -> Vec<ReleaseId> {
    let mut newest_first: Vec<&OnDisk> = on_disk.iter().collect();
    newest_first.sort_by(|a, b| (b.created_ms, &b.release).cmp(&(a.created_ms, &a.release)));
    let used: BTreeSet<&ReleaseId> = state.releases().chain(kept).collect();
    let mut old: Vec<ReleaseId> = newest_first
        .into_iter()
        .skip(keep as usize)
        .map(|on_disk| on_disk.release.clone())
        .filter(|release| !used.contains(release))
        .collect();
    old.reverse();
    old
}
