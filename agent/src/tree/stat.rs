//! What a file looks like from outside, and when that is proof that its content has not changed.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::{FileType, Statx, StatxTimestamp};

/// Two ticks of the slowest kernel clock (100 Hz): two changes closer than this may carry one time stamp.
const TICK: Duration = Duration::from_millis(20);
/// The same for filesystems that store whole seconds.
const COARSE_TICK: Duration = Duration::from_millis(1020);
/// A stamp further ahead than this was not given by today's clock.
const AHEAD: Duration = Duration::from_secs(2);

/// A time stamp of a file: seconds and nanoseconds since 1970, as the filesystem gave it.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Time {
    pub secs: i64,
    pub nanos: u32,
}

impl Time {
    pub(crate) fn now() -> Self {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Self {
            secs: now.as_secs().cast_signed(),
            nanos: now.subsec_nanos(),
        }
    }

    fn nanos(self) -> i128 {
        i128::from(self.secs) * 1_000_000_000 + i128::from(self.nanos)
    }

    /// How long until a change made at `now` would surely carry another stamp than this one; zero when it would already.
    ///
    /// A stamp from the future (a clock set back) is no danger: a change made today would carry an earlier one.
    pub(crate) fn settles_in(self, now: Self) -> Duration {
        let tick = if self.nanos == 0 { COARSE_TICK } else { TICK };
        let age = now.nanos() - self.nanos();
        if age < -i128::try_from(AHEAD.as_nanos()).unwrap_or(i128::MAX) {
            return Duration::ZERO;
        }
        let left = i128::try_from(tick.as_nanos()).unwrap_or(0) - age;
        u64::try_from(left).map_or(Duration::ZERO, Duration::from_nanos)
    }
}

impl From<StatxTimestamp> for Time {
    fn from(stamp: StatxTimestamp) -> Self {
        Self {
            secs: stamp.tv_sec,
            nanos: stamp.tv_nsec,
        }
    }
}

/// What must be equal for a file to count as unchanged.
///
/// The kernel moves `ctime` at every change of content, mode or owner, and nobody can set it; so an equal `ctime` that was
/// already older than a clock tick when the file was read proves that nothing changed since. Two cases escape it: writes
/// through a memory map that was dirty before, and a clock set back. Hashing everything (`Verify::Yes`) finds those.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stat {
    /// The twelve permission bits.
    pub mode: u32,
    pub size: u64,
    pub mtime: Time,
    pub ctime: Time,
    pub ino: u64,
}

impl Stat {
    /// The mode a release gives this entry: without setuid and setgid.
    pub(crate) fn release_mode(&self) -> u32 {
        self.mode & 0o1777
    }

    pub(crate) fn is_setuid(&self) -> bool {
        self.mode & 0o4000 != 0
    }

    pub(crate) fn is_setgid(&self) -> bool {
        self.mode & 0o2000 != 0
    }
}

impl From<&Statx> for Stat {
    fn from(s: &Statx) -> Self {
        Self {
            mode: u32::from(s.stx_mode) & 0o7777,
            size: s.stx_size,
            mtime: s.stx_mtime.into(),
            ctime: s.stx_ctime.into(),
            ino: s.stx_ino,
        }
    }
}

pub(crate) fn file_type(s: &Statx) -> FileType {
    FileType::from_raw_mode(u32::from(s.stx_mode))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Time = Time {
        secs: 1000,
        nanos: 500_000_000,
    };

    #[test]
    fn a_stamp_of_the_last_tick_is_not_settled() {
        assert!(NOW.settles_in(NOW) > Duration::ZERO);
        let a_moment_ago = Time {
            secs: 1000,
            nanos: 499_000_000,
        };
        assert_eq!(a_moment_ago.settles_in(NOW), Duration::from_millis(19));
    }

    #[test]
    fn a_stamp_older_than_a_tick_is_settled() {
        assert_eq!(
            Time {
                secs: 1000,
                nanos: 479_000_000
            }
            .settles_in(NOW),
            Duration::ZERO
        );
    }

    #[test]
    fn whole_seconds_settle_after_a_second() {
        assert!(
            Time {
                secs: 1000,
                nanos: 0
            }
            .settles_in(NOW)
                > Duration::from_millis(500)
        );
        assert_eq!(
            Time {
                secs: 999,
                nanos: 0
            }
            .settles_in(NOW),
            Duration::ZERO
        );
    }

    #[test]
    fn a_stamp_from_the_future_is_settled() {
        assert_eq!(
            Time {
                secs: 9000,
                nanos: 1
            }
            .settles_in(NOW),
            Duration::ZERO
        );
    }
}
