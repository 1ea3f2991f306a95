//! How long to wait before a sink is tried again: twice as long each time, up to a bound, and never quite the same, so that
//! many agents do not come back to a receiver at one moment. Pure.

use std::time::Duration;

/// Longest that a receiver is left alone because it asks for it.
const ASKED: Duration = Duration::from_secs(600);

/// Bounds of the wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Backoff {
    /// After the first failure.
    pub(super) first: Duration,
    /// At most.
    pub(super) most: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { first: Duration::from_millis(500), most: Duration::from_secs(60) }
    }
}

impl Backoff {
    /// After so many failures in a row, at least one, if the receiver asks to be left alone for `asked`. `random` is any
    /// number: the wait is between half and the whole of what it could be.
    pub(super) fn wait(self, failures: u32, asked: Option<Duration>, random: u64) -> Duration {
        let whole = self.first.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(self.most);
        let half = whole / 2;
        let part = u32::try_from(random % 1024).unwrap_or(0);
        let wait = half + half * part / 1024;
        asked.map_or(wait, |asked| wait.max(asked.min(ASKED)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_doubles_up_to_a_bound_and_is_never_quite_the_same() {
        let backoff = Backoff::default();
        for (failures, whole) in [(1, 500), (2, 1_000), (3, 2_000), (8, 60_000), (u32::MAX, 60_000)] {
            let (least, most) = (backoff.wait(failures, None, 0), backoff.wait(failures, None, 1023));
            assert_eq!(least.as_millis(), whole / 2, "{failures}");
            assert!(most.as_millis() < whole && most.as_millis() > whole * 9 / 10, "{failures}: {most:?}");
        }
    }

    #[test]
    fn a_receiver_may_ask_for_more_but_not_for_ever() {
        let wait = |seconds| Backoff::default().wait(1, Some(Duration::from_secs(seconds)), 0).as_secs();
        assert_eq!((wait(30), wait(1 << 40)), (30, 600));
        assert_eq!(Backoff::default().wait(1, Some(Duration::ZERO), 0).as_millis(), 250);
    }
}
