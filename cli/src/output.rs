//! The way out: stdout for answers and failures, stderr for remarks. A closed pipe is no failure, nothing from the
//! server reaches the terminal raw, and only a failure ever prints the words that scripts look for.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;

use serde::Serialize;

use crate::error::CliError;
use crate::render::escape;

/// Prints answers.
#[derive(Debug)]
pub struct Out {
    json: bool,
    stdout_closed: bool,
    stderr_closed: bool,
    failure: Option<io::Error>,
}

// === impl Out ===

impl Out {
    /// A way out that prints failures as JSON objects where `json` is asked for.
    pub fn new(json: bool) -> Self {
        Self {
            json,
            stdout_closed: false,
            stderr_closed: false,
            failure: None,
        }
    }

    /// Prints one line of an answer.
    pub fn line(&mut self, line: &str) {
        self.stdout(&format!("{}\n", escape::soften(&escape::line(line))));
    }

    /// Prints a remark about what is going on.
    pub fn note(&mut self, line: &str) {
        self.stderr(&format!("{}\n", escape::soften(&escape::line(line))));
    }

    /// Prints several lines, word by word.
    pub fn text(&mut self, text: &str) {
        let lines = text
            .lines()
            .map(|line| escape::line(line) + "\n")
            .collect::<String>();
        self.stdout(&lines);
    }

    /// Prints what this program wrote itself, as it is.
    pub fn raw(&mut self, text: &str) {
        self.stdout(text);
    }

    /// Prints an object on one line.
    pub fn json<T: Serialize>(&mut self, value: &T) {
        match serde_json::to_string(value) {
            Ok(text) => self.stdout(&format!("{}\n", escape::json_soft(&text))),
            Err(error) => self.failure = Some(error.into()),
        }
    }

    /// Prints a failure: on stdout always, on stderr too where that is another file.
    pub fn failure(&mut self, error: &CliError) {
        let line = escape::line(&error.line());
        let mut text = line.clone() + "\n";
        for detail in error.details() {
            text.push_str("  ");
            text.push_str(&escape::line(detail));
            text.push('\n');
        }
        if !self.json {
            self.stdout(&text);
        } else if !error.is_shown() {
            self.failed_object(&error.object());
        }
        if !same_file() {
            self.stderr(&text);
        }
    }

    /// Prints an object that tells of a failure.
    pub fn failed_object(&mut self, object: &serde_json::Value) {
        self.stdout(&format!("{}\n", escape::json(&object.to_string())));
    }

    /// Why stdout could not be written, if it was not closed on purpose.
    pub fn take_failure(&mut self) -> Option<io::Error> {
        self.failure.take()
    }

    fn stdout(&mut self, text: &str) {
        if self.stdout_closed {
            return;
        }
        let mut stdout = io::stdout().lock();
        if let Err(error) = stdout
            .write_all(text.as_bytes())
            .and_then(|()| stdout.flush())
        {
            self.stdout_closed = true;
            if error.kind() != io::ErrorKind::BrokenPipe {
                self.failure = Some(error);
            }
        }
    }

    fn stderr(&mut self, text: &str) {
        if !self.stderr_closed {
            self.stderr_closed = io::stderr().lock().write_all(text.as_bytes()).is_err();
        }
    }
}

/// Whether stdout and stderr are one terminal, pipe or file, where a failure printed twice would be seen twice.
fn same_file() -> bool {
    let identity = |fd: io::Result<std::os::fd::OwnedFd>| {
        fd.and_then(|fd| File::from(fd).metadata())
            .map(|meta| (meta.dev(), meta.ino()))
            .ok()
    };
    let stdout = identity(io::stdout().as_fd().try_clone_to_owned());
    stdout.is_some() && stdout == identity(io::stderr().as_fd().try_clone_to_owned())
}
