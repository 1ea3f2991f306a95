//! Finds tokens in arbitrary bytes. Most places of a text are passed over with one look at three bytes.

use std::{collections::HashMap, sync::LazyLock};

use foldhash::fast::RandomState;

use super::{Match, Shape, all, build, check};
use crate::token::{jwt, pem};

/// What a private key may begin with that is no dash: dashes are everywhere.
const PEM_MARK: &str = "BEGIN ";
const PEM_DASHES: usize = 5;

/// All beginnings, by their first three bytes.
struct Index {
    /// A bit for each hash of three bytes that a beginning has.
    bits: Box<[u64; WORDS]>,
    by_key: HashMap<[u8; 3], Vec<(&'static str, &'static Shape)>, RandomState>,
}

/// 32,768 bits for some 200 beginnings: of random bytes one in 160 is looked at closer.
const WORDS: usize = 512;

static INDEX: LazyLock<Index> = LazyLock::new(|| {
    let mut index = Index { bits: Box::new([0; WORDS]), by_key: HashMap::default() };
    for shape in all() {
        for prefix in shape.prefixes {
            let mark = if prefix.starts_with('-') { PEM_MARK } else { prefix };
            if let [one, two, three, ..] = mark.as_bytes() {
                let key = [*one, *two, *three];
                let (word, bit) = place(key);
                index.bits[word] |= bit;
                index.by_key.entry(key).or_default().push((mark, shape));
            }
        }
    }
    // `sk-ant-oat01-` before `sk-`.
    for entries in index.by_key.values_mut() {
        entries.sort_by_key(|(mark, _)| std::cmp::Reverse(mark.len()));
    }
    index
});

#[inline]
fn place([one, two, three]: [u8; 3]) -> (usize, u64) {
    let key = u32::from_le_bytes([one, two, three, 0]);
    let hash = key.wrapping_mul(0x9e37_79b1) >> 17;
    (hash as usize / 64, 1 << (hash % 64))
}

/// The tokens of documented shape in a text, in their order. Linear in its length, total, keeps nothing.
#[must_use]
pub fn find(bytes: &[u8]) -> Matches<'_> {
    Matches { index: &INDEX, bytes, at: 0 }
}

/// What [`find`] finds.
pub struct Matches<'a> {
    index: &'static Index,
    bytes: &'a [u8],
    at: usize,
}

impl Iterator for Matches<'_> {
    type Item = Match;

    fn next(&mut self) -> Option<Match> {
        let from = self.at;
        for (offset, window) in self.bytes.get(from..)?.windows(3).enumerate() {
            let key = [window[0], window[1], window[2]];
            let (word, bit) = place(key);
            if self.index.bits[word] & bit == 0 {
                continue;
            }
            // No token may reach back into the one before.
            let found = self.index.at(self.bytes, from + offset, key).filter(|found| found.range.start >= from);
            if let Some(found) = found {
                self.at = found.range.end;
                return Some(found);
            }
        }
        self.at = self.bytes.len();
        None
    }
}

impl Index {
    /// The token whose mark stands at `at`.
    fn at(&self, bytes: &[u8], at: usize, key: [u8; 3]) -> Option<Match> {
        let rest = bytes.get(at..)?;
        let entries = self.by_key.get(&key)?.iter().filter(|(mark, _)| rest.starts_with(mark.as_bytes()));
        entries.into_iter().find_map(|(mark, shape)| shape.at(bytes, at, mark))
    }
}

/// A byte that a word goes on with.
fn in_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

impl Shape {
    fn at(&'static self, bytes: &[u8], at: usize, mark: &str) -> Option<Match> {
        match self.body {
            build::Body::Parts(parts) => self.parts_at(bytes, at, mark, parts),
            build::Body::Jwt => {
                let apart = at == 0 || !(in_word(bytes[at - 1]) || matches!(bytes[at - 1], b'-' | b'.'));
                let len = apart.then(|| jwt_len(&bytes[at..])).flatten()?;
                Some(Match { range: at..at + len, shape: self, checked: true })
            }
            build::Body::Key => {
                let start = if mark == PEM_MARK { at.checked_sub(PEM_DASHES)? } else { at };
                let (len, _) = pem::at(&bytes[start..])?;
                Some(Match { range: start..start + len, shape: self, checked: true })
            }
        }
    }

    fn parts_at(&'static self, bytes: &[u8], at: usize, mark: &str, parts: &[build::Part]) -> Option<Match> {
        let before = match self.before {
            Some(build::Part::Some(alphabet, count, _)) => {
                let id = bytes.get(at.checked_sub(count)?..at)?;
                id.iter().all(|byte| alphabet.has(*byte)).then_some(count)?
            }
            _ => 0,
        };
        let start = at - before;
        if start > 0 && in_word(bytes[start - 1]) {
            return None;
        }
        let rest = &bytes[at + mark.len()..];
        let laid = build::lay(parts, rest)?;
        let end = at + mark.len() + laid.len;
        let checked = check::holds(self.check, &bytes[start..end], &rest[..laid.len], &laid)?;
        Some(Match { range: start..end, shape: self, checked })
    }
}

/// Bytes of the JSON web token that a text begins with, if it is one and no textbook's.
fn jwt_len(text: &[u8]) -> Option<usize> {
    let part = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let len = text.iter().take(jwt::MAX_BYTES).take_while(|byte| part(byte)).count();
    // A sentence may end behind it.
    let dots = text[..len].iter().rev().take_while(|byte| **byte == b'.').count();
    let token = &text[..len - dots];
    jwt::read(token).filter(|jwt| !jwt.example).map(|_| token.len())
}
