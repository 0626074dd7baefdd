//! A file that holds room on the disk, given up when the disk is full so that the journal can still be written.

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};

use rustix::fs::FallocateFlags;

/// Enough for the journal of thousands of steps and SQLite's own log, in bytes.
const SIZE: u64 = 4 << 20;

/// The reserve of one data folder.
pub struct Reserve {
    path: PathBuf,
}

impl Reserve {
    /// The reserve beside the database at `path`.
    pub fn beside(path: &Path) -> Self {
        Self {
            path: path.with_file_name("reserve"),
        }
    }

    /// Takes the room, if it is not taken yet. On a disk that is full it is taken later.
    pub fn take(&self) {
        if fs::metadata(&self.path).is_ok_and(|m| m.len() == SIZE) {
            return;
        }
        let taken = OpenOptions::new()
            .create(true)
            .truncate(true)
            .write(true)
            .open(&self.path)
            .and_then(|file| {
                Ok(rustix::fs::fallocate(
                    file,
                    FallocateFlags::empty(),
                    0,
                    SIZE,
                )?)
            });
        if taken.is_err() {
            // A half-taken reserve would only eat what little is left.
            let _ = fs::remove_file(&self.path);
        }
    }

    /// Gives the room back to the disk. Whether there was any.
    pub fn give_up(&self) -> bool {
        fs::remove_file(&self.path).is_ok()
    }
}
