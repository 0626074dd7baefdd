//! What is never handed out, whatever the rules of a site say: hidden files and the source of PHP.
//!
//! Every path that nginx looks up anew, a rewritten one too, passes these patterns before a file is opened.

/// Names that begin with a dot, `.` and `..` among them, but not `/.well-known/`; and paths that do not begin with `/`,
/// which only a rewrite can make. `(?s)`: a line break in a path hides nothing behind it.
pub(super) const HIDDEN: [&str; 2] = [r"^(?:[^/]|/\.(?!well-known/))", r"(?s)^/.*/\."];
/// Scripts that are run.
pub(super) const PHP: &str = r"\.php$";
/// Names of PHP source, with what editors and backups append.
pub(super) const SOURCE: &str = r"\.(?:php|phtml|phar|phps|pht|inc)[0-9]*(?:[~._-][^/]*)?$";
/// Names of files that a page refers to, and no script makes up. Not `txt` and `xml`, which scripts do.
pub(super) const STATIC: &str = concat!(
    r"\.(?:css|js|mjs|map|wasm|webmanifest|jpe?g|png|gif|webp|avif|svgz?|ico|bmp|tiff?|cur",
    r"|woff2?|ttf|otf|eot|mp4|m4v|webm|ogv|ogg|oga|mp3|wav|m4a|flac)$"
);

/// Whether [`HIDDEN`] matches a path that begins with `/`.
pub(super) fn is_hidden(path: &str) -> bool {
    let mut segments = path.split('/').skip(1);
    let first = segments.next().unwrap_or_default();
    let is_first_hidden = first.starts_with('.') && first != ".well-known";
    is_first_hidden || segments.any(|segment| segment.starts_with('.'))
}

/// Whether [`PHP`] matches.
pub(super) fn is_php(path: &str) -> bool {
    // Not its extension: `/.php` is a script, too, as the pattern has it.
    path.as_bytes().ends_with(b".php")
}

/// Whether [`SOURCE`] matches, in any case of letters.
pub(super) fn is_source(path: &str) -> bool {
    let path = path.to_ascii_lowercase();
    let name = path.rsplit('/').next().unwrap_or_default();
    name.match_indices('.').any(|(dot, _)| {
        let kinds = ["php", "phtml", "phar", "phps", "pht", "inc"];
        kinds.iter().any(|kind| {
            let rest = name[dot + 1..].strip_prefix(kind);
            let rest = rest.map(|rest| rest.trim_start_matches(|c: char| c.is_ascii_digit()));
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['~', '.', '_', '-']))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_names_are_known_and_well_known_ones_are_not_hidden() {
        for path in [
            "/.env",
            "/a/.git/x",
            "/..",
            "/a/../b",
            "//../b",
            "/.well-known/.x",
        ] {
            assert!(is_hidden(path), "{path}");
        }
        for path in ["/", "/a", "/a.b/c", "/.well-known/acme", "/.well-known"] {
            assert!(!is_hidden(path), "{path}");
        }
    }

    #[test]
    fn source_is_known_by_its_name_and_what_was_appended() {
        for path in [
            "/a.php",
            "/A.PHP",
            "/a.php5",
            "/a.php~",
            "/a.inc.bak",
            "/x/a.phtml",
            "/a.php_1",
        ] {
            assert!(is_source(path), "{path}");
        }
        for path in ["/a.html", "/php", "/a.phpx", "/a.php/b", "/a.income", "/"] {
            assert!(!is_source(path), "{path}");
        }
    }
}
