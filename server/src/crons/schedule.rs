//! When a cron is due: five fields in a time zone, as cron(5) reads them.
//!
//! A time is fixed where neither minute nor hour holds a `*`, lists and ranges included. Where the clock goes forward, a
//! fixed time that does not exist is due at the end of the gap; where it goes back, it is due once, in the first half.
//! Times with a `*` leave out what does not exist and are due in both halves.
//!
//! ```text
//! fixed:   instant ─► wall clock ─► croner, on a calendar without gaps ─► wall clock ─► instant
//! with *:  instant ─► croner, in the zone ─► instant
//! ```

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone};
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
    is_fixed: bool,
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
        let has_star = |index: usize| fields[index].contains('*');
        // Where one of the two leaves the day open, the other restricts it; else a day of either kind will do.
        let parser = CronParser::builder()
            .seconds(Seconds::Disallowed)
            .year(Year::Disallowed)
            .dom_and_dow(has_star(2) || has_star(4))
            .build();
        let cron = parser
            .parse(at)
            .map_err(|error| format!("`{at}` is no time of a cron: {error}"))?;
        let zone = TimeZone::get(zone).map_err(|_| {
            format!("`{zone}` is no time zone; write one such as Europe/Berlin or UTC")
        })?;
        let is_fixed = !has_star(0) && !has_star(1);
        let schedule = Self {
            cron,
            zone,
            is_fixed,
        };
        match schedule.next(0) {
            Some(_) => Ok(schedule),
            None => Err(format!("`{at}` never comes; no month has such a day")),
        }
    }

    /// The first slot after `after_ms`, both in milliseconds since 1970; none where the calendar ends.
    pub fn next(&self, after_ms: u64) -> Option<u64> {
        let after = self.local(after_ms)?;
        if !self.is_fixed {
            return millisecond(&self.cron.find_next_occurrence(&after, false).ok()?);
        }
        let mut wall = after.datetime();
        // What the second half of a repeated hour shows was due in its first half, so this ends with that hour.
        loop {
            let next = self
                .cron
                .find_next_occurrence(&on_paper(wall)?, false)
                .ok()?;
            wall = next.datetime();
            let at_ms = self.instant(wall)?;
            if at_ms > after_ms {
                return Some(at_ms);
            }
        }
    }

    /// The last slot up to and with `until_ms`.
    fn last(&self, until_ms: u64) -> Option<u64> {
        let until = self.local(until_ms)?;
        let mut last_ms = if self.is_fixed {
            let wall = on_paper(until.datetime())?;
            let last = self.cron.find_previous_occurrence(&wall, true).ok()?;
            self.instant(last.datetime())?
        } else {
            millisecond(&self.cron.find_previous_occurrence(&until, true).ok()?)?
        };
        // In the second half of a repeated hour, the first half has shown more than the clock does now.
        while let Some(next) = self.next(last_ms).filter(|next| *next <= until_ms) {
            last_ms = next;
        }
        Some(last_ms)
    }

    /// The slots after `after_ms`, up to and with `until_ms`.
    pub fn passed(&self, after_ms: u64, until_ms: u64) -> Option<Passed> {
        let first_ms = self.next(after_ms).filter(|first| *first <= until_ms)?;
        let (mut before_ms, mut newest_ms, mut slots) = (first_ms, first_ms, 1);
        while let Some(next) = self.next(newest_ms).filter(|next| *next <= until_ms) {
            (before_ms, newest_ms) = (newest_ms, next);
            slots += 1;
            if slots == COUNTED_MAX {
                newest_ms = self.last(until_ms)?;
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

    /// When the clocks of the zone show `wall` for the first time; the end of the gap where they never do.
    fn instant(&self, wall: DateTime) -> Option<u64> {
        let shown = self.zone.to_ambiguous_timestamp(wall);
        let at = match shown.offset() {
            AmbiguousOffset::Gap { .. } => {
                let before = shown.earlier().ok()?;
                self.zone.following(before).next()?.timestamp()
            }
            AmbiguousOffset::Unambiguous { .. } | AmbiguousOffset::Fold { .. } => {
                shown.compatible().ok()?
            }
        };
        u64::try_from(at.as_millisecond()).ok()
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

/// What a clock shows, on a calendar where every time comes once.
fn on_paper(wall: DateTime) -> Option<Zoned> {
    wall.to_zoned(TimeZone::UTC).ok()
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
    fn lists_and_ranges_of_hours_are_fixed_times_too() {
        let autumn = ("2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z");
        let spring = ("2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z");
        let found = |at, day: (&str, &str)| slots(at, "Europe/Berlin", day.0, day.1);
        let twice = ["2026-10-25T00:00:00Z", "2026-10-25T13:00:00Z"];
        assert_eq!(found("0 2,14 * * *", autumn), twice);
        let twice = ["2026-03-29T01:00:00Z", "2026-03-29T12:00:00Z"];
        assert_eq!(found("0 2,14 * * *", spring), twice);
        // Twelve quarters of an hour on any day; what the gap swallows is due once, together, at its end.
        assert_eq!(found("0,15,30,45 1-3 * * *", autumn).len(), 12);
        assert_eq!(found("0,15,30,45 1-3 * * *", spring).len(), 8);
    }

    #[test]
    fn the_second_half_of_a_repeated_hour_owes_no_fixed_time() {
        let schedule = Schedule::parse("10,50 2 * * *", "Europe/Berlin").unwrap();
        let second_half = ms("2026-10-25T01:20:00Z");
        assert_eq!(schedule.next(second_half), Some(ms("2026-10-26T01:10:00Z")));
        assert_eq!(schedule.last(second_half), Some(ms("2026-10-25T00:50:00Z")));
        let in_the_gap = ms("2026-03-29T01:00:00Z");
        assert_eq!(schedule.next(in_the_gap - 1), Some(in_the_gap));
        assert_eq!(schedule.last(in_the_gap), Some(in_the_gap));
    }

    #[test]
    fn a_day_that_one_field_leaves_open_is_restricted_by_the_other() {
        let month = ("2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z");
        let found = |at| slots(at, "UTC", month.0, month.1);
        assert_eq!(found("0 4 1-7 * */7"), ["2026-11-01T04:00:00Z"]);
        assert_eq!(found("0 4 */10 * sun"), ["2026-11-01T04:00:00Z"]);
        // Two that are both restricted: either will do.
        assert_eq!(found("0 4 1,2 * sun").len(), 6);
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
