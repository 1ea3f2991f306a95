//! Restores kernel time order between the two rings and between CPUs, inside a bounded window.

use crate::ingest::{
    observation::{KernelTime, Observation},
    ordered::Ordered,
};

/// An observation waiting for those that may still come before it.
struct Waiting {
    time: KernelTime,
    /// Order of arrival, for equal times.
    arrival: u64,
    observation: Observation,
}

impl PartialEq for Waiting {
    fn eq(&self, other: &Self) -> bool {
        (self.time, self.arrival) == (other.time, other.arrival)
    }
}
impl Eq for Waiting {}
impl PartialOrd for Waiting {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Waiting {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.time, self.arrival).cmp(&(other.time, other.arrival))
    }
}

/// Holds observations until they are `window` old, then gives them out in time order.
///
/// A record takes its time before it takes its place in a ring, so records of several CPUs, and of the two rings, can
/// arrive a little out of order. The window must be longer than a program runs; it is not a limit on correctness of
/// what comes later than that: such an observation is given out at once and counted.
pub struct Reorder {
    window_ns: u64,
    limit: usize,
    waiting: Ordered<Waiting>,
    arrivals: u64,
    released: KernelTime,
    late: u64,
}

impl Reorder {
    /// A buffer that holds observations for `window_ns` nanoseconds and at most `limit` of them.
    #[must_use]
    pub fn new(window_ns: u64, limit: usize) -> Self {
        Self { window_ns, limit, waiting: Ordered::default(), arrivals: 0, released: KernelTime(0), late: 0 }
    }

    /// Takes one observation in.
    pub fn push(&mut self, observation: Observation) {
        let time = observation.time();
        if time < self.released {
            self.late += 1;
        }
        self.arrivals += 1;
        self.waiting.push(Waiting { time, arrival: self.arrivals, observation });
    }

    /// The next observation that is old enough at `now`, or the oldest of too many.
    pub fn pop(&mut self, now: KernelTime) -> Option<Observation> {
        if !self.is_due(now) {
            return None;
        }
        let oldest = self.waiting.pop()?;
        self.released = self.released.max(oldest.time);
        Some(oldest.observation)
    }

    /// Whether [`Reorder::pop`] would give something out.
    #[must_use]
    pub fn is_due(&self, now: KernelTime) -> bool {
        let old = |oldest: &Waiting| oldest.time.0.saturating_add(self.window_ns) <= now.0;
        self.waiting.first().is_some_and(old) || self.waiting.len() > self.limit
    }

    /// Is everything out that came by now and is as old as `time`?
    #[must_use]
    pub fn is_past(&self, time: KernelTime) -> bool {
        self.waiting.first().is_none_or(|oldest| oldest.time > time)
    }

    /// Observations held.
    #[must_use]
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether nothing is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Observations that came too late for their place.
    #[must_use]
    pub fn late(&self) -> u64 {
        self.late
    }
}

#[cfg(test)]
mod tests {
    use tokenhound_common::process::ProcessKey;

    use super::*;
    use crate::ingest::observation::Exit;

    fn exit(time: u64) -> Observation {
        Observation::Exit(Exit { time: KernelTime(time), process: ProcessKey::new(1, time as u32) })
    }

    #[test]
    fn gives_out_by_time_and_only_when_due() {
        let mut reorder = Reorder::new(10, 100);
        for time in [30, 10, 20] {
            reorder.push(exit(time));
        }
        assert_eq!(reorder.pop(KernelTime(19)), None);
        assert_eq!(reorder.pop(KernelTime(31)), Some(exit(10)));
        assert_eq!(reorder.pop(KernelTime(31)), Some(exit(20)));
        assert_eq!(reorder.pop(KernelTime(31)), None);
        assert_eq!(reorder.len(), 1);
    }

    #[test]
    fn a_full_buffer_gives_out_early_and_counts_what_then_comes_late() {
        let mut reorder = Reorder::new(1_000, 2);
        for time in [30, 10, 20] {
            reorder.push(exit(time));
        }
        assert_eq!(reorder.pop(KernelTime(31)), Some(exit(10)));
        assert_eq!(reorder.pop(KernelTime(31)), None);
        reorder.push(exit(5));
        assert_eq!(reorder.late(), 1);
        assert_eq!(reorder.pop(KernelTime(31)), Some(exit(5)));
    }
}
