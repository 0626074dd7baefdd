//! A small filesystem for a test: full when the test wants it so, gone when the test is over.

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};
use rustix::fs::{FallocateFlags, fallocate};

/// A filesystem in memory, mounted until dropped.
pub struct SmallDisk {
    path: PathBuf,
}

impl SmallDisk {
    /// Mounts `mebibytes` at `path`, which is made.
    ///
    /// # Errors
    /// When it cannot be mounted: only root can.
    pub fn mount(path: &Path, mebibytes: u32) -> anyhow::Result<Self> {
        std::fs::create_dir_all(path)?;
        let options = format!("size={mebibytes}m,mode=0755");
        let out = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &options, "tmpfs"])
            .arg(path)
            .output()
            .context("mount cannot be run")?;
        ensure!(
            out.status.success(),
            "{}: {}",
            path.display(),
            String::from_utf8_lossy(&out.stderr)
        );
        Ok(Self {
            path: path.to_owned(),
        })
    }

    /// Takes all the room there is, until the file is removed.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub fn fill(&self) -> anyhow::Result<PathBuf> {
        let path = self.path.join("ballast");
        let ballast = OpenOptions::new()
            .create(true)
            .truncate(true)
            .write(true)
            .open(&path)?;
        take_all(&ballast);
        Ok(path)
    }
}

/// Ever smaller pieces, until not one page is left.
fn take_all(ballast: &File) {
    let (mut end, mut piece) = (0, 16 << 20);
    while piece >= 4096 {
        match fallocate(ballast, FallocateFlags::empty(), end, piece) {
            Ok(()) => end += piece,
            Err(_) => piece /= 2,
        }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a container that is being removed may hold it for another moment.
        let _ = Command::new("umount").arg("-l").arg(&self.path).output();
    }
}
