//! What may not be in a release.

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};
use stratus_agent::tree::{self, CancelFlag, Limits, Request};

use crate::bed::{Bed, Mount, refused, run, take};

fn node(path: &Path, kind: FileType, device: u64) {
    mknodat(CWD, path, kind, Mode::RUSR, device).unwrap();
}

#[test]
fn everything_refused_is_named_at_once() {
    let bed = Bed::new();
    bed.write("ok", "x");
    fs::create_dir_all(bed.source.join("a/b")).unwrap();
    node(&bed.source.join("a/fifo"), FileType::Fifo, 0);
    node(
        &bed.source.join("a/b/null"),
        FileType::CharacterDevice,
        makedev(1, 3),
    );
    node(
        &bed.source.join("disk"),
        FileType::BlockDevice,
        makedev(7, 99),
    );
    let _socket = UnixListener::bind(bed.source.join("a/socket")).unwrap();
    symlink("/etc/passwd", bed.source.join("a/b/absolute")).unwrap();
    symlink("../../up", bed.source.join("a/climbs")).unwrap();
    fs::write(bed.source.join("file"), "x").unwrap();
    let mut request = bed.request("op");
    request.shared = ["file", "ok/below"].map(PathBuf::from).into();

    let start = Instant::now();
    for error in [
        tree::preflight(&request, &CancelFlag::default()).unwrap_err(),
        take(&request).unwrap_err(),
    ] {
        let lines = refused(&error);
        let expected = [
            "a/b/absolute: symlink leads out of the tree to /etc/passwd",
            "a/b/null: is a device",
            "a/climbs: symlink leads out of the tree to ../../up",
            "a/fifo: is a FIFO",
            "a/socket: is a socket",
            "disk: is a device",
            "file: is declared as a shared directory",
            "ok: is declared as a shared directory",
        ];
        assert_eq!(lines.len(), expected.len(), "{lines:#?}");
        for (line, expected) in lines.iter().zip(expected) {
            assert!(line.starts_with(expected), "{line}");
        }
    }
    assert!(
        start.elapsed() < Duration::from_secs(5),
        "something was opened and blocked"
    );
    assert_eq!(bed.shelf(), [""; 0], "a refusal writes nothing");
}

#[test]
fn sockets_and_fifos_under_a_shared_folder_are_not_looked_at() {
    let bed = Bed::new();
    fs::create_dir(bed.source.join("var")).unwrap();
    let _socket = UnixListener::bind(bed.source.join("var/socket")).unwrap();
    node(&bed.source.join("var/fifo"), FileType::Fifo, 0);
    let mut request = bed.request("op");
    request.shared = vec!["var".into()];
    take(&request).unwrap();
}

#[test]
fn a_nested_mount_is_refused_unless_shared_or_excluded() {
    let bed = Bed::new();
    bed.write("ok", "x");
    let inside = bed.source.join("deep/mount");
    fs::create_dir_all(&inside).unwrap();
    let bound = bed.write("bound", "x");
    let here = Mount::tmpfs("size=1m");
    fs::create_dir(here.path.join("below")).unwrap();
    let path = |p: &Path| p.to_str().unwrap().to_owned();
    run("mount", &["--bind", &path(&here.path), &path(&inside)]);
    // A bind mount of the same filesystem, on a file: no device number tells.
    run(
        "mount",
        &["--bind", &path(&bed.source.join("ok")), &path(&bound)],
    );
    let refusal = take(&bed.request("op"));
    let mut request = bed.request("op");
    request.shared = vec!["deep/mount".into()];
    request.exclude = vec!["bound".into()];
    let allowed = take(&request);
    run("umount", &[&path(&bound)]);
    run("umount", &[&path(&inside)]);

    let lines = refused(&refusal.unwrap_err());
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[0].starts_with("bound: is a mount point"), "{lines:?}");
    assert!(
        lines[1].starts_with("deep/mount: is a mount point"),
        "{lines:?}"
    );
    allowed.unwrap();
}

/// A tree with exactly 6 entries, 9 bytes, a largest file of 5, a longest path of 7 and a depth of 3.
fn measured() -> Bed {
    let bed = Bed::new();
    bed.write("a/b/c12", "12345");
    bed.write("a/d", "1234");
    symlink("a", bed.source.join("l")).unwrap();
    bed.write("e", "");
    bed
}

#[test]
fn a_tree_at_its_limits_passes_and_one_beyond_is_refused() {
    let bed = measured();
    let exact = Limits {
        entries: 6,
        bytes: 9,
        file_bytes: 5,
        path_bytes: 7,
        depth: 3,
    };
    let request = |limits| Request {
        limits,
        ..bed.request("op")
    };
    tree::preflight(&request(exact), &CancelFlag::default()).unwrap();
    for (limits, expected) in [
        (
            Limits {
                entries: 5,
                ..exact
            },
            ".: the tree has more than 5 entries",
        ),
        (
            Limits { bytes: 8, ..exact },
            ".: the tree has more than 8 bytes",
        ),
        (
            Limits {
                file_bytes: 4,
                ..exact
            },
            "a/b/c12: has 5 bytes, more than the limit of 4",
        ),
        (
            Limits {
                path_bytes: 6,
                ..exact
            },
            "a/b/c12: its path is longer than the limit of 6",
        ),
        (
            Limits { depth: 2, ..exact },
            "a/b/c12: lies deeper than the limit of 2",
        ),
    ] {
        let error = tree::preflight(&request(limits), &CancelFlag::default()).unwrap_err();
        let lines = refused(&error);
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(lines[0].starts_with(expected), "{lines:?}");
    }
}

#[test]
fn holes_count_for_the_limits() {
    let bed = Bed::new();
    fs::File::create(bed.source.join("huge"))
        .unwrap()
        .set_len(1 << 40)
        .unwrap();
    let lines = refused(&take(&bed.request("op")).unwrap_err());
    assert!(
        lines
            .iter()
            .any(|l| l.starts_with("huge: has 1099511627776 bytes")),
        "{lines:?}"
    );
}

#[test]
fn hostile_names_are_escaped_in_messages() {
    use std::os::unix::ffi::OsStrExt;
    let bed = Bed::new();
    let name = std::ffi::OsStr::from_bytes(b"a\x1b[2J\n\xff");
    node(&bed.source.join(name), FileType::Fifo, 0);
    let text = take(&bed.request("op")).unwrap_err().to_string();
    assert!(text.contains(r"a\u{1b}[2J\n\xff: is a FIFO"), "{text}");
}

#[test]
fn requests_that_make_no_sense_are_refused() {
    let bed = Bed::new();
    bed.write("a", "x");
    let with = |change: fn(&mut Request)| {
        let mut request = bed.request("op");
        change(&mut request);
        take(&request).unwrap_err().to_string()
    };
    for (text, expected) in [
        (
            with(|r| r.operation = "../up".into()),
            "is no name of an operation",
        ),
        (
            with(|r| r.operation = String::new()),
            "is no name of an operation",
        ),
        (with(|r| r.base = Some("../../etc".into())), "is no digest"),
        (with(|r| r.shared = vec!["/abs".into()]), "shared: "),
        (with(|r| r.shared = vec!["a/../..".into()]), "shared: "),
        (with(|r| r.exclude = vec!["..".into()]), "exclude: "),
        (with(|r| r.links = vec!["relative".into()]), "links: "),
        (with(|r| r.links = vec!["/".into()]), "links: "),
        (with(|r| r.source = "/".into()), "cannot be /"),
        (
            with(|r| r.source.push("missing")),
            "cannot open the code directory",
        ),
        (
            with(|r| r.releases = r.source.join("var/releases")),
            "must not lie inside each other",
        ),
    ] {
        assert!(text.contains(expected), "{text}");
    }
    assert_eq!(bed.shelf(), [""; 0]);
}
