//! The folders of the logs of visitors' requests, and how the logs stay bounded.
//!
//! ```text
//! <data>/nginx/log/shop/           nginx writes, the group of the environment's code reads
//!        access.log                ──larger than 32 MiB: renamed──► access.log.1, the one before it is gone
//! ```
//!
//! nginx goes on writing to a file that was renamed until it is told to open its files anew.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use stratus_core::environment::User;
use stratus_core::route::RouteTable;

use super::disk::{give, make};
use crate::layout::Layout;

/// How large a log becomes, in bytes. With the one before it that is what an environment takes, but for what comes
/// between two looks.
const LOG_MAX: u64 = 32 << 20;

/// Whether nginx must open its files anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reopen {
    /// It must.
    Yes,
    /// It writes where it should.
    No,
}

/// Makes the folders of the logs of `table`, and those that stand for them while a text is tested.
pub(super) fn folders(
    table: &RouteTable,
    layout: &Layout,
    candidate: &Path,
    nginx: User,
) -> io::Result<()> {
    let trial = candidate.join("log");
    match fs::remove_dir_all(&trial) {
        Err(e) if e.kind() != ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    for site in &table.sites {
        let folder = layout.nginx_log().join(site.environment.as_str());
        // A working tree that is not there now has nobody who reads.
        let reader = fs::metadata(&site.code).map_or(nginx.gid, |code| code.gid());
        make(&folder, 0o750)?;
        give(&folder, Some(nginx.uid), reader)?;
        make(&trial.join(site.environment.as_str()), 0o1777)?;
    }
    Ok(())
}

/// Renames the logs that are too large, and removes those that `text`, nginx's own, does not name any more.
pub(super) fn tend(layout: &Layout, text: &str, max: u64) -> io::Result<Reopen> {
    let mut reopen = Reopen::No;
    let all = match fs::read_dir(layout.nginx_log()) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(reopen),
        all => all?,
    };
    for folder in all {
        let folder = folder?.path();
        let log = folder.join("access.log");
        let size = size(&log)?;
        if !text.contains(&*log.to_string_lossy()) {
            // A folder without one was made by somebody who waits for the environment.
            if size.is_some() || self::size(&older(&log))?.is_some() {
                fs::remove_dir_all(&folder)?;
            }
        } else if size.is_none_or(|size| size > max) {
            if size.is_some() {
                fs::rename(&log, older(&log))?;
            }
            reopen = Reopen::Yes;
        }
    }
    Ok(reopen)
}

/// As [`tend`], with the bound that holds.
pub(super) fn tend_all(layout: &Layout, text: &str) -> io::Result<Reopen> {
    tend(layout, text, LOG_MAX)
}

fn older(log: &Path) -> PathBuf {
    log.with_extension("log.1")
}

/// Bytes of a file; `None` where there is none.
fn size(file: &Path) -> io::Result<Option<u64>> {
    match fs::symlink_metadata(file) {
        Ok(found) => Ok(Some(found.len())),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_that_is_too_large_makes_way_and_one_of_no_environment_goes() {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::new(folder.path(), "5f3a9c".parse().unwrap());
        let log = |name: &str| layout.access_log(&name.parse().unwrap());
        assert_eq!(tend(&layout, "", 3).unwrap(), Reopen::No);
        for (name, text) in [("shop", "four"), ("blog", "few"), ("gone", "four")] {
            fs::create_dir_all(log(name).parent().unwrap()).unwrap();
            fs::write(log(name), text).unwrap();
        }
        fs::create_dir_all(log("next").parent().unwrap()).unwrap();
        let text = format!("{} {}", log("shop").display(), log("blog").display());
        assert_eq!(tend(&layout, &text, 3).unwrap(), Reopen::Yes);
        assert!(!log("shop").exists());
        let before = fs::read_to_string(older(&log("shop"))).unwrap();
        assert_eq!(before, "four");
        assert_eq!(fs::read_to_string(log("blog")).unwrap(), "few");
        assert!(!log("gone").parent().unwrap().exists());
        assert!(log("next").parent().unwrap().exists());
        // nginx was not there to be told: it is told again.
        assert_eq!(tend(&layout, &text, 3).unwrap(), Reopen::Yes);
        fs::write(log("shop"), "new").unwrap();
        assert_eq!(tend(&layout, &text, 3).unwrap(), Reopen::No);
    }
}
