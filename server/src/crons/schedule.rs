//! When a cron is due: five fields in a time zone, as cron(5) reads them.
//!
//! Where the clock goes forward, a fixed time that does not exist is due at the end of the gap; where it goes back, a
//! fixed time is due once. Lists, ranges and steps leave out what does not exist and are due in both halves.

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

/// Slots that are counted at most when many were missed.
const COUNTED_MAX: u32 = 1000;

const MONTHS: [&str; 12] = [
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
];
const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/// The times of a cron.
#[derive(Debug, Clone)]
pub struct Schedule {
    cron: Cron,
    zone: TimeZone,
}

/// Slots between two times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Passed {
    /// The first of them.
    pub first_ms: u64,
    /// The last of them.
    pub newest_ms: u64,
    /// The one before that, or the first.
    pub before_ms: u64,
    /// How many, both counted; no more than a thousand are.
    pub slots: u32,
}

impl Schedule {
    /// Reads five fields and the name of a time zone.
    ///
    /// # Errors
    /// A sentence for people, when they cannot be read or never come.
    pub fn parse(at: &str, zone: &str) -> Result<Self, String> {
        let fields: Vec<&str> = at.split_whitespace().collect();
        if fields.len() != 5 {
            return Err(format!(
                "`{at}` has {} fields; write five: minute, hour, day of month, month, day of week, such as \"*/5 * * * *\"",
                fields.len()
            ));
        }
        for (index, field) in fields.iter().enumerate() {
            check(index, field)?;
        }
        let parser = CronParser::builder()
            .seconds(Seconds::Disallowed)
            .year(Year::Disallowed)
            .build();
        let cron = parser
            .parse(at)
            .map_err(|error| format!("`{at}` is no time of a cron: {error}"))?;
        let zone = TimeZone::get(zone).map_err(|_| {
            format!("`{zone}` is no time zone; write one such as Europe/Berlin or UTC")
        })?;
        let schedule = Self { cron, zone };
        match schedule.next(0) {
            Some(_) => Ok(schedule),
            None => Err(format!("`{at}` never comes; no month has such a day")),
        }
    }

    /// The first slot after `after_ms`, both in milliseconds since 1970; none where the calendar ends.
    pub fn next(&self, after_ms: u64) -> Option<u64> {
        let next = self
            .cron
            .find_next_occurrence(&self.local(after_ms)?, false);
        millisecond(&next.ok()?)
    }

    /// The slots after `after_ms`, up to and with `until_ms`.
    pub fn passed(&self, after_ms: u64, until_ms: u64) -> Option<Passed> {
        let first_ms = self.next(after_ms).filter(|first| *first <= until_ms)?;
        let (mut before_ms, mut newest_ms, mut slots) = (first_ms, first_ms, 1);
        while let Some(next) = self.next(newest_ms).filter(|next| *next <= until_ms) {
            (before_ms, newest_ms) = (newest_ms, next);
            slots += 1;
            if slots == COUNTED_MAX {
                let last = self
                    .cron
                    .find_previous_occurrence(&self.local(until_ms)?, true);
                newest_ms = last.ok().and_then(|last| millisecond(&last))?;
                break;
            }
        }
        Some(Passed {
            first_ms,
            newest_ms,
            before_ms,
            slots,
        })
    }

    /// In whole seconds: cron knows no smaller ones.
    fn local(&self, ms: u64) -> Option<Zoned> {
        let seconds = i64::try_from(ms / 1000).ok()?;
        let timestamp = Timestamp::from_second(seconds).ok()?;
        Some(timestamp.to_zoned(self.zone.clone()))
    }
}

/// Refuses what cron(5) does not have, and would be read in some other way than it is meant.
fn check(index: usize, field: &str) -> Result<(), String> {
    let names: &[&str] = match index {
        3 => &MONTHS,
        4 => &DAYS,
        _ => &[],
    };
    let known = |word: &str| {
        let number = !word.is_empty() && word.bytes().all(|b| b.is_ascii_digit());
        number || word == "*" || names.contains(&word.to_ascii_lowercase().as_str())
    };
    let is_known = |part: &str| {
        let (range, step) = part.split_once('/').unwrap_or((part, "1"));
        let (from, to) = range.split_once('-').unwrap_or((range, "1"));
        known(from) && known(to) && step.parse::<u8>().is_ok_and(|step| step > 0)
    };
    if field.split(',').all(is_known) {
        return Ok(());
    }
    Err(format!(
        "`{field}` is not understood; use numbers, *, lists with commas, ranges with -, steps with /, names of months and days"
    ))
}

fn millisecond(time: &Zoned) -> Option<u64> {
    u64::try_from(time.timestamp().as_millisecond()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(text: &str) -> u64 {
        let timestamp: Timestamp = text.parse().unwrap();
        u64::try_from(timestamp.as_millisecond()).unwrap()
    }

    fn slots(at: &str, zone: &str, from: &str, until: &str) -> Vec<String> {
        let schedule = Schedule::parse(at, zone).unwrap();
        let (mut now, until) = (ms(from), ms(until));
        let mut found = Vec::new();
        while let Some(next) = schedule.next(now).filter(|next| *next < until) {
            found.push(
                Timestamp::from_millisecond(i64::try_from(next).unwrap())
                    .unwrap()
                    .to_string(),
            );
            now = next;
        }
        found
    }

    #[test]
    fn a_time_is_read_in_its_zone() {
        let found = slots(
            "30 4 * * mon-fri",
            "Europe/Berlin",
            "2026-11-20T00:00:00Z",
            "2026-11-24T00:00:00Z",
        );
        assert_eq!(found, ["2026-11-20T03:30:00Z", "2026-11-23T03:30:00Z"]);
    }

    #[test]
    fn a_fixed_time_that_the_clock_skips_is_due_at_the_end_of_the_gap() {
        let day = ("2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z");
        let found = slots("30 2 * * *", "Europe/Berlin", day.0, day.1);
        assert_eq!(found, ["2026-03-29T01:00:00Z"]);
    }

    #[test]
    fn a_fixed_time_that_the_clock_repeats_is_due_once() {
        let day = ("2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z");
        let found = slots("30 2 * * *", "Europe/Berlin", day.0, day.1);
        assert_eq!(found, ["2026-10-25T00:30:00Z"]);
    }

    #[test]
    fn a_step_is_due_in_both_halves_of_a_repeated_hour_and_not_in_a_skipped_one() {
        let autumn = slots(
            "*/30 * * * *",
            "Europe/Berlin",
            "2026-10-24T23:59:00Z",
            "2026-10-25T02:00:00Z",
        );
        assert_eq!(autumn.len(), 4, "{autumn:?}");
        let spring = slots(
            "*/30 * * * *",
            "Europe/Berlin",
            "2026-03-29T00:29:00Z",
            "2026-03-29T01:31:00Z",
        );
        let every_half_hour = [
            "2026-03-29T00:30:00Z",
            "2026-03-29T01:00:00Z",
            "2026-03-29T01:30:00Z",
        ];
        assert_eq!(spring, every_half_hour);
    }

    #[test]
    fn what_passed_is_counted_with_its_first_and_its_newest() {
        let schedule = Schedule::parse("*/5 * * * *", "UTC").unwrap();
        let from = ms("2026-11-22T10:00:00Z");
        assert_eq!(schedule.passed(from, from + 299_999), None);
        let passed = schedule.passed(from, from + 660_000).unwrap();
        let expected = Passed {
            first_ms: from + 300_000,
            newest_ms: from + 600_000,
            before_ms: from + 300_000,
            slots: 2,
        };
        assert_eq!(passed, expected);
        let year = schedule.passed(from, from + 365 * 86_400_000 + 1).unwrap();
        assert_eq!(year.slots, COUNTED_MAX);
        assert_eq!(year.newest_ms, from + 365 * 86_400_000);
    }

    #[test]
    fn what_cron_does_not_have_is_refused_in_words() {
        for (at, word) in [
            ("* * * *", "4 fields"),
            ("0 * * * * *", "6 fields"),
            ("@daily", "1 fields"),
            ("0 0 31 2 *", "never comes"),
            ("0 0 L * *", "`L`"),
            ("0 0 ? * *", "`?`"),
            ("0 0 * * mon#2", "`mon#2`"),
            ("0 0 15W * *", "`15W`"),
            ("61 * * * *", "no time of a cron"),
            ("*/0 * * * *", "`*/0`"),
            ("0 0 mon * *", "`mon`"),
            ("5-1 * * * *", "no time of a cron"),
        ] {
            let refused = Schedule::parse(at, "UTC").map(|_| ()).unwrap_err();
            assert!(refused.contains(word), "{at}: {refused}");
        }
        let refused = Schedule::parse("* * * * *", "Berlin").map(|_| ());
        assert!(refused.unwrap_err().contains("no time zone"));
    }
}
