//! Runs a program with arguments, bounded in time, and keeps what it printed.

use std::ffi::OsStr;
use std::fmt;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};

/// No program of a stage runs longer.
const LIMIT: Duration = Duration::from_mins(5);

/// A program about to run.
pub struct Command {
    name: String,
    inner: tokio::process::Command,
}

/// `program` with `arguments`; no shell is involved.
pub fn command(program: &str, arguments: &[&str]) -> Command {
    let mut inner = tokio::process::Command::new(program);
    inner
        .args(arguments)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    Command {
        name: format!("{program} {}", arguments.join(" ")),
        inner,
    }
}

impl Command {
    /// Sets a variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: &(impl AsRef<OsStr> + ?Sized)) -> Self {
        self.inner.env(name, value);
        self
    }

    /// Runs it to its end.
    ///
    /// # Errors
    /// When it cannot be started or does not end in time. A failure of its own is no error here.
    pub async fn run(mut self) -> anyhow::Result<Output> {
        let output = tokio::time::timeout(LIMIT, self.inner.output())
            .await
            .with_context(|| format!("{} did not end in {LIMIT:?}", self.name))?
            .with_context(|| format!("{} cannot be started", self.name))?;
        Ok(Output {
            name: self.name,
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }
}

/// What a program left.
#[derive(Debug, Clone)]
pub struct Output {
    name: String,
    /// Its exit code; -1 where a signal ended it.
    pub code: i32,
    /// What it printed.
    pub stdout: String,
    /// What it complained.
    pub stderr: String,
}

impl Output {
    /// The output, if it succeeded.
    ///
    /// # Errors
    /// When it did not.
    pub fn success(self) -> anyhow::Result<Self> {
        if self.code != 0 {
            bail!("{self}");
        }
        Ok(self)
    }
}

impl fmt::Display for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} ended with {}\n{}{}",
            self.name, self.code, self.stdout, self.stderr
        )
    }
}
