//! Secrets: `${VAR}` from the server's environment and `file:PATH`. A message never repeats a value.

use std::path::Path;

use stratus_core::environment::Setting;

use super::Variables;
use super::file::{self, Contents};
use super::section::shown;

/// Largest secret file, in bytes.
const SECRET_MAX: usize = 64 * 1024;

/// The value that `text` stands for: itself, or a secret it names. `$${` is a literal `${`.
pub(super) fn resolve(text: &str, variables: Variables<'_>) -> Result<Setting, String> {
    match text.strip_prefix("file:") {
        // file:// is a URL and not a secret.
        Some(path) if !path.starts_with("//") => from_file(path).map(Setting::secret),
        _ => expand(text, variables),
    }
}

/// The text that [`resolve`] reads back as the plain `value`.
pub(super) fn escape(value: &str) -> String {
    value.replace("${", "$${")
}

fn expand(text: &str, variables: Variables<'_>) -> Result<Setting, String> {
    let mut value = String::new();
    let mut secret = false;
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        let (before, after) = (&rest[..at], &rest[at + 2..]);
        if let Some(before) = before.strip_suffix('$') {
            value.push_str(before);
            value.push_str("${");
            rest = after;
            continue;
        }
        value.push_str(before);
        let (name, after) = after
            .split_once('}')
            .filter(|(name, _)| is_name(name))
            .ok_or(
                "`${` begins a variable such as `${DB_PASSWORD}`; write a literal `${` as `$${`",
            )?;
        value.push_str(&variable(name, variables)?);
        secret = true;
        rest = after;
    }
    value.push_str(rest);
    Ok(if secret {
        Setting::secret(value)
    } else {
        Setting::plain(value)
    })
}

fn variable(name: &str, variables: Variables<'_>) -> Result<String, String> {
    let value = variables(name).ok_or_else(|| {
        format!(
            "the server's environment has no variable `{}`; set it where stratusd is started",
            shown(name)
        )
    })?;
    printable(value, &format!("the variable `{}`", shown(name)))
}

fn from_file(path: &str) -> Result<String, String> {
    if !path.starts_with('/') {
        return Err(
            "names a secret file without its absolute path; write file:/etc/stratus/NAME".into(),
        );
    }
    let name = format!("the secret file {}", shown(path));
    let bytes = match file::bytes(Path::new(path), SECRET_MAX) {
        Ok(Contents::Bytes(bytes)) => bytes,
        Ok(Contents::NotAFile) => return Err(format!("{name} is not a regular file; name one")),
        Ok(Contents::TooLarge) => {
            return Err(format!(
                "{name} is larger than {SECRET_MAX} bytes; name the right one"
            ));
        }
        Err(error) => {
            return Err(format!(
                "{name} cannot be read ({error}); create it, readable for stratusd"
            ));
        }
    };
    let text = String::from_utf8(bytes)
        .map_err(|_| format!("{name} is not UTF-8; write the secret as text"))?;
    let text = text.strip_suffix('\n').unwrap_or(&text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    if text.is_empty() {
        return Err(format!("{name} is empty; write the secret into it"));
    }
    printable(text.to_owned(), &name)
}

fn printable(value: String, of: &str) -> Result<String, String> {
    if value.chars().any(char::is_control) {
        return Err(format!(
            "{of} holds a control character or a line break, which PHP-FPM cannot take; encode it, for example as base64"
        ));
    }
    Ok(value)
}

/// Whether `name` can name an environment variable.
pub(super) fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}
