//! Sources that change while they are copied.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;

use rustix::fs::{CWD, RenameFlags, renameat_with};
use stratus_agent::tree::{self, CancelFlag, Phase, Progress, TreeError};

use crate::bed::{Bed, mode, set_mode, set_mtime};

/// Takes a snapshot; each time the second walk is about to begin, something changes. The number counts from 1.
fn take_while(
    bed: &Bed,
    change: impl Fn(u32) + Send + Sync + 'static,
) -> Result<tree::Snapshot, TreeError> {
    let checks = AtomicU32::new(0);
    let progress = Progress::watched(move |phase| {
        if phase == Phase::Checking {
            change(checks.fetch_add(1, Ordering::Relaxed) + 1);
        }
    });
    tree::take(&bed.request("op"), &progress, &CancelFlag::default())
}

fn many(bed: &Bed) {
    for n in 0..300 {
        bed.write(
            &format!("d{}/f{n}", n % 30),
            format!("content of {n}").repeat(500),
        );
    }
}

#[test]
fn what_changed_while_it_was_copied_is_copied_again() {
    let bed = Bed::new();
    many(&bed);
    let source = bed.source.clone();
    let made = take_while(&bed, move |check| {
        if check > 1 {
            return;
        }
        for n in (0..300).step_by(50) {
            fs::write(source.join(format!("d{}/f{n}", n % 30)), "new").unwrap();
        }
        fs::remove_file(source.join("d1/f1")).unwrap();
        fs::remove_dir_all(source.join("d7")).unwrap();
        fs::write(source.join("d7"), "a file now").unwrap();
        fs::create_dir(source.join("late")).unwrap();
        fs::write(source.join("late/file"), "late").unwrap();
        fs::rename(source.join("d8"), source.join("moved")).unwrap();
        fs::remove_file(source.join("d9/f9")).unwrap();
        symlink("f39", source.join("d9/f9")).unwrap();
        fs::remove_file(source.join("d11/f11")).unwrap();
        fs::create_dir(source.join("d11/f11")).unwrap();
        set_mode(&source.join("d12"), 0o711);
    })
    .unwrap();
    assert_eq!(made.repeats, 1);
    assert!(!made.path.join("d1/f1").exists() && !made.path.join("d8").exists());
    assert_eq!(fs::read(made.path.join("d0/f0")).unwrap(), b"new");
    assert_eq!(fs::read(made.path.join("d7")).unwrap(), b"a file now");
    assert_eq!(fs::read(made.path.join("late/file")).unwrap(), b"late");
    assert!(made.path.join("moved/f8").exists());
    assert_eq!(
        fs::read_link(made.path.join("d9/f9")).unwrap(),
        Path::new("f39")
    );
    assert!(made.path.join("d11/f11").is_dir());
    assert_eq!(mode(&made.path.join("d12")), 0o711);
    let drift = tree::verify(&bed.request("v"), &made.release, &CancelFlag::default()).unwrap();
    assert_eq!(drift.paths, []);
}

#[test]
fn what_changes_three_times_is_copied_and_what_changes_four_times_fails_with_its_name() {
    for (last, fails) in [(3, false), (4, true)] {
        let bed = Bed::new();
        many(&bed);
        let busy = bed.write("d3/busy\n.log", "x");
        let result = take_while(&bed, move |check| {
            if check <= last {
                fs::write(&busy, check.to_string()).unwrap();
            }
        });
        if fails {
            let error = result.unwrap_err();
            let TreeError::Changing { total, .. } = &error else {
                panic!("{error}")
            };
            assert_eq!(*total, 1, "{error}");
            assert!(error.to_string().ends_with(r"d3/busy\n.log"), "{error}");
            assert_eq!(bed.shelf(), [""; 0]);
        } else {
            let made = result.unwrap();
            assert_eq!(made.repeats, 3);
            assert_eq!(fs::read(made.path.join("d3/busy\n.log")).unwrap(), b"3");
        }
    }
}

#[test]
fn a_folder_that_something_came_and_went_in_counts_as_changed() {
    let bed = Bed::new();
    many(&bed);
    let came = bed.source.join("d3/come");
    let error = take_while(&bed, move |_| {
        fs::write(&came, "x").unwrap();
        fs::remove_file(&came).unwrap();
    })
    .unwrap_err();
    let TreeError::Changing { total, .. } = &error else {
        panic!("{error}")
    };
    assert_eq!(*total, 1, "{error}");
    assert!(error.to_string().ends_with(" d3"), "{error}");
}

#[test]
fn a_change_with_every_stamp_put_back_is_seen() {
    let bed = Bed::new();
    let file = bed.write("a", "first");
    set_mtime(&file, 1_000, 0);
    let made = take_while(&bed, move |check| {
        if check == 1 {
            fs::write(&file, "other").unwrap();
            set_mtime(&file, 1_000, 0);
        }
    })
    .unwrap();
    assert_eq!(fs::read(made.path.join("a")).unwrap(), b"other");
}

#[test]
fn a_change_in_the_same_tick_as_the_copy_is_never_lost() {
    // The file is written right before the snapshot and again right after it was copied, at many phases of the clock.
    for n in 0..40 {
        let bed = Bed::new();
        let file = bed.write("a", format!("{n:04}"));
        let made = take_while(&bed, move |check| {
            if check == 1 {
                fs::write(&file, "last").unwrap();
            }
        })
        .unwrap();
        assert_eq!(fs::read(made.path.join("a")).unwrap(), b"last");
    }
}

#[test]
fn a_fifo_put_in_place_of_a_file_does_not_block() {
    let bed = Bed::new();
    many(&bed);
    let path = bed.source.join("d29/f29");
    let progress = Progress::watched(move |phase| {
        if phase == Phase::Copying {
            drop(fs::remove_file(&path));
            let (kind, mode) = (rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR);
            rustix::fs::mknodat(CWD, &path, kind, mode, 0).unwrap();
        }
    });
    let error = tree::take(&bed.request("op"), &progress, &CancelFlag::default()).unwrap_err();
    assert!(matches!(error, TreeError::Refused(_)), "{error}");
    assert_eq!(bed.shelf(), [""; 0]);
}

#[test]
fn nothing_outside_is_read_or_written_while_links_are_exchanged() {
    let bed = Bed::new();
    many(&bed);
    let outside = bed.source.parent().unwrap().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("f60"), "SECRET").unwrap();
    for n in 0..30 {
        symlink(&outside, bed.source.join(format!("x{n}"))).unwrap();
        symlink(outside.join("f60"), bed.source.join(format!("d{n}/swap"))).unwrap();
    }
    let exchange = |one: &Path, two: &Path| {
        let _ = renameat_with(CWD, one, CWD, two, RenameFlags::EXCHANGE);
    };
    // The links lead out, so whether a walk sees one or not, it must never come through with what is behind it.
    let mut request = bed.request("op");
    request.links = vec![outside.clone()];
    for _ in 0..4 {
        let (progress, over) = (Progress::default(), AtomicBool::new(false));
        let result = thread::scope(|scope| {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    for n in 0..30 {
                        let folder = bed.source.join(format!("d{n}"));
                        exchange(&folder, &bed.source.join(format!("x{n}")));
                        exchange(&folder.join(format!("f{n}")), &folder.join("swap"));
                    }
                }
            });
            let result = tree::take(&request, &progress, &CancelFlag::default());
            over.store(true, Ordering::Relaxed);
            result
        });
        if let Ok(made) = result {
            assert_no_secret(&made.path);
        } else {
            assert_eq!(bed.shelf(), [""; 0]);
        }
    }
    assert_eq!(
        fs::read_dir(&outside).unwrap().count(),
        1,
        "written outside"
    );
    assert_eq!(fs::read(outside.join("f60")).unwrap(), b"SECRET");
}

fn assert_no_secret(path: &Path) {
    for entry in fs::read_dir(path).unwrap() {
        let path = entry.unwrap().path();
        let kind = fs::symlink_metadata(&path).unwrap().file_type();
        if kind.is_dir() {
            assert_no_secret(&path);
        } else if kind.is_file() {
            assert_ne!(fs::read(&path).unwrap(), b"SECRET", "{}", path.display());
        }
    }
}

#[test]
fn a_tree_that_stands_still_is_copied_once() {
    let bed = Bed::new();
    for n in 0..50 {
        bed.write(&format!("f{n}"), "written this very moment");
    }
    let progress = Progress::default();
    let made = tree::take(&bed.request("op"), &progress, &CancelFlag::default()).unwrap();
    assert_eq!(made.repeats, 0);
    assert_eq!(progress.counts().phase, Phase::Publishing);
}
