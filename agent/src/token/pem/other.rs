//! Keys that are written in neither PEM nor binary: PuTTY's and age's.

use super::{Form, PrivateKey};
use crate::token::model::Protection;

/// What a file of PuTTY begins with.
pub(super) const PUTTY: &[u8] = b"PuTTY-User-Key-File-";
/// What a key of age begins with; the digit separates what is for people from the data.
pub(super) const AGE: &[u8] = b"AGE-SECRET-KEY-";
/// Longest file of PuTTY in bytes.
const MAX_PUTTY: usize = 64 * 1024;
/// Longest key of age in characters. Those of version 1 have 74.
const MAX_AGE: usize = 256;

/// PuTTY's manual, appendix C: lines of names and values in a fixed order, up to `Private-MAC`.
pub(super) fn putty(bytes: &[u8]) -> Option<(usize, PrivateKey)> {
    let bytes = bytes.get(..bytes.len().min(MAX_PUTTY))?;
    let text = bytes.strip_prefix(PUTTY)?;
    let value = |name: &[u8]| {
        let start = memchr::memmem::find(text, name)? + name.len();
        let line = text[start..].split(|byte| matches!(byte, b'\n' | b'\r')).next()?;
        Some((start, line.trim_ascii()))
    };
    let (_, encryption) = value(b"\nEncryption:")?;
    let (private, lines) = value(b"\nPrivate-Lines:")?;
    let (mac, sum) = value(b"\nPrivate-MAC:").or_else(|| value(b"\nPrivate-Hash:"))?;
    let hex = sum.len() >= 40 && sum.iter().all(u8::is_ascii_hexdigit);
    if !hex || mac < private || lines == b"0" {
        return None;
    }
    let algorithm = text.split(|byte| matches!(byte, b'\n' | b'\r')).next()?.split(|byte| *byte == b':').nth(1)?;
    let algorithm = match algorithm.trim_ascii() {
        b"ssh-ed25519" => Some("Ed25519"),
        b"ssh-ed448" => Some("Ed448"),
        b"ssh-rsa" => Some("RSA"),
        b"ssh-dss" => Some("DSA"),
        b"ecdsa-sha2-nistp256" => Some("ECDSA P-256"),
        b"ecdsa-sha2-nistp384" => Some("ECDSA P-384"),
        b"ecdsa-sha2-nistp521" => Some("ECDSA P-521"),
        _ => None,
    };
    let protection = if encryption == b"none" { Protection::Plain } else { Protection::Encrypted };
    let len = PUTTY.len() + mac + text[mac..].iter().take_while(|byte| !matches!(byte, b'\n' | b'\r')).count();
    Some((len, PrivateKey::new(Form::Putty, algorithm.map(str::to_owned), protection)))
}

/// age's identity: Bech32 in capitals, whose checksum must hold.
pub(super) fn age(bytes: &[u8]) -> Option<(usize, PrivateKey)> {
    let tail = bytes.strip_prefix(AGE)?;
    let tail = tail
        .iter()
        .take(MAX_AGE)
        .take_while(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || **byte == b'-');
    let text = &bytes[..AGE.len() + tail.count()];
    let one = text.iter().rposition(|byte| *byte == b'1')?;
    let algorithm = match &text[..=one] {
        b"AGE-SECRET-KEY-1" => "X25519",
        b"AGE-SECRET-KEY-PQ-1" => "ML-KEM-768 and X25519",
        _ => return None,
    };
    let holds = text.len() - one > 40 && bech32(&text[..one], &text[one + 1..]);
    holds.then(|| (text.len(), PrivateKey::new(Form::Age, Some(algorithm.to_owned()), Protection::Plain)))
}

/// Does the checksum of Bech32 (BIP 173) hold? Of both cases the lower counts.
fn bech32(prefix: &[u8], data: &[u8]) -> bool {
    const ALPHABET: &[u8] = b"QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L";
    const GENERATOR: [u32; 5] = [0x3b6a_57b2, 0x2650_8e6d, 0x1ea1_19fa, 0x3d42_33dd, 0x2a14_62b3];
    let lower = || prefix.iter().map(u8::to_ascii_lowercase);
    let high = lower().map(|byte| u32::from(byte >> 5));
    let low = lower().map(|byte| u32::from(byte & 31));
    let mut values: Vec<u32> = high.chain([0]).chain(low).collect();
    for byte in data {
        let Some(value) = ALPHABET.iter().position(|known| known == byte) else { return false };
        values.push(value as u32);
    }
    let step = |sum: u32, value: &u32| {
        let top = sum >> 25;
        let shifted = (sum & 0x1ff_ffff) << 5 ^ value;
        GENERATOR
            .iter()
            .enumerate()
            .fold(shifted, |sum, (bit, part)| if top >> bit & 1 == 1 { sum ^ part } else { sum })
    };
    values.iter().fold(1, step) == 1
}
