//! Lists the releases of an environment, from the headers of their manifests.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::error::TreeError;
use super::manifest::{self, HEADER_BYTES, Header, ManifestError};
use super::request::{check_digest, is_digest};

/// A release that is present.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReleaseInfo {
    /// Its digest.
    pub release: String,
    /// Where it lies.
    pub path: PathBuf,
    /// What its manifest says, or why that cannot be read.
    pub header: Result<Header, ManifestError>,
}

/// Lists the releases in a folder, oldest first; those without a readable manifest come before all others.
///
/// # Errors
/// `Io` when the folder or a manifest cannot be read; a missing folder holds no releases.
pub fn list(releases: &Path) -> Result<Vec<ReleaseInfo>, TreeError> {
    let entries = match fs::read_dir(releases) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(TreeError::io("list", releases, error)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|e| TreeError::io("list", releases, e))?;
        let name = entry.file_name();
        if !is_digest(name.as_bytes()) {
            continue;
        }
        let release = String::from_utf8_lossy(name.as_bytes()).into_owned();
        let header = match header(releases, &release) {
            Ok(header) => Ok(header),
            Err(TreeError::Manifest { error, .. }) => Err(error),
            Err(TreeError::NoRelease(_)) => Err(ManifestError::Damaged("it is missing")),
            Err(error) => return Err(error),
        };
        found.push(ReleaseInfo {
            release,
            path: entry.path(),
            header,
        });
    }
    found.sort_by_cached_key(|info| {
        (
            info.header.as_ref().map_or(0, |h| h.created_unix_s),
            info.release.clone(),
        )
    });
    Ok(found)
}

/// Reads the header of one release's manifest.
///
/// # Errors
/// `NoRelease` if it has no manifest; `Manifest` if that is damaged or too new.
pub fn header(releases: &Path, digest: &str) -> Result<Header, TreeError> {
    check_digest(digest)?;
    let path = manifest::path_of(releases, digest);
    let file = File::open(&path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => TreeError::NoRelease(digest.to_owned()),
        _ => TreeError::io("read", &path, error),
    })?;
    let mut bytes = Vec::new();
    file.take(HEADER_BYTES as u64)
        .read_to_end(&mut bytes)
        .map_err(|e| TreeError::io("read", &path, e))?;
    let header = manifest::read_header(&bytes).and_then(|header| {
        if header.release == digest {
            return Ok(header);
        }
        Err(ManifestError::Damaged("it belongs to another release"))
    });
    header.map_err(|error| TreeError::Manifest { path, error })
}
