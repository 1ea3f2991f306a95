//! Words that are secrets by themselves: documented token shapes, and random-looking ones.

use std::{ops::Range, sync::LazyLock};

use crate::token::shape::{self, Loose};

/// A documented beginning of tokens.
struct Shape {
    prefix: &'static str,
    /// Characters that must follow.
    min: usize,
    /// Must not follow a letter or digit: for prefixes that are parts of ordinary words.
    start: bool,
    /// What follows must be letters and digits, without separators.
    run: bool,
}

/// Fewest characters after a prefix that occurs nowhere else.
const MIN_TAIL: usize = 6;

impl Shape {
    const fn new(prefix: &'static str, loose: Loose) -> Self {
        match loose {
            Loose::Anywhere => Self { prefix, min: MIN_TAIL, start: false, run: false },
            Loose::Start(min) => Self { prefix, min, start: true, run: false },
            Loose::Run(min) => Self { prefix, min, start: true, run: true },
        }
    }
}

/// All shapes, so that most places of a text can be passed over.
struct Shapes {
    /// By first byte.
    by_byte: Vec<Vec<Shape>>,
    /// The first two bytes of every prefix, a bit for each pair.
    pairs: Box<[u64; 1024]>,
}

static SHAPES: LazyLock<Shapes> = LazyLock::new(|| {
    let by_byte: Vec<Vec<Shape>> = (0..=u8::MAX).map(|_| Vec::new()).collect();
    let mut all = Shapes { by_byte, pairs: Box::new([0; 1024]) };
    for (prefix, loose) in shape::beginnings() {
        let shape = Shape::new(prefix, loose);
        if let [first, second, ..] = shape.prefix.as_bytes() {
            let pair = usize::from(u16::from_be_bytes([*first, *second]));
            all.pairs[pair / 64] |= 1 << (pair % 64);
            all.by_byte[usize::from(*first)].push(shape);
        }
    }
    all
});

impl Shapes {
    /// Does a prefix begin like this? None is a single byte.
    fn may_begin(&self, bytes: &[u8]) -> bool {
        let [first, second, ..] = bytes else { return false };
        let pair = usize::from(u16::from_be_bytes([*first, *second]));
        self.pairs[pair / 64] & (1 << (pair % 64)) != 0
    }
}

/// Every prefix, for the property test.
#[cfg(test)]
pub(super) fn prefixes() -> impl Iterator<Item = (&'static str, usize)> {
    shape::beginnings().map(|(prefix, loose)| (prefix, Shape::new(prefix, loose).min))
}

/// Characters of a token: base64 of both alphabets, the dots of a JWT, percent encoding, and whatever a broken
/// encoding left behind.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'~' | b'+' | b'/' | b'=' | b'%') || byte > 0x7f
}

/// Adds the spans of words with a documented shape. `last` says that the text may go on where we cannot see it: then
/// a shape that touches the end needs no minimum.
pub(super) fn find(text: &str, cut: bool, spans: &mut Vec<Range<usize>>) {
    let bytes = text.as_bytes();
    let shapes = &*SHAPES;
    let mut at = 0;
    while at < bytes.len() {
        match shapes.may_begin(&bytes[at..]).then(|| shapes.at(bytes, at, cut)).flatten() {
            Some(end) => {
                spans.push(at..end);
                at = end;
            }
            None => at += 1,
        }
    }
    if bytes.contains(&b'B')
        && let Some(begin) = text.find("-----BEGIN")
    {
        spans.push(begin..text.len());
    }
}

impl Shapes {
    /// End of the token that begins at `at`.
    fn at(&self, bytes: &[u8], at: usize, cut: bool) -> Option<usize> {
        let rest = &bytes[at..];
        let inside_word = at > 0 && bytes[at - 1].is_ascii_alphanumeric();
        let shapes = self.by_byte.get(usize::from(*rest.first()?))?;
        let shape = shapes.iter().find(|shape| {
            (!shape.start || !inside_word) && rest.starts_with(shape.prefix.as_bytes()) && {
                let part = |byte: u8| if shape.run { byte.is_ascii_alphanumeric() } else { is_token(byte) };
                // No longer than the minimum: this is asked at every position.
                let tail = &rest[shape.prefix.len()..];
                let there = tail.iter().take(shape.min).take_while(|byte| part(**byte)).count();
                there == shape.min || (cut && there == tail.len())
            }
        })?;
        let tail = &rest[shape.prefix.len()..];
        let tail = tail.iter().take_while(|byte| is_token(**byte)).count();
        Some(at + shape.prefix.len() + tail)
    }
}

/// Fewest letters and digits of a word that can be taken for random.
const RANDOM_MIXED: usize = 20;
/// The same for words of one case and digits.
const RANDOM_ONE_CASE: usize = 24;
/// From here on a run without separators is taken for random, whatever its alphabet.
const RANDOM_LONG: usize = 32;
/// Bits per character that a long run must have (hex has at most 4, prose in one case about 4.1, base64 up to 6).
const RANDOM_BITS: f64 = 2.5;
/// Share of neighbours of different class (upper, lower, digit; a capital before a small letter does not count) in
/// random words of mixed case. Random base62 has 0.44, names in camel case about 0.2.
const MIXED_CHANGES: f64 = 0.28;
/// The same for words of one case and digits. Random base36 has 0.40.
const ONE_CASE_CHANGES: f64 = 0.25;

/// What long words need if they have a separator, or the length of an AWS secret access key.
const LOW_CHANGES: f64 = 0.12;
/// Length of an AWS secret access key: plain base64, slashes included.
const AWS_SECRET_BYTES: usize = 40;

/// First directories of absolute paths. A path is never taken for random: scripts are told apart by it.
const ROOTS: &[&str] = &[
    "app",
    "bin",
    "boot",
    "builds",
    "code",
    "data",
    "dev",
    "etc",
    "github",
    "gnu",
    "home",
    "lib",
    "lib32",
    "lib64",
    "media",
    "mnt",
    "nix",
    "opt",
    "proc",
    "root",
    "run",
    "sbin",
    "snap",
    "src",
    "srv",
    "sys",
    "tmp",
    "usr",
    "var",
    "workspace",
    "workspaces",
];

/// Adds the spans of words that look random.
pub(super) fn find_random(text: &str, spans: &mut Vec<Range<usize>>) {
    let bytes = text.as_bytes();
    let part = |byte: u8| is_token(byte) && byte != b'=';
    let mut at = 0;
    while at < bytes.len() {
        if !part(bytes[at]) {
            at += 1;
            continue;
        }
        let end = at + bytes[at..].iter().take_while(|byte| part(**byte)).count();
        // Padding belongs to it.
        let padded = end + bytes[end..].iter().take(2).take_while(|byte| **byte == b'=').count();
        if end - at >= RANDOM_MIXED && !is_path(&bytes[at..end]) {
            random_parts(bytes, at..end, padded, spans);
        }
        at = padded.max(end);
    }
}

fn random_parts(bytes: &[u8], word: Range<usize>, padded: usize, spans: &mut Vec<Range<usize>>) {
    let whole = Word::of(&bytes[word.clone()]);
    let secret_key = word.len() == AWS_SECRET_BYTES && whole.has_three_classes() && whole.changes() >= LOW_CHANGES;
    if bytes[word.clone()].contains(&b'/') && (whole.is_mixed() || secret_key) {
        spans.push(word.start..padded);
        return;
    }
    let mut start = word.start;
    for segment in bytes[word.clone()].split(|byte| *byte == b'/') {
        let end = start + segment.len();
        let random = segment.split(|byte| *byte == b'.').any(|piece| Word::of(piece).is_random());
        if random {
            spans.push(start..if end == word.end { padded } else { end });
        }
        start = end + 1;
    }
}

/// Is it a path below a well-known directory, or relative in so many words?
pub(super) fn is_path(word: &[u8]) -> bool {
    // `-I/usr/include`
    let word = match word {
        [b'-', letter, rest @ ..] if letter.is_ascii_alphabetic() && rest.first() == Some(&b'/') => rest,
        _ => word,
    };
    if word.starts_with(b"./") || word.starts_with(b"../") || word.starts_with(b"~/") {
        return true;
    }
    let Some(rest) = word.strip_prefix(b"/") else { return false };
    let first = rest.split(|byte| *byte == b'/').next().unwrap_or_default();
    rest.len() > first.len() && ROOTS.iter().any(|root| root.as_bytes() == first)
}

/// What is counted in a word.
#[derive(Default)]
struct Word {
    letters_and_digits: usize,
    upper: usize,
    lower: usize,
    digits: usize,
    hex: usize,
    /// Longest run without a separator.
    run: usize,
    changes: usize,
    bits: f64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Upper,
    Lower,
    Digit,
}

impl Word {
    fn of(bytes: &[u8]) -> Self {
        let mut word = Self::default();
        let mut counts = [0usize; 128];
        let (mut run, mut before) = (0, None);
        for byte in bytes {
            let class = match byte {
                b'A'..=b'Z' => Class::Upper,
                b'a'..=b'z' => Class::Lower,
                b'0'..=b'9' => Class::Digit,
                _ => {
                    run = 0;
                    continue;
                }
            };
            run += 1;
            word.run = word.run.max(run);
            word.letters_and_digits += 1;
            word.hex += usize::from(byte.is_ascii_hexdigit());
            match class {
                Class::Upper => word.upper += 1,
                Class::Lower => word.lower += 1,
                Class::Digit => word.digits += 1,
            }
            let capital = before == Some(Class::Upper) && class == Class::Lower;
            word.changes += usize::from(before.is_some_and(|before| before != class) && !capital);
            before = Some(class);
            counts[usize::from(*byte)] += 1;
        }
        let total = word.letters_and_digits as f64;
        for count in counts.into_iter().filter(|count| *count > 0) {
            let share = count as f64 / total;
            word.bits -= share * share.log2();
        }
        word
    }

    fn changes(&self) -> f64 {
        self.changes as f64 / (self.letters_and_digits.max(2) - 1) as f64
    }

    fn has_three_classes(&self) -> bool {
        self.upper > 0 && self.lower > 0 && self.digits > 0
    }

    fn is_mixed(&self) -> bool {
        self.letters_and_digits >= RANDOM_MIXED && self.has_three_classes() && self.changes() >= MIXED_CHANGES
    }

    fn is_random(&self) -> bool {
        let hex = self.hex == self.letters_and_digits && self.hex >= RANDOM_LONG;
        let long = self.run >= RANDOM_LONG;
        let one_case = self.letters_and_digits >= RANDOM_ONE_CASE
            && self.digits > 0
            && (self.upper == 0) != (self.lower == 0)
            && self.changes() >= ONE_CASE_CHANGES;
        // base64url has separators of its own: long, three classes, and not in the rhythm of words.
        let separated = self.letters_and_digits >= RANDOM_LONG
            && self.upper > 0
            && self.lower > 0
            && (self.digits > 1 || self.changes() >= 0.2)
            && self.changes() >= LOW_CHANGES;
        ((hex || long) && self.bits >= RANDOM_BITS) || one_case || separated || self.is_mixed()
    }
}
