//! What `deploy --from` reads from: servers that answer in every way, git repositories, archives and folders, up to the
//! release that is made of them.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use stratus_agent::fetch::{self, Bounds, FetchError, Job};
use stratus_agent::layout::Layout;
use stratus_agent::snapshots::Releases;
use stratus_agent::tree::CancelFlag;
use stratus_core::release::Snapshot;
use stratus_core::snapshots::{CodeTree, Fetch, Fetched, Take, Verify};
use stratus_core::source::{AskedBy, Source};
use stratus_core::{Environment, OperationId, ReleaseId, Snapshots};
use stratus_tests::laws::sample;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// A data folder, a working tree, and what may be fetched.
struct Bed {
    folder: tempfile::TempDir,
    layout: Layout,
    environment: Environment,
    bounds: Bounds,
}

impl Bed {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::new(folder.path().join("data"), "5f3a9c".parse().unwrap());
        let mut environment = sample::environment("shop");
        environment.code = folder.path().join("code");
        let bed = Self {
            folder,
            layout,
            environment,
            bounds: Bounds {
                stall: Duration::from_millis(500),
                ..Bounds::default()
            },
        };
        bed.fill("code", "one");
        bed
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a small shop that says `word`.
    fn fill(&self, folder: &str, word: &str) {
        let folder = self.path(folder);
        fs::create_dir_all(folder.join("public")).unwrap();
        fs::create_dir_all(folder.join("data")).unwrap();
        fs::write(folder.join("data/upload"), "a visitor's").unwrap();
        fs::write(
            folder.join("public/index.php"),
            format!("<?php // {word}\n"),
        )
        .unwrap();
        for number in 0..20 {
            let text = format!("part {number} of all releases\n");
            fs::write(folder.join(format!("part{number}.php")), text).unwrap();
        }
    }

    fn archive(&self, folder: &str) -> Vec<u8> {
        let mut tar = tar::Builder::new(Vec::new());
        tar.append_dir_all("shop-1.2", self.path(folder)).unwrap();
        tar.into_inner().unwrap()
    }

    async fn fetch(&self, text: &str) -> Result<Fetched, FetchError> {
        let source = Source::parse(text, AskedBy::Operator).unwrap();
        let job = Job {
            layout: &self.layout,
            environment: &self.environment,
            operation: &operation(),
            source: &source,
            bounds: self.bounds,
        };
        fetch::fetch(job, Arc::new(CancelFlag::default())).await
    }

    async fn refused(&self, text: &str) -> String {
        self.fetch(text).await.unwrap_err().to_string()
    }

    async fn take(&self, tree: CodeTree<'_>, base: Option<&ReleaseId>) -> Result<Snapshot, String> {
        let operation = operation();
        let take = Take {
            environment: &self.environment,
            tree,
            operation: &operation,
            base,
            verify: Verify::Contents,
            progress: Arc::new(|_| ()),
            cancel: Arc::new(AtomicBool::new(false)),
        };
        let taken = Releases::new(self.layout.clone()).take(take).await;
        taken.map_err(|error| error.to_string())
    }
}

fn operation() -> OperationId {
    "op-1".parse().unwrap()
}

/// Answers every connection with `answer`, in pieces a tenth of a second apart; then ends it, or says nothing more.
async fn server(answer: Vec<Vec<u8>>, ends: bool) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut connection, _)) = listener.accept().await {
            let answer = answer.clone();
            tokio::spawn(async move {
                let mut asked = [0; 4096];
                let _ = connection.read(&mut asked).await;
                for piece in answer {
                    let _ = connection.write_all(&piece).await;
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                if !ends {
                    let _ = connection.read(&mut asked).await;
                }
            });
        }
    });
    format!("http://{address}")
}

fn ok(body: &[u8]) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

async fn redirect(to: &str) -> String {
    let head = format!(
        "HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    );
    server(vec![head.into_bytes()], true).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_behind_an_address_becomes_a_tree() {
    let bed = Bed::new();
    bed.fill("build", "two");
    let there = server(vec![ok(&bed.archive("build"))], true).await;
    let on = redirect(&format!("{there}/real.tar?key=1")).await;
    for address in [
        format!("{there}/shop.tar"),
        format!("{on}/shop.tar?key=secret"),
    ] {
        let fetched = bed.fetch(&address).await.unwrap();
        assert_eq!(fetched.files, 22);
        let index = fs::read_to_string(fetched.tree.join("public/index.php")).unwrap();
        assert_eq!(index, "<?php // two\n");
    }
    let left = fs::read_dir(bed.layout.fetched(&bed.environment.name, &operation())).unwrap();
    assert_eq!(left.count(), 1, "what it was unpacked from is gone");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_come_is_said_and_not_waited_for() {
    let bed = Bed::new();
    let missing = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_vec();
    let address = server(vec![missing], true).await;
    let said = bed.refused(&format!("{address}/x.zip?key=secret")).await;
    assert!(
        said.contains("answered 404") && !said.contains("secret"),
        "{said}"
    );

    let began = Instant::now();
    let silent = server(Vec::new(), false).await;
    let half = ok(&bed.archive("code"))[..2000].to_vec();
    let stuck = server(vec![half.clone()], false).await;
    let cut = server(vec![half], true).await;
    for address in [silent, stuck, cut] {
        let said = bed.refused(&format!("{address}/x.tar?key=secret")).await;
        assert!(
            said.contains("cannot be read") && !said.contains("secret"),
            "{said}"
        );
    }
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "{:?}",
        began.elapsed()
    );

    let page = server(vec![ok(b"<html>please log in</html>")], true).await;
    let said = bed.refused(&format!("{page}/x.zip")).await;
    assert!(said.contains("no archive that is known"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn redirects_lead_to_the_web_and_come_to_an_end() {
    let bed = Bed::new();
    for to in [
        "file:///etc/passwd",
        "ftp://127.0.0.1/x.zip",
        "gopher://127.0.0.1:1/",
    ] {
        let address = redirect(to).await;
        let said = bed.refused(&format!("{address}/x.zip")).await;
        assert!(
            said.contains("cannot be read") || said.contains("answered 302"),
            "{to}: {said}"
        );
    }
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let again = format!(
        "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:{port}/x.zip\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    );
    let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    tokio::spawn(async move {
        while let Ok((mut connection, _)) = listener.accept().await {
            let mut asked = [0; 4096];
            let _ = connection.read(&mut asked).await;
            let _ = connection.write_all(again.as_bytes()).await;
        }
    });
    let said = bed.refused(&format!("http://127.0.0.1:{port}/x.zip")).await;
    assert!(said.contains("leads on and on"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn more_than_may_come_is_refused_whether_it_is_said_before_or_not() {
    let mut bed = Bed::new();
    bed.bounds.packed = 1000;
    let body = bed.archive("code");
    let said_before = server(vec![ok(&body)], true).await;
    let chunk = format!("{:x}\r\n", body.len()).into_bytes();
    let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    let not_said = server(vec![head, chunk, body, b"\r\n0\r\n\r\n".to_vec()], true).await;
    for address in [said_before, not_said] {
        let said = bed.refused(&format!("{address}/x.tar")).await;
        assert!(said.contains("more than 1000 bytes"), "{said}");
    }
    bed.bounds.within = Duration::from_millis(300);
    bed.bounds.packed = u64::MAX;
    let drip = vec![b"HTTP/1.1 200 OK\r\n\r\n".to_vec(); 1].into_iter();
    let drip = drip.chain((0..50).map(|_| b"x".to_vec())).collect();
    let address = server(drip, true).await;
    let said = bed.refused(&format!("{address}/x.tar")).await;
    assert!(said.contains("did not come within"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_download_leaves_room_for_others() {
    let mut bed = Bed::new();
    bed.bounds.spare = u64::MAX / 2;
    let body = bed.archive("code");
    let chunk = format!("{:x}\r\n", body.len()).into_bytes();
    let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    let not_said = vec![head, chunk, body.clone(), b"\r\n0\r\n\r\n".to_vec()];
    for answer in [vec![ok(&body)], not_said] {
        let address = server(answer, true).await;
        let said = bed.refused(&format!("{address}/x.tar")).await;
        assert!(
            said.contains("archive: the filesystem has too little room"),
            "{said}"
        );
    }
}

/// Runs git in a folder.
fn git(folder: &Path, arguments: &[&str]) -> String {
    let author = [
        "-c",
        "user.name=a",
        "-c",
        "user.email=a@example.test",
        "-c",
        "protocol.file.allow=always",
    ];
    let mut git = Command::new("git");
    git.arg("-C").arg(folder).args(author).args(arguments);
    let output = git.env("GIT_CONFIG_NOSYSTEM", "1").output().unwrap();
    assert!(
        output.status.success(),
        "{arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn commit(folder: &Path, message: &str) -> String {
    git(folder, &["add", "-A"]);
    git(folder, &["commit", "-qm", message]);
    git(folder, &["rev-parse", "HEAD"])
}

impl Bed {
    /// A repository with two commits: `v1`, and `main` after it.
    fn repository(&self) -> (PathBuf, String, String) {
        self.fill("repo", "first");
        let repo = self.path("repo");
        git(&repo, &["init", "-q", "-b", "main"]);
        let attributes = "part1.php export-ignore\npart2.php export-subst\n";
        fs::write(repo.join(".gitattributes"), attributes).unwrap();
        let first = commit(&repo, "first");
        git(&repo, &["tag", "v1"]);
        self.fill("repo", "second");
        let second = commit(&repo, "second");
        (repo, first, second)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reference_of_a_repository_becomes_a_tree() {
    let bed = Bed::new();
    let (repo, first, second) = bed.repository();
    let url = format!("file://{}", repo.display());
    let named = [
        (url.clone(), &second, "second"),
        (format!("{url}#main"), &second, "second"),
        (format!("{url}#v1"), &first, "first"),
        (format!("{url}#{first}"), &first, "first"),
    ];
    for (text, commit, word) in named {
        let fetched = bed.fetch(&text).await.unwrap();
        assert_eq!(fetched.commit.as_ref(), Some(commit), "{text}");
        let index = fs::read_to_string(fetched.tree.join("public/index.php")).unwrap();
        assert_eq!(index, format!("<?php // {word}\n"), "{text}");
        assert!(fetched.tree.join("part1.php").exists(), "a checkout has it");
        assert!(!fetched.tree.join(".git").exists());
    }
    for text in [
        format!("{url}#v2"),
        format!("{url}#{}", "0".repeat(40)),
        format!("{url}-none#main"),
    ] {
        let said = bed.refused(&text).await;
        assert!(said.contains("cannot be fetched: "), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_that_somebody_else_owns_is_read_where_an_operator_names_it() {
    let bed = Bed::new();
    let (repo, _, second) = bed.repository();
    // Of a build user, say; that the owner can be changed is what root can do.
    let mut chown = Command::new("chown");
    chown.args(["-R", "65534"]).arg(&repo);
    assert!(chown.status().unwrap().success());
    let fetched = bed.fetch(&format!("file://{}", repo.display())).await;
    assert_eq!(fetched.unwrap().commit, Some(second));
    let left = fs::read_dir(bed.layout.fetched(&bed.environment.name, &operation())).unwrap();
    assert_eq!(left.count(), 1, "the tree alone");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_repository_cannot_give_whole_is_refused() {
    let mut bed = Bed::new();
    let (repo, ..) = bed.repository();
    let url = format!("file://{}", repo.display());
    // A link out is no danger before there is a release, and there will be none.
    symlink("/etc/passwd", repo.join("public/passwd")).unwrap();
    commit(&repo, "a link out");
    bed.fetch(&url).await.unwrap();
    let operation = operation();
    let refused = bed
        .take(CodeTree::Fetched(&operation), None)
        .await
        .unwrap_err();
    assert!(refused.contains("public/passwd"), "{refused}");

    bed.fill("library", "library");
    let library = bed.path("library");
    git(&library, &["init", "-q"]);
    commit(&library, "first");
    git(
        &repo,
        &[
            "submodule",
            "--quiet",
            "add",
            library.to_str().unwrap(),
            "lib",
        ],
    );
    commit(&repo, "a submodule");
    let said = bed.refused(&url).await;
    assert!(said.contains("has submodules"), "{said}");

    bed.bounds.limits.bytes = 100;
    let said = bed.refused(&format!("{url}#v1")).await;
    assert!(
        said.contains("more than 100 bytes") || said.contains("too large"),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_no_repository_is_given_up() {
    let bed = Bed::new();
    let silent = server(Vec::new(), false).await;
    let page = server(vec![ok(b"<html></html>")], true).await;
    let began = Instant::now();
    for address in [silent, page] {
        let said = bed.refused(&format!("{address}/shop.git#main")).await;
        assert!(said.contains("cannot be fetched: "), "{said}");
    }
    assert!(
        began.elapsed() < Duration::from_secs(10),
        "{:?}",
        began.elapsed()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn unchanged_files_are_linked_though_their_times_are_new_and_shared_folders_stay_out() {
    let bed = Bed::new();
    let first = bed.take(CodeTree::Working, None).await.unwrap();
    bed.fill("build", "two");
    // The release has times of an hour ago, the build those of today.
    let later = std::time::SystemTime::now() + Duration::from_hours(1);
    for number in 0..20 {
        let path = bed.path("build").join(format!("part{number}.php"));
        fs::File::options()
            .write(true)
            .open(path)
            .unwrap()
            .set_modified(later)
            .unwrap();
    }
    fs::write(bed.path("shop.tar"), bed.archive("build")).unwrap();
    let (repo, ..) = bed.repository();
    let operation = operation();
    for text in [
        bed.path("build").display().to_string(),
        bed.path("shop.tar").display().to_string(),
        format!("file://{}", repo.display()),
    ] {
        bed.fetch(&text).await.unwrap();
        let taken = bed
            .take(CodeTree::Fetched(&operation), Some(&first.release))
            .await
            .unwrap();
        assert!(taken.counts.linked >= 20, "{text}: {:?}", taken.counts);
        let releases = bed.layout.releases(&bed.environment.name);
        let release = releases.join(taken.release.as_str());
        assert!(
            release.join("data").is_dir(),
            "a place to mount the shared folder at"
        );
        assert!(!release.join("data/upload").exists());
        fetch::forget(&bed.layout, &bed.environment.name, &operation)
            .await
            .unwrap();
    }
    assert_eq!(
        fs::read_to_string(bed.path("code/public/index.php")).unwrap(),
        "<?php // one\n"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn paths_of_an_environment_stay_inside_its_tree() {
    let bed = Bed::new();
    bed.fill("code/build", "inside");
    fs::write(bed.path("secret.tar"), bed.archive("code")).unwrap();
    symlink(bed.path("secret.tar"), bed.path("code/link.tar")).unwrap();
    symlink(bed.folder.path(), bed.path("code/up")).unwrap();
    let fetch = async |text: &str| {
        let source = Source::parse(text, AskedBy::Environment).unwrap();
        let fetch = Fetch {
            environment: &bed.environment,
            operation: &operation(),
            source: &source,
            cancel: Arc::new(AtomicBool::new(false)),
        };
        let fetched = Releases::new(bed.layout.clone()).fetch(fetch).await;
        fetched.map_err(|error| error.to_string())
    };
    let fetched = fetch("build").await.unwrap();
    let index = fs::read_to_string(fetched.tree.join("public/index.php")).unwrap();
    assert_eq!(index, "<?php // inside\n");
    for text in ["link.tar", "up/secret.tar", "up"] {
        let said = fetch(text).await.unwrap_err();
        assert!(said.contains("leads through a link"), "{text}: {said}");
    }
    assert!(
        fetch("none")
            .await
            .unwrap_err()
            .contains("there is no none")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_of_operations_that_are_over_is_swept() {
    let bed = Bed::new();
    let tree = bed
        .fetch(&bed.path("code").display().to_string())
        .await
        .unwrap()
        .tree;
    let releases = Releases::new(bed.layout.clone());
    let name = &bed.environment.name;
    releases.sweep(name, &[operation()]).await.unwrap();
    assert!(tree.exists());
    releases.sweep(name, &[]).await.unwrap();
    assert_eq!(
        fs::read_dir(bed.layout.all_fetched(name)).unwrap().count(),
        0
    );
    releases.forget_fetched(name, &operation()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pipe_is_not_waited_for_and_the_servers_own_folder_not_copied() {
    let bed = Bed::new();
    let pipe = bed.path("pipe").display().to_string();
    assert!(
        Command::new("mkfifo")
            .arg(&pipe)
            .status()
            .unwrap()
            .success()
    );
    for text in [&*pipe, "/dev/zero"] {
        let said = tokio::time::timeout(Duration::from_secs(5), bed.refused(text)).await;
        assert!(
            said.unwrap().contains("neither a folder nor a file"),
            "{text}"
        );
    }
    let said = bed.refused(&bed.folder.path().display().to_string()).await;
    assert!(
        said.contains("holds the server's own data folder"),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_ends_a_download_and_a_git_that_hang() {
    let mut bed = Bed::new();
    bed.bounds.stall = Duration::from_mins(1);
    let silent = server(Vec::new(), false).await;
    for text in [format!("{silent}/x.tar"), format!("{silent}/x.git")] {
        let source = Source::parse(&text, AskedBy::Operator).unwrap();
        let fetch = Fetch {
            environment: &bed.environment,
            operation: &operation(),
            source: &source,
            cancel: Arc::new(AtomicBool::new(false)),
        };
        let cancel = fetch.cancel.clone();
        let releases = Releases::new(bed.layout.clone());
        let fetching = releases.fetch(fetch);
        tokio::pin!(fetching);
        let early = tokio::time::timeout(Duration::from_millis(500), &mut fetching).await;
        assert!(early.is_err(), "it hangs");
        cancel.store(true, std::sync::atomic::Ordering::Relaxed);
        let ended = tokio::time::timeout(Duration::from_secs(2), fetching)
            .await
            .unwrap();
        assert!(ended.unwrap_err().to_string().contains("cancelled"));
    }
}
