//! The needles of many tokens, laid out for looking at a stream.

use std::{collections::HashSet, ops::Range};

use super::{
    broken::{self, Across},
    choice::{STRIDE, WINDOW},
    needle::{Needle, Needles, ScanKeys},
    scanner::Hit,
};
use crate::token::fingerprint::{Fingerprint, Key};

/// Most tokens of a set. Their needles take about 15 MiB.
pub const MOST_TOKENS: usize = 10_000;

/// Needles to look for. Those of tokens beyond [`MOST_TOKENS`] are left out and counted.
pub struct NeedleSet {
    keys: ScanKeys,
    tokens: Vec<Fingerprint>,
    left_out: usize,
    filter: Filter,
    /// Each needle with the number of its token.
    needles: Vec<(Needle, u32)>,
    /// Every needle's windows, by tag.
    windows: Vec<Window>,
    /// Where in `windows` those begin whose tags have these upper bits; one more than there are.
    starts: Vec<u32>,
    shift: u32,
}

/// A tag, and whose.
#[derive(Clone, Copy)]
struct Window {
    tag: u32,
    needle: u32,
    /// How far into the needle's anchor it begins.
    into: u32,
}

/// What is called with a needle's place and number.
pub(super) type OnNeedle<'f> = dyn FnMut(Range<usize>, usize) + 'f;

/// For each tag two bits in one byte.
struct Filter {
    bytes: Vec<u8>,
}

const SMALLEST_FILTER: usize = 16 << 10;
const LARGEST_FILTER: usize = 2 << 20;

/// Bytes for each tag. They leave one window in 700 to be looked at closer, in random bytes and below the largest size.
const BYTES_A_TAG: usize = 8;

/// All pairs of bits of a byte, some twice: a table, because shifts by a variable cost more than a load.
const PAIRS: [u8; 64] = {
    let mut pairs = [0; 64];
    let mut number = 0;
    while number < pairs.len() {
        let (one, other) = (number & 7, 1 + (number >> 3) % 7);
        pairs[number] = 1 << one | 1 << ((one + other) & 7);
        number += 1;
    }
    pairs
};

impl Filter {
    fn new(tags: impl ExactSizeIterator<Item = u32>) -> Self {
        let size = (tags.len() * BYTES_A_TAG).next_power_of_two().clamp(SMALLEST_FILTER, LARGEST_FILTER);
        let mut bytes = vec![0; size];
        for tag in tags {
            bytes[(tag >> (32 - size.ilog2())) as usize] |= PAIRS[(tag & 63) as usize];
        }
        Self { bytes }
    }

    fn may_hold(&self, tag: u32) -> bool {
        let pair = PAIRS[(tag & 63) as usize];
        self.bytes[(tag >> (32 - self.bytes.len().ilog2())) as usize] & pair == pair
    }
}

impl NeedleSet {
    /// A set of these. All must have been made with this key.
    #[must_use]
    pub fn new<'n>(key: &Key, all: impl IntoIterator<Item = &'n Needles>) -> Self {
        let mut left_out = HashSet::new();
        let mut tokens = Vec::new();
        let mut seen = HashSet::new();
        let mut needles: Vec<(Needle, u32)> = Vec::new();
        // The same token may come from many stores.
        for of_token in all {
            if seen.contains(&of_token.fingerprint) {
                continue;
            }
            if tokens.len() == MOST_TOKENS {
                left_out.insert(of_token.fingerprint);
                continue;
            }
            let number = tokens.len() as u32;
            tokens.push(of_token.fingerprint);
            seen.insert(of_token.fingerprint);
            needles.extend(of_token.list.iter().map(|needle| (*needle, number)));
        }
        let mut windows: Vec<Window> = (0..)
            .zip(&needles)
            .flat_map(|(number, (needle, _))| {
                (0..).zip(needle.tags).map(move |(into, tag)| Window { tag, needle: number, into })
            })
            .collect();
        windows.sort_unstable_by_key(|window| (window.tag, window.needle));
        let bits = windows.len().max(2).next_power_of_two().ilog2().min(24);
        let shift = 32 - bits;
        let starts = (0..=1_u64 << bits)
            .map(|upper| windows.partition_point(|window| u64::from(window.tag >> shift) < upper) as u32)
            .collect();
        let filter = Filter::new(windows.iter().map(|window| window.tag));
        Self { keys: ScanKeys::of(key), tokens, left_out: left_out.len(), filter, needles, windows, starts, shift }
    }

    /// Number of tokens that are looked for.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tokens.len()
    }

    /// The tokens that are looked for; at most [`MOST_TOKENS`].
    #[must_use]
    pub fn fingerprints(&self) -> &[Fingerprint] {
        &self.tokens
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
        self.filter.bytes.len()
            + size_of_val(&*self.needles)
            + size_of_val(&*self.windows)
            + size_of_val(&*self.starts)
            + size_of_val(&*self.tokens)
    }

    /// Looks for needles in bytes that are all at hand. Offsets are from their beginning.
    pub fn search(&self, bytes: &[u8], on_hit: &mut impl FnMut(Hit)) {
        self.look(bytes, 0, bytes.len(), &mut |place, needle| on_hit(self.hit(0, place, needle)));
    }

    /// Calls `on_needle` with place and number of every needle that is seen by a window which begins at `from` or a
    /// multiple of [`STRIDE`] after it, and before `until`, or lies across a line end there.
    pub(super) fn look(&self, bytes: &[u8], from: usize, until: usize, on_needle: &mut OnNeedle<'_>) {
        self.along(bytes, from, until, on_needle);
        let ends = memchr::memchr_iter(b'\n', bytes.get(from..until.min(bytes.len())).unwrap_or_default());
        for across in ends.filter_map(|end| Across::of(bytes, from + end)) {
            for (number, window) in across.windows() {
                let tag = ScanKeys::tag(self.keys.multiplier, u64::from_le_bytes(*window));
                let told = |into| across.tells(number, into, |at| at.abs_diff(from).is_multiple_of(STRIDE));
                if self.filter.may_hold(tag) {
                    self.confirm(bytes, across.position(number), tag, told, on_needle);
                }
            }
        }
    }

    fn along(&self, bytes: &[u8], from: usize, until: usize, on_needle: &mut OnNeedle<'_>) {
        // The size is a constant inside, which saves a test and a shift by a variable at each position.
        match self.filter.bytes.len().ilog2() {
            14 => self.pass::<{ 16 << 10 }>(bytes, from, until, on_needle),
            15 => self.pass::<{ 32 << 10 }>(bytes, from, until, on_needle),
            16 => self.pass::<{ 64 << 10 }>(bytes, from, until, on_needle),
            17 => self.pass::<{ 128 << 10 }>(bytes, from, until, on_needle),
            18 => self.pass::<{ 256 << 10 }>(bytes, from, until, on_needle),
            19 => self.pass::<{ 512 << 10 }>(bytes, from, until, on_needle),
            20 => self.pass::<{ 1 << 20 }>(bytes, from, until, on_needle),
            _ => self.pass::<LARGEST_FILTER>(bytes, from, until, on_needle),
        }
    }

    fn pass<const SIZE: usize>(&self, bytes: &[u8], from: usize, until: usize, on_needle: &mut OnNeedle<'_>) {
        const TOGETHER: usize = 16;
        let end = bytes.len().min(until.saturating_add(WINDOW - 1));
        let (Some(filter), Some(looked_at)) = (self.filter.bytes.first_chunk::<SIZE>(), bytes.get(from..end)) else {
            return;
        };
        let multiplier = self.keys.multiplier;
        let mut at = from;
        let mut window = |window: &[u8; WINDOW], at: usize| {
            let tag = ScanKeys::tag(multiplier, u64::from_le_bytes(*window));
            let pair = PAIRS[(tag & 63) as usize];
            if filter[(tag >> (32 - SIZE.ilog2())) as usize] & pair == pair {
                self.confirm(bytes, at, tag, |_| true, on_needle);
            }
        };
        // Of a length that is known the windows need no test of their own.
        let mut rest = looked_at;
        while let Some(block) = rest.first_chunk::<{ TOGETHER * STRIDE + WINDOW }>() {
            for number in 0..TOGETHER {
                if let Some(eight) = block[number * STRIDE..].first_chunk() {
                    window(eight, at + number * STRIDE);
                }
            }
            at += TOGETHER * STRIDE;
            rest = &rest[TOGETHER * STRIDE..];
        }
        for (number, eight) in rest.array_windows().enumerate().step_by(STRIDE) {
            window(eight, at + number);
        }
    }

    /// Whether it is a needle that has a window here, among those of whose windows `told` is true.
    #[cold]
    fn confirm(&self, bytes: &[u8], at: usize, tag: u32, told: impl Fn(u32) -> bool, on_needle: &mut OnNeedle<'_>) {
        let upper = (tag >> self.shift) as usize;
        let [start, end] = [upper, upper + 1].map(|upper| self.starts.get(upper).map_or(0, |start| *start as usize));
        let near = self.windows.get(start..end).unwrap_or_default();
        for window in near.iter().filter(|window| window.tag == tag && told(window.into)) {
            let Some((needle, _)) = self.needles.get(window.needle as usize) else { continue };
            if let Some(place) = self.place(bytes, at, window.into as usize, needle) {
                on_needle(place, window.needle as usize);
            }
        }
    }

    /// Where a needle lies whose anchor has a window at `at`, so far into it. None if it is not that needle.
    fn place(&self, bytes: &[u8], at: usize, into: usize, needle: &Needle) -> Option<Range<usize>> {
        let (before, len) = (usize::from(needle.anchor) + into, usize::from(needle.len));
        let place = at.checked_sub(before).map(|start| start..start + len);
        if let Some(place) = place.filter(|place| place.end <= bytes.len())
            && self.keys.whole(&bytes[place.clone()]) == needle.whole
        {
            return Some(place);
        }
        let (place, text) = broken::gather(bytes, at, before, len)?;
        (self.keys.whole(&text) == needle.whole).then_some(place)
    }

    /// What is told of a needle at that place of bytes that begin at `base`.
    pub(super) fn hit(&self, base: u64, place: Range<usize>, needle: usize) -> Hit {
        let (needle, token) = &self.needles[needle];
        Hit {
            fingerprint: self.tokens[*token as usize],
            encoding: needle.encoding,
            offset: base + place.start as u64,
            len: place.len(),
        }
    }
}
