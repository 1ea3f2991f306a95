//! OpenSSH's own formats (PROTOCOL.key, PROTOCOL.certkeys in its source).

use data_encoding::BASE64;
use jiff::Timestamp;

use super::{Form, PrivateKey};
use crate::token::model::Protection;

const MAGIC: &[u8] = b"openssh-key-v1\0";
/// Longest line of a certificate in bytes.
const MAX_CERTIFICATE: usize = 64 * 1024;

/// SSH's encoding (RFC 4251): lengths in four bytes, big endian.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take(4)?.try_into().ok().map(u32::from_be_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take(8)?.try_into().ok().map(u64::from_be_bytes)
    }

    fn string(&mut self) -> Option<&'a [u8]> {
        let len = self.u32()?;
        self.take(len as usize)
    }

    fn strings(&mut self, count: usize) -> Option<()> {
        (0..count).try_for_each(|_| self.string().map(drop))
    }
}

/// What `ssh-keygen` calls a type, in the words of [`PrivateKey::algorithm`], and whether the key itself is in hardware.
fn algorithm(public: &[u8]) -> Option<(String, bool)> {
    let mut public = Reader(public);
    let name = std::str::from_utf8(public.string()?).ok()?;
    Some(match name {
        "ssh-ed25519" => ("Ed25519".to_owned(), false),
        "ssh-rsa" => {
            public.string()?;
            let modulus = public.string()?;
            let zeros = modulus.iter().take_while(|byte| **byte == 0).count();
            (format!("RSA {}", (modulus.len() - zeros) * 8), false)
        }
        "ecdsa-sha2-nistp256" => ("ECDSA P-256".to_owned(), false),
        "ecdsa-sha2-nistp384" => ("ECDSA P-384".to_owned(), false),
        "ecdsa-sha2-nistp521" => ("ECDSA P-521".to_owned(), false),
        "ssh-dss" => ("DSA".to_owned(), false),
        "sk-ssh-ed25519@openssh.com" => ("Ed25519 security key".to_owned(), true),
        "sk-ecdsa-sha2-nistp256@openssh.com" => ("ECDSA P-256 security key".to_owned(), true),
        _ => return None,
    })
}

/// The key in the body of a block.
pub(super) fn key(body: &[u8]) -> Option<PrivateKey> {
    let mut reader = Reader(body.strip_prefix(MAGIC)?);
    let cipher = reader.string()?;
    // How the passphrase becomes a key, and with what.
    reader.strings(2)?;
    if reader.u32()? == 0 {
        return None;
    }
    let public = algorithm(reader.string()?);
    if reader.string()?.is_empty() {
        return None;
    }
    let hardware = public.as_ref().is_some_and(|(_, hardware)| *hardware);
    let protection = if cipher == b"none" && !hardware { Protection::Plain } else { Protection::Encrypted };
    Some(PrivateKey::new(Form::OpenSsh, public.map(|(name, _)| name), protection))
}

/// The end of a certificate (`ssh-ed25519-cert-v01@openssh.com AAAA...`): `Some(None)` if it has none.
#[must_use]
pub fn certificate(line: &[u8]) -> Option<Option<Timestamp>> {
    let mut words =
        line.get(..line.len().min(MAX_CERTIFICATE))?.split(u8::is_ascii_whitespace).filter(|w| !w.is_empty());
    let name = words.next()?;
    let blob = BASE64.decode(words.next()?).ok()?;
    let mut reader = Reader(&blob);
    if reader.string()? != name {
        return None;
    }
    // The nonce, then the public key, whose number of parts depends on the kind.
    let parts = match name {
        b"ssh-ed25519-cert-v01@openssh.com" => 1,
        b"ssh-rsa-cert-v01@openssh.com"
        | b"rsa-sha2-256-cert-v01@openssh.com"
        | b"rsa-sha2-512-cert-v01@openssh.com"
        | b"sk-ssh-ed25519-cert-v01@openssh.com" => 2,
        b"ecdsa-sha2-nistp256-cert-v01@openssh.com"
        | b"ecdsa-sha2-nistp384-cert-v01@openssh.com"
        | b"ecdsa-sha2-nistp521-cert-v01@openssh.com" => 2,
        b"sk-ecdsa-sha2-nistp256-cert-v01@openssh.com" => 3,
        b"ssh-dss-cert-v01@openssh.com" => 4,
        _ => return None,
    };
    reader.strings(1 + parts)?;
    // Serial number, type; key id and principals; valid after.
    reader.u64()?;
    reader.u32()?;
    reader.strings(2)?;
    reader.u64()?;
    let end = reader.u64()?;
    // Options, extensions, a reserved field, the authority's key and its signature: a cut line is no certificate.
    reader.strings(5)?;
    match end {
        u64::MAX => Some(None),
        end => Timestamp::from_second(i64::try_from(end).ok()?).ok().map(Some),
    }
}
