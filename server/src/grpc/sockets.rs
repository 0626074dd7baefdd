//! The sockets of the environments: one each, for its shell and its scripts, `<run>/env/NAME/stratus.sock`.
//!
//! The folder of a socket is mounted into a container. It is made once and never replaced or removed: a socket that is
//! bound anew in it is seen there. It belongs to the server, so that nobody else can put anything in it; the socket
//! belongs to the owner of the environment's code, mode 0600.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs::{self, DirBuilder, Permissions};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, lchown};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, bail};
use stratus_core::{Environment, EnvironmentName};
use tokio::net::UnixListener;
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::bound::{Bound, Scope};
use super::{Api, listen, serve_api};
use crate::config::Server;
use crate::control::Control;

/// Write permission for the group and for everybody.
const WRITE_OTHERS: u32 = 0o022;

/// All sockets of environments that are open.
pub(super) struct Sockets {
    control: Arc<Control>,
    server: Server,
    open: Mutex<BTreeMap<EnvironmentName, Open>>,
    shutdown: CancellationToken,
}

/// One that is open.
struct Open {
    /// User and group of the environment's code.
    owner: (u32, u32),
    stop: CancellationToken,
    serving: JoinHandle<()>,
}

impl Sockets {
    /// None is open yet; all are closed by `shutdown`.
    pub(super) fn new(control: Arc<Control>, server: Server, shutdown: CancellationToken) -> Self {
        Self {
            control,
            server,
            open: Mutex::default(),
            shutdown,
        }
    }

    /// Opens and closes until each of `environments` has its socket, and nobody else. One that cannot be opened is told
    /// to the log: visitors do not depend on it.
    pub(super) async fn fit(&self, environments: &[Environment]) {
        let mut open = self.open.lock().await;
        let mut wanted = BTreeMap::new();
        for environment in environments {
            match fs::metadata(&environment.code) {
                Ok(code) => drop(wanted.insert(environment.name.clone(), (code.uid(), code.gid()))),
                Err(error) => {
                    tracing::error!(environment = %environment.name, %error, "its code has no owner, it gets no socket");
                }
            }
        }
        let surplus: Vec<_> = open
            .iter()
            .filter(|(name, open)| wanted.get(*name) != Some(&open.owner))
            .map(|(name, _)| name.clone())
            .collect();
        for name in surplus {
            if let Some(one) = open.remove(&name) {
                one.stop.cancel();
                let _ = one.serving.await;
                remove(&self.server.environment_socket(&name));
            }
        }
        self.remove_stale(&wanted);
        for (name, owner) in wanted {
            let Entry::Vacant(place) = open.entry(name) else {
                continue;
            };
            match self.open(place.key(), owner) {
                Ok(one) => drop(place.insert(one)),
                Err(error) => {
                    let error = format!("{error:#}");
                    tracing::error!(environment = %place.key(), error, "it gets no socket of its own");
                }
            }
        }
    }

    /// Waits until all are closed, after the shutdown.
    pub(super) async fn closed(&self) {
        let open = std::mem::take(&mut *self.open.lock().await);
        for one in open.into_values() {
            let _ = one.serving.await;
        }
    }

    fn open(&self, name: &EnvironmentName, owner: (u32, u32)) -> anyhow::Result<Open> {
        let path = self.server.environment_socket(name);
        let listener = bind(&path, owner)?;
        let api = Api {
            control: self.control.clone(),
            scope: Scope::Environment(name.clone()),
            sockets: None,
        };
        let bound = Bound {
            environment: name.clone(),
            owner: owner.0,
        };
        let stop = self.shutdown.child_token();
        let serving = tokio::spawn({
            let (name, stop) = (name.clone(), stop.clone());
            async move {
                if let Err(error) = serve_api(api, bound, listener, stop).await {
                    tracing::error!(environment = %name, %error, "its socket is closed");
                }
            }
        });
        tracing::info!(environment = %name, socket = %path.display(), owner = owner.0, "its socket is open");
        Ok(Open {
            owner,
            stop,
            serving,
        })
    }

    /// Removes what an earlier server left for environments that are no more. Their folders stay.
    fn remove_stale(&self, wanted: &BTreeMap<EnvironmentName, (u32, u32)>) {
        let Ok(folders) = fs::read_dir(self.server.environments_folder()) else {
            return;
        };
        for folder in folders.flatten() {
            let name = folder.file_name();
            let name = name.to_str().and_then(|name| name.parse().ok());
            let surplus = name.filter(|name| !wanted.contains_key(name));
            let Some(socket) = surplus.map(|name| self.server.environment_socket(&name)) else {
                continue;
            };
            // One that answers is another server's, whose own socket is in the same folder as ours.
            if std::os::unix::net::UnixStream::connect(&socket).is_err() {
                remove(&socket);
            }
        }
    }
}

/// A socket that only `owner` and root can connect to, in a folder that only this process can write to.
fn bind(path: &Path, (uid, gid): (u32, u32)) -> anyhow::Result<UnixListener> {
    let own = path.parent().context("a socket has a folder")?;
    for folder in [own.parent().context("and that has one")?, own] {
        make(folder).with_context(|| folder.display().to_string())?;
    }
    let listener = listen(path, 0o600)?;
    // The folder is ours alone: nobody can have put a link in its place.
    lchown(path, Some(uid), Some(gid)).context("the socket cannot be given to the code's owner")?;
    Ok(listener)
}

/// Makes a folder that all can look into and this process alone can write to, or finds that it is one.
fn make(folder: &Path) -> anyhow::Result<()> {
    match DirBuilder::new().mode(0o755).create(folder) {
        Ok(()) => fs::set_permissions(folder, Permissions::from_mode(0o755))?,
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error.into()),
    }
    let found = fs::symlink_metadata(folder)?;
    let is_ours = found.uid() == rustix::process::geteuid().as_raw();
    if !found.is_dir() || !is_ours || found.mode() & WRITE_OTHERS != 0 {
        bail!("is no folder that belongs to stratusd's user alone; remove it");
    }
    Ok(())
}

fn remove(path: &Path) {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            tracing::warn!(path = %path.display(), %error, "a socket cannot be removed");
        }
        _ => {}
    }
}
