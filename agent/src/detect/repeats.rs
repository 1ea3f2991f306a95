//! What is told once within the window, and counted from then on.

use std::hash::Hash;

use super::{engine::WINDOW_NS, recent::Recent};
use crate::ingest::observation::KernelTime;

/// When something was told, and how often it was repeated since.
#[derive(Debug, Default)]
struct Told {
    at: Option<KernelTime>,
    repeated: u64,
}

/// What was told within the last [`WINDOW_NS`], at most so many.
#[derive(Debug)]
pub struct Repeats<K> {
    told: Recent<K, Told>,
}

impl<K: Clone + Eq + Hash> Repeats<K> {
    /// Nothing was told yet. At most `limit` are remembered.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { told: Recent::new(limit) }
    }

    /// Notes that `key` would be told at `now`. Returns how often it was repeated since it was told last; `None` where this is
    /// a repetition itself.
    pub fn tell(&mut self, key: &K, now: KernelTime) -> Option<u64> {
        self.told.expire(now, WINDOW_NS);
        let told = self.told.touch(key, now, Told::default);
        if told.at.is_some_and(|at| now.0.saturating_sub(at.0) <= WINDOW_NS) {
            told.repeated += 1;
            return None;
        }
        let before = std::mem::replace(told, Told { at: Some(now), repeated: 0 });
        Some(before.repeated)
    }

    /// Entries pushed out because there were too many.
    #[must_use]
    pub fn evicted(&self) -> u64 {
        self.told.evicted()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_told_once_in_a_window_and_then_with_how_often_it_was_repeated() {
        let mut repeats = Repeats::new(8);
        let at = |windows: u64, more: u64| KernelTime(windows * WINDOW_NS + more);
        assert_eq!(repeats.tell(&"a", at(1, 0)), Some(0));
        assert_eq!(repeats.tell(&"a", at(1, 5)), None);
        assert_eq!(repeats.tell(&"b", at(1, 6)), Some(0));
        assert_eq!(repeats.tell(&"a", at(2, 0)), None, "the last moment of the window");
        assert_eq!(repeats.tell(&"a", at(2, 1)), Some(2));
        assert_eq!(repeats.tell(&"a", at(9, 0)), Some(0), "forgotten meanwhile");
    }
}
