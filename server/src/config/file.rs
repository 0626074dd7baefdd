//! Reads small text files that an operator names: bounded, never waiting, never a device.

use std::fs::OpenOptions;
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rustix::fs::OFlags;

use super::error::{ConfigError, Problem};

/// Reads the configuration file.
pub(super) fn read(path: &Path, limit: usize) -> Result<String, ConfigError> {
    let to_owned = || path.to_owned();
    let bytes = match bytes(path, limit) {
        Ok(Contents::Bytes(bytes)) => bytes,
        Ok(Contents::NotAFile) => return Err(ConfigError::NotAFile { path: to_owned() }),
        Ok(Contents::TooLarge) => {
            return Err(ConfigError::TooLarge {
                path: to_owned(),
                limit,
            });
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(ConfigError::Missing { path: to_owned() });
        }
        Err(source) => {
            return Err(ConfigError::Unreadable {
                path: to_owned(),
                source,
            });
        }
    };
    String::from_utf8(bytes).map_err(|error| ConfigError::Invalid {
        path: to_owned(),
        problems: vec![not_utf8(&error)],
    })
}

/// What a path holds.
pub(super) enum Contents {
    /// All of a regular file.
    Bytes(Vec<u8>),
    /// Something else than a regular file.
    NotAFile,
    /// More than was allowed.
    TooLarge,
}

/// Reads a regular file of `limit` bytes at most.
pub(super) fn bytes(path: &Path, limit: usize) -> io::Result<Contents> {
    // Without NONBLOCK, opening a pipe that nobody writes to would wait for ever.
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags)
        .open(path)?;
    if !file.metadata()?.is_file() {
        return Ok(Contents::NotAFile);
    }
    let mut bytes = Vec::new();
    file.take(limit as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > limit {
        return Ok(Contents::TooLarge);
    }
    Ok(Contents::Bytes(bytes))
}

fn not_utf8(error: &std::string::FromUtf8Error) -> Problem {
    let valid = error.utf8_error().valid_up_to();
    let (before, after) = error.as_bytes().split_at(valid);
    let before = String::from_utf8_lossy(before);
    let last = before.rsplit('\n').next().unwrap_or_default();
    Problem {
        line: before.matches('\n').count() as u64 + 1,
        column: last.chars().count() as u64 + 1,
        key: String::new(),
        message: format!(
            "byte 0x{:02x} is not UTF-8; save the file as UTF-8",
            after.first().copied().unwrap_or_default()
        ),
    }
}
