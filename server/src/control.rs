//! What the interfaces share: the engine, the machine, and the configuration that can be read again.

use std::path::PathBuf;
use std::sync::Arc;

use stratus_core::Environment;
use stratus_core::fault::chain;
use stratus_proto::v1::Change;
use tokio::sync::Mutex;
use tonic::Status;

use crate::config::{self, Config};
use crate::doctor::Machine as Examined;
use crate::engine::Engine;
use crate::engine::act::Machine;
use crate::grpc::status;

/// The engine, the machine and the configuration.
pub struct Control {
    /// Carries out operations.
    pub engine: Engine,
    /// Acts on this host.
    pub machine: Machine,
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
    pub async fn apply(&self, dry_run: bool) -> Result<Vec<Change>, Status> {
        let mut current = self.config.lock().await;
        let Some(file) = &self.file else {
            return Err(Status::failed_precondition(
                "there is no configuration file to read",
            ));
        };
        let next = config::load(file).map_err(|error| {
            Status::failed_precondition(format!("nothing was changed: {}", chain(&error)))
        })?;
        if next.server != current.server || next.nginx != current.nginx {
            return Err(Status::failed_precondition(
                "the keys under server: and nginx: take effect with a restart of stratusd; nothing was changed",
            ));
        }
        let store = self.engine.store();
        let before = store.environments().await.map_err(|e| status::store(&e))?;
        let changes = changes(&before, &next.environments);
        if dry_run {
            return Ok(changes);
        }
        self.refuse_removal_of_live(&before, &next.environments)
            .await?;
        let held = self.engine.held().await.map_err(|e| status::store(&e))?;
        store
            .put_environments(&next.environments)
            .await
            .map_err(|e| status::store(&e))?;
        if let Err(error) = self
            .machine
            .load_environments(&next.environments, &held)
            .await
        {
            store
                .put_environments(&before)
                .await
                .map_err(|e| status::store(&e))?;
            return Err(status::act(&error));
        }
        *current = next;
        Ok(changes)
    }

    /// An environment that serves visitors must not vanish by a missing line.
    async fn refuse_removal_of_live(
        &self,
        before: &[Environment],
        after: &[Environment],
    ) -> Result<(), Status> {
        for gone in before
            .iter()
            .filter(|old| !after.iter().any(|new| new.name == old.name))
        {
            let state = self.engine.store().state(&gone.name).await;
            if state.map_err(|e| status::store(&e))?.live.is_some() {
                return Err(Status::failed_precondition(format!(
                    "environment {} is live and no longer configured; put it back: nothing was changed",
                    gone.name
                )));
            }
        }
        Ok(())
    }
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
