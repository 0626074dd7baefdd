//! A throw-away container: one command, no network, no privilege, gone afterwards whatever happens.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bollard::Docker;
use bollard::errors::Error;
use bollard::models::ContainerCreateBody;
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, ListContainersOptionsBuilder, RemoveContainerOptionsBuilder,
    WaitContainerOptionsBuilder,
};
use futures_util::StreamExt;
use stratus_core::InstallationId;

use super::body::{self, Bind, Tmpfs};
use super::engine::Engine;
use super::error::EngineError;

/// Label that every throw-away container carries; its value is the installation.
pub const LABEL_ONCE: &str = "org.stratus.once";
/// Lines of output that are kept.
const OUTPUT_LINES: u32 = 400;

static COUNT: AtomicU64 = AtomicU64::new(0);

/// What to run.
#[derive(Debug, Clone)]
pub struct Once {
    /// Whose it is.
    pub installation: InstallationId,
    /// What it is for, in its name: lower case letters and hyphens. Shape: `nginx-test`.
    pub purpose: String,
    /// By digest, or a reference the engine has.
    pub image: String,
    /// The program and its arguments; the image's entry point is not used.
    pub argv: Vec<String>,
    /// Who runs it. Shape: `65534:65534`.
    pub user: String,
    /// What it sees of the host.
    pub binds: Vec<Bind>,
    /// What it may write to.
    pub tmpfs: Vec<Tmpfs>,
    /// Memory limit, in bytes.
    pub memory: u64,
    /// How long it may run.
    pub timeout: Duration,
    /// Further labels.
    pub labels: HashMap<String, String>,
}

/// How it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finished {
    /// Its exit code.
    pub exit: i64,
    /// Standard output and error together, the last 400 lines.
    pub output: String,
}

impl Engine {
    /// Runs a throw-away container: no network, no capability, no new privilege, a read-only root.
    ///
    /// # Errors
    /// [`EngineError::TimedOut`] past `once.timeout`; [`EngineError::Refused`] when the program is not in the image
    /// (the engine's words name it); [`EngineError::NotFound`] when the image is not there.
    ///
    /// # Cancel safety
    /// It runs in a task of its own and is removed even when nobody awaits it any more.
    pub async fn run_once(&self, once: Once) -> Result<Finished, EngineError> {
        let engine = self.clone();
        tokio::spawn(async move { engine.run_and_remove(once).await })
            .await
            .unwrap_or_else(|ended| {
                Err(EngineError::Refused {
                    what: "run a throw-away container".to_owned(),
                    detail: ended.to_string(),
                })
            })
    }

    /// Removes the throw-away containers that an earlier process of `installation` left behind.
    pub async fn sweep_once(&self, installation: &InstallationId) -> Result<(), EngineError> {
        let label = format!("{LABEL_ONCE}={installation}");
        let options = ListContainersOptionsBuilder::new()
            .all(true)
            .filters(&HashMap::from([("label", vec![label.as_str()])]))
            .build();
        let asked = self.docker().list_containers(Some(options));
        for found in self.ask("list throw-away containers", asked).await? {
            if let Some(id) = found.id {
                self.discard(&id).await?;
            }
        }
        Ok(())
    }

    async fn run_and_remove(&self, once: Once) -> Result<Finished, EngineError> {
        let name = name(&once);
        let created = {
            let (docker, name, body) = (self.docker().clone(), name.clone(), create_body(&once)?);
            let options = CreateContainerOptionsBuilder::new().name(&name).build();
            self.act(&format!("create {name}"), async move {
                docker.create_container(Some(options), body).await
            })
            .await?
        };
        let ran = self.run(&name, &created.id, once.timeout).await;
        let removed = self.discard(&created.id).await;
        let finished = ran?;
        removed.map(|()| finished)
    }

    async fn run(&self, name: &str, id: &str, limit: Duration) -> Result<Finished, EngineError> {
        let (docker, owned) = (self.docker().clone(), id.to_owned());
        self.act(&format!("start {name}"), async move {
            docker.start_container(&owned, None).await
        })
        .await?;
        let Ok(ended) = tokio::time::timeout(limit, self.ended(id)).await else {
            return Err(EngineError::TimedOut {
                what: name.to_owned(),
                limit_ms: limit.as_millis(),
                output: self.logs_tail(id, 20).await.unwrap_or_default(),
            });
        };
        let exit = self
            .ask(&format!("wait for {name}"), async { ended })
            .await?;
        let output = self.logs_tail(id, OUTPUT_LINES).await?;
        Ok(Finished { exit, output })
    }

    /// Waits until a container does not run, and answers its exit code.
    pub(crate) async fn ended(&self, container: &str) -> Result<i64, Error> {
        wait(self.docker(), container).await
    }

    /// Removes a container and its anonymous volumes, running or not; one that is gone is no error.
    pub(crate) async fn discard(&self, id: &str) -> Result<(), EngineError> {
        let (docker, owned) = (self.docker().clone(), id.to_owned());
        let options = RemoveContainerOptionsBuilder::new()
            .force(true)
            .v(true)
            .build();
        let removed = self
            .act(&format!("remove {id}"), async move {
                docker.remove_container(&owned, Some(options)).await
            })
            .await;
        match removed {
            Err(EngineError::NotFound { .. }) => Ok(()),
            // Somebody else's removal of the same container is under way.
            Err(EngineError::Conflict { detail, .. }) if detail.contains("already in progress") => {
                Ok(())
            }
            other => other,
        }
    }
}

/// bollard reports an exit code that is not 0 as an error.
async fn wait(docker: &Docker, id: &str) -> Result<i64, Error> {
    let options = WaitContainerOptionsBuilder::new()
        .condition("not-running")
        .build();
    let mut stream = std::pin::pin!(docker.wait_container(id, Some(options)));
    match stream.next().await {
        Some(Ok(ended)) => Ok(ended.status_code),
        Some(Err(Error::DockerContainerWaitError { code, .. })) => Ok(code),
        Some(Err(error)) => Err(error),
        None => Err(Error::RequestTimeoutError),
    }
}

/// A name no other process and no earlier life of this one uses. Shape: `stratus-once-5f3a9c-nginx-test-18f3…-0`.
fn name(once: &Once) -> String {
    let nanos = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_nanos());
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let (installation, purpose) = (&once.installation, &once.purpose);
    format!("stratus-once-{installation}-{purpose}-{nanos:x}-{count}")
}

fn create_body(once: &Once) -> Result<ContainerCreateBody, EngineError> {
    let mut host = body::restricted(once.memory, &once.tmpfs)?;
    // No `init`: docker-init would turn a missing program into an exit code 127 instead of a refused start.
    host.network_mode = Some("none".to_owned());
    host.pids_limit = Some(64);
    host.mounts = Some(
        once.binds
            .iter()
            .map(body::mount)
            .collect::<Result<_, _>>()?,
    );
    let (program, arguments) = once
        .argv
        .split_first()
        .ok_or_else(|| EngineError::Refused {
            what: format!("run {}", once.purpose),
            detail: "no program was named".to_owned(),
        })?;
    let mut labels = once.labels.clone();
    labels.insert(LABEL_ONCE.to_owned(), once.installation.to_string());
    Ok(ContainerCreateBody {
        image: Some(once.image.clone()),
        entrypoint: Some(vec![program.clone()]),
        cmd: Some(arguments.to_vec()),
        user: Some(once.user.clone()),
        working_dir: Some("/".to_owned()),
        labels: Some(labels),
        host_config: Some(host),
        ..ContainerCreateBody::default()
    })
}
