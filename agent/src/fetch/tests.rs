//! Archives and folders that mean no good, and those that do.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flate2::Compression;
use flate2::write::GzEncoder;
use tar::{Builder, EntryType, Header};
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use super::*;

mod pax;

/// A place to unpack to, with bounds that a test may narrow.
struct Bed {
    folder: tempfile::TempDir,
    bounds: Bounds,
}

impl Bed {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("code")).unwrap();
        Self {
            folder,
            bounds: Bounds::default(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn unpacked(&self) -> PathBuf {
        self.path("unpacked")
    }

    /// Unpacks what is at `path`; says what was refused.
    fn unpack(&self, path: &Path) -> Result<(u64, u64), String> {
        let _ = fs::remove_dir_all(self.unpacked());
        let cancel = CancelFlag::default();
        let unpack = || {
            let mut target = Target::make(&self.unpacked(), (7, 8), &self.bounds, &cancel)?;
            archive::unpack(File::open(path).unwrap(), &mut target)?;
            target.finish()
        };
        unpack().map_err(|error| error.to_string())
    }

    fn write(&self, bytes: &[u8]) -> PathBuf {
        let path = self.path("archive");
        fs::write(&path, bytes).unwrap();
        path
    }

    /// Refuses the tar, plain and packed; nothing is outside of what was unpacked.
    #[track_caller]
    fn refuses(&self, tar: &[u8], words: &str) {
        for bytes in [tar.to_vec(), gzip(tar)] {
            let refused = self.unpack(&self.write(&bytes)).unwrap_err();
            assert!(refused.contains(words), "{refused}");
            let names = fs::read_dir(self.folder.path()).unwrap().flatten();
            let mut names: Vec<_> = names.map(|e| e.file_name()).collect();
            names.sort();
            assert_eq!(names, ["archive", "code", "unpacked"]);
        }
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(bytes).unwrap();
    packed.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
}

/// A tar of entries: type, name, link target, content.
fn tar_of(entries: &[(EntryType, &str, &str, &[u8])]) -> Vec<u8> {
    let mut tar = Builder::new(Vec::new());
    for (kind, name, to, content) in entries {
        let mut header = Header::new_gnu();
        header.set_entry_type(*kind);
        header.set_mode(if *kind == EntryType::Directory {
            0o755
        } else {
            0o644
        });
        header.set_mtime(1_600_000_000);
        header.set_size(content.len() as u64);
        // Past the builder's own checks: a stranger's tar has none.
        let bytes = header.as_mut_bytes();
        bytes[..name.len()].copy_from_slice(name.as_bytes());
        bytes[157..157 + to.len()].copy_from_slice(to.as_bytes());
        header.set_cksum();
        tar.append(&header, *content).unwrap();
    }
    tar.into_inner().unwrap()
}

const FILE: EntryType = EntryType::Regular;

#[test]
fn an_archive_becomes_a_tree_of_its_owner_with_its_modes_and_times() {
    let bed = Bed::new();
    let tar = tar_of(&[
        (EntryType::XGlobalHeader, "pax_global_header", "", b""),
        (FILE, "./pub/index.php", "", b"<?php"),
        (FILE, "bin/run", "", b"#!"),
        (EntryType::Directory, "pub/", "", b""),
        (EntryType::Symlink, "current", "pub", b""),
        (EntryType::Link, "bin/copy", "bin/run", b""),
        (FILE, "pub/index.php", "", b"<?php 2"),
    ]);
    // In frames of their own, and between them one that is skipped.
    let (first, second) = tar.split_at(700);
    let skipped = b"\x50\x2a\x4d\x18\x03\x00\x00\x00any";
    let frames = [
        skipped.to_vec(),
        zstd(first),
        skipped.to_vec(),
        zstd(second),
    ]
    .concat();
    for bytes in [tar.clone(), gzip(&tar), zstd(&tar), frames] {
        let counted = bed.unpack(&bed.write(&bytes)).unwrap();
        assert_eq!(counted.0, 4);
        let text = fs::read_to_string(bed.unpacked().join("current/index.php"));
        assert_eq!(text.unwrap(), "<?php 2", "the last of two counts");
        assert_eq!(fs::read(bed.unpacked().join("bin/copy")).unwrap(), b"#!");
        for path in ["", "pub", "pub/index.php", "bin/copy"] {
            let found = fs::metadata(bed.unpacked().join(path)).unwrap();
            assert_eq!(
                (found.uid(), found.gid(), found.mtime()),
                (7, 8, 1_600_000_000),
                "{path}"
            );
        }
        let mode = fs::metadata(bed.unpacked().join("pub/index.php"))
            .unwrap()
            .mode();
        assert_eq!(mode & 0o7777, 0o644);
    }
}

#[test]
fn setuid_is_not_unpacked() {
    let bed = Bed::new();
    let mut header = Header::new_gnu();
    header.set_path("run").unwrap();
    header.set_size(0);
    header.set_mode(0o6755);
    header.set_mtime(1);
    header.set_cksum();
    let mut tar = Builder::new(Vec::new());
    tar.append(&header, &b""[..]).unwrap();
    bed.unpack(&bed.write(&tar.into_inner().unwrap())).unwrap();
    let mode = fs::metadata(bed.unpacked().join("run"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o7777, 0o755);
}

#[test]
fn no_path_of_a_tar_leads_out() {
    let bed = Bed::new();
    for name in ["../out", "/out", "a/../../out", "a/..", "/etc/passwd"] {
        bed.refuses(
            &tar_of(&[(FILE, name, "", b"x")]),
            "leads out of the archive",
        );
        bed.refuses(
            &tar_of(&[(EntryType::Directory, name, "", b"")]),
            "leads out of the archive",
        );
        bed.refuses(
            &tar_of(&[(EntryType::Symlink, name, "x", b"")]),
            "leads out of the archive",
        );
    }
    // Through a link that the archive brought itself.
    for to in ["..", "/tmp", "../code", "/"] {
        let link = (EntryType::Symlink, "a", to, &b""[..]);
        bed.refuses(
            &tar_of(&[link, (FILE, "a/out", "", b"x")]),
            "is there twice",
        );
        bed.refuses(
            &tar_of(&[link, (EntryType::Directory, "a/b", "", b"")]),
            "a",
        );
    }
    assert!(fs::read_dir(bed.path("code")).unwrap().next().is_none());
}

#[test]
fn a_file_written_over_a_link_does_not_follow_it() {
    let bed = Bed::new();
    let secret = bed.path("code/secret");
    fs::write(&secret, "kept").unwrap();
    let to = secret.to_str().unwrap();
    let tar = tar_of(&[
        (EntryType::Symlink, "a", to, b""),
        (FILE, "a", "", b"overwritten"),
    ]);
    bed.unpack(&bed.write(&tar)).unwrap();
    assert_eq!(fs::read_to_string(&secret).unwrap(), "kept");
    assert_eq!(
        fs::read_to_string(bed.unpacked().join("a")).unwrap(),
        "overwritten"
    );
}

#[test]
fn no_hard_link_of_a_tar_leads_out() {
    let bed = Bed::new();
    fs::write(bed.path("code/secret"), "secret").unwrap();
    for to in ["/etc/passwd", "../code/secret", "missing", "."] {
        bed.refuses(
            &tar_of(&[(EntryType::Link, "a", to, b"")]),
            "is a hard link",
        );
    }
    let code = bed.path("code");
    let link = (EntryType::Symlink, "l", code.to_str().unwrap(), &b""[..]);
    bed.refuses(
        &tar_of(&[link, (EntryType::Link, "a", "l/secret", b"")]),
        "is a hard link",
    );
    let link = (EntryType::Symlink, "l", "../code/secret", &b""[..]);
    bed.refuses(
        &tar_of(&[link, (EntryType::Link, "a", "l", b"")]),
        "is a hard link",
    );
}

#[test]
fn devices_and_pipes_are_refused() {
    let bed = Bed::new();
    for kind in [
        EntryType::Char,
        EntryType::Block,
        EntryType::Fifo,
        EntryType::new(b'V'),
    ] {
        bed.refuses(
            &tar_of(&[(kind, "dev", "", b"")]),
            "neither a file, a folder nor a link",
        );
    }
}

#[test]
fn a_bomb_is_refused_before_it_fills_the_disk() {
    let mut bed = Bed::new();
    let zeros = vec![0; 8 << 20];
    let tar = tar_of(&[(FILE, "a", "", &zeros), (FILE, "b", "", &zeros)]);
    (bed.bounds.ratio, bed.bounds.ratio_from) = (100, 1 << 20);
    let refused = bed.unpack(&bed.write(&gzip(&tar))).unwrap_err();
    assert!(refused.contains("which no code does"), "{refused}");
    bed.bounds = Bounds::default();
    bed.bounds.limits.bytes = 10 << 20;
    bed.refuses(&tar, "it has more than 10485760 bytes, unpacked");
    bed.bounds.limits.bytes = u64::MAX;
    bed.bounds.limits.file_bytes = 1 << 20;
    bed.refuses(&tar, "a has more than 1048576 bytes");
    // Names of one file count like files: in a release they are.
    bed.bounds = Bounds::default();
    bed.bounds.limits.bytes = 20 << 20;
    let linked = [("b", "a"), ("c", "a"), ("d", "a")];
    let mut entries = vec![(FILE, "a", "", &zeros[..])];
    entries.extend(linked.map(|(name, to)| (EntryType::Link, name, to, &b""[..])));
    bed.refuses(
        &tar_of(&entries),
        "it has more than 20971520 bytes, unpacked",
    );
    bed.bounds = Bounds::default();
    bed.bounds.limits.entries = 3;
    let many = ["a", "b", "c", "d"].map(|name| (FILE, name, "", &b""[..]));
    bed.refuses(&tar_of(&many), "it has more than 3 entries");
    bed.bounds.limits.depth = 4;
    bed.refuses(
        &tar_of(&[(FILE, "a/b/c/d/e", "", b"")]),
        "is too long a path",
    );
}

#[test]
fn a_file_that_claims_more_than_there_is_room_for_is_not_begun() {
    let bed = Bed::new();
    let mut header = Header::new_gnu();
    header.set_path("huge").unwrap();
    header.set_size(9_000_000_000);
    header.set_mode(0o644);
    header.set_mtime(1);
    header.set_cksum();
    let mut bed_full = bed;
    bed_full.bounds.spare = u64::MAX / 2;
    bed_full.bounds.ratio_from = u64::MAX;
    bed_full.refuses(header.as_bytes(), "too little room");
}

#[test]
fn what_is_cut_short_or_damaged_is_refused_wherever_it_is_cut() {
    let bed = Bed::new();
    let noise: Vec<u8> = (0..20_000_u32)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 13).to_le_bytes()[0])
        .collect();
    let tar = tar_of(&[(FILE, "a", "", &noise), (FILE, "b", "", b"x")]);
    let packed = gzip(&tar);
    let zip = zip_of(&[("a", 0o100_644, &noise), ("b", 0o100_644, b"x")]);
    for whole in [&tar, &packed, &zip] {
        bed.unpack(&bed.write(whole)).unwrap();
        for part in [1, 2, 3, 5, 7] {
            let cut = whole.len() * part / 8;
            let refused = bed.unpack(&bed.write(&whole[..cut]));
            assert!(refused.is_err(), "{part} eighths of {} bytes", whole.len());
        }
    }
    // At the very end, too: its checksum is missing, or its last two blocks are.
    assert!(bed.unpack(&bed.write(&packed[..packed.len() - 4])).is_err());
    assert!(bed.unpack(&bed.write(&tar[..tar.len() - 1024])).is_err());
    for whole in [&packed, &zip] {
        let mut changed = whole.clone();
        changed[whole.len() / 3] ^= 0x40;
        assert!(bed.unpack(&bed.write(&changed)).is_err(), "a changed byte");
    }
    for nothing in [&b""[..], b"#!/bin/run", b"<html>not found</html>"] {
        let refused = bed.unpack(&bed.write(nothing)).unwrap_err();
        assert!(refused.contains("no archive that is known"), "{refused}");
    }
}

/// A zip of files: name, mode with its type, content.
fn zip_of(entries: &[(&str, u32, &[u8])]) -> Vec<u8> {
    let mut zip = ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, mode, content) in entries {
        let options = SimpleFileOptions::default().unix_permissions(*mode & 0o777);
        if *mode & 0o170_000 == 0o120_000 {
            let to = String::from_utf8_lossy(content);
            zip.add_symlink(*name, to, options).unwrap();
        } else {
            zip.start_file(*name, options).unwrap();
            zip.write_all(content).unwrap();
        }
    }
    zip.finish().unwrap().into_inner()
}

/// A zip of one file whose directory gives it that mode, past the writer's own checks.
fn zip_with_mode(mode: u32) -> Vec<u8> {
    let mut zip = zip_of(&[("dev", 0o100_644, b"")]);
    let entry = zip.windows(4).position(|part| part == b"PK\x01\x02");
    // Of an entry of the directory, the attributes that its own system gave it.
    let attributes = entry.unwrap() + 38;
    zip[attributes..attributes + 4].copy_from_slice(&(mode << 16).to_le_bytes());
    zip
}

#[test]
fn a_zip_is_held_to_the_same() {
    let mut bed = Bed::new();
    let good = zip_of(&[
        ("pub/index.php", 0o100_644, b"<?php"),
        ("bin/run", 0o100_755, b"#!"),
        ("current", 0o120_777, b"pub"),
    ]);
    assert_eq!(bed.unpack(&bed.write(&good)).unwrap().0, 2);
    assert_eq!(
        fs::read_to_string(bed.unpacked().join("current/index.php")).unwrap(),
        "<?php"
    );
    let mode = fs::metadata(bed.unpacked().join("bin/run")).unwrap().mode();
    assert_eq!(mode & 0o7777, 0o755);
    let refused = |bed: &Bed, bytes: &[u8]| bed.unpack(&bed.write(bytes)).unwrap_err();
    for name in ["../out", "/out", "a/../../out"] {
        let bytes = zip_of(&[(name, 0o100_644, b"x")]);
        assert!(refused(&bed, &bytes).contains("leads out"), "{name}");
    }
    let through = zip_of(&[("a", 0o120_777, b"../code"), ("a/out", 0o100_644, b"x")]);
    assert!(refused(&bed, &through).contains("is there twice"));
    assert!(fs::read_dir(bed.path("code")).unwrap().next().is_none());
    for kind in [0o020_000, 0o060_000, 0o010_000, 0o140_000] {
        let bytes = zip_with_mode(kind | 0o644);
        let said = refused(&bed, &bytes);
        assert!(
            said.contains("neither a file, a folder nor a link"),
            "{kind:o}: {said}"
        );
    }
    let bomb = zip_of(&[("a", 0o100_644, &vec![0; 8 << 20])]);
    (bed.bounds.ratio, bed.bounds.ratio_from) = (100, 1 << 20);
    assert!(refused(&bed, &bomb).contains("which no code does"));
}

#[test]
fn what_an_archive_says_of_its_entries_is_not_taken_into_memory_without_bound() {
    let mut bed = Bed::new();
    bed.bounds.directory = 100_000;
    let long = vec![b'a'; 1 << 20];
    for kind in [
        EntryType::GNULongName,
        EntryType::GNULongLink,
        EntryType::XHeader,
    ] {
        bed.refuses(
            &tar_of(&[(kind, "a", "", &long), (FILE, "b", "", b"")]),
            "says too much",
        );
    }
    // What is skipped is no way around it.
    bed.refuses(
        &tar_of(&[(EntryType::Directory, "a", "", &long), (FILE, "b", "", b"")]),
        "says too much",
    );
    let names: Vec<String> = (0..2000).map(|n| format!("a-name-of-{n}")).collect();
    let files: Vec<_> = names
        .iter()
        .map(|name| (&**name, 0o100_644, &b""[..]))
        .collect();
    let refused = bed.unpack(&bed.write(&zip_of(&files))).unwrap_err();
    assert!(refused.contains("says too much"), "{refused}");
    bed.bounds.directory = 1 << 20;
    bed.unpack(&bed.write(&zip_of(&files))).unwrap();
    let tar: Vec<_> = names
        .iter()
        .map(|name| (FILE, &**name, "", &b""[..]))
        .collect();
    bed.bounds.directory = 2000;
    bed.unpack(&bed.write(&tar_of(&tar))).unwrap();
}

#[test]
fn a_cancel_ends_it() {
    let bed = Bed::new();
    let cancel = CancelFlag::default();
    cancel.cancel();
    let mut target = Target::make(&bed.unpacked(), (7, 8), &bed.bounds, &cancel).unwrap();
    let archive = bed.write(&tar_of(&[(FILE, "a", "", b"x")]));
    let ended = archive::unpack(File::open(archive).unwrap(), &mut target);
    assert!(matches!(ended, Err(FetchError::Cancelled)));
}

fn copy(bed: &Bed, shared: &[PathBuf]) -> Result<(u64, u64), String> {
    let _ = fs::remove_dir_all(bed.unpacked());
    let cancel = CancelFlag::default();
    let mut target = Target::make(&bed.unpacked(), (7, 8), &bed.bounds, &cancel).unwrap();
    let source = bed.path("code");
    let anchor = Anchor::open(&source).unwrap();
    let copied = folder::copy(&anchor, &source, shared, &mut target);
    let copied = copied.and_then(|()| target.finish());
    copied.map_err(|error| error.to_string())
}

#[test]
fn a_folder_is_copied_without_what_is_shared_and_through_no_link() {
    let bed = Bed::new();
    fs::create_dir_all(bed.path("code/pub/media")).unwrap();
    fs::write(bed.path("code/pub/index.php"), "<?php").unwrap();
    fs::write(bed.path("code/pub/media/large"), "x").unwrap();
    symlink("/etc", bed.path("code/etc")).unwrap();
    assert_eq!(copy(&bed, &["pub/media".into()]).unwrap(), (1, 5));
    assert!(!bed.unpacked().join("pub/media").exists());
    assert_eq!(
        fs::read_link(bed.unpacked().join("etc")).unwrap(),
        Path::new("/etc")
    );
    std::os::unix::net::UnixListener::bind(bed.path("code/socket")).unwrap();
    assert!(
        copy(&bed, &[])
            .unwrap_err()
            .contains("socket is neither a file")
    );
}

#[test]
fn the_one_folder_around_everything_is_taken_off_where_the_front_controller_is_in_it() {
    let bed = Bed::new();
    let unpacking = |docroot: &str| Unpacking {
        code: bed.path("code"),
        docroot: docroot.into(),
        front: "index.php".into(),
        shared: Vec::new(),
        data: bed.path("data"),
        asked_by: AskedBy::Operator,
        folder: bed.path("op"),
        bounds: Bounds::default(),
    };
    let make = |path: &str| {
        let path = bed.path("op").join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "").unwrap();
    };
    make("one/shop-1.2/pub/index.php");
    make("two/pub/index.php");
    make("two/readme");
    make("three/src/other.php");
    let top = |docroot: &str, name: &str| {
        let top = unpacking(docroot).top(&bed.path("op").join(name));
        top.map_err(|error| error.to_string())
    };
    assert_eq!(top("pub", "one").unwrap(), bed.path("op/one/shop-1.2"));
    assert_eq!(top("pub", "two").unwrap(), bed.path("op/two"));
    assert!(
        top("pub", "three")
            .unwrap_err()
            .contains("no folder pub in it, the docroot")
    );
    assert_eq!(top("", "two").unwrap(), bed.path("op/two"));
}

#[test]
fn this_host_is_not_reached_from_an_environment() {
    for ip in [
        "127.0.0.1",
        "0.0.0.0",
        "::1",
        "::",
        "169.254.169.254",
        "fe80::1",
        "::ffff:127.0.0.1",
        "224.0.0.1",
        "0.1.2.3",
        "100.100.100.200",
        "168.63.129.16",
        "fd00:ec2::254",
    ] {
        assert!(!download::is_outside(ip.parse().unwrap()), "{ip}");
    }
    for ip in ["192.0.2.1", "10.0.0.1", "2001:db8::1"] {
        assert!(download::is_outside(ip.parse().unwrap()), "{ip}");
    }
    // Nor by an address that it has in a network: here that by which the rest of the world would be reached.
    let way_out = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
    if way_out.connect("192.0.2.1:9").is_ok() {
        let own = way_out.local_addr().unwrap().ip();
        assert!(!download::is_outside(own), "{own}");
    }
}

#[tokio::test]
async fn an_environment_downloads_nothing_from_this_host() {
    let bed = Bed::new();
    let cancel = Arc::new(CancelFlag::default());
    for url in [
        "http://127.0.0.1:1/x.zip",
        "http://[::1]:1/x.zip",
        "http://localhost:1/x.zip",
        "http://2130706433:1/x.zip",
    ] {
        let to = bed.path("archive");
        let loaded = download::download(url, AskedBy::Environment, &to, &bed.bounds, &cancel);
        let refused = loaded.await.unwrap_err().to_string();
        assert!(
            refused.contains("reached from an environment"),
            "{url}: {refused}"
        );
    }
    for url in ["http://127.0.0.1:1/x", "http://localhost:1/x"] {
        let repository = git::Repository {
            url,
            reference: None,
            asked_by: AskedBy::Environment,
            folder: &bed.path("git"),
            bounds: &bed.bounds,
        };
        let refused = repository
            .archive(&bed.path("archive"), &cancel)
            .await
            .unwrap_err()
            .to_string();
        assert!(
            refused.contains("reached from an environment"),
            "{url}: {refused}"
        );
    }
}
