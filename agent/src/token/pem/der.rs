//! DER: private keys and certificates. The reader of the elements is asn1-rs.

use jiff::Timestamp;
use x509_parser::asn1_rs::{Any, FromDer, Tag};

use super::{Form, PrivateKey, Validity};
use crate::token::model::Protection;

/// Object identifiers of keys' algorithms (RFC 8017, RFC 5480, RFC 8410, RFC 3279), as their content in DER.
const ALGORITHMS: &[(&[u8], &str)] = &[
    (b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01", "RSA"),
    (b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0a", "RSA"),
    (b"\x2a\x86\x48\xce\x3d\x02\x01", "ECDSA"),
    (b"\x2a\x86\x48\xce\x38\x04\x01", "DSA"),
    (b"\x2a\x86\x48\x86\xf7\x0d\x01\x03\x01", "DH"),
    (b"\x2b\x65\x6e", "X25519"),
    (b"\x2b\x65\x6f", "X448"),
    (b"\x2b\x65\x70", "Ed25519"),
    (b"\x2b\x65\x71", "Ed448"),
];

/// Object identifiers of curves.
const CURVES: &[(&[u8], &str)] = &[
    (b"\x2a\x86\x48\xce\x3d\x03\x01\x07", "P-256"),
    (b"\x2b\x81\x04\x00\x22", "P-384"),
    (b"\x2b\x81\x04\x00\x23", "P-521"),
    (b"\x2b\x81\x04\x00\x0a", "secp256k1"),
];

/// The elements of a sequence, one after the other.
struct Elements<'a>(&'a [u8]);

impl<'a> Elements<'a> {
    /// Those of the sequence that `bytes` begin with.
    fn of(bytes: &'a [u8]) -> Option<Self> {
        let (_, any) = Any::from_der(bytes).ok()?;
        (any.tag() == Tag::Sequence).then_some(Self(any.data))
    }

    fn next(&mut self) -> Option<Any<'a>> {
        let (rest, any) = Any::from_der(self.0).ok()?;
        self.0 = rest;
        Some(any)
    }

    fn tagged(&mut self, tag: Tag) -> Option<&'a [u8]> {
        self.next().filter(|any| any.tag() == tag).map(|any| any.data)
    }

    /// A small number, such as a version.
    fn version(&mut self) -> Option<u8> {
        match self.tagged(Tag::Integer)? {
            [version] => Some(*version),
            _ => None,
        }
    }
}

/// Bits of a positive integer.
fn bits(number: &[u8]) -> usize {
    let start = number.iter().take_while(|byte| **byte == 0).count();
    let number = &number[start..];
    number.first().map_or(0, |first| number.len() * 8 - first.leading_zeros() as usize)
}

fn name(table: &[(&[u8], &'static str)], identifier: &[u8]) -> Option<&'static str> {
    table.iter().find(|(known, _)| *known == identifier).map(|(_, name)| *name)
}

fn ecdsa(curve: Option<&[u8]>) -> String {
    match curve.and_then(|curve| name(CURVES, curve)) {
        Some(curve) => format!("ECDSA {curve}"),
        None => "ECDSA".to_owned(),
    }
}

fn plain(form: Form, algorithm: String) -> PrivateKey {
    PrivateKey::new(form, Some(algorithm), Protection::Plain)
}

/// `RSAPrivateKey`: version and eight numbers.
pub(super) fn pkcs1(der: &[u8]) -> Option<PrivateKey> {
    let mut elements = Elements::of(der)?;
    elements.version()?;
    let modulus = bits(elements.tagged(Tag::Integer)?);
    for _ in 0..7 {
        elements.tagged(Tag::Integer)?;
    }
    Some(plain(Form::Pkcs1, format!("RSA {modulus}")))
}

/// `DSAPrivateKey` as OpenSSL writes it: version and p, q, g, y, x.
pub(super) fn dsa(der: &[u8]) -> Option<PrivateKey> {
    let mut elements = Elements::of(der)?;
    elements.version()?;
    let size = bits(elements.tagged(Tag::Integer)?);
    for _ in 0..4 {
        elements.tagged(Tag::Integer)?;
    }
    Some(plain(Form::Dsa, format!("DSA {size}")))
}

/// `ECPrivateKey`: version 1, the key, the curve.
pub(super) fn sec1(der: &[u8]) -> Option<PrivateKey> {
    let mut elements = Elements::of(der)?;
    if elements.version()? != 1 || elements.tagged(Tag::OctetString)?.is_empty() {
        return None;
    }
    let curve = elements.next().and_then(|tagged| Any::from_der(tagged.data).ok()).map(|(_, curve)| curve.data);
    Some(plain(Form::Sec1, ecdsa(curve)))
}

/// `PrivateKeyInfo`: version, algorithm, the key.
pub(super) fn pkcs8(der: &[u8]) -> Option<PrivateKey> {
    let mut elements = Elements::of(der)?;
    if elements.version()? > 1 {
        return None;
    }
    let mut algorithm = Elements(elements.tagged(Tag::Sequence)?);
    let identifier = algorithm.tagged(Tag::Oid)?;
    let key = elements.tagged(Tag::OctetString)?;
    if key.is_empty() {
        return None;
    }
    let algorithm = match name(ALGORITHMS, identifier) {
        Some("RSA") => pkcs1(key)?.algorithm,
        Some("ECDSA") => Some(ecdsa(algorithm.tagged(Tag::Oid))),
        other => other.map(str::to_owned),
    };
    Some(PrivateKey::new(Form::Pkcs8, algorithm, Protection::Plain))
}

/// `EncryptedPrivateKeyInfo`: how it is encrypted, and the rest.
pub(super) fn encrypted_pkcs8(der: &[u8]) -> Option<PrivateKey> {
    let mut elements = Elements::of(der)?;
    let mut algorithm = Elements(elements.tagged(Tag::Sequence)?);
    algorithm.tagged(Tag::Oid)?;
    let sealed = !elements.tagged(Tag::OctetString)?.is_empty();
    sealed.then(|| PrivateKey::new(Form::Pkcs8, None, Protection::Encrypted))
}

/// A file that is a key in DER.
pub(super) fn any(der: &[u8]) -> Option<PrivateKey> {
    pkcs8(der).or_else(|| encrypted_pkcs8(der)).or_else(|| sec1(der)).or_else(|| pkcs1(der))
}

/// When the certificate that `der` begins with holds.
pub(super) fn validity(der: &[u8]) -> Option<Validity> {
    let (_, certificate) = x509_parser::parse_x509_certificate(der).ok()?;
    let validity = certificate.validity();
    let time = |seconds| Timestamp::from_second(seconds).ok();
    Some(Validity {
        not_before: time(validity.not_before.timestamp())?,
        not_after: time(validity.not_after.timestamp())?,
    })
}
