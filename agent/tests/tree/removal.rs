//! How releases go away.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;

use stratus_agent::tree::{self, CancelFlag, Swept, TreeError};

use crate::bed::{Bed, Mount, mode, run, take};

#[test]
fn removing_a_release_never_follows_links() {
    let bed = Bed::new();
    bed.write("a/b/c", "x");
    let outside = bed.source.parent().unwrap().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("canary"), "alive").unwrap();
    let made = take(&bed.request("op")).unwrap();
    symlink(&outside, made.path.join("a/folder")).unwrap();
    symlink(outside.join("canary"), made.path.join("a/b/file")).unwrap();

    tree::remove(&bed.releases, &made.release, &CancelFlag::default()).unwrap();
    tree::remove(&bed.releases, &made.release, &CancelFlag::default()).unwrap();

    assert_eq!(fs::read(outside.join("canary")).unwrap(), b"alive");
    assert_eq!(bed.shelf(), [""; 0]);
}

#[test]
fn a_release_swapped_for_a_link_is_only_unlinked() {
    let bed = Bed::new();
    bed.write("a", "x");
    let made = take(&bed.request("op")).unwrap();
    fs::rename(&made.path, bed.releases.join("elsewhere")).unwrap();
    symlink("elsewhere", &made.path).unwrap();
    tree::remove(&bed.releases, &made.release, &CancelFlag::default()).unwrap();
    assert_eq!(bed.shelf(), ["elsewhere"]);
    assert!(bed.releases.join("elsewhere/a").exists());
}

#[test]
fn a_very_deep_tree_is_removed() {
    let bed = Bed::new();
    bed.write("a", "x");
    let made = take(&bed.request("op")).unwrap();
    let mut at = tree_root(&made.path);
    for _ in 0..3000 {
        rustix::fs::mkdirat(&at, "d", rustix::fs::Mode::RWXU).unwrap();
        let flags = rustix::fs::OFlags::DIRECTORY;
        at = rustix::fs::openat(&at, "d", flags, rustix::fs::Mode::empty()).unwrap();
    }
    tree::remove(&bed.releases, &made.release, &CancelFlag::default()).unwrap();
    assert_eq!(bed.shelf(), [""; 0]);
}

fn tree_root(path: &std::path::Path) -> rustix::fd::OwnedFd {
    rustix::fs::open(
        path,
        rustix::fs::OFlags::DIRECTORY,
        rustix::fs::Mode::empty(),
    )
    .unwrap()
}

#[test]
fn a_removal_that_was_stopped_is_continued_by_a_sweep() {
    let bed = Bed::new();
    bed.write("a/b", "x");
    let made = take(&bed.request("op")).unwrap();
    let stopped = CancelFlag::default();
    stopped.cancel();
    let result = tree::remove(&bed.releases, &made.release, &stopped);
    assert!(matches!(result, Err(TreeError::Cancelled)));
    assert_eq!(bed.shelf(), [".trash"]);
    assert_eq!(mode(&bed.releases.join(".trash")), 0o700);
    assert!(tree::list(&bed.releases).unwrap().is_empty());

    let swept = tree::sweep(&bed.releases, &BTreeSet::new(), &CancelFlag::default()).unwrap();
    assert!(swept.entries >= 4, "{swept:?}");
    assert_eq!(bed.shelf(), [""; 0]);
}

#[test]
fn a_sweep_leaves_releases_and_what_is_under_construction() {
    let bed = Bed::new();
    bed.write("a", "x");
    let made = take(&bed.request("op")).unwrap();
    for name in [".new-running/tree/x", ".new-dead/tree/x", ".trash/old/x"] {
        fs::create_dir_all(bed.releases.join(name)).unwrap();
    }
    let orphan = format!("{}.manifest", "a".repeat(64));
    fs::write(bed.releases.join(&orphan), "x").unwrap();
    let manifest = format!("{}.manifest", made.release);
    let running = BTreeSet::from(["running".to_owned()]);
    let cancel = CancelFlag::default();

    let swept = tree::sweep(&bed.releases, &running, &cancel).unwrap();
    assert_eq!((swept.partials, swept.manifests), (1, 0));
    let mut left = vec![
        ".new-running".to_owned(),
        made.release.clone(),
        manifest.clone(),
        orphan,
    ];
    left.sort();
    assert_eq!(bed.shelf(), left);

    let swept = tree::sweep(&bed.releases, &BTreeSet::new(), &cancel).unwrap();
    assert_eq!((swept.partials, swept.manifests), (1, 1));
    assert_eq!(bed.shelf(), [made.release, manifest]);
    let nothing = tree::sweep(&bed.releases, &BTreeSet::new(), &cancel).unwrap();
    assert_eq!(nothing, Swept::default());
}

#[test]
fn discard_undoes_its_own_operation_and_no_other() {
    let bed = Bed::new();
    bed.write("a", "x");
    let first = take(&bed.request("first")).unwrap();
    take(&bed.request("adopter")).unwrap();
    bed.write("a", "y2");
    let second = take(&bed.request("second")).unwrap();
    fs::create_dir_all(bed.releases.join(".new-second/tree")).unwrap();
    let cancel = CancelFlag::default();
    let discard = |operation| tree::discard(&bed.releases, operation, &cancel).unwrap();
    let present = || {
        let list = tree::list(&bed.releases).unwrap();
        list.into_iter()
            .map(|info| info.release)
            .collect::<BTreeSet<_>>()
    };

    discard("adopter");
    assert_eq!(
        present(),
        BTreeSet::from([first.release.clone(), second.release])
    );
    discard("second");
    discard("second");
    assert_eq!(present(), BTreeSet::from([first.release.clone()]));
    assert_eq!(bed.shelf().len(), 2, "the partial is gone too");
    discard("first");
    assert_eq!(bed.shelf(), [""; 0]);
    discard("first");
}

#[test]
fn discard_finishes_what_crashed_between_manifest_and_release() {
    let bed = Bed::new();
    bed.write("a", "x");
    let made = take(&bed.request("op")).unwrap();
    fs::create_dir(bed.releases.join(".new-op")).unwrap();
    fs::rename(&made.path, bed.releases.join(".new-op/tree")).unwrap();
    tree::discard(&bed.releases, "op", &CancelFlag::default()).unwrap();
    assert_eq!(bed.shelf(), [""; 0]);
}

#[test]
fn take_finishes_what_crashed_between_manifest_and_release() {
    let bed = Bed::new();
    bed.write("a", "x");
    let made = take(&bed.request("op")).unwrap();
    fs::create_dir(bed.releases.join(".new-op")).unwrap();
    fs::rename(&made.path, bed.releases.join(".new-op/tree")).unwrap();
    let again = take(&bed.request("op")).unwrap();
    assert_eq!(again.release, made.release);
    assert_eq!(bed.shelf().len(), 2);
}

#[test]
fn what_cannot_be_deleted_is_named_and_the_rest_goes() {
    let bed = Bed::new();
    for name in ["a/x", "b/x", "c/x"] {
        bed.write(name, "x");
    }
    let made = take(&bed.request("op")).unwrap();
    let mount = Mount::tmpfs("size=1m");
    let busy = made.path.join("b");
    run(
        "mount",
        &[
            "--bind",
            mount.path.to_str().unwrap(),
            busy.to_str().unwrap(),
        ],
    );
    let result = tree::remove(&bed.releases, &made.release, &CancelFlag::default());
    let left = fs::read_dir(bed.releases.join(".trash"))
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let rest: Vec<_> = fs::read_dir(&left)
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    run("umount", &[left.join("b").to_str().unwrap()]);
    let error = result.unwrap_err().to_string();
    assert!(error.contains("cannot delete"), "{error}");
    assert_eq!(rest, ["b"]);
    tree::sweep(&bed.releases, &BTreeSet::new(), &CancelFlag::default()).unwrap();
    assert_eq!(bed.shelf(), [""; 0]);
}

#[test]
fn releases_are_listed_with_their_headers() {
    let bed = Bed::new();
    assert_eq!(tree::list(&bed.releases).unwrap(), []);
    bed.write("a", "12345");
    let made = take(&bed.request("op")).unwrap();
    let damaged = bed.releases.join("d".repeat(64));
    fs::create_dir(&damaged).unwrap();
    let list = tree::list(&bed.releases).unwrap();
    assert_eq!(list.len(), 2);
    assert!(list[0].header.is_err() && list[0].path == damaged);
    let header = list[1].header.as_ref().unwrap();
    assert_eq!(
        (header.files, header.bytes, header.folders, header.links),
        (1, 5, 1, 0)
    );
    assert_eq!(
        (header.creator.as_str(), &header.release),
        ("op", &made.release)
    );
    assert!(header.created_unix_s > 1_700_000_000);
}
