//! What a second snapshot takes over from the first.

use std::fs;
use std::os::unix::fs::MetadataExt;

use stratus_agent::tree::{self, CancelFlag, Request, Snapshot};

use crate::bed::{Bed, Mount, inode, mode, mtime, set_mode, set_mtime, take};

fn next(bed: &Bed, operation: &str, base: &Snapshot) -> Request {
    let mut request = bed.request(operation);
    request.base = Some(base.release.clone());
    request
}

#[test]
fn unchanged_files_are_linked_and_changed_ones_copied() {
    let bed = Bed::new();
    for n in 0..100 {
        bed.write(&format!("d{}/f{n}", n % 7), format!("{n}"));
    }
    let first = take(&bed.request("1")).unwrap();
    bed.write("d0/f0", "changed");
    bed.write("d1/new", "new");
    fs::remove_file(bed.source.join("d2/f2")).unwrap();

    let forecast = tree::preflight(&next(&bed, "2", &first), &CancelFlag::default()).unwrap();
    let second = take(&next(&bed, "2", &first)).unwrap();

    assert_eq!((second.copied, second.linked), (2, 98));
    assert_eq!((forecast.copied, forecast.linked), (2, 98));
    assert_eq!(
        inode(&first.path.join("d1/f1")),
        inode(&second.path.join("d1/f1"))
    );
    assert_ne!(
        inode(&bed.source.join("d1/f1")),
        inode(&first.path.join("d1/f1"))
    );
    assert_eq!(fs::read(first.path.join("d0/f0")).unwrap(), b"0");
    assert_eq!(fs::read(second.path.join("d0/f0")).unwrap(), b"changed");
    assert!(!second.path.join("d2/f2").exists());

    bed.write("d3/f3", "third");
    let third = take(&next(&bed, "3", &second)).unwrap();
    assert_eq!(
        (third.copied, third.linked),
        (1, 99),
        "linking goes on from link to link"
    );
}

#[test]
fn other_content_under_equal_size_and_time_gets_the_next_second() {
    let bed = Bed::new();
    let file = bed.write("app.css", "red__");
    let write = |content| {
        fs::write(&file, content).unwrap();
        set_mtime(&file, 1_000_000, 250);
    };
    write("red__");
    let first = take(&bed.request("1")).unwrap();
    write("green");
    let second = take(&next(&bed, "2", &first)).unwrap();
    assert_eq!(mtime(&second.path.join("app.css")), (1_000_001, 250));
    assert_eq!(mtime(&first.path.join("app.css")), (1_000_000, 250));

    // It stays there while the file stays as it is,
    bed.write("other", "x");
    let third = take(&next(&bed, "3", &second)).unwrap();
    assert_eq!(third.linked, 1);
    assert_eq!(mtime(&third.path.join("app.css")), (1_000_001, 250));
    // also when only its inode has changed,
    fs::remove_file(&file).unwrap();
    write("green");
    let fourth = take(&next(&bed, "4", &third)).unwrap();
    assert_eq!(mtime(&fourth.path.join("app.css")), (1_000_001, 250));
    // moves on with the next content, never back to a second that was given away,
    write("blue_");
    let fifth = take(&next(&bed, "5", &fourth)).unwrap();
    assert_eq!(mtime(&fifth.path.join("app.css")), (1_000_002, 250));
    // and is forgotten once the source has a time of its own.
    fs::write(&file, "brown").unwrap();
    set_mtime(&file, 1_000_009, 7);
    let sixth = take(&next(&bed, "6", &fifth)).unwrap();
    assert_eq!(mtime(&sixth.path.join("app.css")), (1_000_009, 7));
}

#[test]
fn other_content_within_the_same_second_gets_the_next_one_too() {
    let bed = Bed::new();
    let file = bed.write("app.css", "red__");
    set_mtime(&file, 1_000_000, 100);
    let first = take(&bed.request("1")).unwrap();
    fs::write(&file, "green").unwrap();
    set_mtime(&file, 1_000_000, 900);
    let second = take(&next(&bed, "2", &first)).unwrap();
    assert_eq!(
        mtime(&second.path.join("app.css")).0,
        1_000_001,
        "nginx compares whole seconds"
    );
}

#[test]
fn other_content_of_another_size_keeps_its_time() {
    let bed = Bed::new();
    let file = bed.write("app.css", "red");
    set_mtime(&file, 1_000_000, 0);
    let first = take(&bed.request("1")).unwrap();
    fs::write(&file, "green").unwrap();
    set_mtime(&file, 1_000_000, 0);
    let second = take(&next(&bed, "2", &first)).unwrap();
    assert_eq!(mtime(&second.path.join("app.css")), (1_000_000, 0));
}

#[test]
fn another_owner_means_copies() {
    let bed = Bed::new();
    bed.write("a", "x");
    let first = take(&bed.request("1")).unwrap();
    let mut request = next(&bed, "2", &first);
    request.owner = (1234, 1234);
    let second = take(&request).unwrap();
    assert_eq!((second.copied, second.linked), (1, 0));
    assert_ne!(second.release, first.release);
    assert_eq!(fs::metadata(first.path.join("a")).unwrap().uid(), 0);
    assert_eq!(fs::metadata(second.path.join("a")).unwrap().uid(), 1234);
}

#[test]
fn another_mode_means_a_copy() {
    let bed = Bed::new();
    let file = bed.write("a", "x");
    set_mode(&file, 0o644);
    let first = take(&bed.request("1")).unwrap();
    set_mode(&file, 0o600);
    let second = take(&next(&bed, "2", &first)).unwrap();
    assert_eq!((second.copied, second.linked), (1, 0));
    assert_eq!(mode(&first.path.join("a")), 0o644);
    assert_eq!(mode(&second.path.join("a")), 0o600);
    assert_eq!(mtime(&first.path.join("a")), mtime(&second.path.join("a")));
}

#[test]
fn a_file_restored_with_its_old_time_is_read_and_linked() {
    let bed = Bed::new();
    let file = bed.write("a", "x");
    bed.write("b", "x");
    let first = take(&bed.request("1")).unwrap();
    let stamp = mtime(&file);
    fs::remove_file(&file).unwrap();
    fs::write(&file, "x").unwrap();
    set_mtime(&file, stamp.0, stamp.1);
    bed.write("b", "changed");
    let second = take(&next(&bed, "2", &first)).unwrap();
    assert_eq!((second.copied, second.linked), (1, 1));
}

#[test]
fn a_base_whose_file_was_altered_is_not_linked() {
    for alter in [
        (|path| fs::write(path, "longer than before").unwrap()) as fn(&std::path::Path),
        |path| set_mtime(path, 5, 5),
        |path| set_mode(path, 0o777),
        |path| fs::remove_file(path).unwrap(),
        |path| {
            fs::remove_file(path).unwrap();
            std::os::unix::fs::symlink("/etc/passwd", path).unwrap();
        },
    ] {
        let bed = Bed::new();
        let file = bed.write("d/a", "x");
        set_mode(&file, 0o644);
        bed.write("b", "x");
        let first = take(&bed.request("1")).unwrap();
        alter(&first.path.join("d/a"));
        bed.write("b", "changed");
        let second = take(&next(&bed, "2", &first)).unwrap();
        assert_eq!((second.copied, second.linked), (2, 0));
        assert_eq!(fs::read(second.path.join("d/a")).unwrap(), b"x");
        assert_eq!(mode(&second.path.join("d/a")), 0o644);
    }
}

#[test]
fn a_base_that_cannot_be_used_costs_only_copies() {
    let bed = Bed::new();
    bed.write("a", "x");
    let first = take(&bed.request("1")).unwrap();
    let manifest = bed.releases.join(format!("{}.manifest", first.release));
    let good = fs::read(&manifest).unwrap();
    let mut newer = good.clone();
    newer[16] = 2;
    let mut flipped = good.clone();
    *flipped.last_mut().unwrap() ^= 1;
    for bad in [newer, flipped, good[..good.len() - 1].to_vec(), Vec::new()] {
        fs::write(&manifest, bad).unwrap();
        bed.write("b", "grows");
        let mut request = next(&bed, "2", &first);
        request.owner = (1, 1);
        let second = take(&request).unwrap();
        assert_eq!(second.linked, 0);
        tree::discard(&bed.releases, "2", &CancelFlag::default()).unwrap();
    }
    let mut request = bed.request("3");
    request.base = Some("0".repeat(64));
    assert_eq!(take(&request).unwrap().linked, 0);
}

#[test]
fn a_file_with_as_many_links_as_the_filesystem_allows_is_copied() {
    let mount = Mount::ext4(100);
    let bed = Bed::at(&mount.path);
    bed.write("a", "x");
    let first = take(&bed.request("1")).unwrap();
    let crowd = mount.path.join("crowd");
    fs::create_dir(&crowd).unwrap();
    let mut links = 0;
    while fs::hard_link(first.path.join("a"), crowd.join(links.to_string())).is_ok() {
        links += 1;
    }
    assert!(links > 60_000, "{links}");
    bed.write("b", "x");
    let second = take(&next(&bed, "2", &first)).unwrap();
    assert_eq!((second.copied, second.linked), (2, 0));
}

#[test]
fn a_touched_tree_is_read_but_not_copied() {
    let bed = Bed::new();
    for n in 0..20 {
        bed.write(&format!("f{n}"), format!("{n}"));
    }
    let first = take(&bed.request("1")).unwrap();
    for n in 0..20 {
        let path = bed.source.join(format!("f{n}"));
        std::os::unix::fs::chown(&path, Some(3), Some(3)).unwrap();
    }
    bed.write("new", "x");
    let second = take(&next(&bed, "2", &first)).unwrap();
    assert_eq!((second.copied, second.linked), (1, 20));
}
