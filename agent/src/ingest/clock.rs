//! Kernel time to wall clock: a sampled offset at the edge, plain arithmetic after that.

use std::time::{Duration, SystemTime};

use rustix::time::{ClockId, Timespec, clock_gettime};

use super::observation::KernelTime;

/// Samples taken for one offset; the one with the narrowest bounds is kept.
const ROUNDS: usize = 8;

/// Converts `CLOCK_BOOTTIME` to the wall clock.
///
/// The wall clock can be set while the agent runs, so the offset is sampled again from time to time
/// ([`Clock::resample`]); what was converted before stays as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock {
    /// Wall clock minus boot time, in nanoseconds.
    offset: i128,
    /// How far off the offset can be, in nanoseconds.
    error: u64,
}

/// One reading of the wall clock between two of the boot clock, all in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Boot time before.
    pub before: u64,
    /// Wall clock, since the Unix epoch.
    pub wall: i128,
    /// Boot time after.
    pub after: u64,
}

impl Clock {
    /// A clock with this offset and error, both in nanoseconds: one that was sampled before.
    #[must_use]
    pub const fn new(offset_ns: i128, error_ns: u64) -> Self {
        Self { offset: offset_ns, error: error_ns }
    }

    /// Wall clock minus boot time, in nanoseconds.
    #[must_use]
    pub const fn offset_ns(&self) -> i128 {
        self.offset
    }

    /// Samples the clocks of this machine.
    #[must_use]
    pub fn sample() -> Self {
        Self::from_samples(std::iter::repeat_with(read).take(ROUNDS))
    }

    /// The clock that the narrowest of `samples` gives; without a usable sample, boot is taken for the epoch.
    #[must_use]
    pub fn from_samples(samples: impl IntoIterator<Item = Sample>) -> Self {
        let narrowest = samples
            .into_iter()
            .filter(|sample| sample.after >= sample.before)
            .min_by_key(|sample| sample.after - sample.before);
        narrowest.map_or(Self { offset: 0, error: u64::MAX }, |sample| {
            let width = sample.after - sample.before;
            let middle = i128::from(sample.before) + i128::from(width / 2);
            Self { offset: sample.wall - middle, error: width.div_ceil(2) }
        })
    }

    /// Samples again. Returns how far the wall clock was moved since, in nanoseconds; within the sampling error that
    /// is 0 and the old offset stays, so that times do not wander between two records.
    pub fn resample(&mut self) -> i64 {
        self.replace(Self::sample())
    }

    fn replace(&mut self, new: Self) -> i64 {
        let moved = new.offset - self.offset;
        if moved.unsigned_abs() <= u128::from(self.error) + u128::from(new.error) && self.error <= new.error {
            return 0;
        }
        *self = new;
        i64::try_from(moved).unwrap_or(if moved < 0 { i64::MIN } else { i64::MAX })
    }

    /// The wall clock at `time`. Total: what `SystemTime` cannot hold becomes the epoch.
    #[must_use]
    pub fn wall(&self, time: KernelTime) -> SystemTime {
        let nanos = i128::from(time.0) + self.offset;
        let distance = duration(nanos.unsigned_abs());
        let wall = if nanos < 0 {
            SystemTime::UNIX_EPOCH.checked_sub(distance)
        } else {
            SystemTime::UNIX_EPOCH.checked_add(distance)
        };
        wall.unwrap_or(SystemTime::UNIX_EPOCH)
    }

    /// How far [`Clock::wall`] can be off because the two clocks cannot be read at one instant, in nanoseconds.
    #[must_use]
    pub const fn error_ns(&self) -> u64 {
        self.error
    }
}

/// Kernel time now.
#[must_use]
pub fn now() -> KernelTime {
    KernelTime(boot_ns())
}

fn read() -> Sample {
    let before = boot_ns();
    let wall = nanos(clock_gettime(ClockId::Realtime));
    Sample { before, wall, after: boot_ns() }
}

fn boot_ns() -> u64 {
    u64::try_from(nanos(clock_gettime(ClockId::Boottime))).unwrap_or(0)
}

fn nanos(time: Timespec) -> i128 {
    i128::from(time.tv_sec) * 1_000_000_000 + i128::from(time.tv_nsec)
}

fn duration(nanos: u128) -> Duration {
    let seconds = u64::try_from(nanos / 1_000_000_000).unwrap_or(u64::MAX);
    Duration::new(seconds, (nanos % 1_000_000_000) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    const EPOCH_2026: i128 = 1_767_225_600_000_000_000;

    #[test]
    fn narrowest_sample_wins_and_its_middle_counts() {
        let clock = Clock::from_samples([
            Sample { before: 1_000, wall: EPOCH_2026 + 9_000, after: 9_000 },
            Sample { before: 10_000, wall: EPOCH_2026 + 10_050, after: 10_100 },
            Sample { before: 30_000, wall: EPOCH_2026 + 1, after: 20_000 },
        ]);
        assert_eq!(clock.error_ns(), 50);
        assert_eq!(clock.wall(KernelTime(0)), SystemTime::UNIX_EPOCH + duration(EPOCH_2026 as u128));
    }

    #[test]
    fn conversion_is_total() {
        let far = Clock { offset: i128::from(u64::MAX) * 4, error: 0 };
        let early = Clock { offset: -2_000_000_000, error: 0 };
        assert!(far.wall(KernelTime(u64::MAX)) > SystemTime::UNIX_EPOCH);
        assert_eq!(early.wall(KernelTime(500_000_000)), SystemTime::UNIX_EPOCH - Duration::from_millis(1_500));
        assert_eq!(Clock::from_samples([]).wall(KernelTime(0)), SystemTime::UNIX_EPOCH);
    }

    #[test]
    fn a_set_clock_is_followed_and_jitter_is_not() {
        let mut clock = Clock { offset: 1_000, error: 50 };
        assert_eq!(clock.replace(Clock { offset: 1_080, error: 60 }), 0);
        assert_eq!(clock.offset, 1_000);
        assert_eq!(clock.replace(Clock { offset: 5_000_000, error: 60 }), 4_999_000);
        assert_eq!(clock.offset, 5_000_000);
        // A narrower sample within the error is an improvement, not a jump to hide.
        assert_eq!(clock.replace(Clock { offset: 5_000_040, error: 5 }), 40);
    }

    #[test]
    fn the_live_clock_agrees_with_system_time() {
        let (before, clock, boot) = (SystemTime::now(), Clock::sample(), now());
        let wall = clock.wall(boot);
        let slack = Duration::from_nanos(clock.error_ns() * 2) + Duration::from_micros(1);
        assert!(wall + slack >= before && wall <= SystemTime::now() + slack, "{wall:?}");
    }
}
