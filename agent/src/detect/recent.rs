//! A bounded table of things seen lately, on record time.

use std::{collections::BTreeMap, collections::HashMap, hash::Hash};

use crate::ingest::observation::KernelTime;

/// At most `limit` entries; a new one beyond that pushes out the one touched longest ago, and is counted.
///
/// Nothing here depends on the order of a hash map, so that a replay decides alike.
#[derive(Debug)]
pub struct Recent<K, V> {
    entries: HashMap<K, (u64, KernelTime, V)>,
    order: BTreeMap<u64, K>,
    next: u64,
    limit: usize,
    evicted: u64,
}

impl<K: Clone + Eq + Hash, V> Recent<K, V> {
    /// A table of at most `limit` entries (at least one).
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { entries: HashMap::new(), order: BTreeMap::new(), next: 0, limit: limit.max(1), evicted: 0 }
    }

    /// The entry of `key`, made by `make` where there is none, and marked as touched at `now`.
    pub fn touch(&mut self, key: &K, now: KernelTime, make: impl FnOnce() -> V) -> &mut V {
        if let Some((position, _, _)) = self.entries.get(key) {
            self.order.remove(position);
        } else if self.entries.len() >= self.limit
            && let Some((_, oldest)) = self.order.pop_first()
        {
            self.entries.remove(&oldest);
            self.evicted += 1;
        }
        self.next += 1;
        self.order.insert(self.next, key.clone());
        let entry = self.entries.entry(key.clone()).or_insert_with(|| (0, now, make()));
        (entry.0, entry.1) = (self.next, now);
        &mut entry.2
    }

    /// The entry of `key`, left where it is in the order.
    #[must_use]
    pub fn get(&self, key: &K) -> Option<&V> {
        self.entries.get(key).map(|(_, _, value)| value)
    }

    /// All entries, the one touched longest ago first.
    pub fn values(&self) -> impl DoubleEndedIterator<Item = &V> {
        self.order.values().filter_map(|key| self.entries.get(key).map(|(_, _, value)| value))
    }

    /// Every entry, the one touched longest ago first.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.order.values().filter_map(|key| self.entries.get_key_value(key)).map(|(key, (_, _, value))| (key, value))
    }

    /// Takes out the entry of `key`, if there is one. That is no eviction.
    pub fn forget(&mut self, key: &K) {
        if let Some((position, _, _)) = self.entries.remove(key) {
            self.order.remove(&position);
        }
    }

    /// Forgets what was not touched for `age_ns` nanoseconds before `now`. That is no eviction: its time was over.
    pub fn expire(&mut self, now: KernelTime, age_ns: u64) {
        while let Some(entry) = self.order.first_entry() {
            let old = self.entries.get(entry.get()).is_none_or(|(_, at, _)| now.0.saturating_sub(at.0) > age_ns);
            if !old {
                break;
            }
            let key = entry.remove();
            self.entries.remove(&key);
        }
    }

    /// Entries pushed out because the table was full, since the start.
    #[must_use]
    pub fn evicted(&self) -> u64 {
        self.evicted
    }

    /// Entries now.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Is there none?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_untouched_goes_first_and_is_counted() {
        let mut table = Recent::new(2);
        *table.touch(&"a", KernelTime(1), || 0) += 1;
        *table.touch(&"b", KernelTime(2), || 0) += 1;
        *table.touch(&"a", KernelTime(3), || 0) += 1;
        *table.touch(&"c", KernelTime(4), || 0) += 1;
        assert_eq!((table.len(), table.evicted()), (2, 1));
        assert_eq!(*table.touch(&"a", KernelTime(5), || 0), 2, "a was touched after b");
        assert_eq!(*table.touch(&"b", KernelTime(6), || 0), 0, "b was pushed out");
    }

    #[test]
    fn the_old_expire_without_being_counted() {
        let mut table = Recent::new(8);
        table.touch(&1, KernelTime(0), || ());
        table.touch(&2, KernelTime(100), || ());
        table.expire(KernelTime(101), 100);
        assert_eq!((table.len(), table.evicted()), (1, 0));
        table.expire(KernelTime(50), 0);
        assert_eq!(table.len(), 1, "records may come out of order");
    }
}
