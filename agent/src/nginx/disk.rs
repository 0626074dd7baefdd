//! nginx's file and folders on disk: written whole or not at all, and what a killed nginx left behind.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{
    DirBuilderExt as _, FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _,
    PermissionsExt as _,
};
use std::path::{Path, PathBuf};

use stratus_core::environment::User;
use stratus_core::route::{RouteTable, Site};
use stratus_core::router::RouterError;

use super::flip::sync_folder;
use super::logs::{self, Owners};
use crate::layout::Layout;

/// Password files kept that no text names any more.
const OLD_PASSWORDS_MAX: usize = 50;

/// nginx's folder.
#[derive(Debug, Clone)]
pub(super) struct Disk {
    layout: Layout,
    user: User,
}

impl Disk {
    /// The folder of `layout`, whose `run` belongs to `user`.
    pub(super) fn new(layout: Layout, user: User) -> Self {
        Self { layout, user }
    }

    /// Makes the folders that nginx needs to start.
    pub(super) fn folders(&self) -> Result<(), RouterError> {
        let User { uid, gid } = self.user;
        let (nginx, run) = (self.layout.nginx(), self.layout.nginx_run());
        let trial = self.candidate().join("run");
        for (folder, mode, owner) in [
            (&self.layout.environments(), 0o755, None),
            (&nginx, 0o750, Some((None, gid))),
            (&self.candidate(), 0o755, None),
            // A throw-away container's /run takes over this mode, and nobody else can look in here.
            (&trial, 0o1777, None),
            (&self.candidate().join("varnish"), 0o1777, None),
            (&self.layout.nginx_passwords(), 0o750, Some((None, gid))),
            // Whoever may open the sockets in it may ask nginx private questions and forge records.
            (&run, 0o750, Some((Some(uid), gid))),
            // Those in it are each for the owner of one environment's code.
            (&self.layout.nginx_log(), 0o750, Some((None, gid))),
            // Varnish makes its socket in it, as a member of nginx's group.
            (&self.layout.nginx_varnish(), 0o770, Some((Some(uid), gid))),
        ] {
            make(folder, mode)
                .map_err(|e| failed(format!("make the folder {}", folder.display()), e))?;
            if let Some((uid, gid)) = owner {
                give(folder, uid, gid)
                    .map_err(|e| failed(format!("give {} to nginx's user", folder.display()), e))?;
            }
        }
        Ok(())
    }

    /// What nginx would read now; `None` when there is no file.
    pub(super) fn read(&self) -> Result<Option<String>, RouterError> {
        let file = self.layout.nginx_configuration();
        match fs::read(&file) {
            Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(failed(format!("read {}", file.display()), e)),
        }
    }

    /// The folder of a text that is not in place yet.
    pub(super) fn candidate(&self) -> PathBuf {
        self.layout.nginx().join("candidate")
    }

    /// Makes the folders of the logs that the text for `table` names: without one nginx does not start.
    pub(super) fn logs(&self, table: &RouteTable) -> Result<(), RouterError> {
        logs::folders(&self.layout, &self.owners(table.sites.clone()))
            .map_err(|e| failed("make the folders of logs".to_owned(), e))
    }

    /// Makes those that stand for them while the text is tested.
    pub(super) fn trial_logs(&self, table: &RouteTable) -> Result<(), RouterError> {
        logs::trial_folders(table, &self.candidate())
            .map_err(|e| failed("make the folders of logs for a test".to_owned(), e))
    }

    /// Whose the logs of `sites` are.
    pub(super) fn owners(&self, sites: Vec<Site>) -> Owners {
        Owners {
            nginx: self.user,
            sites,
        }
    }

    /// Writes a text that is not in place yet; durable when it returns.
    pub(super) fn write_candidate(&self, text: &str) -> Result<(), RouterError> {
        let file = self.candidate().join("nginx.conf");
        write(&file, text, 0o644).map_err(|e| failed(format!("write {}", file.display()), e))
    }

    /// Writes the password files that a text names. A file is named after its content, so one that is there is right.
    /// The newest of those that it does not name stay, for a worker of an older text may still look into one.
    pub(super) fn write_passwords(
        &self,
        files: &BTreeMap<String, String>,
    ) -> Result<(), RouterError> {
        let folder = self.layout.nginx_passwords();
        for (name, text) in files {
            let (file, fresh) = (folder.join(name), folder.join("new"));
            let write = || {
                if file.exists() {
                    return Ok(());
                }
                write(&fresh, text, 0o640)?;
                give(&fresh, None, self.user.gid)?;
                fs::rename(&fresh, &file)
            };
            write().map_err(|e| failed(format!("write {}", file.display()), e))?;
        }
        if files.is_empty() {
            return Ok(());
        }
        prune(&folder, files)
            .and_then(|()| sync_folder(&folder))
            .map_err(|e| failed(format!("tidy {}", folder.display()), e))
    }

    /// Puts the candidate in place; durable when it returns.
    pub(super) fn commit(&self) -> Result<(), RouterError> {
        let (from, to) = (
            self.candidate().join("nginx.conf"),
            self.layout.nginx_configuration(),
        );
        fs::rename(&from, &to)
            .and_then(|()| sync_folder(&self.layout.nginx()))
            .map_err(|e| failed(format!("put {} in place", to.display()), e))
    }

    /// Removes what a killed nginx left behind: it refuses to bind a socket that exists, and would not start.
    /// Only for an nginx that does not listen.
    pub(super) fn clear_leftovers(&self) -> Result<(), RouterError> {
        for socket in [self.layout.control_socket(), self.layout.origin_socket()] {
            let is_socket = fs::symlink_metadata(&socket).is_ok_and(|m| m.file_type().is_socket());
            if is_socket {
                fs::remove_file(&socket)
                    .map_err(|e| failed(format!("remove the stale {}", socket.display()), e))?;
            }
        }
        Ok(())
    }
}

/// Removes the oldest files of `folder` that are not named in `named`.
fn prune(folder: &Path, named: &BTreeMap<String, String>) -> io::Result<()> {
    let mut others = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let is_named = entry
            .file_name()
            .to_str()
            .is_some_and(|n| named.contains_key(n));
        if !is_named {
            others.push((entry.metadata()?.modified()?, entry.path()));
        }
    }
    others.sort();
    others.reverse();
    for (_, old) in others.iter().skip(OLD_PASSWORDS_MAX) {
        fs::remove_file(old)?;
    }
    Ok(())
}

/// Writes a whole file; durable when it returns.
fn write(file: &Path, text: &str, mode: u32) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let mut out: File = options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(mode)
        .open(file)?;
    out.write_all(text.as_bytes())?;
    out.sync_all()
}

/// Makes a folder, or gives one that is there the mode it should have.
pub(super) fn make(folder: &Path, mode: u32) -> io::Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(mode)
        .create(folder)?;
    if fs::metadata(folder)?.mode() & 0o7777 == mode {
        return Ok(());
    }
    fs::set_permissions(folder, Permissions::from_mode(mode))
}

pub(super) fn give(folder: &Path, uid: Option<u32>, gid: u32) -> io::Result<()> {
    let now = fs::metadata(folder)?;
    if uid.is_none_or(|uid| uid == now.uid()) && gid == now.gid() {
        return Ok(());
    }
    std::os::unix::fs::chown(folder, uid, Some(gid))
}

fn failed(detail: String, source: io::Error) -> RouterError {
    RouterError::Io { detail, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn password_files_that_no_text_names_do_not_pile_up() {
        let folder = tempfile::tempdir().unwrap();
        let (uid, gid) = (
            rustix::process::geteuid().as_raw(),
            rustix::process::getegid().as_raw(),
        );
        let layout = Layout::new(folder.path(), "5f3a9c".parse().unwrap());
        let disk = Disk::new(layout.clone(), User { uid, gid });
        disk.folders().unwrap();
        let first = BTreeMap::from([("first".to_owned(), "anna:x".to_owned())]);
        disk.write_passwords(&first).unwrap();
        for number in 0..2 * OLD_PASSWORDS_MAX {
            let mut named = first.clone();
            named.insert(format!("file{number}"), number.to_string());
            disk.write_passwords(&named).unwrap();
        }
        let kept = fs::read_dir(layout.nginx_passwords()).unwrap().count();
        assert_eq!(kept, OLD_PASSWORDS_MAX + 2);
        let first = layout.nginx_passwords().join("first");
        assert_eq!(fs::read_to_string(&first).unwrap(), "anna:x");
        assert_eq!(fs::metadata(&first).unwrap().mode() & 0o777, 0o640);
    }
}
