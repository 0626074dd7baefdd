//! Fetches one commit of a git repository and makes an archive of it: a checkout by git would follow what a stranger
//! wrote, an archive is unpacked like any other.
//!
//! The program `git` of the host does it, with no configuration but what stands here, no hook, no prompt, and for an
//! environment without the server's keys.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use reqwest::Url;
use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process_group, prlimit};
use stratus_core::source::AskedBy;
use tokio::io::AsyncReadExt;
use tokio::process::{Child, ChildStderr, ChildStdout, Command};

use super::download::{is_outside, outside};
use super::error::FetchError;
use super::{BEAT, Bounds, check_room};
use crate::tree::CancelFlag;

/// Where git and ssh are.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Most memory that git may take, in bytes: what a stranger's repository says of itself it holds there.
const MEMORY_MAX: u64 = 4 << 30;
/// The kernel ends it before anybody else when memory is short.
const OOM_SCORE: &str = "500";
/// Most of what git says that is kept, in bytes.
const SAID_MAX: u64 = 4096;
/// A repository of this host that an operator names is theirs to trust, whoever owns it. Only a file says so to the git
/// that it sends from.
const TRUSTED: &str = "[safe]\n\tdirectory = *\n";
/// Nothing is left out of the archive, whatever the repository says.
const ATTRIBUTES: &str = "* -export-ignore -export-subst\n";

/// A reference of a repository, and where to put it.
pub(super) struct Repository<'a> {
    /// Its address.
    pub url: &'a str,
    /// A branch, a tag or a whole commit id.
    pub reference: Option<&'a str>,
    /// On whose behalf.
    pub asked_by: AskedBy,
    /// Where the repository is put; not there yet.
    pub folder: &'a Path,
    /// How large it may be, and how long it may take.
    pub bounds: &'a Bounds,
}

/// A program at work; dropped, it ends, and what it started.
struct Running {
    child: Child,
    group: Option<Pid>,
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(group) = self.group {
            // It may be gone already.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

/// Bounds the memory of a program that has just begun, and of what it starts.
fn bound_memory(program: Option<Pid>) {
    let Some(program) = program else { return };
    let most = Rlimit {
        current: Some(MEMORY_MAX),
        maximum: Some(MEMORY_MAX),
    };
    let score = format!("/proc/{}/oom_score_adj", program.as_raw_nonzero());
    let bounded = prlimit(Some(program), Resource::As, most).map_err(std::io::Error::from);
    if let Err(error) = bounded.and_then(|_| std::fs::write(score, OOM_SCORE)) {
        // It may have ended already.
        tracing::debug!(%error, "the memory of git is not bounded");
    }
}

impl Repository<'_> {
    /// Writes the commit's tree as a tar to `to`; says which commit it is.
    pub(super) async fn archive(
        &self,
        to: &Path,
        cancel: &CancelFlag,
    ) -> Result<String, FetchError> {
        let work = async {
            let pins = self.pins().await?;
            let folder = self.folder.as_os_str().to_string_lossy();
            let to_text = to.as_os_str().to_string_lossy();
            let written = std::fs::create_dir_all(self.folder)
                .and_then(|()| std::fs::write(self.trusted(), TRUSTED));
            written.map_err(|e| FetchError::io("write", self.folder, e))?;
            self.run(&["init", "--quiet", "--bare", "--template=", &folder], to)
                .await?;
            let info = self.folder.join("info");
            let written = std::fs::create_dir_all(&info)
                .and_then(|()| std::fs::write(info.join("attributes"), ATTRIBUTES));
            written.map_err(|e| FetchError::io("write", &info, e))?;
            let inside = ["-C", &*folder];
            let fetch = [
                "fetch",
                "--quiet",
                "--depth=1",
                "--no-tags",
                "--no-recurse-submodules",
                "--",
            ];
            let what = [self.url, self.reference.unwrap_or("HEAD")];
            let pins: Vec<&str> = pins.iter().flat_map(|pin| ["-c", pin.as_str()]).collect();
            self.run(&[&inside[..], &pins, &fetch, &what].concat(), to)
                .await?;
            let commit = ["rev-parse", "--verify", "FETCH_HEAD^{commit}"];
            let commit = self.run(&[&inside[..], &commit].concat(), to).await?;
            let commit = commit.trim().to_owned();
            self.refuse_submodules(&commit, to).await?;
            let archive = [
                "-c",
                "tar.umask=0022",
                "archive",
                "--format=tar",
                "-o",
                &*to_text,
                &commit,
            ];
            self.run(&[&inside[..], &archive].concat(), to).await?;
            Ok(commit)
        };
        tokio::select! {
            done = tokio::time::timeout(self.bounds.within, work) => match done {
                Ok(done) => done,
                Err(_) => Err(FetchError::Unreachable(format!(
                    "{} did not come within {} s", self.shown(), self.bounds.within.as_secs()
                ))),
            },
            stopped = super::cancelled(cancel) => Err(stopped),
        }
    }

    /// A release with empty folders where code should be is worse than none.
    async fn refuse_submodules(&self, commit: &str, to: &Path) -> Result<(), FetchError> {
        let folder = self.folder.as_os_str().to_string_lossy();
        let list = [
            "-C",
            &*folder,
            "ls-tree",
            "--name-only",
            commit,
            "--",
            ".gitmodules",
        ];
        if self.run(&list, to).await?.trim().is_empty() {
            return Ok(());
        }
        Err(FetchError::Refused(format!(
            "{} has submodules, which are not fetched; let the build put them together and name its folder or archive",
            self.shown()
        )))
    }

    /// For an environment: where the host was found to be, so that git finds it there and not on this host.
    async fn pins(&self) -> Result<Vec<String>, FetchError> {
        if self.asked_by == AskedBy::Operator {
            return Ok(Vec::new());
        }
        let refused = |why: String| FetchError::Refused(format!("{}: {why}", self.shown()));
        let url = Url::parse(self.url).map_err(|e| refused(e.to_string()))?;
        let host = url.host_str().unwrap_or_default();
        let port = url.port_or_known_default().unwrap_or(443);
        let found: Vec<SocketAddr> = match host.trim_matches(['[', ']']).parse() {
            Ok(ip) if is_outside(ip) => return Ok(vec!["http.followRedirects=false".to_owned()]),
            Ok(ip) => return Err(refused(format!("{ip} is not reached from an environment"))),
            Err(_) => outside(host, port)
                .await
                .map_err(|e| refused(e.to_string()))?,
        };
        let addresses: Vec<_> = found
            .iter()
            .map(|address| address.ip().to_string())
            .collect();
        Ok(vec![
            format!("http.curloptResolve={host}:{port}:{}", addresses.join(",")),
            "http.followRedirects=false".to_owned(),
        ])
    }

    /// Runs git to its end; what it printed.
    async fn run(&self, arguments: &[&str], to: &Path) -> Result<String, FetchError> {
        let mut command = Command::new("git");
        command
            .args([
                "-c",
                "core.hooksPath=/dev/null",
                "-c",
                "credential.helper=",
                "-c",
                "gc.auto=0",
            ])
            .args(arguments)
            .env_clear()
            .envs(self.variables())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        let mut child = command.spawn().map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => FetchError::Refused(
                "there is no git on the server's host; install it, or name a folder or an archive"
                    .into(),
            ),
            _ => FetchError::io("start", Path::new("git"), error),
        })?;
        let group = child
            .id()
            .and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        bound_memory(group);
        let (out, err) = (child.stdout.take(), child.stderr.take());
        let mut running = Running { child, group };
        let (said, complained, ended) = {
            let bounded = self.until_too_large(to);
            let reading = async { tokio::join!(said(out), complained(err), running.child.wait()) };
            tokio::select! {
                done = reading => done,
                error = bounded => return Err(error),
            }
        };
        running.group = None;
        let ended = ended.map_err(|e| FetchError::io("wait for", Path::new("git"), e))?;
        if ended.success() {
            return Ok(said);
        }
        Err(FetchError::Unreachable(format!(
            "{} cannot be fetched: {}",
            self.shown(),
            reason(&complained)
        )))
    }

    fn variables(&self) -> Vec<(&'static str, String)> {
        let own = |name| std::env::var(name).unwrap_or_default();
        let (protocols, home, config) = match self.asked_by {
            AskedBy::Operator => ("file:git:http:https:ssh", own("HOME"), self.trusted()),
            AskedBy::Environment => {
                let (home, config) = ("/nonexistent".to_owned(), PathBuf::from("/dev/null"));
                ("http:https", home, config)
            }
        };
        vec![
            ("PATH", PATH.to_owned()),
            ("HOME", home),
            ("LC_ALL", "C".to_owned()),
            ("GIT_CONFIG_NOSYSTEM", "1".to_owned()),
            (
                "GIT_CONFIG_GLOBAL",
                config.as_os_str().to_string_lossy().into_owned(),
            ),
            // A repository that is not whole is not completed from where it says.
            ("GIT_NO_LAZY_FETCH", "1".to_owned()),
            ("GIT_TERMINAL_PROMPT", "0".to_owned()),
            ("GIT_ALLOW_PROTOCOL", protocols.to_owned()),
            ("GIT_HTTP_LOW_SPEED_LIMIT", "1".to_owned()),
            (
                "GIT_HTTP_LOW_SPEED_TIME",
                self.bounds.stall.as_secs().max(1).to_string(),
            ),
            ("GIT_SSH_COMMAND", "ssh -oBatchMode=yes".to_owned()),
            ("GIT_LFS_SKIP_SMUDGE", "1".to_owned()),
        ]
    }

    /// Where the configuration of git is that trusts what an operator names.
    fn trusted(&self) -> PathBuf {
        self.folder.join("trusted")
    }

    /// Ends when the repository, or the archive, has become too large.
    async fn until_too_large(&self, to: &Path) -> FetchError {
        loop {
            tokio::time::sleep(BEAT.max(Duration::from_millis(1))).await;
            let archive = std::fs::metadata(to).map_or(0, |found| found.len());
            if size_of(self.folder) > self.bounds.packed || archive > self.bounds.limits.bytes {
                return FetchError::Refused(format!("{} is too large", self.shown()));
            }
            if let Err(full) = check_room(to, 0, self.bounds) {
                return full;
            }
        }
    }

    fn shown(&self) -> String {
        let url = self.url.split('?').next().unwrap_or_default();
        match self.reference {
            Some(reference) => format!("{url}#{reference}"),
            None => url.to_owned(),
        }
    }
}

/// Bytes of the files of a repository: it has few, in two levels.
fn size_of(folder: &Path) -> u64 {
    let mut ahead = vec![(folder.to_owned(), 0)];
    let mut bytes = 0;
    while let Some((at, depth)) = ahead.pop() {
        for entry in std::fs::read_dir(at).into_iter().flatten().flatten() {
            match entry.metadata() {
                Ok(found) if found.is_dir() && depth < 3 => ahead.push((entry.path(), depth + 1)),
                Ok(found) => bytes += found.len(),
                Err(_) => {}
            }
        }
    }
    bytes
}

async fn said(out: Option<ChildStdout>) -> String {
    let mut text = Vec::new();
    if let Some(out) = out {
        // Cut short, it is no commit and no list.
        let _ = out.take(SAID_MAX).read_to_end(&mut text).await;
    }
    String::from_utf8_lossy(&text).into_owned()
}

/// The end of what a program complained; all of it is read, so that it is never held up.
async fn complained(err: Option<ChildStderr>) -> String {
    let mut kept = Vec::new();
    let mut piece = [0; 1024];
    if let Some(mut err) = err {
        while let Ok(got @ 1..) = err.read(&mut piece).await {
            kept.extend_from_slice(&piece[..got]);
            let surplus = kept
                .len()
                .saturating_sub(usize::try_from(SAID_MAX).unwrap_or(usize::MAX));
            kept.drain(..surplus);
        }
    }
    String::from_utf8_lossy(&kept).into_owned()
}

/// git's last words, on one line and without what a terminal would act on.
fn reason(text: &str) -> String {
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    let last: Vec<_> = lines.rev().take(3).collect();
    let words = last.into_iter().rev().collect::<Vec<_>>().join("; ");
    words
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}
