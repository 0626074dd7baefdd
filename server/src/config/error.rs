//! What can be wrong with a configuration, in words for the operator.

use std::fmt::{self, Write as _};
use std::io;
use std::path::{Path, PathBuf};

use stratus_core::{Fault, Faulty};

/// Why the configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Nothing is there.
    #[error("{}: there is no such file; create it, or name another one with --config", path.display())]
    Missing {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// A folder, a device or a pipe.
    #[error("{}: is not a regular file; name the file itself with --config", path.display())]
    NotAFile {
        /// What was named.
        path: PathBuf,
    },
    /// It is there and cannot be read.
    #[error("{}: cannot be read; see to it that this user may read it", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Larger than [`super::FILE_MAX`].
    #[error("{}: is larger than {limit} bytes; a configuration is not, is it the right file?", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// In bytes.
        limit: usize,
    },
    /// Everything that is wrong in it, one line a problem.
    #[error("{}", lines(path, problems))]
    Invalid {
        /// The file.
        path: PathBuf,
        /// At least one, in the order of the file.
        problems: Vec<Problem>,
    },
}

impl Faulty for ConfigError {
    fn fault(&self) -> Fault {
        Fault::Permanent
    }
}

/// One thing that is wrong, and where. Shape: `7:5: environments.shop.drian: unknown key; did you mean "drain"?`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Counted from 1.
    pub line: u64,
    /// In characters, counted from 1.
    pub column: u64,
    /// Path of the key; empty for the document as a whole.
    pub key: String,
    /// What is wrong and what to do.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: ", self.line, self.column)?;
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.message)
    }
}

fn lines(path: &Path, problems: &[Problem]) -> String {
    let mut text = String::new();
    for (index, problem) in problems.iter().enumerate() {
        let end = if index == 0 { "" } else { "\n" };
        write!(text, "{end}{}:{problem}", path.display()).expect("writing to a string cannot fail");
    }
    text
}
