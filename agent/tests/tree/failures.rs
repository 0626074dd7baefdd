//! Full disks, cancellation, and what is left behind: nothing.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use stratus_agent::tree::{self, CancelFlag, Phase, Progress, TreeError};

use crate::bed::{Bed, Mount, take};

fn free(mount: &Mount) -> (u64, u64) {
    let room = rustix::fs::statvfs(&mount.path).unwrap();
    (room.f_bfree * room.f_frsize, room.f_ffree)
}

#[test]
fn too_little_room_is_predicted_with_both_figures() {
    let bed = Bed::new();
    let mount = Mount::tmpfs("size=1m,nr_inodes=50");
    for n in 0..8 {
        bed.write(&format!("f{n}"), vec![7; 200_000]);
    }
    let mut request = bed.request("op");
    request.releases = mount.path.join("releases");
    let before = free(&mount);
    for error in [
        tree::preflight(&request, &CancelFlag::default()).unwrap_err(),
        take(&request).unwrap_err(),
    ] {
        let TreeError::Space {
            needed_bytes,
            free_bytes,
            ..
        } = error
        else {
            panic!("{error}")
        };
        assert!(
            (1_600_000..1_800_000).contains(&needed_bytes),
            "{needed_bytes}"
        );
        assert!((900_000..=1_048_576).contains(&free_bytes), "{free_bytes}");
        let text = error.to_string();
        assert!(text.contains(&format!("{needed_bytes} bytes")), "{text}");
        assert!(text.contains(&format!("{free_bytes} bytes")), "{text}");
    }
    drop(fs::remove_dir(&request.releases));
    assert_eq!(free(&mount), before);
}

#[test]
fn too_few_inodes_are_predicted() {
    let bed = Bed::new();
    let mount = Mount::tmpfs("size=10m,nr_inodes=50");
    for n in 0..60 {
        bed.write(&format!("f{n}"), "x");
    }
    let mut request = bed.request("op");
    request.releases = mount.path.join("releases");
    let error = tree::preflight(&request, &CancelFlag::default()).unwrap_err();
    let TreeError::Space {
        needed_inodes,
        free_inodes,
        ..
    } = error
    else {
        panic!("{error}")
    };
    assert!(
        needed_inodes > 60 && free_inodes < 50,
        "{needed_inodes} {free_inodes}"
    );
}

#[test]
fn only_what_will_be_copied_is_predicted() {
    let mount = Mount::tmpfs("size=20m");
    let bed = Bed::at(&mount.path);
    for n in 0..10 {
        bed.write(&format!("f{n}"), vec![7; 800_000]);
    }
    let first = take(&bed.request("1")).unwrap();
    bed.write("f0", vec![8; 800_000]);
    let mut request = bed.request("2");
    request.base = Some(first.release);
    let forecast = tree::preflight(&request, &CancelFlag::default()).unwrap();
    assert!(
        (800_000..900_000).contains(&forecast.needed_bytes),
        "{forecast:?}"
    );
    assert_eq!(take(&request).unwrap().linked, 9);
}

/// Takes all the disk has, but for `room` bytes.
fn leave(hog: &Path, room: u64) {
    let mut file = fs::File::create(hog).unwrap();
    let mouthful = vec![1; 1 << 20];
    while std::io::Write::write_all(&mut file, &mouthful).is_ok() {}
    let size = file.metadata().unwrap().len();
    file.set_len(size - room).unwrap();
    file.sync_all().unwrap();
}

/// Fills the disk while the copy runs; the release must vanish whole and the space come back.
fn disk_fills_up_in_the_middle(mount: &Mount) {
    let bed = Bed::new();
    for n in 0..40 {
        bed.write(&format!("d{}/deep/er/f{n}", n % 9), vec![7; 500_000]);
    }
    let mut request = bed.request("op");
    request.releases = mount.path.join("releases");
    fs::create_dir(&request.releases).unwrap();
    rustix::fs::syncfs(fs::File::open(&mount.path).unwrap()).unwrap();
    let before = free(mount);
    let hog = mount.path.join("hog");
    let progress = Progress::watched(move |phase| {
        if phase == Phase::Copying {
            // The prediction has passed; now there is room for a few files only.
            leave(&hog, 5 << 20);
        }
    });
    let error = tree::take(&request, &progress, &CancelFlag::default()).unwrap_err();
    assert!(progress.counts().bytes > 0, "it was full before it began");
    assert!(matches!(error, TreeError::Full { .. }), "{error}");
    assert!(error.to_string().contains("full"), "{error}");
    assert_eq!(
        fs::read_dir(&request.releases).unwrap().count(),
        0,
        "something is left"
    );
    fs::remove_file(mount.path.join("hog")).unwrap();
    rustix::fs::syncfs(fs::File::open(&mount.path).unwrap()).unwrap();
    let after = free(mount);
    assert_eq!(after.1, before.1, "inodes");
    assert!(before.0 - after.0 <= 64 * 1024, "{before:?} {after:?}");
}

#[test]
fn a_full_tmpfs_leaves_nothing_behind() {
    disk_fills_up_in_the_middle(&Mount::tmpfs("size=30m"));
}

#[test]
fn a_full_ext4_leaves_nothing_behind() {
    disk_fills_up_in_the_middle(&Mount::ext4(40));
}

#[test]
fn a_cancelled_snapshot_ends_within_a_second_and_leaves_nothing() {
    let bed = Bed::new();
    for n in 0..400 {
        bed.write(&format!("d{}/f{n}", n % 20), vec![7; 1_000_000]);
    }
    let (progress, cancel) = (Progress::default(), CancelFlag::default());
    thread::scope(|scope| {
        let stopper = scope.spawn(|| {
            while progress.counts().copied < 5 {
                thread::yield_now();
            }
            cancel.cancel();
            Instant::now()
        });
        let result = tree::take(&bed.request("op"), &progress, &cancel);
        let took = stopper.join().unwrap().elapsed();
        assert!(matches!(result, Err(TreeError::Cancelled)), "{result:?}");
        assert!(took < Duration::from_secs(1), "{took:?}");
    });
    assert!(progress.counts().copied < 400);
    assert_eq!(bed.shelf(), [""; 0]);
}

#[test]
fn a_cancel_is_heard_inside_one_large_hole() {
    let bed = Bed::new();
    fs::File::create(bed.source.join("hole"))
        .unwrap()
        .set_len(9_000_000_000)
        .unwrap();
    let (progress, cancel) = (Progress::default(), CancelFlag::default());
    thread::scope(|scope| {
        let running = scope.spawn(|| tree::take(&bed.request("op"), &progress, &cancel));
        while progress.counts().total_files == 0 {
            thread::yield_now();
        }
        let start = Instant::now();
        cancel.cancel();
        assert!(matches!(running.join().unwrap(), Err(TreeError::Cancelled)));
        assert!(start.elapsed() < Duration::from_secs(1));
    });
    assert_eq!(bed.shelf(), [""; 0]);
}
