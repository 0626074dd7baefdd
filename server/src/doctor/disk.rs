//! Judges the disk of the data folder.

use bytesize::ByteSize;
use stratus_agent::host::DiskFacts;

use super::{Finding, bad, good, warning};

/// Less than this is bad, and less than four times this a warning, in bytes.
const FREE_BYTES_MIN: u64 = 512 * 1024 * 1024;
/// Less than this is bad, and less than four times this a warning.
const FREE_INODES_MIN: u64 = 20_000;
/// What a release or a socket cannot lie on.
const UNFIT: [&str; 8] = [
    "nfs", "nfs4", "cifs", "smb3", "vfat", "exfat", "9p", "overlay",
];

pub(super) fn judge(disk: &Result<DiskFacts, String>) -> Vec<Finding> {
    match disk {
        Ok(disk) => vec![space(disk), inodes(disk), filesystem(disk)],
        Err(error) => vec![bad(
            "disk",
            format!("the data folder's disk cannot be looked at: {error}"),
            "see to it that stratusd may read server.data_dir",
        )],
    }
}

fn space(disk: &DiskFacts) -> Finding {
    let message = format!(
        "{} of {} free at {}",
        ByteSize(disk.free_bytes),
        ByteSize(disk.total_bytes),
        disk.folder.display()
    );
    let remedy = "free some space, keep fewer releases (keep.releases), or move server.data_dir";
    graded(disk.free_bytes, FREE_BYTES_MIN, message, remedy)
}

fn inodes(disk: &DiskFacts) -> Finding {
    if disk.total_inodes == 0 {
        return good("disk", "inodes are made as they are needed");
    }
    let message = format!(
        "{} of {} inodes free at {}",
        disk.free_inodes,
        disk.total_inodes,
        disk.folder.display()
    );
    let remedy = "remove small files, keep fewer releases (keep.releases), or move server.data_dir";
    graded(disk.free_inodes, FREE_INODES_MIN, message, remedy)
}

fn graded(free: u64, least: u64, message: String, remedy: &str) -> Finding {
    if free < least {
        bad("disk", message, remedy)
    } else if free < 4 * least {
        warning("disk", message, remedy)
    } else {
        good("disk", message)
    }
}

fn filesystem(disk: &DiskFacts) -> Finding {
    let name = &disk.filesystem;
    if UNFIT.contains(&name.as_str()) || name.starts_with("fuse") {
        return warning(
            "disk",
            format!(
                "the file system is {name}, on which hard links, sockets or durable writes are not certain"
            ),
            "put server.data_dir on a local ext4, XFS or btrfs",
        );
    }
    let links = match disk.reflinks {
        Some(true) => "changed files share their data with the working tree (reflinks)",
        Some(false) => "changed files are copied whole (no reflinks)",
        None => "whether it has reflinks could not be tried",
    };
    good("disk", format!("the file system is {name}: {links}"))
}
