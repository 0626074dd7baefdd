//! What only the database on disk can get wrong: damage, another version, a full disk, a killed process.
#![expect(clippy::unwrap_used, reason = "what a test prepares must succeed")]

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use stratus_core::operation::Outcome;
use stratus_core::store::{Pin, StoreError};
use stratus_core::{EnvironmentState, Generation, OperationId, Store};
use stratus_server::store::SqliteStore;
use stratus_tests::contracts::store::{begun, pool, started};
use stratus_tests::laws::sample::{environment, release};

const PAGE: usize = 4096;

/// A closed database with something in every table.
async fn filled(folder: &Path) -> PathBuf {
    let path = folder.join("state.db");
    let store = SqliteStore::open(&path).unwrap();
    let shop = environment("shop").name;
    store
        .put_environments(&[environment("shop")])
        .await
        .unwrap();
    store
        .put_state(&shop, &EnvironmentState::default())
        .await
        .unwrap();
    store.next_generation(&shop).await.unwrap();
    store.put_pool(&pool("shop", 1)).await.unwrap();
    store.pin(&shop, &release(1), Pin::Keep).await.unwrap();
    let id = begun(&store, "one", "shop").await;
    for step in 0..300 {
        store.append(&id, 1, &started(step)).await.unwrap();
    }
    drop(store);
    assert!(!folder.join("state.db-wal").exists(), "it was closed");
    path
}

/// Why the database at `path` is refused.
fn refusal(path: &Path) -> String {
    match SqliteStore::open(path) {
        Err(StoreError::Unreadable { detail }) => detail,
        Err(other) => panic!("refused as {other:?}"),
        Ok(_) => panic!("{} was opened", path.display()),
    }
}

#[tokio::test]
async fn a_database_that_is_opened_again_holds_everything() {
    let folder = tempfile::tempdir().unwrap();
    let path = filled(folder.path()).await;
    let store = SqliteStore::open(&path).unwrap();
    let shop = environment("shop").name;
    assert_eq!(store.environments().await.unwrap(), [environment("shop")]);
    assert_eq!(store.pools(&shop).await.unwrap(), [pool("shop", 1)]);
    assert_eq!(store.pinned(&shop).await.unwrap(), [release(1)]);
    assert_eq!(store.next_generation(&shop).await.unwrap(), Generation(2));
    let id = "one".parse().unwrap();
    assert_eq!(store.journal(&id, 0).await.unwrap().len(), 300);
    assert_eq!(store.append(&id, 1, &started(0)).await.unwrap(), 301);
    store.finish(&id, 2, Outcome::Completed).await.unwrap();
    begun(&store, "two", "shop").await;
}

#[tokio::test]
async fn an_empty_file_is_refused_and_not_taken_for_a_new_installation() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    File::create(&path).unwrap();
    let refused = refusal(&path);
    assert!(
        refused.contains("it is empty") && refused.contains("backup"),
        "{refused}"
    );
    assert_eq!(fs::metadata(&path).unwrap().len(), 0, "it is left as it is");
}

#[tokio::test]
async fn garbage_and_other_databases_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    let garbage: Vec<u8> = (0..251).cycle().take(PAGE * 3).collect();
    fs::write(&path, &garbage).unwrap();
    let refused = refusal(&path);
    assert!(refused.contains("damaged"), "{refused}");
    assert_eq!(fs::read(&path).unwrap(), garbage, "it is left as it is");

    fs::remove_file(&path).unwrap();
    let path = filled(folder.path()).await;
    overwrite(&path, 68, &[0; 4]);
    let refused = refusal(&path);
    assert!(refused.contains("not a Stratus database"), "{refused}");
}

#[tokio::test]
async fn a_truncated_database_is_refused_wherever_it_ends() {
    let folder = tempfile::tempdir().unwrap();
    let path = filled(folder.path()).await;
    let whole = fs::read(&path).unwrap();
    let pages = whole.len() / PAGE;
    assert!(pages > 10, "{pages} pages");
    for length in (1..pages).flat_map(|page| [page * PAGE, page * PAGE - 100]) {
        fs::write(&path, &whole[..length]).unwrap();
        let refused = refusal(&path);
        assert!(refused.contains("damaged"), "{length} bytes: {refused}");
    }
}

#[tokio::test]
async fn flipped_bytes_are_refused_in_every_page() {
    let folder = tempfile::tempdir().unwrap();
    let path = filled(folder.path()).await;
    let whole = fs::read(&path).unwrap();
    for page in 0..whole.len() / PAGE {
        let mut damaged = whole.clone();
        for byte in &mut damaged[page * PAGE..][..16] {
            *byte ^= 0xff;
        }
        fs::write(&path, damaged).unwrap();
        let refused = refusal(&path);
        assert!(refused.contains("damaged"), "page {page}: {refused}");
    }
}

#[tokio::test]
async fn a_newer_version_is_refused_and_both_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = filled(folder.path()).await;
    overwrite(&path, 60, &7_u32.to_be_bytes());
    let refused = refusal(&path);
    let expected = "was written by a newer version (format 7, this one knows 3); upgrade stratusd";
    assert!(refused.ends_with(expected), "{refused}");
}

fn overwrite(path: &Path, at: u64, bytes: &[u8]) {
    let mut file = File::options().write(true).open(path).unwrap();
    file.seek(SeekFrom::Start(at)).unwrap();
    file.write_all(bytes).unwrap();
}

/// A disk of 16 MiB that goes with the test.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=16m", "tmpfs"])
            .arg(folder.path())
            .status()
            .unwrap();
        assert!(
            mounted.success(),
            "this test mounts a tmpfs: run it as root"
        );
        Self(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes until nothing fits any more.
    fn fill(&self) {
        let mut file = File::options()
            .create(true)
            .append(true)
            .open(self.path("ballast"))
            .unwrap();
        for size in [1 << 16, PAGE] {
            let block = vec![1; size];
            while file.write_all(&block).is_ok() {}
        }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount")
            .arg("--lazy")
            .arg(self.0.path())
            .status();
    }
}

/// Appends until it fails, `limit` times at most.
async fn append_until_refused(
    store: &SqliteStore,
    id: &OperationId,
    limit: u32,
) -> Option<StoreError> {
    for _ in 0..limit {
        if let Err(error) = store.append(id, 1, &started(0)).await {
            return Some(error);
        }
    }
    None
}

#[tokio::test]
async fn a_full_disk_costs_the_reserve_first_and_is_then_said_clearly() {
    let disk = SmallDisk::mount();
    let store = SqliteStore::open(&disk.path("state.db")).unwrap();
    let id = begun(&store, "one", "shop").await;
    assert!(disk.path("reserve").exists());

    disk.fill();
    let refused = append_until_refused(&store, &id, 500).await;
    assert!(refused.is_none(), "the reserve bears an undo: {refused:?}");
    assert!(!disk.path("reserve").exists(), "it was given up");

    disk.fill();
    let refused = append_until_refused(&store, &id, 20_000).await.unwrap();
    assert!(matches!(refused, StoreError::Full), "{refused:?}");
    assert_eq!(
        refused.to_string(),
        "the state folder's disk is full; free some space, then run operations.resume"
    );
    let before = store.journal(&id, 0).await.unwrap().len() as u64;

    fs::remove_file(disk.path("ballast")).unwrap();
    assert_eq!(store.append(&id, 1, &started(1)).await.unwrap(), before + 1);
    assert!(disk.path("reserve").exists(), "it is taken again");
    drop(store);
    let store = SqliteStore::open(&disk.path("state.db")).unwrap();
    assert_eq!(
        store.journal(&id, 0).await.unwrap().len() as u64,
        before + 1
    );
}

/// Names the database that this process, as a child, appends to until it is killed.
const APPENDER: &str = "STRATUS_TEST_APPENDER";

#[tokio::test]
async fn a_killed_process_loses_no_append_that_it_was_told_of() {
    if let Some(path) = std::env::var_os(APPENDER) {
        return append_for_ever(Path::new(&path)).await;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    let mut last = 0;
    for round in 1..=5 {
        let told = kill_after(&path, 20 * round);
        assert!(told > last, "it went on: {told} after {last}");
        let store = SqliteStore::open(&path).unwrap();
        let entries = store.journal(&"one".parse().unwrap(), 0).await.unwrap();
        let numbers: Vec<u64> = entries.iter().map(|entry| entry.number).collect();
        assert!(
            numbers.iter().copied().eq(1..=numbers.len() as u64),
            "{numbers:?}"
        );
        last = numbers.len() as u64;
        assert!(last >= told, "{told} was acknowledged, {last} are there");
    }
}

async fn append_for_ever(path: &Path) {
    let store = SqliteStore::open(path).unwrap();
    let id = "one".parse().unwrap();
    if store.operation(&id).await.unwrap().is_none() {
        begun(&store, "one", "shop").await;
    }
    loop {
        let number = store.append(&id, 1, &started(0)).await.unwrap();
        let mut out = std::io::stdout().lock();
        writeln!(out, "told {number}").unwrap();
        out.flush().unwrap();
    }
}

/// Runs a child that appends, kills it after `count` acknowledgements, and returns the last one it gave.
fn kill_after(path: &Path, count: usize) -> u64 {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "a_killed_process_loses_no_append_that_it_was_told_of",
            "--nocapture",
        ])
        .env(APPENDER, path)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut text = String::new();
    for _ in 0..count {
        assert!(
            out.read_line(&mut text).unwrap() > 0,
            "it ended by itself: {text}"
        );
    }
    child.kill().unwrap();
    child.wait().unwrap();
    out.read_to_string(&mut text).unwrap();
    // A line that was cut was not told.
    let whole = &text[..=text.rfind('\n').unwrap()];
    let mut told = whole.lines().filter_map(|line| line.split_once("told "));
    told.next_back().unwrap().1.parse().unwrap()
}
