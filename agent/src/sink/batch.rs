//! Several items in one call. A receiver that refuses a call does not say which item it minds, so they go one by one
//! until the batch is through.

use super::{Item, Refused};

/// Most bytes of bodies in one call, unless one item alone is larger.
const MAX_BYTES: usize = 1 << 20;

/// How many items go one by one still.
#[derive(Debug, Default)]
pub struct Batch {
    alone: usize,
}

impl Batch {
    /// Sends as many of `items` as fit into one call, and says how many were taken.
    ///
    /// # Errors
    /// The first item was refused.
    pub fn send(
        &mut self,
        items: &[Item],
        mut call: impl FnMut(&[Item]) -> Result<(), Refused>,
    ) -> Result<usize, Refused> {
        let some = if self.alone > 0 { 1 } else { fitting(items) }.min(items.len());
        match call(&items[..some]) {
            Err(Refused::ForGood { .. }) if some > 1 => {
                self.alone = some;
                self.one(call(&items[..1]))
            }
            result if some == 1 => self.one(result),
            result => result.map(|()| some),
        }
    }

    fn one(&mut self, result: Result<(), Refused>) -> Result<usize, Refused> {
        if !matches!(result, Err(Refused::Later { .. })) {
            self.alone = self.alone.saturating_sub(1);
        }
        result.map(|()| 1)
    }
}

fn fitting(items: &[Item]) -> usize {
    let mut bytes = 0;
    let fit = items.iter().take_while(|item| {
        bytes += item.body.len();
        bytes <= MAX_BYTES
    });
    fit.count().max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::samples;

    #[test]
    fn the_item_that_is_minded_is_found_and_the_others_arrive_in_order() {
        let items: Vec<Item> = (1..=6).map(samples::finding).collect();
        let (mut batch, mut taken, mut refused, mut at) = (Batch::default(), Vec::new(), Vec::new(), 0);
        let mut calls = 0;
        while at < items.len() {
            let result = batch.send(&items[at..], |some| {
                calls += 1;
                if some.iter().any(|item| item.id == 3) {
                    return Err(Refused::ForGood { why: "3".to_owned() });
                }
                taken.extend(some.iter().map(|item| item.id));
                Ok(())
            });
            match result {
                Ok(some) => at += some,
                Err(_) => {
                    refused.push(items[at].id);
                    at += 1;
                }
            }
        }
        assert_eq!((taken, refused), (vec![1, 2, 4, 5, 6], vec![3]));
        assert_eq!(calls, 7, "one for all, six alone");
    }

    #[test]
    fn a_call_is_bounded_in_bytes() {
        let item = |id| Item { body: "x".repeat(600 << 10), ..samples::finding(id) };
        let items = [item(1), item(2), item(3)];
        assert_eq!(Batch::default().send(&items, |_| Ok(())).unwrap(), 1);
    }
}
