//! A source and a folder of releases in a temporary folder, and short words for what tests do with them.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, UTIME_OMIT, utimensat};
use stratus_agent::tree::{self, CancelFlag, Progress, Request, Snapshot, TreeError};
use tempfile::TempDir;

pub struct Bed {
    pub source: PathBuf,
    pub releases: PathBuf,
    _dir: Option<TempDir>,
}

impl Bed {
    pub fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let bed = Self::at(dir.path());
        Self {
            _dir: Some(dir),
            ..bed
        }
    }

    pub fn at(path: &Path) -> Self {
        assert!(
            rustix::process::geteuid().is_root(),
            "these tests need root"
        );
        let source = path.join("src");
        fs::create_dir(&source).unwrap();
        Self {
            source,
            releases: path.join("env/shop/releases"),
            _dir: None,
        }
    }

    pub fn write(&self, path: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.source.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    pub fn request(&self, operation: &str) -> Request {
        Request::new(&self.source, &self.releases, operation)
    }

    /// The names in the folder of releases; none if it is not there.
    pub fn shelf(&self) -> Vec<String> {
        let Ok(entries) = fs::read_dir(&self.releases) else {
            return Vec::new();
        };
        let mut names: Vec<_> = entries
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

pub fn take(request: &Request) -> Result<Snapshot, TreeError> {
    tree::take(request, &Progress::default(), &CancelFlag::default())
}

pub fn refused(error: &TreeError) -> Vec<String> {
    match error {
        TreeError::Refused(refusals) => refusals.entries.iter().map(ToString::to_string).collect(),
        other => panic!("not a refusal: {other:?}"),
    }
}

pub fn set_mtime(path: &Path, secs: i64, nanos: i64) {
    let times = Timestamps {
        last_access: Timespec {
            tv_sec: 0,
            tv_nsec: UTIME_OMIT,
        },
        last_modification: Timespec {
            tv_sec: secs,
            tv_nsec: nanos,
        },
    };
    utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
}

pub fn mtime(path: &Path) -> (i64, i64) {
    let meta = fs::symlink_metadata(path).unwrap();
    (meta.mtime(), meta.mtime_nsec())
}

pub fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().mode() & 0o7777
}

pub fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

pub fn inode(path: &Path) -> u64 {
    fs::symlink_metadata(path).unwrap().ino()
}

/// A filesystem mounted for one test.
pub struct Mount {
    pub path: PathBuf,
    _dir: TempDir,
}

impl Mount {
    /// A tmpfs with the options given (`size=1m`).
    pub fn tmpfs(options: &str) -> Self {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("mount");
        fs::create_dir(&path).unwrap();
        run(
            "mount",
            &[
                "-t",
                "tmpfs",
                "-o",
                options,
                "tmpfs",
                path.to_str().unwrap(),
            ],
        );
        Self { path, _dir: dir }
    }

    /// An ext4 image on a loop device.
    pub fn ext4(megabytes: u64) -> Self {
        let dir = TempDir::new().unwrap();
        let (image, path) = (dir.path().join("image"), dir.path().join("mount"));
        fs::create_dir(&path).unwrap();
        fs::File::create(&image)
            .unwrap()
            .set_len(megabytes << 20)
            .unwrap();
        run("mkfs.ext4", &["-q", image.to_str().unwrap()]);
        run(
            "mount",
            &[
                "-o",
                "loop",
                image.to_str().unwrap(),
                path.to_str().unwrap(),
            ],
        );
        Self { path, _dir: dir }
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        run("umount", &[self.path.to_str().unwrap()]);
    }
}

pub fn run(program: &str, arguments: &[&str]) {
    let output = std::process::Command::new(program).args(arguments).output();
    let output = output.unwrap_or_else(|e| panic!("{program} is needed: {e}"));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {stderr}");
}
