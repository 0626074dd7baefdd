//! The folder that a live link leads to while two generations share the traffic: the sockets of both, the files of the
//! newer one.
//!
//! ```text
//! generations/43/share/1-of-3/sock/0.sock -> ../../../sock/0.sock           a member of generation 43
//!                             sock/1.sock -> ../../../../42/sock/1.sock     a member of generation 42
//!                             sock/2.sock -> ../../../../42/sock/2.sock
//!                             code, generation -> those of 43
//! ```
//!
//! It goes with the generation.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use stratus_core::route::{Links, Share};
use stratus_core::router::RouterError;
use stratus_core::{EnvironmentName, Generation, PoolId};

use super::flip::sync_folder;
use crate::layout::Layout;

/// Its place within the generation. Shape: `share/1-of-3`.
pub(super) fn folder(members: u16, of: u16) -> PathBuf {
    Path::new("share").join(format!("{members}-of-{of}"))
}

/// Which share that place is.
pub(super) fn parse(place: &str) -> Option<Share> {
    let (members, of) = place.strip_prefix("share/")?.split_once("-of-")?;
    Some(Share::First {
        members: members.parse().ok()?,
        of: of.parse().ok()?,
    })
}

/// Makes the folder of a share, whole before a link leads to it.
///
/// # Errors
/// When nobody is there to share with, or it cannot be written.
pub(super) fn ensure(
    layout: &Layout,
    environment: &EnvironmentName,
    links: Links,
) -> Result<(), RouterError> {
    let Share::First { members, of } = links.share else {
        return Ok(());
    };
    let (Some(live), Some(previous)) = (links.live, links.previous) else {
        let detail = format!("{environment} has no two generations that could share its traffic");
        return Err(failed(detail, io::ErrorKind::InvalidInput.into()));
    };
    let top = layout.generation(&PoolId::new(environment, live));
    let place = top.join(folder(members, of));
    write(&top, &place, previous, members, of)
        .map_err(|error| failed(format!("write {}", place.display()), error))
}

fn write(top: &Path, place: &Path, previous: Generation, members: u16, of: u16) -> io::Result<()> {
    let sockets = place.join("sock");
    let share = top.join("share");
    for folder in [share.as_path(), place, &sockets] {
        DirBuilder::new().recursive(true).create(folder)?;
        // Whatever the umask: nginx comes through here.
        fs::set_permissions(folder, Permissions::from_mode(0o755))?;
    }
    let own = Path::new("../../../sock");
    let others = Path::new("../../../..")
        .join(previous.to_string())
        .join("sock");
    for index in 0..of {
        let name = format!("{index}.sock");
        let side = if index < members { own } else { &others };
        link(&side.join(&name), &sockets.join(&name))?;
    }
    for name in ["code", "generation"] {
        link(&Path::new("../..").join(name), &place.join(name))?;
    }
    for folder in [&sockets, place, &share, top] {
        sync_folder(folder)?;
    }
    Ok(())
}

/// A link that is there may be an earlier try's, and of another previous generation.
fn link(target: &Path, at: &Path) -> io::Result<()> {
    if fs::read_link(at).is_ok_and(|found| found == target) {
        return Ok(());
    }
    match fs::remove_file(at) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    symlink(target, at)
}

fn failed(detail: String, source: io::Error) -> RouterError {
    RouterError::Io { detail, source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nginx::flip::{flip, links};

    #[test]
    fn a_shared_live_has_the_sockets_of_both_and_the_files_of_the_newer() {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::new(folder.path(), "5f3a9c".parse().unwrap());
        let shop: EnvironmentName = "shop".parse().unwrap();
        for number in [42, 43] {
            let pool = PoolId::new(&shop, Generation(number));
            fs::create_dir_all(layout.sockets(&pool)).unwrap();
            let top = layout.generation(&pool);
            fs::write(top.join("generation"), number.to_string()).unwrap();
            for index in 0..3 {
                let said = format!("{number}-{index}");
                fs::write(layout.socket(&pool, index), said).unwrap();
            }
        }
        let wanted = |members| Links {
            live: Some(Generation(43)),
            previous: Some(Generation(42)),
            share: Share::First { members, of: 3 },
        };
        for (members, sockets) in [
            (1, ["43-0", "42-1", "42-2"]),
            (2, ["43-0", "43-1", "42-2"]),
            (2, ["43-0", "43-1", "42-2"]),
        ] {
            flip(&layout, &shop, wanted(members)).unwrap();
            assert_eq!(links(&layout, &shop).unwrap(), wanted(members));
            let live = layout.live(&shop);
            let read = |path: String| fs::read_to_string(live.join(path)).unwrap();
            let found = [0, 1, 2].map(|index| read(format!("sock/{index}.sock")));
            assert_eq!(found, sockets);
            assert_eq!(read("generation".to_owned()), "43");
        }
        let alone = Links {
            previous: None,
            ..wanted(1)
        };
        let refused = flip(&layout, &shop, alone).unwrap_err();
        assert!(refused.to_string().contains("no two generations"));
    }
}
