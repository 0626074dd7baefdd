//! A wire to the container engine that a test can cut: a unix socket in front of the engine's own.

use std::path::{Path, PathBuf};

use anyhow::Context;
use tokio::net::{UnixListener, UnixStream};
use tokio::task::{JoinHandle, JoinSet};

/// Where the engine listens.
const ENGINE: &str = "/var/run/docker.sock";

/// A socket through which the engine is reached, until it is cut.
pub struct Wire {
    path: PathBuf,
    carrying: Option<JoinHandle<()>>,
}

impl Wire {
    /// Lays a wire from `path` to the engine.
    ///
    /// # Errors
    /// When the socket cannot be made.
    pub fn lay(path: &Path) -> anyhow::Result<Self> {
        let mut wire = Self {
            path: path.to_owned(),
            carrying: None,
        };
        wire.mend()?;
        Ok(wire)
    }

    /// As `DOCKER_HOST` names it.
    pub fn docker_host(&self) -> String {
        format!("unix://{}", self.path.display())
    }

    /// Ends every connection and refuses new ones, as an engine does that died.
    ///
    /// # Errors
    /// When the socket cannot be removed.
    pub async fn cut(&mut self) -> anyhow::Result<()> {
        if let Some(carrying) = self.carrying.take() {
            carrying.abort();
            let _ = carrying.await;
        }
        std::fs::remove_file(&self.path).context("the wire is cut already")
    }

    /// Lets the engine be reached again.
    ///
    /// # Errors
    /// When the socket cannot be made.
    pub fn mend(&mut self) -> anyhow::Result<()> {
        let listener = UnixListener::bind(&self.path)
            .with_context(|| format!("no socket {}", self.path.display()))?;
        self.carrying = Some(tokio::spawn(carry(listener)));
        Ok(())
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        if let Some(carrying) = &self.carrying {
            carrying.abort();
        }
    }
}

/// Dropped with its task, the set ends every connection.
async fn carry(listener: UnixListener) {
    let mut connections = JoinSet::new();
    while let Ok((mut near, _)) = listener.accept().await {
        connections.spawn(async move {
            let Ok(mut far) = UnixStream::connect(ENGINE).await else {
                return;
            };
            // Either side may end it; there is nobody to tell.
            let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
        });
        while connections.try_join_next().is_some() {}
    }
}
