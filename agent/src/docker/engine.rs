//! A connection to the engine: questions with a deadline, and acts that are never abandoned.

use std::future::Future;
use std::path::Path;
use std::time::Duration;

use bollard::container::LogOutput;
use bollard::errors::Error;
use bollard::models::ContainerInspectResponse;
use bollard::query_parameters::{
    KillContainerOptionsBuilder, LogsOptionsBuilder, TopOptionsBuilder,
};
use bollard::{API_DEFAULT_VERSION, Docker};
use futures_util::{Stream, StreamExt};
use tokio::time::timeout;

use super::error::EngineError;

/// How long a question may take.
const ASK_LIMIT: Duration = Duration::from_secs(20);
/// How long an act may take before the engine counts as gone; what it did is then found by its labels.
const ACT_LIMIT: Duration = Duration::from_mins(5);
/// Most of a container's output that is read, in bytes.
const OUTPUT_MAX: usize = 64 * 1024;

/// The container engine behind a unix socket. Cheap to clone; it connects anew for every call, so it survives a
/// restart of the engine.
#[derive(Debug, Clone)]
pub struct Engine {
    docker: Docker,
    socket: String,
}

/// What the engine is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// Its version. Shape: `20.10.24`.
    pub engine: String,
    /// The newest API it speaks. Shape: `1.41`.
    pub api: String,
    /// Shape: `linux/amd64`.
    pub platform: String,
}

/// What the engine knows of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// The engine's id of it.
    pub id: String,
    /// Whether its first process runs.
    pub running: bool,
    /// Its first process, as the host numbers it.
    pub pid: Option<u32>,
    /// Who it runs as, as it was asked for; empty for the image's default.
    pub user: String,
    /// Digest of its image (`sha256:…`).
    pub image: String,
    /// When it was last started, RFC 3339; the engine's clock.
    pub started_at: String,
    /// How its last run ended; 0 while it runs.
    pub exit: i64,
}

impl Engine {
    /// Connects to the engine at `socket` and agrees on an API version with it.
    ///
    /// # Errors
    /// [`EngineError::Unavailable`] when there is none or it does not answer.
    pub async fn connect(socket: &Path) -> Result<Self, EngineError> {
        let socket = super::body::text(socket)?;
        let what = "connect";
        let docker = Docker::connect_with_unix(&socket, ACT_LIMIT.as_secs(), API_DEFAULT_VERSION)
            .map_err(|e| EngineError::sort(what, &socket, &e))?;
        let docker = timeout(ASK_LIMIT, docker.negotiate_version())
            .await
            .unwrap_or(Err(Error::RequestTimeoutError))
            .map_err(|e| EngineError::sort(what, &socket, &e))?;
        Ok(Self { docker, socket })
    }

    /// Whether the engine answers.
    pub async fn ping(&self) -> Result<(), EngineError> {
        self.ask("ping", self.docker.ping()).await.map(drop)
    }

    /// What the engine is.
    pub async fn version(&self) -> Result<Version, EngineError> {
        let found = self
            .ask("ask for the version", self.docker.version())
            .await?;
        let or_unknown = |text: Option<String>| text.unwrap_or_else(|| "unknown".to_owned());
        Ok(Version {
            engine: or_unknown(found.version),
            api: or_unknown(found.api_version),
            platform: format!("{}/{}", or_unknown(found.os), or_unknown(found.arch)),
        })
    }

    /// Sends `signal` (shape: `HUP`) to the first process of `container`.
    pub async fn signal(&self, container: &str, signal: &str) -> Result<(), EngineError> {
        let docker = self.docker.clone();
        let name = container.to_owned();
        let options = KillContainerOptionsBuilder::new().signal(signal).build();
        self.act(&format!("signal {container}"), async move {
            docker.kill_container(&name, Some(options)).await
        })
        .await
    }

    /// What the engine knows of `container`.
    ///
    /// # Errors
    /// [`EngineError::NotFound`] when there is none of that name.
    pub async fn facts(&self, container: &str) -> Result<Facts, EngineError> {
        Ok(facts(self.inspect(container).await?))
    }

    /// The command lines of every process of `container`. Source: `docker top`, which runs `ps` on the engine's host.
    pub async fn processes(&self, container: &str) -> Result<Vec<String>, EngineError> {
        let options = TopOptionsBuilder::new().ps_args("-eo pid,args").build();
        let asked = self.docker.top_processes(container, Some(options));
        let what = format!("list the processes of {container}");
        let rows = self.ask(&what, asked).await?.processes.unwrap_or_default();
        Ok(rows.into_iter().filter_map(|mut row| row.pop()).collect())
    }

    /// The last `lines` that `container` wrote, standard output and error together; 64 KiB at most.
    pub async fn logs_tail(&self, container: &str, lines: u32) -> Result<String, EngineError> {
        let options = LogsOptionsBuilder::new()
            .stdout(true)
            .stderr(true)
            .tail(&lines.to_string())
            .build();
        let stream = self.docker.logs(container, Some(options));
        self.ask(&format!("read the log of {container}"), collect(stream))
            .await
    }

    /// The whole of what the engine knows.
    pub(crate) async fn inspect(
        &self,
        container: &str,
    ) -> Result<ContainerInspectResponse, EngineError> {
        let asked = self.docker.inspect_container(container, None);
        self.ask(&format!("inspect {container}"), asked).await
    }

    /// The client, for this folder.
    pub(crate) fn docker(&self) -> &Docker {
        &self.docker
    }

    /// Awaits a question, at most [`ASK_LIMIT`].
    pub(crate) async fn ask<T>(
        &self,
        what: &str,
        question: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, EngineError> {
        timeout(ASK_LIMIT, question)
            .await
            .unwrap_or(Err(Error::RequestTimeoutError))
            .map_err(|e| EngineError::sort(what, &self.socket, &e))
    }

    /// Awaits an act in a task of its own.
    ///
    /// # Cancel safety
    /// A caller that stops waiting does not abandon the request: a create that nobody awaits would appear after the
    /// undo that found nothing to remove.
    pub(crate) async fn act<T: Send + 'static>(
        &self,
        what: &str,
        act: impl Future<Output = Result<T, Error>> + Send + 'static,
    ) -> Result<T, EngineError> {
        match tokio::spawn(act).await {
            Ok(answer) => answer.map_err(|e| EngineError::sort(what, &self.socket, &e)),
            Err(ended) => Err(EngineError::Unavailable {
                what: what.to_owned(),
                socket: self.socket.clone(),
                detail: ended.to_string(),
            }),
        }
    }
}

/// Reads a log stream to its end, keeping the last [`OUTPUT_MAX`] bytes.
async fn collect(stream: impl Stream<Item = Result<LogOutput, Error>>) -> Result<String, Error> {
    let mut stream = std::pin::pin!(stream);
    let mut output = Vec::new();
    while let Some(piece) = stream.next().await {
        output.extend_from_slice(&piece?.into_bytes());
        if output.len() > 2 * OUTPUT_MAX {
            output.drain(..output.len() - OUTPUT_MAX);
        }
    }
    let start = output.len().saturating_sub(OUTPUT_MAX);
    Ok(String::from_utf8_lossy(&output[start..]).into_owned())
}

fn facts(found: ContainerInspectResponse) -> Facts {
    let state = found.state.unwrap_or_default();
    Facts {
        id: found.id.unwrap_or_default(),
        running: state.running.unwrap_or(false),
        pid: state
            .pid
            .and_then(|pid| u32::try_from(pid).ok())
            .filter(|pid| *pid > 0),
        user: found.config.and_then(|c| c.user).unwrap_or_default(),
        image: found.image.unwrap_or_default(),
        started_at: state.started_at.unwrap_or_default(),
        exit: state.exit_code.unwrap_or(0),
    }
}
