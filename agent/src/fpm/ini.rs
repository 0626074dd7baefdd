//! `php.ini` text printed from values: a total printer, so that no value can end its line and begin another.
//!
//! PHP reads expressions and constants only where they are not quoted (`E_ALL & ~E_DEPRECATED`, `On`), and nothing at
//! all inside single quotes, which know no escape. So a value is printed bare when it can be read in one way only,
//! otherwise in single quotes, otherwise not. Source: `Zend/zend_ini_scanner.l` (PHP 8.2), `SINGLE_QUOTED_CHARS`.

/// A setting that cannot be written as `php.ini` text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IniError {
    /// The name has a character that no setting of PHP has.
    #[error(
        "php.ini key {0:?} is no name of a setting; use letters, digits, dots, underscores, hyphens"
    )]
    Key(String),
    /// The value has a single quote or a control character.
    #[error(
        "the value of php.ini key {0:?} has a single quote or a control character; leave it out"
    )]
    Value(String),
}

/// One `key = value` line.
///
/// # Errors
/// When PHP could read it as anything else.
pub fn line(key: &str, value: &str) -> Result<String, IniError> {
    let named = !key.is_empty()
        && key
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
    if !named {
        return Err(IniError::Key(key.to_owned()));
    }
    if bare(value) {
        Ok(format!("{key} = {value}\n"))
    } else if value.chars().any(|c| c == '\'' || c.is_control()) {
        Err(IniError::Value(key.to_owned()))
    } else {
        Ok(format!("{key} = '{value}'\n"))
    }
}

/// Whether a value means the same with and without quotes, or is an expression, which must not be quoted.
fn bare(value: &str) -> bool {
    let starts = value.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '~');
    starts
        && value.bytes().all(|b| {
            b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b' ' | b'&' | b'~' | b'|' | b'^')
        })
}

/// A PHP string literal.
///
/// # Errors
/// When the text holds a control character.
pub fn php_literal(key: &str, text: &str) -> Result<String, IniError> {
    if text.chars().any(char::is_control) {
        return Err(IniError::Value(key.to_owned()));
    }
    let escaped = text.replace('\\', "\\\\").replace('\'', "\\'");
    Ok(format!("'{escaped}'"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn expressions_stay_bare_and_everything_else_is_quoted() {
        for (value, printed) in [
            ("512M", "512M"),
            ("E_ALL & ~E_DEPRECATED", "E_ALL & ~E_DEPRECATED"),
            ("On", "On"),
            ("", "''"),
            ("-1", "'-1'"),
            ("Europe/Berlin", "'Europe/Berlin'"),
            (
                "tcp://redis:6379?auth=a;b\"c$d",
                "'tcp://redis:6379?auth=a;b\"c$d'",
            ),
            ("${HOME}", "'${HOME}'"),
            ("[x]", "'[x]'"),
        ] {
            assert_eq!(line("a.b_c-d", value), Ok(format!("a.b_c-d = {printed}\n")));
        }
    }

    #[test]
    fn what_could_begin_another_line_is_refused() {
        for value in ["a\nb = c", "it's", "a\0", "a\r"] {
            assert_eq!(line("k", value), Err(IniError::Value("k".to_owned())));
        }
        for key in ["", "a b", "a=b", "a\n", "[PHP]", "a;", "é"] {
            assert_eq!(line(key, "1"), Err(IniError::Key(key.to_owned())));
        }
    }

    #[test]
    fn a_php_literal_escapes_what_php_reads() {
        assert_eq!(php_literal("k", r"a'b\c"), Ok(r"'a\'b\\c'".to_owned()));
        assert!(php_literal("k", "a\n").is_err());
    }

    proptest! {
        /// Reads the line as PHP does: one line, the key, and either a bare word or what is between two quotes.
        #[test]
        fn a_printed_line_is_read_back_as_it_was(key in ".{0,12}", value in "\\PC{0,40}|.{0,40}") {
            if let Ok(text) = line(&key, &value) {
                prop_assert_eq!(text.matches('\n').count(), 1);
                let (left, right) = text.trim_end_matches('\n').split_once(" = ").unwrap();
                prop_assert_eq!(left, &key);
                let read = right
                    .strip_prefix('\'')
                    .and_then(|r| r.strip_suffix('\''))
                    .unwrap_or(right);
                prop_assert_eq!(read, &value);
                prop_assert!(!read.contains('\''));
            }
        }
    }
}
