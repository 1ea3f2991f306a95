//! Looking for needles in a stream that comes in pieces.

use zeroize::Zeroizing;

use super::{
    Encoding, NeedleSet,
    choice::{ANCHOR, STRIDE},
    form::LONGEST,
};
use crate::token::fingerprint::Fingerprint;

/// A copy of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Hit {
    /// Whose.
    pub fingerprint: Fingerprint,
    /// How it is written.
    pub encoding: Encoding,
    /// Where what was found begins, in bytes from the beginning of the stream.
    pub offset: u64,
    /// Its length in bytes, with the line ends in it. Of a long token only a part is looked for: the copy may reach further on both sides.
    pub len: usize,
}

/// Bytes that are looked at in one turn.
const TURN: usize = 64 << 10;

/// Beside them: what a needle may reach back into, and what it may reach on to.
const CAPACITY: usize = LONGEST + TURN + LONGEST;

/// A stream that is being looked at. It takes 65 KiB, overwritten at the end, and needs no more however long the stream is.
pub struct Scanner<'s> {
    set: &'s NeedleSet,
    /// What was not looked at yet, and before it what a needle may reach back into.
    buffer: Zeroizing<Vec<u8>>,
    /// The first position in `buffer` at which no anchor was looked for yet.
    next: usize,
    /// Where in the stream `buffer` begins.
    base: u64,
}

impl<'s> Scanner<'s> {
    /// At the beginning of a stream.
    #[must_use]
    pub fn new(set: &'s NeedleSet) -> Self {
        Self { set, buffer: Zeroizing::new(Vec::with_capacity(CAPACITY)), next: 0, base: 0 }
    }

    /// Takes the next bytes. A hit may be told of only when further bytes have come, or at the end.
    pub fn feed(&mut self, mut bytes: &[u8], on_hit: &mut impl FnMut(Hit)) {
        while !bytes.is_empty() {
            let room = CAPACITY - self.buffer.len();
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.buffer.extend_from_slice(now);
            bytes = later;
            if self.buffer.len() == CAPACITY {
                // Whatever has its anchor before this lies in the buffer as a whole.
                self.look(self.buffer.len() - LONGEST, on_hit);
            }
        }
    }

    /// The stream is over: tells of what is left. A new stream may begin.
    pub fn finish(&mut self, on_hit: &mut impl FnMut(Hit)) {
        self.look(self.buffer.len(), on_hit);
        self.buffer.clear();
        (self.next, self.base) = (0, 0);
    }

    /// Looks for anchors before `until` and forgets what no later needle can reach back into.
    fn look(&mut self, until: usize, on_hit: &mut impl FnMut(Hit)) {
        let (set, base) = (self.set, self.base);
        set.look(&self.buffer, self.next, until, &mut |place, needle| on_hit(set.hit(base, place, needle)));
        let gone = until.saturating_sub(LONGEST);
        self.buffer.copy_within(gone.., 0);
        let kept = self.buffer.len() - gone;
        self.buffer.truncate(kept);
        self.next = until - gone;
        self.base += gone as u64;
    }
}

// Turns begin at even positions: else a needle across their border would be seen by both of its windows.
const _: () =
    assert!(ANCHOR < LONGEST && LONGEST < TURN && LONGEST.is_multiple_of(STRIDE) && TURN.is_multiple_of(STRIDE));
