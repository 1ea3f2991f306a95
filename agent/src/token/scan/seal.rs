//! Needles on disk: encrypted under the fingerprint key, because the hash of an anchor is a fast one and gives nine bytes
//! of a token away to whoever knows the key and can guess.

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::needle::{Needle, Needles};
use crate::token::fingerprint::{Fingerprint, Key};

/// Needles as they may be written to disk. Without the key they say nothing but about how many forms the token has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sealed {
    /// Keyed hash of what is sealed and whose it is; also what the key stream begins with, so that no two texts share one.
    mark: [u8; 32],
    /// The needles, in encrypted form.
    text: Vec<u8>,
}

/// Needles cannot be sealed or opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// See [`Needles::storable`].
    #[error(
        "these needles must not be kept: too little of the token is left to guess once its anchor is known; derive them anew from the store"
    )]
    NotStorable,
    /// Another key or token, or the bytes were changed.
    #[error(
        "these needles were sealed with another key or for another token, or were changed; derive them anew from the store"
    )]
    Broken,
}

/// Length of the plain text is a multiple of this, in bytes.
const BLOCK: usize = 256;

impl Needles {
    /// Encrypts them: the mark is a keyed hash of the plain text, and the key stream is that of the mark.
    ///
    /// # Errors
    /// [`SealError::NotStorable`].
    pub fn seal(&self, key: &Key) -> Result<Sealed, SealError> {
        if !self.storable {
            return Err(SealError::NotStorable);
        }
        let mut text = postcard::to_stdvec(&self.list).map_err(|_| SealError::NotStorable)?;
        text.resize(text.len().next_multiple_of(BLOCK), 0);
        let mark = mark(key, &self.fingerprint, &text);
        stream(key, &mark, &mut text);
        Ok(Sealed { mark, text })
    }
}

impl Sealed {
    /// The needles of this token.
    ///
    /// # Errors
    /// [`SealError::Broken`].
    pub fn open(&self, key: &Key, fingerprint: Fingerprint) -> Result<Needles, SealError> {
        let mut text = self.text.clone();
        stream(key, &self.mark, &mut text);
        // Compared in constant time.
        if blake3::Hash::from_bytes(mark(key, &fingerprint, &text)) != blake3::Hash::from_bytes(self.mark) {
            return Err(SealError::Broken);
        }
        let (list, _): (Vec<Needle>, _) = postcard::take_from_bytes(&text).map_err(|_| SealError::Broken)?;
        Ok(Needles { fingerprint, list, storable: true })
    }
}

fn mark(key: &Key, fingerprint: &Fingerprint, text: &[u8]) -> [u8; 32] {
    let own = Zeroizing::new(blake3::derive_key("tokenhound scan: mark of sealed needles, version 1", key.expose()));
    *blake3::Hasher::new_keyed(&own).update(&fingerprint.0).update(text).finalize().as_bytes()
}

fn stream(key: &Key, mark: &[u8; 32], text: &mut [u8]) {
    let own = Zeroizing::new(blake3::derive_key("tokenhound scan: sealed needles, version 1", key.expose()));
    let mut stream = vec![0; text.len()];
    blake3::Hasher::new_keyed(&own).update(mark).finalize_xof().fill(&mut stream);
    text.iter_mut().zip(stream).for_each(|(byte, other)| *byte ^= other);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token::{fingerprint::KEY_BYTES, secret::Secret};

    #[test]
    fn who_has_the_key_gets_them_back_and_nobody_else() {
        let (key, other) = (Key::new([1; KEY_BYTES]), Key::new([2; KEY_BYTES]));
        let token = Secret::from("ghp_0aB1cD2eF3gH4iJ5kL6mN7oP8qR9sT0uV1wX".to_owned());
        let needles = Needles::of(&key, &token).unwrap();
        let sealed = needles.seal(&key).unwrap();
        assert_eq!(sealed.open(&key, needles.fingerprint), Ok(needles.clone()));
        assert_eq!(sealed.open(&other, needles.fingerprint), Err(SealError::Broken));
        assert_eq!(sealed.open(&key, key.fingerprint_of(b"another")), Err(SealError::Broken));
        let written = serde_json::to_string(&sealed).unwrap();
        assert_eq!(serde_json::from_str::<Sealed>(&written).unwrap(), sealed);
        for at in [0, sealed.text.len() / 2, sealed.text.len() - 1] {
            let mut changed = sealed.clone();
            changed.text[at] ^= 1;
            assert_eq!(changed.open(&key, needles.fingerprint), Err(SealError::Broken));
        }
    }

    #[test]
    fn no_hash_of_a_needle_can_be_read_off() {
        let key = Key::new([1; KEY_BYTES]);
        let needles = Needles::of(&key, &Secret::from("ghp_0aB1cD2eF3gH4iJ5kL6mN7oP8qR9sT0uV1wX".to_owned())).unwrap();
        let sealed = needles.seal(&key).unwrap();
        for needle in &needles.list {
            for part in needle.whole.windows(4).chain([&needle.tags[0].to_le_bytes()[..]]) {
                assert!(!sealed.text.windows(4).any(|window| window == part));
            }
        }
    }

    #[test]
    fn those_of_a_short_token_are_not_sealed() {
        let key = Key::new([1; KEY_BYTES]);
        let needles = Needles::of(&key, &Secret::from("tq3ZpW8vRk2mXy".to_owned())).unwrap();
        assert_eq!(needles.seal(&key), Err(SealError::NotStorable));
    }
}
