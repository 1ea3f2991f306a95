//! Forms that are broken into lines: `base64` does so after 76 characters, `xxd -p` after 60, PEM after 64.

use std::ops::Range;

use zeroize::Zeroizing;

use super::{choice::WINDOW, form::LONGEST};

/// Shortest line after which a form may go on in the next one, in bytes; so many have no space among them.
const SHORTEST_LINE: usize = 60;

/// Most white space between a line end and what goes on after it, in bytes.
const INDENT: usize = 32;

/// `len` bytes of which `before` come before the one at `at`, without line ends, white space and `\n` written out; and
/// where they are. None where nothing had to be left out, or they are not all there or too far apart.
pub(super) fn gather(bytes: &[u8], at: usize, before: usize, len: usize) -> Option<(Range<usize>, Zeroizing<Vec<u8>>)> {
    let mut text = Zeroizing::new(Vec::with_capacity(len));
    let mut start = at;
    while text.len() < before {
        start = start.checked_sub(1).filter(|start| at - start <= LONGEST)?;
        match bytes.get(start)? {
            b'\n' | b'\r' | b' ' | b'\t' => {}
            b'n' | b'r' if start > 0 && bytes[start - 1] == b'\\' => start -= 1,
            other => text.push(*other),
        }
    }
    text.reverse();
    let mut end = at;
    while text.len() < len {
        match bytes.get(end).filter(|_| end - at <= LONGEST)? {
            b'\n' | b'\r' | b' ' | b'\t' => end += 1,
            b'\\' if matches!(bytes.get(end + 1), Some(b'n' | b'r')) => end += 2,
            other => {
                text.push(*other);
                end += 1;
            }
        }
    }
    (end - start != len).then_some((start..end, text))
}

/// The windows across one line end.
pub(super) struct Across {
    /// The end of the line before, and the beginning of the line after.
    joined: [u8; 2 * WINDOW - 2],
    /// Where the first of them begins.
    start: usize,
    /// Where the line after begins.
    after: usize,
}

impl Across {
    /// Those across the line end at `at`, if the line is long enough to be a broken one.
    pub(super) fn of(bytes: &[u8], at: usize) -> Option<Self> {
        let end = if at > 0 && bytes[at - 1] == b'\r' { at - 1 } else { at };
        let line = bytes.get(end.checked_sub(SHORTEST_LINE)?..end)?;
        // Prose ends here after one word.
        if memchr::memrchr2(b'\n', b' ', line).is_some() {
            return None;
        }
        let indent = bytes[at + 1..].iter().take(INDENT).take_while(|byte| b" \t".contains(byte)).count();
        let after = at + 1 + indent;
        let mut joined = [0; 2 * WINDOW - 2];
        let (before, behind) = joined.split_at_mut(WINDOW - 1);
        before.copy_from_slice(bytes.get(end - before.len()..end)?);
        behind.copy_from_slice(bytes.get(after..after + behind.len())?);
        Some(Self { joined, start: end - (WINDOW - 1), after })
    }

    /// Each with its number.
    pub(super) fn windows(&self) -> impl Iterator<Item = (usize, &[u8; WINDOW])> {
        self.joined.array_windows().enumerate()
    }

    /// Where the window of that number begins.
    pub(super) const fn position(&self, number: usize) -> usize {
        self.start + number
    }

    /// Whether a needle is to be told of by this of its two windows (`into` its anchor): not where the other one is told
    /// of, because it lies across the line end as well, or in one line at a position that is looked at (one of `even`
    /// parity).
    pub(super) fn tells(&self, number: usize, into: u32, even: impl Fn(usize) -> bool) -> bool {
        match (into, number) {
            (0, _) if number < WINDOW - 2 => true,
            (0, _) => !even(self.after),
            (_, 0) => self.start.checked_sub(1).is_none_or(|other| !even(other)),
            _ => false,
        }
    }
}
