//! The folders of the logs of visitors' requests, and how the logs stay bounded.
//!
//! ```text
//! <data>/nginx/log/shop/           nginx writes, the group of the environment's code reads
//!        access.log                ──larger than 32 MiB: renamed──► access.log.1, the one before it is gone
//! ```
//!
//! nginx goes on writing to a file that was renamed until it is told to open its files anew.

use std::collections::BTreeSet;
use std::fs::{self, DirEntry};
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use stratus_core::EnvironmentName;
use stratus_core::environment::User;
use stratus_core::route::{RouteTable, Site};

use super::config::Arg;
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

/// Whose the logs are: nginx writes them, who owns the code of their site reads them.
pub(super) struct Owners {
    /// Who writes.
    pub(super) nginx: User,
    /// Whose logs are read by the group of their code; those of others by nginx's.
    pub(super) sites: Vec<Site>,
}

/// Makes the folders of the logs of all sites.
pub(super) fn folders(layout: &Layout, owners: &Owners) -> io::Result<()> {
    for site in &owners.sites {
        folder(layout, &site.environment, owners)?;
    }
    Ok(())
}

/// Makes those that stand for the ones of `table` while a text is tested.
pub(super) fn trial_folders(table: &RouteTable, candidate: &Path) -> io::Result<()> {
    let trial = candidate.join("log");
    match fs::remove_dir_all(&trial) {
        Err(e) if e.kind() != ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    for site in &table.sites {
        make(&trial.join(site.environment.as_str()), 0o1777)?;
    }
    Ok(())
}

fn folder(layout: &Layout, environment: &EnvironmentName, owners: &Owners) -> io::Result<()> {
    let folder = layout.nginx_log().join(environment.as_str());
    let Owners { nginx, sites } = owners;
    let site = sites.iter().find(|site| &site.environment == environment);
    // A working tree that is not there now has nobody who reads.
    let code = site.and_then(|site| fs::metadata(&site.code).ok());
    make(&folder, 0o750)?;
    give(
        &folder,
        Some(nginx.uid),
        code.map_or(nginx.gid, |code| code.gid()),
    )
}

/// Renames the logs that are too large, makes the folders that `text`, nginx's own, names and that are not there, and
/// removes the logs that it does not name any more. What fails does not keep the rest from being done: the first of it is
/// the answer.
pub(super) fn tend(
    layout: &Layout,
    text: &str,
    owners: &Owners,
    max: u64,
) -> (Reopen, io::Result<()>) {
    let (mut reopen, mut answer) = (Reopen::No, Ok(()));
    let named = named(layout, text);
    for environment in &named {
        match tend_one(layout, environment, owners, max) {
            Ok(Reopen::Yes) => reopen = Reopen::Yes,
            Ok(Reopen::No) => {}
            Err(error) => answer = answer.and(Err(error)),
        }
    }
    let removed = remove_others(layout, &named);
    (reopen, answer.and(removed))
}

/// As [`tend`], with the bound that holds.
pub(super) fn tend_all(layout: &Layout, text: &str, owners: &Owners) -> (Reopen, io::Result<()>) {
    tend(layout, text, owners, LOG_MAX)
}

/// The environments whose logs `text` names.
fn named(layout: &Layout, text: &str) -> BTreeSet<EnvironmentName> {
    let name = |line: &str| {
        let file = line.trim_start().strip_prefix("access_log ")?;
        let (folder, _) = file.rsplit_once("/access.log")?;
        let (_, name) = folder.rsplit_once('/')?;
        let name: EnvironmentName = name.parse().ok()?;
        let own = Arg::path(&layout.access_log(&name)).ok()?.to_string();
        file.starts_with(&own).then_some(name)
    };
    text.lines().filter_map(name).collect()
}

fn tend_one(
    layout: &Layout,
    environment: &EnvironmentName,
    owners: &Owners,
    max: u64,
) -> io::Result<Reopen> {
    let log = layout.access_log(environment);
    match size(&log)? {
        Some(size) if size <= max => return Ok(Reopen::No),
        Some(_) => fs::rename(&log, older(&log))?,
        // Its folder may be gone, too.
        None => folder(layout, environment, owners)?,
    }
    Ok(Reopen::Yes)
}

fn remove_others(layout: &Layout, named: &BTreeSet<EnvironmentName>) -> io::Result<()> {
    let all = match fs::read_dir(layout.nginx_log()) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
        all => all?,
    };
    let is_named = |entry: &DirEntry| {
        let name = entry.file_name();
        named.iter().any(|other| name == other.as_str())
    };
    let mut answer = Ok(());
    for entry in all {
        let entry = entry?;
        if !is_named(&entry) {
            answer = answer.and(remove(&entry));
        }
    }
    answer
}

/// Removes a folder with logs. One without was made by somebody who waits for the environment, and what is no folder is
/// not ours.
fn remove(entry: &DirEntry) -> io::Result<()> {
    if !entry.file_type()?.is_dir() {
        return Ok(());
    }
    let log = entry.path().join("access.log");
    if size(&log)?.is_some() || size(&older(&log))?.is_some() {
        fs::remove_dir_all(entry.path())?;
    }
    Ok(())
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

    struct Place {
        layout: Layout,
        _folder: tempfile::TempDir,
    }

    impl Place {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let layout = Layout::new(folder.path(), "5f3a9c".parse().unwrap());
            fs::create_dir_all(layout.nginx_log()).unwrap();
            Self {
                layout,
                _folder: folder,
            }
        }

        fn log(&self, name: &str) -> PathBuf {
            self.layout.access_log(&name.parse().unwrap())
        }

        fn write(&self, name: &str, text: &str) {
            fs::create_dir_all(self.log(name).parent().unwrap()).unwrap();
            fs::write(self.log(name), text).unwrap();
        }

        /// A text that names these logs.
        fn text(&self, names: &[&str]) -> String {
            let line = |name| format!("    access_log {} combined;\n", self.log(name).display());
            names.iter().copied().map(line).collect()
        }

        fn tend(&self, text: &str) -> (Reopen, io::Result<()>) {
            let nginx = User {
                uid: rustix::process::geteuid().as_raw(),
                gid: rustix::process::getegid().as_raw(),
            };
            let sites = Vec::new();
            tend(&self.layout, text, &Owners { nginx, sites }, 3)
        }

        fn tended(&self, text: &str) -> Reopen {
            let (reopen, answer) = self.tend(text);
            answer.unwrap();
            reopen
        }
    }

    #[test]
    fn a_log_that_is_too_large_makes_way_and_one_of_no_environment_goes() {
        let place = Place::new();
        let log = |name: &str| place.log(name);
        assert_eq!(place.tended(""), Reopen::No);
        for (name, text) in [("shop", "four"), ("blog", "few"), ("gone", "four")] {
            place.write(name, text);
        }
        fs::create_dir_all(log("next").parent().unwrap()).unwrap();
        let text = place.text(&["shop", "blog"]);
        assert_eq!(place.tended(&text), Reopen::Yes);
        assert!(!log("shop").exists());
        let before = fs::read_to_string(older(&log("shop"))).unwrap();
        assert_eq!(before, "four");
        assert_eq!(fs::read_to_string(log("blog")).unwrap(), "few");
        assert!(!log("gone").parent().unwrap().exists());
        assert!(log("next").parent().unwrap().exists());
        // nginx was not there to be told: it is told again.
        assert_eq!(place.tended(&text), Reopen::Yes);
        fs::write(log("shop"), "new").unwrap();
        assert_eq!(place.tended(&text), Reopen::No);
    }

    #[test]
    fn a_folder_that_is_gone_is_made_for_every_log_that_the_text_names() {
        let place = Place::new();
        let text = place.text(&["shop"]) + "    access_log /elsewhere/log/blog/access.log;\n";
        assert_eq!(place.tended(&text), Reopen::Yes);
        let all = fs::read_dir(place.layout.nginx_log()).unwrap();
        let all: Vec<_> = all.map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(all, ["shop"]);
        fs::write(place.log("shop"), "new").unwrap();
        assert_eq!(place.tended(&text), Reopen::No);
    }

    #[test]
    fn a_stray_file_is_left_alone_and_what_fails_keeps_nothing_else_from_being_done() {
        let place = Place::new();
        fs::write(place.layout.nginx_log().join("notes.txt"), "mine").unwrap();
        place.write("shop", "four");
        place.write("gone", "four");
        let text = place.text(&["shop"]);
        assert_eq!(place.tended(&text), Reopen::Yes);
        assert!(older(&place.log("shop")).exists());
        assert!(!place.log("gone").exists());
        assert!(place.layout.nginx_log().join("notes.txt").exists());

        // One where the folder of a log should be.
        fs::write(place.layout.nginx_log().join("blog"), "in the way").unwrap();
        place.write("shop", "five!");
        place.write("gone", "four");
        let (reopen, answer) = place.tend(&place.text(&["blog", "shop"]));
        assert_eq!(reopen, Reopen::Yes);
        assert_eq!(answer.unwrap_err().kind(), ErrorKind::NotADirectory);
        assert!(!place.log("shop").exists() && !place.log("gone").exists());
    }
}
