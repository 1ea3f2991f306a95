//! The needles of many tokens, laid out for looking at every byte.

use super::{
    choice::ANCHOR,
    needle::{Needle, Needles, ScanKeys},
    scanner::Hit,
};
use crate::token::fingerprint::{Fingerprint, Key};

/// Most tokens of a set. Their needles take about 10 MiB.
pub const MOST_TOKENS: usize = 10_000;

/// Words of the bit table, as a power of two: 16 KiB for few needles, at most 512 KiB. What is larger than the second
/// cache costs more than it saves.
const FEWEST_WORDS: u32 = 11;
const MOST_WORDS: u32 = 16;

/// Needles to look for. Those of tokens beyond [`MOST_TOKENS`] are left out and counted.
pub struct NeedleSet {
    keys: ScanKeys,
    tokens: Vec<Fingerprint>,
    left_out: usize,
    filter: Filter,
    /// By tag.
    needles: Vec<(Needle, u32)>,
    /// Where in `needles` those begin whose tags have these upper bits; one more than there are.
    starts: Vec<u32>,
    shift: u32,
}

/// For each tag two bits in one word.
struct Filter {
    words: Vec<u64>,
    shift: u32,
}

impl Filter {
    fn new(tags: impl ExactSizeIterator<Item = u32>) -> Self {
        // 32 bits for each needle leave one position in 270 to be looked at closer.
        let size = (tags.len() / 2).max(1).next_power_of_two().ilog2().clamp(FEWEST_WORDS, MOST_WORDS);
        let mut filter = Self { words: vec![0; 1 << size], shift: 32 - size };
        for tag in tags {
            let at = filter.word(tag);
            filter.words[at] |= Self::bits(tag);
        }
        filter
    }

    #[inline]
    const fn word(&self, tag: u32) -> usize {
        (tag >> self.shift) as usize
    }

    #[inline]
    const fn bits(tag: u32) -> u64 {
        1 << (tag & 63) | 1 << (tag >> 6 & 63)
    }

    #[inline]
    fn may_hold(&self, tag: u32) -> bool {
        let bits = Self::bits(tag);
        self.words.get(self.word(tag)).is_some_and(|word| word & bits == bits)
    }
}

impl NeedleSet {
    /// A set of these. All must have been made with this key.
    #[must_use]
    pub fn new<'n>(key: &Key, all: impl IntoIterator<Item = &'n Needles>) -> Self {
        let mut all = all.into_iter();
        let mut tokens = Vec::new();
        let mut needles: Vec<(Needle, u32)> = Vec::new();
        for of_token in all.by_ref().take(MOST_TOKENS) {
            let number = tokens.len() as u32;
            tokens.push(of_token.fingerprint);
            needles.extend(of_token.list.iter().map(|needle| (*needle, number)));
        }
        needles.sort_unstable_by_key(|(needle, token)| (needle.tag, *token));
        // The same token from two stores.
        needles.dedup_by(|a, b| (a.0, tokens[a.1 as usize]) == (b.0, tokens[b.1 as usize]));
        let bits = needles.len().max(2).next_power_of_two().ilog2().min(24);
        let shift = 32 - bits;
        let starts = (0..=1_u64 << bits)
            .map(|upper| needles.partition_point(|(needle, _)| u64::from(needle.tag >> shift) < upper) as u32)
            .collect();
        let filter = Filter::new(needles.iter().map(|(needle, _)| needle.tag));
        Self { keys: ScanKeys::of(key), tokens, left_out: all.count(), filter, needles, starts, shift }
    }

    /// Number of tokens that are looked for.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tokens.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }

    /// Number of tokens for which there was no room.
    #[must_use]
    pub const fn left_out(&self) -> usize {
        self.left_out
    }

    /// Memory it takes, in bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        size_of_val(&*self.filter.words)
            + size_of_val(&*self.needles)
            + size_of_val(&*self.starts)
            + size_of_val(&*self.tokens)
    }

    /// Looks for needles in bytes that are all at hand. Offsets are from their beginning.
    pub fn search(&self, bytes: &[u8], on_hit: &mut impl FnMut(Hit)) {
        self.search_anchors(bytes, 0, bytes.len(), 0, on_hit);
    }

    /// Looks for needles whose anchor begins at `from` or later and before `until`; `base` is the offset of the first byte.
    pub(super) fn search_anchors(
        &self,
        bytes: &[u8],
        from: usize,
        until: usize,
        base: u64,
        on_hit: &mut impl FnMut(Hit),
    ) {
        if self.is_empty() {
            return;
        }
        let end = bytes.len().min(until.saturating_add(ANCHOR - 1));
        let Some(looked_at) = bytes.get(from..end) else { return };
        let multiplier = self.keys.multiplier;
        for (number, window) in looked_at.array_windows::<ANCHOR>().enumerate() {
            let tag = ScanKeys::tag(multiplier, u64::from_le_bytes(*window));
            if self.filter.may_hold(tag) {
                self.confirm(bytes, from + number, tag, base, on_hit);
            }
        }
    }

    /// Whether it is a needle that has its anchor here.
    #[cold]
    fn confirm(&self, bytes: &[u8], at: usize, tag: u32, base: u64, on_hit: &mut impl FnMut(Hit)) {
        let upper = (tag >> self.shift) as usize;
        let [start, end] = [upper, upper + 1].map(|upper| self.starts.get(upper).map_or(0, |start| *start as usize));
        let near = self.needles.get(start..end).unwrap_or_default();
        for (needle, token) in near.iter().filter(|(needle, _)| needle.tag == tag) {
            let len = usize::from(needle.len);
            let whole = at.checked_sub(usize::from(needle.anchor)).and_then(|start| {
                let bytes = bytes.get(start..start + len)?;
                Some((start, bytes))
            });
            let Some((start, bytes)) = whole else { continue };
            if self.keys.whole(bytes) == needle.whole
                && let Some(fingerprint) = self.tokens.get(*token as usize)
            {
                on_hit(Hit { fingerprint: *fingerprint, encoding: needle.encoding, offset: base + start as u64, len });
            }
        }
    }
}
