//! Single values: durations, sizes, numbers, switches, users. Each parser says what it would have taken.

use std::fmt::Display;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use stratus_core::environment::User;

use super::section::shown;

const KIB: u64 = 1024;

/// `true` or `false`.
pub(super) fn flag(text: &str) -> Result<bool, String> {
    match text {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(format!("`{}` is neither true nor false", shown(text))),
    }
}

/// A whole number within `range`.
pub(super) fn whole<T>(range: RangeInclusive<T>) -> impl FnOnce(&str) -> Result<T, String>
where
    T: FromStr + PartialOrd + Display,
{
    move |text| {
        text.parse()
            .ok()
            .filter(|number| range.contains(number))
            .ok_or_else(|| {
                format!(
                    "`{}` is not a whole number from {} to {}",
                    shown(text),
                    range.start(),
                    range.end()
                )
            })
    }
}

/// A duration within `range`. Shape: `30s`, `10m`, `1h 30m`.
pub(super) fn duration(
    range: RangeInclusive<Duration>,
) -> impl FnOnce(&str) -> Result<Duration, String> {
    move |text| {
        let duration = if text == "0" {
            Duration::ZERO
        } else {
            humantime::parse_duration(text).map_err(|_| {
                format!(
                    "`{}` is not a duration; write a number and a unit, such as 30s or 10m",
                    shown(text)
                )
            })?
        };
        if range.contains(&duration) {
            return Ok(duration);
        }
        Err(format!(
            "`{}` is out of range; write a duration from {} to {}",
            shown(text),
            humantime::format_duration(*range.start()),
            humantime::format_duration(*range.end())
        ))
    }
}

/// A number of bytes within `range`. Shape: `512M`, `1g`, `64k`; each step is 1024 times the one before.
pub(super) fn size(range: RangeInclusive<u64>) -> impl FnOnce(&str) -> Result<u64, String> {
    move |text| {
        let bytes = bytes(text).ok_or_else(|| {
            format!(
                "`{}` is not a size; write a number and k, m or g, such as 512m",
                shown(text)
            )
        })?;
        if range.contains(&bytes) {
            return Ok(bytes);
        }
        Err(format!(
            "`{}` is out of range; write a size from {} to {}",
            shown(text),
            print_size(*range.start()),
            print_size(*range.end())
        ))
    }
}

fn bytes(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let unit = match text[digits.len()..].to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kb" | "kib" => KIB,
        "m" | "mb" | "mib" => KIB * KIB,
        "g" | "gb" | "gib" => KIB * KIB * KIB,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(unit)
}

/// The shortest text that [`size`] reads back as `bytes`.
pub(super) fn print_size(bytes: u64) -> String {
    for (unit, name) in [(KIB * KIB * KIB, "g"), (KIB * KIB, "m"), (KIB, "k")] {
        if bytes >= unit && bytes.is_multiple_of(unit) {
            return format!("{}{name}", bytes / unit);
        }
    }
    bytes.to_string()
}

/// Thousandths of a CPU. Shape: `0.5`, `2`.
pub(super) fn cpus(text: &str) -> Result<u32, String> {
    let wrong = || {
        format!(
            "`{}` is not a number of CPUs; write one from 0.01 to 512, such as 1.5",
            shown(text)
        )
    };
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || !digits(part) || part.len() > 3 {
        return Err(wrong());
    }
    let whole: u32 = whole.parse().map_err(|_| wrong())?;
    let part: u32 = format!("{part:0<3}").parse().map_err(|_| wrong())?;
    whole
        .checked_mul(1000)
        .and_then(|milli| milli.checked_add(part))
        .filter(|milli| (10..=512_000).contains(milli))
        .ok_or_else(wrong)
}

/// A numeric user and group that is not root. Shape: `1000:1000`.
pub(super) fn user(text: &str) -> Result<User, String> {
    let ids = text
        .split_once(':')
        .and_then(|(uid, gid)| Some((id(uid)?, id(gid)?)));
    match ids {
        Some((0, _)) => {
            Err("nothing here runs as root; name another user, such as 1000:1000".into())
        }
        Some((uid, gid)) => Ok(User { uid, gid }),
        None => Err(format!(
            "`{}` is not a numeric user and group; write them as 1000:1000 (`id -u` and `id -g` print yours)",
            shown(text)
        )),
    }
}

/// The kernel's -1 means "nobody in particular" and is no user.
fn id(text: &str) -> Option<u32> {
    text.bytes()
        .all(|b| b.is_ascii_digit())
        .then(|| text.parse().ok())?
        .filter(|id| *id != u32::MAX)
}

/// An address and port. Shape: `127.0.0.1:8000`, `[::1]:8000`.
pub(super) fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse()
        .ok()
        .filter(|address: &SocketAddr| address.port() != 0)
        .ok_or_else(|| {
            format!(
                "`{}` is not an address with a port; write it as 127.0.0.1:8000",
                shown(text)
            )
        })
}

/// The name of a container, as Docker allows it.
pub(super) fn container(text: &str) -> Result<String, String> {
    let good = text.len() <= 128
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b));
    good.then(|| text.to_owned()).ok_or_else(|| {
        format!(
            "`{}` is not a container name; use letters, digits, `_`, `.` and `-`",
            shown(text)
        )
    })
}
