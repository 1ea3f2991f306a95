//! What must hold of a token beside its parts: its vendor's checksum, or that it looks random and is no placeholder.

use super::build::Laid;

/// What must hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Check {
    /// It looks random.
    Random,
    /// It looks random and holds this text.
    Holds(&'static str),
    /// It looks random and ends with this text.
    Ends(&'static str),
    /// The last six of 36 characters are the CRC-32 of those before in base 62 (GitHub and npm). Longer ones have none.
    Crc32Base62,
    /// Behind a dot: two characters of length and seven of CRC-32 of all before, in base 36 (GitLab's routable tokens). Those without a
    /// dot have none.
    GitLab,
    /// The last eight characters are the CRC-32 of what is before the underscore, little endian in hex (Grafana).
    Grafana,
}

/// Does it hold? `Some(true)` if a checksum does. `token` is the whole with prefix, `body` what is behind the prefix.
pub(super) fn holds(check: Check, token: &[u8], body: &[u8], laid: &Laid) -> Option<bool> {
    let random = || looks_random(body.get(laid.random.clone())?, laid.alphabet.bits()).then_some(false);
    match check {
        Check::Random => random(),
        Check::Holds(text) => memchr::memmem::find(body, text.as_bytes()).and_then(|_| random()),
        Check::Ends(text) => body.ends_with(text.as_bytes()).then(random).flatten(),
        Check::Crc32Base62 if body.len() == 36 => {
            let (value, sum) = body.split_at(30);
            (base62(crc32fast::hash(value)) == sum).then_some(true)
        }
        Check::Crc32Base62 => random(),
        Check::GitLab if body.contains(&b'.') => {
            let (value, sum) = token.split_at_checked(token.len().checked_sub(7)?)?;
            (base36(crc32fast::hash(value)) == sum).then_some(true)
        }
        Check::GitLab => random(),
        Check::Grafana => {
            let (value, sum) = token.split_at_checked(token.len().checked_sub(9)?)?;
            (sum.strip_prefix(b"_")? == grafana(value).as_bytes()).then_some(true)
        }
    }
}

/// CRC-32 as Grafana writes it: of all before the last underscore, little endian.
pub(super) fn grafana(value: &[u8]) -> String {
    format!("{:08x}", crc32fast::hash(value).swap_bytes())
}

/// Digits of CRC-32 in base 62, digits first, then capitals, padded with zeros to six (GitHub, "Behind GitHub's new authentication
/// token formats", 2021).
fn base62(sum: u32) -> [u8; 6] {
    digits(sum, b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
}

/// The same in base 36 with seven digits (GitLab, `authn/token_field/generator/routable_token.rb`).
fn base36(sum: u32) -> [u8; 7] {
    digits(sum, b"0123456789abcdefghijklmnopqrstuvwxyz")
}

fn digits<const COUNT: usize>(mut sum: u32, alphabet: &[u8]) -> [u8; COUNT] {
    let mut text = [b'0'; COUNT];
    for digit in text.iter_mut().rev() {
        *digit = alphabet[sum as usize % alphabet.len()];
        sum /= alphabet.len() as u32;
    }
    text
}

/// `prefix` and 30 characters with the checksum that GitHub and npm put behind them: for made-up tokens, of decoys and tests.
#[must_use]
pub fn with_checksum(prefix: &str, value: &str) -> String {
    let sum = base62(crc32fast::hash(value.as_bytes()));
    format!("{prefix}{value}{}", String::from_utf8_lossy(&sum))
}

/// Share of the bits that characters could have which they must have. Random ones of 16 characters and more have over 0.8, hex
/// of 32 over 0.75.
const BITS: f64 = 0.7;
/// Share of neighbours of another class (capital, small letter, digit) in alphabets that have all. Random: 0.44. Words: about 0.1.
const CHANGES: f64 = 0.12;
/// From this length on short words may occur by chance.
const LONG: usize = 64;
/// Steps of a sequence (`abcdef`, `654321`), and repeats of one character in hex and in other alphabets, that chance does not make.
const SEQUENCE: usize = 6;
const REPEATS_HEX: usize = 7;
const REPEATS: usize = 5;

/// What placeholders say, in small letters.
const WORDS: &[&str] = &[
    "example",
    "placeholder",
    "redacted",
    "changeme",
    "notreal",
    "invalid",
    "sample",
    "dummy",
    "insert",
    "replace",
    "secret",
    "password",
    "token",
    "your",
    "fake",
    "here",
    "xxxx",
    "test",
    "1234",
    "abcd",
    "asdf",
    "qwer",
];

/// Longer parts are judged by their beginning, so that the time does not depend on them.
const JUDGED: usize = 128;

/// Is it as random as a token is, and no placeholder?
fn looks_random(text: &[u8], bits: f64) -> bool {
    let text = &text[..text.len().min(JUDGED)];
    !is_periodic(text)
        && !has_runs(text, bits)
        && !says(text)
        && is_mixed(text, bits)
        && entropy(text) >= wanted(text, bits)
}

fn wanted(text: &[u8], bits: f64) -> f64 {
    BITS * bits.min((text.len().max(2) as f64).log2())
}

/// Bits a character, by Shannon.
fn entropy(text: &[u8]) -> f64 {
    let mut counts = [0usize; 256];
    for byte in text {
        counts[usize::from(*byte)] += 1;
    }
    let total = text.len().max(1) as f64;
    let bits = |count: &usize| (*count as f64 / total) * (total / *count as f64).log2();
    counts.iter().filter(|count| **count > 0).map(bits).sum()
}

/// Is it a short text, again and again?
fn is_periodic(text: &[u8]) -> bool {
    (1..=text.len() / 2).any(|period| text[period..].iter().zip(text).all(|(one, other)| one == other))
}

fn has_runs(text: &[u8], bits: f64) -> bool {
    let repeats = if bits <= 4.0 { REPEATS_HEX } else { REPEATS };
    let longest = |step: fn(u8, u8) -> bool| {
        let (mut run, mut longest) = (1, 1);
        for pair in text.windows(2) {
            run = if step(pair[0], pair[1]) { run + 1 } else { 1 };
            longest = longest.max(run);
        }
        longest
    };
    longest(|one, other| one == other) >= repeats
        || longest(|one, other| one.wrapping_add(1) == other) >= SEQUENCE
        || longest(|one, other| other.wrapping_add(1) == one) >= SEQUENCE
}

fn says(text: &[u8]) -> bool {
    let small = text.to_ascii_lowercase();
    let words = WORDS.iter().filter(|word| text.len() < LONG || word.len() > 5);
    words.into_iter().any(|word| memchr::memmem::find(&small, word.as_bytes()).is_some())
}

/// Alphabets with all classes: at least two of them, in no rhythm of words.
fn is_mixed(text: &[u8], bits: f64) -> bool {
    if bits < 6.0 {
        return true;
    }
    let class = |byte: &u8| match byte {
        b'0'..=b'9' => Some(0),
        b'A'..=b'Z' => Some(1),
        b'a'..=b'z' => Some(2),
        _ => None,
    };
    let classes: Vec<u8> = text.iter().filter_map(class).collect();
    // A capital before a small letter begins a word.
    let changes = classes.windows(2).filter(|pair| pair[0] != pair[1] && **pair != [1, 2]).count();
    changes as f64 >= CHANGES * classes.len() as f64
}
