//! OpenPGP secret keys (RFC 9580, section 5.5.3) and GnuPG's own key files (doc/KEYFORMAT in its source).

use jiff::Timestamp;

use super::{Form, PrivateKey};
use crate::token::model::Protection;

/// Most packets that are looked at.
const MAX_PACKETS: usize = 256;
const SECRET_KEY: u8 = 5;
const SECRET_SUBKEY: u8 = 7;
/// S2K usage octets of an encrypted key.
const SEALED: std::ops::RangeInclusive<u8> = 253..=255;
/// GnuPG's S2K for a key that is not here: removed, or on a card.
const GNU_DUMMY: u8 = 101;

/// The secret keys of a keyring or message in binary. One that is plain decides; `None` if there is none, or only stubs for
/// keys that lie elsewhere.
pub(super) fn packets(bytes: &[u8]) -> Option<PrivateKey> {
    let mut rest = bytes;
    let mut found: Option<PrivateKey> = None;
    for _ in 0..MAX_PACKETS {
        let Some((tag, body, after)) = packet(rest) else { break };
        if matches!(tag, SECRET_KEY | SECRET_SUBKEY)
            && let Some(key) = secret_key(body)
            && found.as_ref().is_none_or(|known| key.protection < known.protection)
        {
            found = Some(key);
        }
        rest = after;
    }
    found
}

/// Tag, body and what follows. Packets of unknown length are none of ours.
fn packet(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (first, rest) = bytes.split_first()?;
    if first & 0x80 == 0 {
        return None;
    }
    let number = |bytes: &[u8]| bytes.iter().fold(0usize, |sum, byte| sum << 8 | usize::from(*byte));
    let (tag, head, len) = if first & 0x40 == 0 {
        let size = match first & 3 {
            0 => 1,
            1 => 2,
            2 => 4,
            _ => return None,
        };
        (first >> 2 & 0xf, size, number(rest.get(..size)?))
    } else {
        let (head, len) = match *rest.first()? {
            short @ 0..192 => (1, usize::from(short)),
            long @ 192..224 => (2, ((usize::from(long) - 192) << 8) + usize::from(*rest.get(1)?) + 192),
            255 => (5, number(rest.get(1..5)?)),
            _ => return None,
        };
        (first & 0x3f, head, len)
    };
    let body = rest.get(head..)?;
    let (body, after) = body.split_at_checked(len)?;
    Some((tag, body, after))
}

fn secret_key(body: &[u8]) -> Option<PrivateKey> {
    let [version, a, b, c, d, algorithm, rest @ ..] = body else { return None };
    let created = Timestamp::from_second(i64::from(u32::from_be_bytes([*a, *b, *c, *d]))).ok();
    let public = match version {
        4 => public_len(*algorithm, rest)?,
        // These say how long the public part is.
        5 | 6 => 4 + u32::from_be_bytes(rest.get(..4)?.try_into().ok()?) as usize,
        _ => return None,
    };
    let secret = rest.get(public..)?;
    let protection = match secret.first()? {
        0 => Protection::Plain,
        usage if SEALED.contains(usage) => Protection::Encrypted,
        // A cipher by its number, without a check: PGP 2.
        _ => Protection::Encrypted,
    };
    // Usage, cipher, then the kind of S2K.
    if *version == 4 && secret.first() != Some(&0) && secret.get(2) == Some(&GNU_DUMMY) {
        return None;
    }
    let name = name(*algorithm)?;
    Some(PrivateKey { created, ..PrivateKey::new(Form::OpenPgp, Some(name.to_owned()), protection) })
}

fn name(algorithm: u8) -> Option<&'static str> {
    Some(match algorithm {
        1..=3 => "RSA",
        16 | 20 => "Elgamal",
        17 => "DSA",
        18 => "ECDH",
        19 => "ECDSA",
        22 | 27 => "Ed25519",
        25 => "X25519",
        26 => "X448",
        28 => "Ed448",
        _ => return None,
    })
}

/// Bytes of the public part: numbers with their length in bits before them, or an identifier with its length in bytes.
fn public_len(algorithm: u8, bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    let short = |at: usize| bytes.get(at).map(|len| 1 + usize::from(*len));
    let mpi = |at: usize| {
        let bits = u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?);
        Some(2 + usize::from(bits).div_ceil(8))
    };
    let (identifiers, numbers, trailer) = match algorithm {
        1..=3 => (0, 2, 0),
        16 | 20 => (0, 3, 0),
        17 => (0, 4, 0),
        18 => (1, 1, 1),
        19 | 22 => (1, 1, 0),
        25 | 27 => return Some(32),
        26 => return Some(56),
        28 => return Some(57),
        _ => return None,
    };
    for _ in 0..identifiers {
        at += short(at)?;
    }
    for _ in 0..numbers {
        at += mpi(at)?;
    }
    for _ in 0..trailer {
        at += short(at)?;
    }
    Some(at)
}

/// A file of `private-keys-v1.d`: an expression, since GnuPG 2.3 behind a head with names and values. A key on a card
/// (`shadowed-private-key`) is protected by it.
pub(super) fn expression(bytes: &[u8]) -> Option<PrivateKey> {
    let text = bytes.get(..bytes.len().min(4096))?;
    let open = text.iter().position(|byte| *byte == b'(')?;
    let head = std::str::from_utf8(&text[..open]).ok()?;
    if !head.is_empty() && !head.lines().any(|line| line.starts_with("Key:")) {
        return None;
    }
    let mut words = words(&text[open..]);
    let protection = match words.next()? {
        b"private-key" => Protection::Plain,
        b"protected-private-key" | b"shadowed-private-key" => Protection::Encrypted,
        _ => return None,
    };
    let algorithm = match words.next()? {
        b"rsa" => "RSA",
        b"dsa" => "DSA",
        b"elg" => "Elgamal",
        b"ecc" | b"ecdsa" | b"ecdh" => match words.find(|word| !matches!(*word, b"curve" | b"flags"))? {
            b"Ed25519" | b"eddsa" => "Ed25519",
            b"Curve25519" | b"djb-tweak" => "X25519",
            _ => "ECDSA",
        },
        _ => return None,
    };
    let created = head.lines().find_map(|line| line.strip_prefix("Created:")).and_then(|created| {
        jiff::civil::DateTime::strptime("%Y%m%dT%H%M%S", created.trim()).ok()?.to_zoned(jiff::tz::TimeZone::UTC).ok()
    });
    let created = created.map(|created| created.timestamp());
    Some(PrivateKey { created, ..PrivateKey::new(Form::GnuPg, Some(algorithm.to_owned()), protection) })
}

/// The words of an expression, canonical (`(3:rsa`) or for people (`(rsa`).
fn words(mut rest: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let start = rest.iter().position(|byte| byte.is_ascii_alphanumeric())?;
        rest = &rest[start..];
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if digits > 0 && digits <= 4 && rest.get(digits) == Some(&b':') {
            let len = rest[..digits].iter().fold(0usize, |sum, digit| sum * 10 + usize::from(*digit - b'0'));
            let word = rest.get(digits + 1..digits + 1 + len)?;
            rest = &rest[digits + 1 + len..];
            return Some(word);
        }
        let len = rest.iter().take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'-').count();
        let (word, after) = rest.split_at(len);
        rest = after;
        Some(word)
    })
}
