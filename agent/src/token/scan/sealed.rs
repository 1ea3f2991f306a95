//! Needles in a form that can be written down, for tokens that have to be recognised after a restart.
//!
//! They are sealed with a key that is made from the fingerprint key: without that file they are random bytes. Who has both can try
//! guesses of the nine bytes of the anchor apart from the rest (`docs/design/tokens.md`), so only tokens that are still out of
//! reach without those are sealed at all.

use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use zeroize::Zeroizing;

use super::{
    choice::ANCHOR,
    form::LONGEST,
    needle::{Needle, Needles},
    plain,
};
use crate::token::fingerprint::{Fingerprint, Key};

/// Of what the key is made. To be raised when needles are made or written otherwise: what was sealed before is refused then.
const PURPOSE: &str = "tokenhound scan: sealed needles, version 1";

/// Longest list of needles, in bytes of postcard: 36 of at most 33.
const LARGEST: usize = 2048;

/// Random bytes that each sealing takes.
pub const NONCE: usize = NONCE_LEN;

/// What a token must have of unpredictable bits outside of its anchor to be sealed.
const LEAST_BITS: f64 = 56.0;

/// What was sealed cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "it was sealed with another fingerprint key or by another version, or is damaged; it is made anew where the token is"
)]
pub struct Unsealable;

/// May needles of this core be written down? Its anchor begins at `at`.
pub(super) fn may_be_sealed(core: &[u8], at: usize) -> bool {
    let before = core.get(..at).unwrap_or_default();
    let after = core.get(at + ANCHOR..).unwrap_or_default();
    plain::bits(before) + plain::bits(after) >= LEAST_BITS
}

impl Needles {
    /// A form that can be written down and opened again with the same key; `nonce` is random bytes, new ones for each call. `None`
    /// where the token is too short for that.
    #[must_use]
    pub fn seal(&self, key: &Key, nonce: [u8; NONCE]) -> Option<Vec<u8>> {
        if !self.lasts {
            return None;
        }
        let mut bytes = Zeroizing::new([0; LARGEST]);
        let bytes = postcard::to_slice(&self.list, &mut *bytes).ok()?;
        let tag = sealing_key(key, self.fingerprint)
            .ok()?
            .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::from(self.fingerprint.0), bytes)
            .ok()?;
        Some([nonce.as_slice(), bytes, tag.as_ref()].concat())
    }

    /// The needles of a token again.
    ///
    /// # Errors
    /// When they were not sealed with this key, by this version, for this token.
    pub fn open(key: &Key, fingerprint: Fingerprint, sealed: &[u8]) -> Result<Self, Unsealable> {
        let (nonce, rest) = sealed.split_first_chunk().ok_or(Unsealable)?;
        let mut rest = Zeroizing::new(rest.to_vec());
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let opened = sealing_key(key, fingerprint)?.open_in_place(nonce, Aad::from(fingerprint.0), &mut rest);
        let list: Vec<Needle> = postcard::from_bytes(opened.map_err(|_| Unsealable)?).map_err(|_| Unsealable)?;
        let fits = |needle: &Needle| {
            let (end, len) = (usize::from(needle.anchor) + ANCHOR, usize::from(needle.len));
            end <= len && len <= LONGEST
        };
        if list.iter().all(fits) { Ok(Self { fingerprint, list, lasts: true }) } else { Err(Unsealable) }
    }
}

/// Each token has a key of its own, so that two nonces never meet.
fn sealing_key(key: &Key, fingerprint: Fingerprint) -> Result<LessSafeKey, Unsealable> {
    let purpose = Zeroizing::new(blake3::derive_key(PURPOSE, key.expose()));
    let of_token = Zeroizing::new(*blake3::keyed_hash(&purpose, &fingerprint.0).as_bytes());
    let key = UnboundKey::new(&CHACHA20_POLY1305, &*of_token).map_err(|_| Unsealable)?;
    Ok(LessSafeKey::new(key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token::{scan::NeedleSet, secret::Secret};

    const TOKEN: &str = "ghp_0aB1cD2eF3gH4iJ5kL6mN7oP8qR9sT0uV1wX";

    fn key(byte: u8) -> Key {
        Key::new([byte; 32])
    }

    fn needles(token: &str) -> Needles {
        Needles::of(&key(1), &Secret::from(token.to_owned())).unwrap()
    }

    #[test]
    fn what_was_sealed_finds_the_same_copies_as_before() {
        let needles = needles(TOKEN);
        let sealed = needles.seal(&key(1), [1; NONCE]).unwrap();
        let opened = Needles::open(&key(1), needles.fingerprint, &sealed).unwrap();
        assert_eq!(opened, needles);
        let set = NeedleSet::new(&key(1), [&opened]);
        let mut hits = 0;
        set.search(format!("export GH={TOKEN}\n").as_bytes(), &mut |hit| {
            assert_eq!(hit.fingerprint, needles.fingerprint);
            hits += 1;
        });
        assert_eq!(hits, 1);
    }

    #[test]
    fn it_tells_nothing_without_the_key_and_is_refused_where_it_does_not_belong() {
        let needles = needles(TOKEN);
        let (sealed, again) = (needles.seal(&key(1), [1; NONCE]).unwrap(), needles.seal(&key(1), [2; NONCE]).unwrap());
        assert_ne!(sealed, again, "the same needles do not look the same");
        // Neither the token, nor hashes of it as they are in memory.
        for needle in &needles.list {
            assert!(!sealed.windows(needle.whole.len()).any(|window| window == needle.whole));
        }
        assert!(!sealed.windows(8).any(|window| TOKEN.as_bytes().windows(8).any(|part| part == window)));
        assert_eq!(Needles::open(&key(2), needles.fingerprint, &sealed), Err(Unsealable), "another key");
        let other = key(1).fingerprint_of(b"another token");
        assert_eq!(Needles::open(&key(1), other, &sealed), Err(Unsealable), "another token");
        for cut in [0, 11, 12, 40, sealed.len() - 1] {
            assert_eq!(Needles::open(&key(1), needles.fingerprint, &sealed[..cut]), Err(Unsealable), "{cut}");
        }
        let mut changed = sealed;
        *changed.last_mut().unwrap() ^= 1;
        assert_eq!(Needles::open(&key(1), needles.fingerprint, &changed), Err(Unsealable));
    }

    #[test]
    fn what_could_be_guessed_without_nine_of_its_bytes_is_never_written_down() {
        for short in ["tq3ZpW8vRk2m", "AKIAQX7RWJ2ZP4TKVN6D", "5f3a9c0e7b1d4826"] {
            assert_eq!(needles(short).seal(&key(1), [1; NONCE]), None, "{short}");
        }
        for long in [TOKEN, "glpat-7Qx2RzKp9WvTn4Lb8YdM", "9c1f7ab3e04d5268b7f1c93ae6d20b48"] {
            assert!(needles(long).seal(&key(1), [1; NONCE]).is_some(), "{long}");
        }
    }
}
