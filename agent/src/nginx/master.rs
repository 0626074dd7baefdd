//! nginx's master process: whether it runs, what it is, and how it is told to read its file again.

use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use stratus_core::router::RouterError;
use stratus_core::{Fault, Faulty as _, InstallationId};

use crate::docker::{Bind, Engine, EngineError, Finished, Once, Tmpfs};

/// Who tests a text: somebody who owns nothing.
const NOBODY: &str = "65534:65534";
/// How long a throw-away container may run.
const TRIAL_LIMIT: Duration = Duration::from_secs(20);
/// Memory of a throw-away container, in bytes.
const TRIAL_MEMORY: u64 = 256 << 20;

/// The one door to nginx's processes; a trait, so that its failures can be played.
#[async_trait]
pub trait Master: Send + Sync {
    /// Whether it runs.
    async fn state(&self) -> Result<State, EngineError>;

    /// What `nginx -v` says in a throw-away container of `image`.
    async fn version(&self, image: &str) -> Result<Finished, EngineError>;

    /// What `nginx -t` says of `<candidate>/nginx.conf`, in a throw-away container that sees nothing else.
    async fn test(&self, image: &str, candidate: &Path) -> Result<Finished, EngineError>;

    /// Tells it to read its file again. That it did is told by nothing but its answers.
    async fn reload(&self) -> Result<(), EngineError>;

    /// Tells it to open its logs anew.
    async fn reopen(&self) -> Result<(), EngineError>;

    /// Its workers.
    async fn workers(&self) -> Result<Workers, EngineError>;

    /// The last lines that it wrote.
    async fn log_tail(&self) -> Result<String, EngineError>;
}

/// Whether nginx runs, and of what image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// There is no container of its name.
    Missing,
    /// Its container does not run.
    Stopped {
        /// Digest of its image.
        image: String,
    },
    /// Its container runs.
    Running {
        /// Digest of its image.
        image: String,
    },
}

/// How many workers there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Workers {
    /// That accept connections, or may.
    pub serving: usize,
    /// Of an older configuration, over their last requests.
    pub leaving: usize,
}

impl Workers {
    /// Counts command lines. Source: `ngx_setproctitle` calls in `src/os/unix/ngx_process_cycle.c`, nginx 1.30.
    pub fn count(commands: &[String]) -> Self {
        let mut workers = Self::default();
        for command in commands {
            if command.starts_with("nginx: worker process is shutting down") {
                workers.leaving += 1;
            } else if command.starts_with("nginx: worker process") {
                workers.serving += 1;
            }
        }
        workers
    }
}

/// The master in a container of an engine.
#[derive(Debug, Clone)]
pub struct Container {
    engine: Engine,
    name: String,
    installation: InstallationId,
    folder: PathBuf,
}

impl Container {
    /// The container `name`, whose nginx reads `<folder>/nginx.conf` and writes under `<folder>/run`, `<folder>/log`, and `<folder>/varnish` where there is one.
    pub fn new(engine: Engine, name: &str, installation: &InstallationId, folder: PathBuf) -> Self {
        Self {
            engine,
            name: name.to_owned(),
            installation: installation.clone(),
            folder,
        }
    }

    fn once(&self, purpose: &str, image: &str, arguments: &[&str]) -> Once {
        let argv = std::iter::once("nginx").chain(arguments.iter().copied());
        Once {
            installation: self.installation.clone(),
            purpose: purpose.to_owned(),
            image: image.to_owned(),
            argv: argv.map(str::to_owned).collect(),
            user: NOBODY.to_owned(),
            binds: Vec::new(),
            tmpfs: vec![tmpfs("/tmp")],
            memory: TRIAL_MEMORY,
            timeout: TRIAL_LIMIT,
            labels: std::collections::HashMap::new(),
        }
    }
}

fn tmpfs(target: impl Into<PathBuf>) -> Tmpfs {
    Tmpfs {
        target: target.into(),
        bytes: 16 << 20,
    }
}

#[async_trait]
impl Master for Container {
    async fn state(&self) -> Result<State, EngineError> {
        match self.engine.facts(&self.name).await {
            Ok(facts) if facts.running => Ok(State::Running { image: facts.image }),
            Ok(facts) => Ok(State::Stopped { image: facts.image }),
            Err(EngineError::NotFound { .. }) => Ok(State::Missing),
            Err(error) => Err(error),
        }
    }

    async fn version(&self, image: &str) -> Result<Finished, EngineError> {
        self.engine
            .run_once(self.once("nginx-version", image, &["-v"]))
            .await
    }

    async fn test(&self, image: &str, candidate: &Path) -> Result<Finished, EngineError> {
        let file = self.folder.join("nginx.conf");
        let file = file.to_string_lossy();
        let mut once = self.once(
            "nginx-test",
            image,
            &["-e", "stderr", "-t", "-q", "-c", &file],
        );
        // The same paths as in the real container, but the private sockets that a test binds are thrown away.
        for sockets in ["run", "varnish"] {
            once.tmpfs.push(tmpfs(self.folder.join(sockets)));
        }
        // Nor does a test write into the logs.
        let logs = std::fs::read_dir(candidate.join("log"));
        for log in logs.into_iter().flatten().flatten() {
            let folder = self.folder.join("log").join(log.file_name());
            once.tmpfs.push(tmpfs(folder));
        }
        once.binds.push(Bind {
            source: candidate.to_owned(),
            target: self.folder.clone(),
            read_only: true,
        });
        self.engine.run_once(once).await
    }

    async fn reload(&self) -> Result<(), EngineError> {
        self.engine.signal(&self.name, "HUP").await
    }

    async fn reopen(&self) -> Result<(), EngineError> {
        self.engine.signal(&self.name, "USR1").await
    }

    async fn workers(&self) -> Result<Workers, EngineError> {
        Ok(Workers::count(&self.engine.processes(&self.name).await?))
    }

    async fn log_tail(&self) -> Result<String, EngineError> {
        self.engine.logs_tail(&self.name, 400).await
    }
}

impl From<EngineError> for RouterError {
    fn from(error: EngineError) -> Self {
        let detail = error.to_string();
        match error.fault() {
            Fault::Transient => Self::Unavailable { detail },
            Fault::Permanent => Self::Refused { detail },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_are_counted_by_what_they_call_themselves() {
        let commands = [
            "nginx: master process nginx -e stderr -c /d/nginx/nginx.conf -g daemon off;",
            "nginx: worker process",
            "nginx: worker process is shutting down",
            "nginx: worker process",
            "sh -c nginx: worker process",
        ];
        let expected = Workers {
            serving: 2,
            leaving: 1,
        };
        assert_eq!(Workers::count(&commands.map(str::to_owned)), expected);
    }
}
