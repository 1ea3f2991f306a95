//! A queue of what comes nearly in order: the smallest first, at the price of a plain queue for what does not come late.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
};

/// The queue. Who fills it bounds it.
#[derive(Debug)]
pub struct Ordered<T> {
    /// Sorted: each was the largest when it came.
    run: VecDeque<T>,
    /// The others.
    late: BinaryHeap<Reverse<T>>,
}

impl<T: Ord> Default for Ordered<T> {
    fn default() -> Self {
        Self { run: VecDeque::new(), late: BinaryHeap::new() }
    }
}

impl<T: Ord> Ordered<T> {
    /// Takes one in.
    pub fn push(&mut self, item: T) {
        if self.run.back().is_some_and(|last| *last > item) {
            self.late.push(Reverse(item));
        } else {
            self.run.push_back(item);
        }
    }

    /// Whether the smallest is one of those that came late.
    fn late_is_first(&self) -> bool {
        match (self.run.front(), self.late.peek()) {
            (Some(first), Some(Reverse(late))) => late < first,
            (None, Some(_)) => true,
            (_, None) => false,
        }
    }

    /// The smallest.
    #[must_use]
    pub fn first(&self) -> Option<&T> {
        if self.late_is_first() { self.late.peek().map(|Reverse(late)| late) } else { self.run.front() }
    }

    /// Takes the smallest out.
    pub fn pop(&mut self) -> Option<T> {
        if self.late_is_first() { self.late.pop().map(|Reverse(late)| late) } else { self.run.pop_front() }
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.run.len() + self.late.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.run.is_empty() && self.late.is_empty()
    }

    /// Drops those that `keep` does not hold.
    pub fn retain(&mut self, mut keep: impl FnMut(&T) -> bool) {
        self.run.retain(&mut keep);
        self.late.retain(|Reverse(late)| keep(late));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_comes_first_whatever_the_order() {
        for items in [[1, 2, 3, 4, 5, 6], [6, 5, 4, 3, 2, 1], [3, 1, 4, 1, 5, 2], [9, 1, 2, 3, 9, 4]] {
            let mut queue = Ordered::default();
            items.iter().for_each(|item| queue.push(*item));
            let mut sorted = items.to_vec();
            sorted.sort_unstable();
            assert_eq!((queue.len(), queue.first()), (6, sorted.first()));
            let out: Vec<_> = std::iter::from_fn(|| queue.pop()).collect();
            assert_eq!(out, sorted, "{items:?}");
            assert!(queue.is_empty());
        }
    }

    #[test]
    fn what_is_dropped_is_gone_from_both_parts() {
        let mut queue = Ordered::default();
        [1, 4, 6, 2, 5, 3].iter().for_each(|item| queue.push(*item));
        queue.retain(|item| item % 2 == 0);
        assert_eq!(std::iter::from_fn(|| queue.pop()).collect::<Vec<_>>(), [2, 4, 6]);
    }
}
