//! A token's bytes, as long as they are needed.

use zeroize::Zeroizing;

/// The bytes of a token or of a file that holds some. They are overwritten when it is dropped, and there is no way to
/// print, compare, copy or write it but by [`Secret::expose`].
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Takes the bytes over. They must have no other owner that keeps them.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// A copy of bytes that belong to a secret which lives longer.
    #[must_use]
    pub fn copy(bytes: &[u8]) -> Self {
        Self::new(bytes.to_vec())
    }

    /// The bytes, for whoever takes a fingerprint of them or looks at their shape. They must not be kept.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// Number of bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Secret({} bytes)", self.0.len())
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self::new(text.into_bytes())
    }
}

/// Overwrites the part of the stack that calls before this one have used and given back, 256 KiB deep. Hashes and parsers
/// copy what they work on into their frames, and those are left as they were.
#[inline(never)]
pub fn clean_stack() {
    // Written, because it may be looked at.
    std::hint::black_box(&mut [0_u64; 32 << 10]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_does_not_say_what_it_is() {
        assert_eq!(format!("{:?}", Secret::from("ghp_made-up".to_owned())), "Secret(11 bytes)");
    }
}
