//! The data folder: its lock, which forbids a second server, and the installation's id.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::FlockOperation;
use stratus_core::InstallationId;

/// Why the data folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// Another server has it.
    #[error(
        "another stratusd already serves {0}; stop it first, or give this one a data_dir of its own"
    )]
    Taken(String),
    /// The id file is not what we wrote.
    #[error("{0} does not hold an installation id; restore it: containers are known by it")]
    Damaged(String),
    /// A system call failed.
    #[error("{path} cannot be used: {source}")]
    Io {
        /// The path.
        path: String,
        /// What came back.
        source: std::io::Error,
    },
}

/// A data folder that this process has for itself, until it is dropped.
#[derive(Debug)]
pub struct DataDir {
    installation: InstallationId,
    _lock: File,
}

impl DataDir {
    /// Takes the folder at `path`, making it where there is none.
    ///
    /// # Errors
    /// When another server has it, or it cannot be written to.
    pub fn take(path: &Path) -> Result<Self, DataDirError> {
        let io = |source| DataDirError::Io {
            path: path.display().to_string(),
            source,
        };
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o755)
            .create(path)
            .map_err(io)?;
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(path.join("lock"))
            .map_err(io)?;
        match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                return Err(DataDirError::Taken(path.display().to_string()));
            }
            Err(error) => return Err(io(error.into())),
        }
        Ok(Self {
            installation: installation(&path.join("installation"))?,
            _lock: lock,
        })
    }

    /// Whose folder it is.
    pub fn installation(&self) -> &InstallationId {
        &self.installation
    }
}

/// The id in the file at `path`, or a new one. A folder that has a state database never gets a new one.
fn installation(path: &Path) -> Result<InstallationId, DataDirError> {
    let shown = || path.display().to_string();
    let io = |source| DataDirError::Io {
        path: shown(),
        source,
    };
    match fs::read_to_string(path) {
        Ok(text) => text
            .trim()
            .parse()
            .map_err(|_| DataDirError::Damaged(shown())),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            if path.with_file_name("state.db").exists() {
                return Err(DataDirError::Damaged(shown()));
            }
            let number = getrandom::u32().map_err(|e| io(e.into()))? & 0x00ff_ffff;
            let text = format!("{number:06x}");
            let next = path.with_extension("new");
            let mut file = File::create(&next).map_err(io)?;
            file.write_all(text.as_bytes())
                .and_then(|()| file.sync_all())
                .map_err(io)?;
            fs::rename(&next, path).map_err(io)?;
            Ok(text
                .parse()
                .expect("six hexadecimal digits are an installation id"))
        }
        Err(error) => Err(io(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_server_on_one_folder_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let first = DataDir::take(folder.path()).unwrap();
        let second = DataDir::take(folder.path()).unwrap_err();
        assert!(matches!(second, DataDirError::Taken(_)), "{second}");
        drop(first);
        DataDir::take(folder.path()).unwrap();
    }

    #[test]
    fn the_installation_keeps_its_id() {
        let folder = tempfile::tempdir().unwrap();
        let id = DataDir::take(folder.path()).unwrap().installation().clone();
        assert_eq!(DataDir::take(folder.path()).unwrap().installation(), &id);
    }

    #[test]
    fn a_folder_that_has_state_and_lost_its_id_is_not_taken_for_a_new_one() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("state.db"), "x").unwrap();
        let refused = DataDir::take(folder.path()).unwrap_err();
        assert!(matches!(refused, DataDirError::Damaged(_)), "{refused}");
    }
}
