//! Which tokens are not looked for, because their bytes stand in places that have nothing to do with them.

/// Why a token is not looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Unsearchable {
    /// It has fewer bytes than [`SHORTEST`].
    #[error("it has fewer than {SHORTEST} bytes, which are met by chance")]
    Short,
    /// Its bytes are predictable: words, digits in order, repetitions.
    #[error("it is made of words or repeats itself, so it stands in places that have nothing to do with it")]
    Plain,
}

/// Shortest token that is looked for, in bytes.
pub(super) const SHORTEST: usize = 12;

/// What a token must have of unpredictable bits, by [`bits`], to be looked for. Two dictionary words and a year have
/// fewer; the weakest random token that a vendor issues (16 letters and digits) has more.
const LEAST_BITS: f64 = 40.0;

/// Words that people put where a secret should be.
const EMPTY_WORDS: [&str; 32] = [
    "access",
    "admin",
    "changeme",
    "change",
    "client",
    "default",
    "demo",
    "dummy",
    "example",
    "fake",
    "foobar",
    "hello",
    "hunter",
    "insert",
    "letmein",
    "login",
    "pass",
    "passphrase",
    "password",
    "placeholder",
    "qwerty",
    "redacted",
    "replace",
    "root",
    "sample",
    "secret",
    "test",
    "testing",
    "token",
    "user",
    "welcome",
    "your",
];

/// Whether a token can be looked for.
///
/// # Errors
/// Why not.
pub(super) fn check(token: &[u8]) -> Result<(), Unsearchable> {
    if token.len() < SHORTEST {
        return Err(Unsearchable::Short);
    }
    if bits(unrepeated(token)) < LEAST_BITS { Err(Unsearchable::Plain) } else { Ok(()) }
}

/// What is left of `abcabcabc` without the repetitions: `abc`.
fn unrepeated(token: &[u8]) -> &[u8] {
    (1..=token.len() / 2)
        .find(|unit| token.iter().zip(&token[*unit..]).all(|(a, b)| a == b))
        .map_or(token, |unit| &token[..unit])
}

/// About how many bits somebody has to guess who knows how people make up passwords. A cautious figure, not an entropy.
pub(super) fn bits(token: &[u8]) -> f64 {
    let mut bits = 0.0;
    let mut rest = token;
    let mut before = None;
    while let Some(&first) = rest.first() {
        let letters = word(rest);
        if letters >= 4 {
            bits += word_bits(&rest[..letters]);
            before = None;
            rest = &rest[letters..];
            continue;
        }
        bits += match before {
            // The same again, or counting up or down.
            Some(last) if first.abs_diff(last) <= 1 => 1.0,
            _ if first.is_ascii_digit() => 3.3,
            _ if first.is_ascii_alphabetic() => 4.7,
            _ if first.is_ascii_graphic() => 3.0,
            _ => 5.0,
        };
        before = Some(first);
        rest = &rest[1..];
    }
    bits
}

/// Length of the run of letters at the beginning that could be written as one word: of one case, or with a capital.
fn word(bytes: &[u8]) -> usize {
    let lower = |from: usize| bytes[from..].iter().take_while(|byte| byte.is_ascii_lowercase()).count();
    match bytes {
        [first, second, ..] if first.is_ascii_uppercase() && second.is_ascii_lowercase() => 1 + lower(1),
        [first, ..] if first.is_ascii_uppercase() => bytes.iter().take_while(|byte| byte.is_ascii_uppercase()).count(),
        _ => lower(0),
    }
}

/// A word of a dictionary has 11 to 13 bits; a run of letters that nobody could pronounce is none.
fn word_bits(letters: &[u8]) -> f64 {
    let is = |word: &&str| letters.eq_ignore_ascii_case(word.as_bytes());
    if EMPTY_WORDS.iter().any(is) {
        return 2.0;
    }
    let length = letters.len() as f64;
    let vowel = |byte: &u8| b"aeiouyAEIOUY".contains(byte);
    let clusters = letters.chunk_by(|a, b| vowel(a) == vowel(b)).map(<[u8]>::len).max().unwrap_or(0);
    if clusters > 4 { 4.7 * length } else { (length - 8.0).max(0.0).mul_add(3.0, 12.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_tokens_can_be_looked_for() {
        for token in [
            "ghp_0aB1cD2eF3gH4iJ5kL6mN7oP8qR9sT0uV1wX",
            "AKIAQX7RWJ2ZP4TKVN6D",
            "5f3a9c0e7b1d4826",
            "tq3ZpW8vRk2m",
            "k3v9-x7qz-m2wp-8rtn",
            "xkqjzvwbnmrtplkh",
            "correct-horse-battery-staple",
        ] {
            assert_eq!(check(token.as_bytes()), Ok(()), "{token}: {}", bits(token.as_bytes()));
        }
    }

    #[test]
    fn short_and_plain_ones_cannot() {
        assert_eq!(check(b"tq3ZpW8vRk2"), Err(Unsearchable::Short));
        for token in [
            "passwordpassword",
            "changeme12345",
            "Summer2024!!",
            "letmein-please",
            "000000000000000000",
            "abcdefghijkl",
            "hunter2hunter2hunter2",
            "aK3aK3aK3aK3aK3aK3",
            "your-token-example",
            "----------------",
            "1234567890123456",
            "development-only",
        ] {
            assert_eq!(check(token.as_bytes()), Err(Unsearchable::Plain), "{token}: {}", bits(token.as_bytes()));
        }
    }
}
