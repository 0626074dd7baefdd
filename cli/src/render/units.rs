//! Numbers for people: counts, sizes, times and dates.

use bytesize::ByteSize;
use jiff::Timestamp;
use jiff::tz::TimeZone;

/// `1234567` as `1,234,567`.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 file`, `2 files`.
pub fn counted(number: u64, one: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {one}{plural}", count(number))
}

/// `615.0 MB`.
pub fn bytes(bytes: u64) -> String {
    ByteSize(bytes).display().si().to_string()
}

/// Milliseconds as `260 ms`, `4.20 s`, `1m 3s`.
pub fn span(ms: u64) -> String {
    match ms {
        0..1_000 => format!("{ms} ms"),
        1_000..60_000 => format!("{}.{:02} s", ms / 1_000, ms % 1_000 / 10),
        _ => age(ms),
    }
}

/// Milliseconds as the time an operation took: `0.71 s`, `1m 3s`.
pub fn took(ms: u64) -> String {
    if ms < 1_000 {
        format!("0.{:02} s", ms / 10)
    } else {
        span(ms)
    }
}

/// Milliseconds in the two largest units: `3h 2m`.
pub fn age(ms: u64) -> String {
    let seconds = ms / 1_000;
    let (days, hours) = (seconds / 86_400, seconds / 3_600 % 24);
    let (minutes, rest) = (seconds / 60 % 60, seconds % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{rest}s"),
        (0, 0, _) => format!("{minutes}m {rest}s"),
        (0, ..) => format!("{hours}h {minutes}m"),
        _ => format!("{days}d {hours}h"),
    }
}

/// Milliseconds since 1970 as a date and time where the user is.
pub fn date(ms: u64) -> String {
    let at = i64::try_from(ms)
        .ok()
        .and_then(|ms| Timestamp::from_millisecond(ms).ok());
    match at {
        Some(at) if ms > 0 => at
            .to_zoned(TimeZone::system())
            .strftime("%Y-%m-%d %H:%M:%S")
            .to_string(),
        _ => "-".into(),
    }
}

/// Milliseconds since 1970, now.
pub fn now_ms() -> u64 {
    u64::try_from(Timestamp::now().as_millisecond()).unwrap_or_default()
}

/// The first twelve digits of a release.
pub fn short(release: &str) -> String {
    if release.is_empty() {
        "-".into()
    } else {
        release.chars().take(12).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_like_prose() {
        assert_eq!(
            [count(7), count(1_000), count(1_234_567)],
            ["7", "1,000", "1,234,567"]
        );
        assert_eq!(
            [counted(1, "file"), counted(2_000, "file")],
            ["1 file", "2,000 files"]
        );
        assert_eq!(bytes(615_000_000), "615.0 MB");
        assert_eq!(
            [span(260), span(4_207), span(63_000)],
            ["260 ms", "4.20 s", "1m 3s"]
        );
        assert_eq!(
            [took(9), took(710), took(12_340)],
            ["0.00 s", "0.71 s", "12.34 s"]
        );
        assert_eq!(
            [age(3_000), age(10_920_000), age(90_000_000)],
            ["3s", "3h 2m", "1d 1h"]
        );
        assert_eq!(date(0), "-");
    }
}
