//! What the interfaces share: the engine, the machine, and the configuration that can be read again.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use stratus_core::store::StoreError;
use stratus_core::{Environment, EnvironmentName, Store};
use stratus_proto::v1::Change;
use tokio::sync::Mutex;

use crate::config::{self, Config, ConfigError};
use crate::doctor::Machine as Examined;
use crate::edits::Looks;
use crate::engine::Engine;
use crate::engine::act::{ActError, Machine};

/// How long a change of the configuration waits for workers to become what it says; they go on in the background.
const WORKERS_WITHIN: Duration = Duration::from_secs(20);

/// Why the configuration was not applied. Nothing has changed then.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// A demonstration.
    #[error("there is no configuration file to read")]
    NoFile,
    /// The file is not there or not valid.
    #[error("nothing was changed")]
    Config(#[source] ConfigError),
    /// A key changed that is only read at the start.
    #[error(
        "the keys under server: and nginx: take effect with a restart of stratusd; nothing was changed"
    )]
    NeedsRestart,
    /// An environment that serves visitors is missing.
    #[error("environment {0} is live and no longer configured; put it back: nothing was changed")]
    LiveRemoved(EnvironmentName),
    /// The state could not be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// nginx does not take it.
    #[error(transparent)]
    Act(#[from] ActError),
}

/// The engine, the machine and the configuration.
pub struct Control {
    /// Carries out operations.
    pub engine: Engine,
    /// Acts on this host.
    pub machine: Machine,
    /// How working trees differ from what is live.
    pub edits: Looks,
    /// Looked at by the doctor.
    pub examined: Arc<dyn Examined>,
    /// Where the configuration is read again from; none for a demonstration.
    pub file: Option<PathBuf>,
    /// The configuration in force.
    pub config: Mutex<Config>,
}

impl Control {
    /// Reads the configuration again and makes nginx serve what changed. On a dry run only says what would change.
    ///
    /// # Errors
    /// When the configuration is not valid, or nginx refuses it: then nothing has changed.
    pub async fn apply(&self, dry_run: bool) -> Result<Vec<Change>, ApplyError> {
        let mut current = self.config.lock().await;
        let file = self.file.as_ref().ok_or(ApplyError::NoFile)?;
        let next = config::load(file).map_err(ApplyError::Config)?;
        if next.server != current.server || next.nginx != current.nginx {
            return Err(ApplyError::NeedsRestart);
        }
        let store = self.engine.store();
        let before = store.environments().await?;
        let changes = changes(&before, &next.environments);
        refuse_removal_of_live(store.as_ref(), &next.environments).await?;
        if dry_run {
            return Ok(changes);
        }
        let held = self.engine.held().await?;
        store.put_environments(&next.environments).await?;
        if let Err(error) = self
            .machine
            .load_environments(&next.environments, &held)
            .await
        {
            store.put_environments(&before).await?;
            return Err(error.into());
        }
        *current = next;
        self.machine.crons.wake();
        // A deployment that is asked for next finds none that is configured no more.
        let settled = tokio::time::timeout(WORKERS_WITHIN, self.machine.restore_all_workers());
        if !matches!(settled.await, Ok(Ok(()))) {
            tracing::warn!("workers are not as they should be yet");
        }
        Ok(changes)
    }
}

/// An environment that serves visitors must not vanish by a missing line: its visitors would get another one's pages.
pub async fn refuse_removal_of_live(
    store: &dyn Store,
    configured: &[Environment],
) -> Result<(), ApplyError> {
    for known in store.environments().await? {
        let is_gone = !configured.iter().any(|new| new.name == known.name);
        if is_gone && store.state(&known.name).await?.live.is_some() {
            return Err(ApplyError::LiveRemoved(known.name));
        }
    }
    Ok(())
}

fn changes(before: &[Environment], after: &[Environment]) -> Vec<Change> {
    let mut changes = Vec::new();
    for new in after {
        let old = before.iter().find(|old| old.name == new.name);
        let (change, effect) = match old {
            None => ("added", "with the first init and switch"),
            Some(old) if old == new => ("unchanged", ""),
            Some(old)
                if (&old.hosts, &old.deny, &old.front) == (&new.hosts, &new.deny, &new.front) =>
            {
                ("changed", "with the next init")
            }
            Some(_) => ("changed", "now in nginx, for PHP with the next init"),
        };
        changes.push(to_change(new, change, effect));
    }
    for old in before
        .iter()
        .filter(|old| !after.iter().any(|new| new.name == old.name))
    {
        changes.push(to_change(old, "removed", "now"));
    }
    changes
}

fn to_change(environment: &Environment, change: &str, effect: &str) -> Change {
    Change {
        environment: environment.name.to_string(),
        change: change.to_owned(),
        effect: effect.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use stratus_core::fake::MemoryStore;
    use stratus_core::state::PoolRecord;
    use stratus_core::{EnvironmentState, Generation};

    use super::*;

    const CONFIGURATION: &str = "environments:\n  shop: {hosts: [a.test], code: DIR/code, docroot: ., php: {image: a, user: '7:8'}}\n  blog: {hosts: [b.test], code: DIR/code, docroot: ., php: {image: a, user: '7:8'}}\n";

    #[tokio::test]
    async fn an_environment_that_serves_visitors_cannot_vanish_from_the_configuration() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("code")).unwrap();
        let file = folder.path().join("stratus.yaml");
        let text = CONFIGURATION.replace("DIR", folder.path().to_str().unwrap());
        std::fs::write(&file, text).unwrap();
        let both = config::load(&file).unwrap().environments;
        let store = MemoryStore::default();
        store.put_environments(&both).await.unwrap();
        let one = &both[..1];
        refuse_removal_of_live(&store, one).await.unwrap();

        let live = PoolRecord {
            generation: Generation(1),
            release: "0".repeat(64).parse().unwrap(),
            members: 1,
            since_ms: 0,
        };
        let state = EnvironmentState {
            live: Some(live),
            ..EnvironmentState::default()
        };
        store.put_state(&both[1].name, &state).await.unwrap();
        let refused = refuse_removal_of_live(&store, one).await;
        assert!(matches!(refused, Err(ApplyError::LiveRemoved(name)) if name == both[1].name));
        refuse_removal_of_live(&store, &both).await.unwrap();
    }
}
