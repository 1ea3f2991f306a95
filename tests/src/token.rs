//! Made-up tokens: right in shape, issued by nobody, never twice the same.

use std::{collections::HashSet, fs::File, io::Read};

/// A part of a token this long must not be seen anywhere either.
pub const PART: usize = 12;

const LETTERS_AND_DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
const BASE32: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// `prefix` and `length` random letters and digits.
#[must_use]
pub fn plain(prefix: &str, length: usize) -> String {
    made_of(LETTERS_AND_DIGITS, prefix, length)
}

/// A key id of AWS.
#[must_use]
pub fn aws_key_id() -> String {
    made_of(BASE32, "AKIA", 16)
}

fn made_of(alphabet: &[u8], prefix: &str, length: usize) -> String {
    let mut random = vec![0; length];
    File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut random)).expect("read random bytes");
    let letters = random.iter().map(|byte| char::from(alphabet[usize::from(*byte) % alphabet.len()]));
    prefix.chars().chain(letters).collect()
}

/// The first token, or part of one, in `bytes`, with the place where it is.
#[must_use]
pub fn find<'t>(tokens: &'t [String], bytes: &[u8]) -> Option<(&'t str, usize)> {
    let parts: HashSet<&[u8]> = tokens.iter().flat_map(|token| token.as_bytes().windows(PART)).collect();
    // Memory of a hundred MiB is searched as well: most places are no beginning of a part.
    let begin = |part: &[u8]| usize::from(u16::from_le_bytes([part[0], part[1]]));
    let mut begins = vec![false; 1 << 16];
    parts.iter().for_each(|part| begins[begin(part)] = true);
    let at = bytes.windows(PART).position(|part| begins[begin(part)] && parts.contains(part))?;
    let part = &bytes[at..at + PART];
    let token = tokens.iter().find(|token| token.as_bytes().windows(PART).any(|other| other == part))?;
    Some((token, at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_a_token_and_any_part_of_it() {
        let tokens = [plain("gho_", 36), aws_key_id()];
        for token in &tokens {
            for part in [&token[..], &token[..PART], &token[token.len() - PART..], &token[3..3 + PART]] {
                let text = format!("before {part} after");
                assert_eq!(find(&tokens, text.as_bytes()), Some((token.as_str(), 7)), "{part}");
            }
            assert_eq!(find(&tokens, &token.as_bytes()[..PART - 1]), None);
        }
        assert_ne!(plain("gho_", 36), plain("gho_", 36));
    }
}
