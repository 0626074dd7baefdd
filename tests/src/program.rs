//! Runs the real program `stratus` as scripts do, and keeps what it printed and how it ended.

use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// What a call printed, and its exit code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transcript {
    /// The words of the call.
    pub call: String,
    /// What came on stdout.
    pub stdout: String,
    /// What came on stderr.
    pub stderr: String,
    /// The exit code; none after a signal.
    pub code: Option<i32>,
}

/// The built program, which lies beside the folder of the tests.
///
/// # Panics
/// When it has not been built.
pub fn path() -> PathBuf {
    let test = std::env::current_exe().expect("a test knows its own path");
    let folder = test
        .parent()
        .and_then(Path::parent)
        .expect("tests lie in target/*/deps");
    let program = folder.join("stratus");
    assert!(
        program.exists(),
        "{} is missing: run cargo nextest run --workspace",
        program.display()
    );
    program
}

/// A call that asks the server on `socket`; `words` are split at spaces.
pub fn call(socket: &Path, words: &str) -> Command {
    let mut command = Command::new(path());
    command.args(words.split(' ').filter(|word| !word.is_empty()));
    for name in [
        "STRATUS_ENV",
        "STRATUS_RECONNECT",
        "STRATUS_CRONS_FOR",
        "COLUMNS",
    ] {
        command.env_remove(name);
    }
    command
        .env("STRATUS_SERVER", socket)
        .env("TZ", "UTC")
        .stdin(Stdio::null());
    command
}

/// Runs a call to its end.
///
/// # Panics
/// When the program cannot be started.
pub fn run(socket: &Path, words: &str) -> Transcript {
    let mut command = call(socket, words);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    end(socket, words, command.spawn().expect("the program starts"))
}

/// Waits for the end of a call whose streams are pipes.
///
/// # Panics
/// When its streams cannot be read.
pub fn end(socket: &Path, words: &str, child: Child) -> Transcript {
    let output = child.wait_with_output().expect("the program ends");
    let text = |bytes: Vec<u8>| {
        let text = String::from_utf8(bytes).expect("the program prints UTF-8");
        text.replace(&socket.display().to_string(), "[socket]")
    };
    Transcript {
        call: words.to_owned(),
        stdout: text(output.stdout),
        stderr: text(output.stderr),
        code: output.status.code(),
    }
}

/// Runs a call with stdout and stderr in one pipe, as CI jobs do; answers the text and the exit code.
///
/// # Panics
/// When the program cannot be started.
pub fn run_merged(socket: &Path, words: &str) -> (String, Option<i32>) {
    let (mut reader, writer) = std::io::pipe().expect("a pipe");
    let mut command = call(socket, words);
    command
        .stderr(writer.try_clone().expect("a second end"))
        .stdout(writer);
    let mut child = command.spawn().expect("the program starts");
    // Our copies of the writing end must go, or the reader never sees the end.
    drop(command);
    let mut text = String::new();
    reader
        .read_to_string(&mut text)
        .expect("the program prints UTF-8");
    (text, child.wait().expect("the program ends").code())
}

// === impl Transcript ===

impl Transcript {
    /// Whether a script that looks for a failure finds one on stdout.
    pub fn says_failed(&self) -> bool {
        self.stdout
            .lines()
            .any(|line| line.contains("ERROR") && line.contains("Error"))
    }

    /// Whether neither stream holds a word that scripts take for a failure.
    pub fn is_clean(&self) -> bool {
        [&self.stdout, &self.stderr]
            .iter()
            .all(|text| !text.contains("ERROR") && !text.contains("Error"))
    }
}

impl fmt::Display for Transcript {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "$ stratus {}\n{}", self.call, self.stdout)?;
        if !self.stderr.is_empty() {
            write!(f, "--- stderr\n{}", self.stderr)?;
        }
        match self.code {
            Some(code) => write!(f, "--- exit {code}"),
            None => write!(f, "--- killed by a signal"),
        }
    }
}
