//! Facts about this host: the data folder's disk, the kernel, owners and modes. Collects, never judges.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use serde::Serialize;

/// Everything about the host.
#[derive(Debug, Clone)]
pub struct HostFacts {
    /// Below the data folder.
    pub disk: Result<DiskFacts, String>,
    /// The running kernel.
    pub kernel: KernelFacts,
    /// Who the server runs as.
    pub uid: u32,
    /// The data folder, or what keeps it from being looked at.
    pub data_dir: Folder,
    /// The folder of the server's socket.
    pub socket_dir: Folder,
}

/// The file system of a folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DiskFacts {
    /// The folder, or the nearest one above it that exists.
    pub folder: PathBuf,
    /// In bytes, for this user.
    pub free_bytes: u64,
    /// In bytes.
    pub total_bytes: u64,
    /// For this user.
    pub free_inodes: u64,
    /// 0 where the file system makes them as it needs them.
    pub total_inodes: u64,
    /// Shape: `ext4`.
    pub filesystem: String,
    /// Whether files can share their data; none when it could not be tried.
    pub reflinks: Option<bool>,
}

/// What the kernel can do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KernelFacts {
    /// Shape: `6.1.0-18-amd64`.
    pub release: String,
    /// Whether paths can be opened below a folder without following symlinks.
    pub openat2: bool,
    /// Longest queue of connections that a socket may ask for.
    pub somaxconn: Option<u64>,
    /// Longest queue of a datagram socket.
    pub max_dgram_qlen: Option<u64>,
}

/// A folder, as far as it could be looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Folder {
    /// It is not there yet.
    Missing(PathBuf),
    /// Something else has its name.
    NotAFolder(PathBuf),
    /// It cannot be looked at.
    Hidden(PathBuf, String),
    /// It is there.
    There {
        /// Where.
        path: PathBuf,
        /// Its owner.
        uid: u32,
        /// Its permission bits.
        mode: u32,
    },
}

/// Looks at the host. May take as long as the disk takes to answer.
pub fn look(data_dir: &Path, socket: &Path) -> HostFacts {
    HostFacts {
        disk: disk(data_dir),
        kernel: KernelFacts {
            release: rustix::system::uname()
                .release()
                .to_string_lossy()
                .into_owned(),
            openat2: openat2(),
            somaxconn: setting("net/core/somaxconn"),
            max_dgram_qlen: setting("net/unix/max_dgram_qlen"),
        },
        uid: rustix::process::geteuid().as_raw(),
        data_dir: folder(data_dir),
        socket_dir: folder(socket.parent().unwrap_or(Path::new("/"))),
    }
}

fn setting(name: &str) -> Option<u64> {
    let text = fs::read_to_string(Path::new("/proc/sys").join(name)).ok()?;
    text.trim().parse().ok()
}

fn openat2() -> bool {
    rustix::fs::openat2(
        CWD,
        "/",
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
        ResolveFlags::NO_SYMLINKS,
    )
    .is_ok()
}

fn folder(path: &Path) -> Folder {
    let path = path.to_owned();
    match fs::metadata(&path) {
        Ok(metadata) if metadata.is_dir() => Folder::There {
            path,
            uid: metadata.uid(),
            mode: metadata.mode() & 0o7777,
        },
        Ok(_) => Folder::NotAFolder(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Folder::Missing(path),
        Err(error) => Folder::Hidden(path, error.to_string()),
    }
}

fn disk(data_dir: &Path) -> Result<DiskFacts, String> {
    let folder = data_dir
        .ancestors()
        .find(|folder| folder.is_dir())
        .unwrap_or(Path::new("/"));
    let space = rustix::fs::statvfs(folder).map_err(|error| error.to_string())?;
    Ok(DiskFacts {
        folder: folder.to_owned(),
        free_bytes: space.f_bavail.saturating_mul(space.f_frsize),
        total_bytes: space.f_blocks.saturating_mul(space.f_frsize),
        free_inodes: space.f_favail,
        total_inodes: space.f_files,
        filesystem: filesystem(folder),
        reflinks: reflinks(folder),
    })
}

/// The type of the file system, as the kernel's mount table names it.
fn filesystem(folder: &Path) -> String {
    let device = fs::metadata(folder).map(|m| m.dev()).unwrap_or_default();
    let wanted = format!(
        "{}:{}",
        rustix::fs::major(device),
        rustix::fs::minor(device)
    );
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    table
        .lines()
        .filter(|line| line.split(' ').nth(2) == Some(&wanted))
        .find_map(|line| line.split_once(" - ")?.1.split(' ').next())
        .unwrap_or("unknown")
        .to_owned()
}

/// Tries it with two files that never have a name.
fn reflinks(folder: &Path) -> Option<bool> {
    let nameless = || {
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        rustix::fs::openat(CWD, folder, flags, Mode::RUSR | Mode::WUSR)
    };
    let (source, target) = (nameless().ok()?, nameless().ok()?);
    rustix::io::write(&source, &[0; 4096]).ok()?;
    match rustix::fs::ioctl_ficlone(&target, &source) {
        Ok(()) => Some(true),
        Err(Errno::OPNOTSUPP | Errno::NOTTY | Errno::INVAL | Errno::XDEV | Errno::NOSYS) => {
            Some(false)
        }
        Err(_) => None,
    }
}
