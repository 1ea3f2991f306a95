//! Sums of files as packages record them.

use std::fmt::Write as _;

use md5::{Md5, digest::DynDigest};
use sha1::Sha1;
use sha2::{Sha256, Sha384, Sha512};

/// How a sum is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// dpkg, and rpm before 4.6.
    Md5,
    /// apk.
    Sha1,
    /// rpm, as distributions set it.
    Sha256,
    /// rpm, where it is set so.
    Sha384,
    /// rpm, where it is set so.
    Sha512,
}

impl Algorithm {
    fn hasher(self) -> Box<dyn DynDigest> {
        match self {
            Self::Md5 => Box::<Md5>::default(),
            Self::Sha1 => Box::<Sha1>::default(),
            Self::Sha256 => Box::<Sha256>::default(),
            Self::Sha384 => Box::<Sha384>::default(),
            Self::Sha512 => Box::<Sha512>::default(),
        }
    }
}

/// A recorded sum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sum {
    /// How it was made.
    pub algorithm: Algorithm,
    /// In lower case hexadecimal.
    pub hex: String,
}

/// Takes the sum of a content in pieces.
pub struct Summing {
    hasher: Box<dyn DynDigest>,
}

impl Summing {
    /// As that sum was made.
    #[must_use]
    pub fn like(sum: &Sum) -> Self {
        Self { hasher: sum.algorithm.hasher() }
    }

    /// The next piece.
    pub fn update(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
    }

    /// Is it that sum?
    #[must_use]
    pub fn is(self, sum: &Sum) -> bool {
        finished(self.hasher) == sum.hex
    }
}

fn finished(mut hasher: Box<dyn DynDigest>) -> String {
    let mut bytes = vec![0; hasher.output_size()];
    // It fails where there is another number of bytes only, and then no sum is like it.
    let done = hasher.finalize_into_reset(&mut bytes);
    if done.is_ok() { hex(&bytes) } else { String::new() }
}

/// Lower case hexadecimal.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of the text `abc`: RFC 1321 A.5, FIPS 180-2 appendices A to D.
    #[test]
    fn each_is_made_as_its_standard_says() {
        for (algorithm, begins) in [
            (Algorithm::Md5, "900150983cd24fb0"),
            (Algorithm::Sha1, "a9993e364706816a"),
            (Algorithm::Sha256, "ba7816bf8f01cfea"),
            (Algorithm::Sha384, "cb00753f45a35e8b"),
            (Algorithm::Sha512, "ddaf35a193617aba"),
        ] {
            let mut hasher = algorithm.hasher();
            hasher.update(b"abc");
            let is = finished(hasher);
            assert!(is.starts_with(begins), "{algorithm:?} {is}");
            let sum = Sum { algorithm, hex: is };
            for (content, same) in [(&b"abc"[..], true), (b"abd", false)] {
                let mut summing = Summing::like(&sum);
                content.chunks(2).for_each(|chunk| summing.update(chunk));
                assert_eq!(summing.is(&sum), same);
            }
        }
    }
}
