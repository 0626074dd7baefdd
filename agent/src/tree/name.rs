//! Paths as bytes: joining, splitting, and showing them without letting them speak to a terminal.

use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// A path relative to a tree's root, without leading slash, `.` or `..`; empty for the root itself.
pub(crate) type RelPath = Box<[u8]>;

/// Shows a path of any bytes on one line: what is not printable is escaped.
///
/// Shape: `a\u{1b}[31m`, `caf\xe9.php`, `two\nlines`.
#[derive(Debug, Clone, Copy)]
pub struct Shown<'a>(pub &'a [u8]);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str(".");
        }
        for chunk in self.0.utf8_chunks() {
            for c in chunk.valid().chars() {
                match c {
                    '\\' => f.write_str("\\\\")?,
                    '"' | '\'' => write!(f, "{c}")?,
                    c => write!(f, "{}", c.escape_debug())?,
                }
            }
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        Ok(())
    }
}

/// Joins a folder's relative path and a name in it.
pub(crate) fn join(folder: &[u8], name: &[u8]) -> Vec<u8> {
    let mut path = Vec::with_capacity(folder.len() + 1 + name.len());
    if !folder.is_empty() {
        path.extend_from_slice(folder);
        path.push(b'/');
    }
    path.extend_from_slice(name);
    path
}

/// The components of a path, without empty ones and `.`.
pub(crate) fn components(path: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    path.split(|b| *b == b'/')
        .filter(|c| !c.is_empty() && *c != b".")
}

/// How many components lie between the root and this path.
pub(crate) fn depth(path: &[u8]) -> usize {
    components(path).count()
}

/// The folder that holds this path, or nothing for the root.
pub(crate) fn parent(path: &[u8]) -> Option<&[u8]> {
    if path.is_empty() {
        return None;
    }
    Some(
        path.iter()
            .rposition(|b| *b == b'/')
            .map_or(&[], |cut| &path[..cut]),
    )
}

/// Whether `path` is `folder` or lies below it.
pub(crate) fn is_under(path: &[u8], folder: &[u8]) -> bool {
    folder.is_empty()
        || path
            .strip_prefix(folder)
            .is_some_and(|rest| rest.is_empty() || rest[0] == b'/')
}

/// Brings a relative path into the one form used here; nothing if it is empty, absolute or climbs.
pub(crate) fn normal(path: &Path) -> Option<RelPath> {
    let bytes = path.as_os_str().as_bytes();
    if bytes.starts_with(b"/") {
        return None;
    }
    let parts: Vec<&[u8]> = components(bytes).collect();
    if parts.is_empty() || parts.contains(&b"..".as_slice()) {
        return None;
    }
    Some(parts.join(&b'/').into())
}

/// The bytes as a path of the standard library.
pub(crate) fn path_buf(bytes: &[u8]) -> PathBuf {
    PathBuf::from(std::ffi::OsStr::from_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_act_on_is_escaped() {
        let hostile = b"a\x1b[31m\n\xe9\\ '\xe2\x80\xae";
        assert_eq!(Shown(hostile).to_string(), r"a\u{1b}[31m\n\xe9\\ '\u{202e}");
        assert_eq!(Shown(b"").to_string(), ".");
        assert_eq!(Shown("é".as_bytes()).to_string(), "é");
    }

    #[test]
    fn a_relative_path_has_one_form() {
        assert_eq!(
            normal(Path::new("./pub//media/")).as_deref(),
            Some(&b"pub/media"[..])
        );
        for bad in ["", ".", "/etc", "a/../b", ".."] {
            assert_eq!(normal(Path::new(bad)), None, "{bad}");
        }
    }

    #[test]
    fn under_means_whole_components() {
        assert!(is_under(b"var/log", b"var"));
        assert!(is_under(b"var", b"var"));
        assert!(!is_under(b"variable", b"var"));
        assert!(is_under(b"x", b""));
    }

    #[test]
    fn the_parent_of_a_top_level_name_is_the_root() {
        assert_eq!(parent(b"a/b"), Some(&b"a"[..]));
        assert_eq!(parent(b"a"), Some(&b""[..]));
        assert_eq!(parent(b""), None);
    }
}
