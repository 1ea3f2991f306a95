//! What is kept of a token to find copies of it: keyed hashes of its forms.

use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, Zeroizing};

use super::{
    Encoding, Unsearchable,
    choice::{self, STRIDE},
    form, plain, sealed,
};
use crate::token::{
    fingerprint::{Fingerprint, Key},
    secret::Secret,
};

/// Keys of the hashes, each made from the fingerprint key for its own purpose.
pub(super) struct ScanKeys {
    /// Odd number that a window is multiplied with.
    pub(super) multiplier: u64,
    /// Of the hash of a whole needle.
    confirm: Zeroizing<[u8; 32]>,
}

impl ScanKeys {
    pub(super) fn of(key: &Key) -> Self {
        let mut anchor = blake3::derive_key("tokenhound scan: anchors, version 1", key.expose());
        let multiplier = u64::from_le_bytes(*anchor.first_chunk().unwrap_or(&[1; 8])) | 1;
        anchor.zeroize();
        let confirm = Zeroizing::new(blake3::derive_key("tokenhound scan: needles, version 1", key.expose()));
        Self { multiplier, confirm }
    }

    /// The upper half of a product with a secret odd number: for any two different words it is the same for at most two
    /// in 2^32 such numbers (Dietzfelbinger and others, "A reliable randomized algorithm for the closest-pair problem",
    /// 1997). It is no hash that may be shown to anybody.
    #[inline]
    pub(super) const fn tag(multiplier: u64, word: u64) -> u32 {
        (word.wrapping_mul(multiplier) >> 32) as u32
    }

    /// The keyed hash that decides: 128 bits of BLAKE3.
    pub(super) fn whole(&self, bytes: &[u8]) -> [u8; 16] {
        let hash = blake3::keyed_hash(&self.confirm, bytes);
        *hash.as_bytes().first_chunk().unwrap_or(&[0; 16])
    }
}

/// One form of one token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Needle {
    pub(super) encoding: Encoding,
    /// Number of bytes.
    pub(super) len: u16,
    /// Where its anchor begins.
    pub(super) anchor: u16,
    /// Hashes of the windows that begin there and one byte later.
    pub(super) tags: [u32; STRIDE],
    /// Hash of all of it.
    pub(super) whole: [u8; 16],
}

/// Everything by which copies of one token are found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Needles {
    /// Whose.
    pub fingerprint: Fingerprint,
    pub(super) list: Vec<Needle>,
    /// They may be written down, sealed.
    pub(super) lasts: bool,
}

impl Needles {
    /// Derives them while the token is at hand. Takes some 30 hashes.
    ///
    /// # Errors
    /// Why it cannot be looked for.
    pub fn of(key: &Key, token: &Secret) -> Result<Self, Unsearchable> {
        let bytes = token.expose();
        let core = &bytes[choice::core(bytes)];
        plain::check(core)?;
        let keys = ScanKeys::of(key);
        let at = choice::anchor(core);
        let list = form::all(core, at).iter().filter_map(|form| needle(&keys, form)).collect();
        Ok(Self { fingerprint: key.fingerprint(token), list, lasts: sealed::may_be_sealed(core, at) })
    }

    /// Number of needles: at most 36.
    #[must_use]
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }
}

fn needle(keys: &ScanKeys, form: &form::Form) -> Option<Needle> {
    let tag = |at: usize| {
        let word = u64::from_le_bytes(*form.bytes.get(at..)?.first_chunk()?);
        Some(ScanKeys::tag(keys.multiplier, word))
    };
    Some(Needle {
        encoding: form.encoding,
        len: u16::try_from(form.bytes.len()).ok()?,
        anchor: u16::try_from(form.anchor).ok()?,
        tags: [tag(form.anchor)?, tag(form.anchor + 1)?],
        whole: keys.whole(&form.bytes),
    })
}
