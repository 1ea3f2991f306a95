//! Private keys and certificates in the forms that tools write: what kind, which algorithm, whether a passphrase protects
//! them. They are parsed, not guessed: a heading without a key behind it is none. Comments and public halves are no secrets and are not
//! kept.

use std::ops::Range;

use jiff::Timestamp;
use memchr::memmem;

use super::model::Protection;

mod armor;
mod der;
mod gnupg;
mod openssh;
mod other;
#[cfg(test)]
mod tests;

pub use openssh::certificate as ssh_certificate;

/// Most keys that are taken from one text.
pub const MAX_KEYS: usize = 256;

/// How a key is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Form {
    /// `RSA PRIVATE KEY` (RFC 8017).
    Pkcs1,
    /// `PRIVATE KEY` and `ENCRYPTED PRIVATE KEY` (RFC 5958).
    Pkcs8,
    /// `EC PRIVATE KEY` (RFC 5915).
    Sec1,
    /// `DSA PRIVATE KEY`.
    Dsa,
    /// `OPENSSH PRIVATE KEY` (OpenSSH, PROTOCOL.key).
    OpenSsh,
    /// `PuTTY-User-Key-File-N` (PuTTY's manual, appendix C).
    Putty,
    /// An OpenPGP secret key (RFC 9580).
    OpenPgp,
    /// A file of `private-keys-v1.d` (GnuPG, doc/KEYFORMAT).
    GnuPg,
    /// `AGE-SECRET-KEY-` (age's specification).
    Age,
    /// `ENCRYPTED SIGSTORE PRIVATE KEY`, `ENCRYPTED COSIGN PRIVATE KEY`.
    Sigstore,
}

/// What is known of a private key. None of it is secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrivateKey {
    /// How it is written.
    pub form: Form,
    /// Its algorithm, as `RSA 3072` or `Ed25519`. Unknown where that is encrypted too.
    pub algorithm: Option<String>,
    /// [`Protection::Encrypted`] with a passphrase or where it lies on a device, else [`Protection::Plain`].
    pub protection: Protection,
    /// When it was made, where it says so.
    pub created: Option<Timestamp>,
}

impl PrivateKey {
    fn new(form: Form, algorithm: Option<String>, protection: Protection) -> Self {
        Self { form, algorithm, protection, created: None }
    }
}

/// When a certificate holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// From when.
    pub not_before: Timestamp,
    /// Until when.
    pub not_after: Timestamp,
}

/// The key that begins right here in a text, with the bytes it takes. `None` if what follows is none.
#[must_use]
pub fn at(bytes: &[u8]) -> Option<(usize, PrivateKey)> {
    if bytes.starts_with(armor::BEGIN) {
        let block = armor::block(bytes)?;
        return Some((block.len, block.key()?));
    }
    other::putty(bytes).or_else(|| other::age(bytes))
}

/// The private keys in a text, in their order, at most [`MAX_KEYS`].
#[must_use]
pub fn keys(bytes: &[u8]) -> Vec<(Range<usize>, PrivateKey)> {
    let mut keys = Vec::new();
    for mark in [armor::BEGIN, other::PUTTY, other::AGE] {
        let mut done = 0;
        for start in memmem::find_iter(bytes, mark) {
            if start < done || keys.len() == MAX_KEYS {
                continue;
            }
            if let Some((len, key)) = bytes.get(start..).and_then(at) {
                done = start + len;
                keys.push((start..done, key));
            }
        }
    }
    keys.sort_by_key(|(range, _)| range.start);
    keys
}

/// The key that a file or field as a whole is, in text or in binary. Of several the one that is least protected.
#[must_use]
pub fn key(bytes: &[u8]) -> Option<PrivateKey> {
    let text = keys(bytes).into_iter().map(|(_, key)| key).min_by_key(|key| key.protection);
    text.or_else(|| gnupg::expression(bytes))
        .or_else(|| gnupg::packets(bytes))
        .or_else(|| der::any(bytes))
        // kubeconfig and others: base64 of PEM.
        .or_else(|| armor::unwrapped(bytes).and_then(|inner| keys(&inner).into_iter().next().map(|(_, key)| key)))
}

/// When the first certificate in a text, or the one that this is, holds: PEM, base64 of PEM, DER.
#[must_use]
pub fn certificate(bytes: &[u8]) -> Option<Validity> {
    let text = memmem::find_iter(bytes, armor::BEGIN).take(MAX_KEYS);
    let mut blocks = text.filter_map(|start| armor::block(bytes.get(start..)?));
    blocks
        .find_map(|block| der::validity(block.certificate()?))
        .or_else(|| der::validity(bytes))
        .or_else(|| armor::unwrapped(bytes).and_then(|inner| certificate(&inner)))
}
