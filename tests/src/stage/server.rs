//! The server process.

use std::fs::OpenOptions;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};

use super::{Place, binary};

/// How long the server has to answer, or to stop.
const LIMIT: Duration = Duration::from_mins(1);

/// A running `stratusd`.
pub struct Server {
    child: Child,
    log: PathBuf,
}

impl Server {
    /// Starts it and waits until its socket answers.
    ///
    /// # Errors
    /// When it ends before, or does not answer in time: with the end of its log.
    pub async fn start(place: &Place) -> anyhow::Result<Self> {
        let mut server = Self::spawn(place, None)?;
        server.answers(place).await?;
        Ok(server)
    }

    /// Starts it with a failpoint; whether it answers is the caller's business.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn spawn(place: &Place, failpoint: Option<&str>) -> anyhow::Result<Self> {
        let variables = failpoint.map(|point| ("STRATUS_FAILPOINT", point));
        Self::spawn_with(place, variables.as_slice())
    }

    /// Starts it with variables in its environment; whether it answers is the caller's business.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn spawn_with(place: &Place, variables: &[(&str, &str)]) -> anyhow::Result<Self> {
        let log = place.root.join("stratusd.log");
        let output = OpenOptions::new().create(true).append(true).open(&log)?;
        let mut command = Command::new(binary("stratusd")?);
        command.arg("--config").arg(place.config());
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(output);
        // Its own group: a Ctrl-C on the terminal is not for it.
        command.process_group(0);
        command.kill_on_drop(true);
        command.envs(variables.iter().copied());
        let child = command.spawn().context("stratusd cannot be started")?;
        Ok(Self { child, log })
    }

    /// Waits until the socket answers.
    ///
    /// # Errors
    /// When the process ends before, or time is up.
    pub async fn answers(&mut self, place: &Place) -> anyhow::Result<()> {
        let log = self.log.clone();
        let answered = async {
            loop {
                if let Some(status) = self.child.try_wait()? {
                    bail!("stratusd ended at once ({status}):\n{}", self.log_tail());
                }
                if place.cli(&["environments.list"]).await?.code == 0 {
                    return Ok(());
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(LIMIT, answered)
            .await
            .with_context(|| format!("stratusd does not answer; see {}", log.display()))?
    }

    /// Its process id.
    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// Kills it as a power cut would.
    ///
    /// # Errors
    /// When it cannot be waited for.
    pub async fn kill(mut self) -> anyhow::Result<()> {
        self.child.kill().await.context("stratusd cannot be killed")
    }

    /// Asks it to stop and waits until it has.
    ///
    /// # Errors
    /// When it does not stop in time.
    pub async fn stop(mut self) -> anyhow::Result<ExitStatus> {
        if let Some(pid) = self.child.id().and_then(pid) {
            kill_process(pid, Signal::TERM)?;
        }
        let ended = tokio::time::timeout(LIMIT, self.child.wait()).await;
        Ok(ended.context("stratusd does not stop")??)
    }

    /// Waits until it was killed by a failpoint of its own.
    ///
    /// # Errors
    /// When it ends in another way, or lives on.
    pub async fn dies(mut self) -> anyhow::Result<()> {
        let ended = tokio::time::timeout(LIMIT, self.child.wait()).await;
        let status = ended.context("stratusd lives on: its failpoint was not reached")??;
        if status.signal() == Some(Signal::KILL.as_raw()) {
            return Ok(());
        }
        bail!("stratusd ended with {status}:\n{}", self.log_tail())
    }

    /// Leaves it running after this process.
    pub fn leave(self) {
        // Dropped, the child would be killed.
        std::mem::forget(self.child);
    }

    /// The end of its log.
    pub fn log_tail(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }
}

/// Stops the process `pid` if it is a stratusd, and waits until it is gone.
///
/// # Errors
/// When it does not stop in time.
pub async fn stop_pid(number: u32) -> anyhow::Result<()> {
    let is_ours = || {
        std::fs::read_link(format!("/proc/{number}/exe"))
            .is_ok_and(|exe| exe.to_string_lossy().contains("stratusd"))
    };
    if !is_ours() {
        return Ok(());
    }
    let Some(pid) = pid(number) else {
        return Ok(());
    };
    kill_process(pid, Signal::TERM)?;
    let gone = async {
        while is_ours() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(LIMIT, gone)
        .await
        .context("stratusd does not stop")
}

fn pid(number: u32) -> Option<Pid> {
    Pid::from_raw(i32::try_from(number).ok()?)
}
