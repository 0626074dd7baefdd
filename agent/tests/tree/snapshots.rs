//! What a first snapshot makes of a tree.

use std::fs;
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::{XattrFlags, setxattr};
use stratus_agent::tree::{self, CancelFlag, Counts, Phase, Progress, Verify};

use crate::bed::{Bed, mode, mtime, set_mode, set_mtime, take};

#[test]
fn content_modes_and_times_are_kept_and_the_owner_is_changed() {
    let bed = Bed::new();
    let file = bed.write("pub/index.php", "<?php");
    let folder = bed.source.join("pub");
    set_mode(&file, 0o640);
    set_mtime(&file, 1_234_567, 890_123_456);
    set_mode(&folder, 0o1751);
    symlink("pub/index.php", bed.source.join("link")).unwrap();
    set_mtime(&bed.source.join("link"), 77, 5);
    set_mtime(&folder, 1_000_000, 1);
    set_mtime(&bed.source, 2_000_000, 2);
    let mut request = bed.request("op");
    request.owner = (4711, 4712);

    let made = take(&request).unwrap();

    assert_eq!(
        (made.files, made.bytes, made.copied, made.linked),
        (1, 5, 1, 0)
    );
    assert_eq!(made.path, bed.releases.join(&made.release));
    let at = |path: &str| made.path.join(path);
    assert_eq!(fs::read(at("pub/index.php")).unwrap(), b"<?php");
    assert_eq!(mode(&at("pub/index.php")), 0o640);
    assert_eq!(mtime(&at("pub/index.php")), (1_234_567, 890_123_456));
    assert_eq!(mode(&at("pub")), 0o1751);
    assert_eq!(mtime(&at("pub")), (1_000_000, 1));
    assert_eq!(mtime(&at("link")), (77, 5));
    assert_eq!(
        fs::read_link(at("link")).unwrap(),
        Path::new("pub/index.php")
    );
    assert_eq!(mtime(&made.path), (2_000_000, 2));
    for path in ["", "pub", "pub/index.php", "link"] {
        let meta = fs::symlink_metadata(at(path)).unwrap();
        assert_eq!((meta.uid(), meta.gid()), (4711, 4712), "{path}");
    }
    let manifest = format!("{}.manifest", made.release);
    assert_eq!(bed.shelf(), [made.release.clone(), manifest]);
}

#[test]
fn holes_stay_holes() {
    let bed = Bed::new();
    let path = bed.write("sparse", "head");
    let mut file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.seek(SeekFrom::Start(32 << 20)).unwrap();
    file.write_all(b"middle").unwrap();
    file.set_len(64 << 20).unwrap();
    drop(file);

    let made = take(&bed.request("op")).unwrap();

    let copy = made.path.join("sparse");
    assert_eq!(fs::metadata(&copy).unwrap().len(), 64 << 20);
    assert!(
        fs::metadata(&copy).unwrap().blocks() * 512 <= 64 << 10,
        "holes were filled"
    );
    assert_eq!(fs::read(&copy).unwrap(), fs::read(&path).unwrap());
    let drift = tree::verify(&bed.request("op"), &made.release, &CancelFlag::default()).unwrap();
    assert_eq!(drift.paths, [], "the hash must count the holes as zeros");
}

#[test]
fn shared_folders_become_empty_ones_and_what_is_excluded_is_not_there() {
    let bed = Bed::new();
    bed.write("pub/media/photo.jpg", "x");
    bed.write(".git/config", "x");
    bed.write("lib/node_modules/a.js", "x");
    bed.write("pub/tmp/cache", "x");
    bed.write("lib/tmp/kept", "x");
    let mut request = bed.request("op");
    request.shared = ["pub/media", "var/log/deep", "pub/media/nested"]
        .map(PathBuf::from)
        .into();
    request.exclude = [".git", "node_modules", "pub/tmp"]
        .map(PathBuf::from)
        .into();

    let made = take(&request).unwrap();

    let there = |path: &str| made.path.join(path).exists();
    assert_eq!(
        fs::read_dir(made.path.join("pub/media")).unwrap().count(),
        0
    );
    assert!(
        there("var/log/deep"),
        "missing shared folders are made, parents too"
    );
    for gone in [".git", "lib/node_modules", "pub/tmp", "pub/media/photo.jpg"] {
        assert!(!there(gone), "{gone}");
    }
    assert!(there("lib/tmp/kept"), "a path counts from the top only");
    assert_eq!(made.files, 1);
}

#[test]
fn a_write_into_a_shared_folder_changes_nothing() {
    let bed = Bed::new();
    bed.write("index.php", "x");
    bed.write("var/a", "x");
    let mut request = bed.request("op");
    request.shared = vec!["var".into()];
    let first = take(&request).unwrap();
    bed.write("var/b", "x");
    request.operation = "op2".into();
    assert_eq!(take(&request).unwrap().release, first.release);
}

#[test]
fn setuid_setgid_and_capabilities_are_stripped_and_reported() {
    let bed = Bed::new();
    for (name, bits) in [
        ("setuid", 0o4755),
        ("setgid", 0o2755),
        ("plain", 0o755),
        ("cap", 0o755),
    ] {
        set_mode(&bed.write(name, name), bits);
    }
    // cap_net_bind_service, permitted and effective
    let value = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    setxattr(
        bed.source.join("cap"),
        "security.capability",
        &value,
        XattrFlags::empty(),
    )
    .unwrap();
    fs::create_dir(bed.source.join("folder")).unwrap();
    set_mode(&bed.source.join("folder"), 0o2775);

    let made = take(&bed.request("op")).unwrap();

    let told: Vec<_> = made
        .stripped
        .iter()
        .map(|s| (s.path.to_str().unwrap(), s.setuid, s.setgid, s.capabilities))
        .collect();
    assert_eq!(
        told,
        [
            ("cap", false, false, true),
            ("setgid", false, true, false),
            ("setuid", true, false, false),
            ("folder", false, true, false),
        ]
    );
    for name in ["setuid", "setgid", "plain", "cap"] {
        assert_eq!(mode(&made.path.join(name)), 0o755, "{name}");
    }
    assert_eq!(mode(&made.path.join("folder")), 0o775);
    let mut buffer = [0; 64];
    let kept = rustix::fs::getxattr(made.path.join("cap"), "security.capability", &mut buffer);
    assert!(kept.is_err());

    let mut again = bed.request("op2");
    again.base = Some(made.release);
    assert_eq!(
        take(&again).unwrap().stripped,
        made.stripped,
        "linked files are reported too"
    );
}

#[test]
fn hard_links_become_separate_files() {
    let bed = Bed::new();
    let one = bed.write("one", "same");
    fs::hard_link(&one, bed.source.join("two")).unwrap();
    let made = take(&bed.request("op")).unwrap();
    assert_eq!(fs::metadata(made.path.join("one")).unwrap().nlink(), 1);
    assert_eq!(fs::read(made.path.join("two")).unwrap(), b"same");
}

#[test]
fn an_equal_tree_is_adopted_and_keeps_its_maker() {
    let bed = Bed::new();
    bed.write("a", "x");
    let first = take(&bed.request("first")).unwrap();
    let second = take(&bed.request("second")).unwrap();
    assert!(!first.adopted && second.adopted);
    assert_eq!(first.release, second.release);
    assert_eq!(
        tree::header(&bed.releases, &first.release).unwrap().creator,
        "first"
    );
    assert_eq!(bed.shelf().len(), 2);
}

#[test]
fn an_altered_release_is_not_adopted() {
    let bed = Bed::new();
    bed.write("a", "x");
    let first = take(&bed.request("first")).unwrap();
    fs::write(first.path.join("a"), "other").unwrap();
    let error = take(&bed.request("second")).unwrap_err();
    assert!(error.to_string().contains("was altered"), "{error}");
    assert_eq!(bed.shelf().len(), 2);
}

#[test]
fn a_partial_of_a_crash_is_replaced() {
    let bed = Bed::new();
    bed.write("a", "x");
    let left = bed.releases.join(".new-op/tree/deep/er");
    fs::create_dir_all(&left).unwrap();
    fs::write(left.join("rubbish"), "x").unwrap();
    let made = take(&bed.request("op")).unwrap();
    assert_eq!(
        bed.shelf(),
        [made.release.clone(), format!("{}.manifest", made.release)]
    );
    assert!(!made.path.join("deep").exists());
}

#[test]
fn progress_counts_what_was_done() {
    let bed = Bed::new();
    bed.write("a", "12345");
    bed.write("b", "678");
    let progress = Progress::default();
    tree::take(&bed.request("op"), &progress, &CancelFlag::default()).unwrap();
    let Counts {
        phase,
        files,
        bytes,
        copied,
        linked,
        total_files,
        total_bytes,
    } = progress.counts();
    assert_eq!((phase, files, bytes), (Phase::Publishing, 2, 8));
    assert_eq!((copied, linked, total_files), (2, 0, 2));
    assert!(total_bytes >= 8);
}

#[test]
fn verifying_finds_a_release_that_rotted_and_copies_the_file_anew() {
    let bed = Bed::new();
    bed.write("a", "good");
    bed.write("b", "x");
    let first = take(&bed.request("first")).unwrap();
    let rotten = first.path.join("a");
    let stamp = mtime(&rotten);
    fs::write(&rotten, "evil").unwrap();
    set_mtime(&rotten, stamp.0, stamp.1);
    bed.write("b", "changed");
    let mut request = bed.request("second");
    request.base = Some(first.release.clone());
    request.verify = Verify::Yes;
    let second = take(&request).unwrap();
    assert_eq!(fs::read(second.path.join("a")).unwrap(), b"good");
    assert_eq!(second.repeats, 1);
}

#[test]
fn verify_and_compare_tell_what_differs() {
    let bed = Bed::new();
    for name in ["same", "changed", "removed", "touched"] {
        bed.write(name, name);
    }
    let made = take(&bed.request("op")).unwrap();
    bed.write("changed", "CHANGED");
    bed.write("new/added", "x");
    fs::remove_file(bed.source.join("removed")).unwrap();
    set_mtime(&bed.source.join("touched"), 1, 1);
    fs::write(made.path.join("same"), "SAME").unwrap();
    let cancel = CancelFlag::default();
    let drift = tree::compare(&bed.request("op"), &made.release, &cancel).unwrap();
    let show = |paths: &[(PathBuf, tree::Difference)]| {
        paths
            .iter()
            .map(|(p, d)| format!("{} {d:?}", p.display()))
            .collect::<Vec<_>>()
    };
    let expected = [
        "changed Changed",
        "new Added",
        "new/added Added",
        "removed Removed",
    ];
    assert_eq!(show(&drift.paths), expected);
    let drift = tree::verify(&bed.request("op"), &made.release, &cancel).unwrap();
    assert!(
        show(&drift.paths).contains(&"same Altered".to_owned()),
        "{drift:?}"
    );
}
