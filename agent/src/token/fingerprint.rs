//! Fingerprints: keyed hashes that say whether two tokens are the same, and nothing else.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::Zeroizing;

use super::secret::Secret;

/// What a fingerprint begins with when it is written: kind and version of the hash.
const PREFIX: &str = "th1:";

/// Bytes of a fingerprint: 160 bits, so that no two of a fleet's tokens meet by chance.
const BYTES: usize = 20;

/// Bytes of a key.
pub const KEY_BYTES: usize = 32;

/// The key of this machine or fleet. Who has it and a fingerprint can try guesses; without it a fingerprint says nothing.
#[derive(Clone)]
pub struct Key(Zeroizing<[u8; KEY_BYTES]>);

impl Key {
    /// A key of random bytes.
    #[must_use]
    pub fn new(bytes: [u8; KEY_BYTES]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The key's bytes, for the file it is kept in.
    #[must_use]
    pub fn expose(&self) -> &[u8; KEY_BYTES] {
        &self.0
    }

    /// The fingerprint of a token: the first 160 bits of keyed BLAKE3.
    #[must_use]
    pub fn fingerprint(&self, secret: &Secret) -> Fingerprint {
        self.fingerprint_of(secret.expose())
    }

    /// The same of bytes that may be a token.
    #[must_use]
    pub fn fingerprint_of(&self, bytes: &[u8]) -> Fingerprint {
        let hash = blake3::keyed_hash(&self.0, bytes);
        let mut first = [0; BYTES];
        first.copy_from_slice(&hash.as_bytes()[..BYTES]);
        Fingerprint(first)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key")
    }
}

/// Which token it is. The same token and the same key give the same fingerprint, on every machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fingerprint(pub [u8; BYTES]);

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}", data_encoding::BASE32_NOPAD.encode(&self.0).to_ascii_lowercase())
    }
}

/// A text is no fingerprint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no fingerprint: one is th1: and 32 letters a to z and digits 2 to 7")]
pub struct FingerprintError;

impl Serialize for Fingerprint {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Fingerprint {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
    }
}

impl FromStr for Fingerprint {
    type Err = FingerprintError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.strip_prefix(PREFIX).ok_or(FingerprintError)?.to_ascii_uppercase();
        let bytes = data_encoding::BASE32_NOPAD.decode(digits.as_bytes()).map_err(|_| FingerprintError)?;
        bytes.try_into().map(Self).map_err(|_| FingerprintError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_token_and_key_give_the_same_fingerprint_and_others_do_not() {
        let (one, other) = (Key::new([1; KEY_BYTES]), Key::new([2; KEY_BYTES]));
        let token = Secret::from("made-up".to_owned());
        assert_eq!(one.fingerprint(&token), one.fingerprint_of(b"made-up"));
        assert_ne!(one.fingerprint(&token), other.fingerprint(&token));
        assert_ne!(one.fingerprint(&token), one.fingerprint_of(b"made-uq"));
    }

    #[test]
    fn it_is_read_as_it_is_written() {
        let fingerprint = Key::new([7; KEY_BYTES]).fingerprint_of(b"made-up");
        let text = fingerprint.to_string();
        assert_eq!(text.len(), PREFIX.len() + 32);
        assert_eq!(text.parse(), Ok(fingerprint));
        for wrong in ["", "th1:", "th2:aaaa", &text[..20], &text.replace("th1:", "th1:1")] {
            assert_eq!(wrong.parse::<Fingerprint>(), Err(FingerprintError), "{wrong}");
        }
    }
}
