//! Blocks between `-----BEGIN` and `-----END` (RFC 7468, RFC 1421, RFC 9580), also where their lines were joined or escaped:
//! in JSON, in a variable, in a shell's history.

use data_encoding::BASE64;
use zeroize::Zeroizing;

use super::{Form, PrivateKey, der, gnupg, openssh};
use crate::token::model::Protection;

/// What a block begins with.
pub(super) const BEGIN: &[u8] = b"-----BEGIN ";
const DASHES: &[u8] = b"-----";
/// Longest label in bytes: `ENCRYPTED SIGSTORE PRIVATE KEY` has 30.
const MAX_LABEL: usize = 48;
/// Longest body in bytes. An RSA key of 16,384 bits has 13 KB; a keyring in armor can be long.
const MAX_BODY: usize = 1 << 20;
/// Bytes of a line in RFC 1421's head, such as `Proc-Type: 4,ENCRYPTED`.
const MAX_HEADER: usize = 200;
/// Fewest bytes of an encrypted key: shorter ones are examples.
const MIN_CIPHERTEXT: usize = 40;

/// A block: its label, what its head says, and its decoded body.
pub(super) struct Block<'a> {
    /// Bytes from the first dash to the last.
    pub len: usize,
    label: &'a str,
    /// Its head says that the body is encrypted.
    encrypted: bool,
    body: Zeroizing<Vec<u8>>,
}

/// The block that begins right here. The body of one holds no five dashes, so that the first ones must be its end: the time it
/// takes is linear also in a text of nothing but beginnings.
pub(super) fn block(bytes: &[u8]) -> Option<Block<'_>> {
    let rest = bytes.strip_prefix(BEGIN)?;
    let label_len = memchr::memmem::find(rest.get(..rest.len().min(MAX_LABEL + DASHES.len()))?, DASHES)?;
    let label = std::str::from_utf8(&rest[..label_len]).ok()?;
    let body = &rest[label_len + DASHES.len()..];
    let end = memchr::memmem::find(body.get(..body.len().min(MAX_BODY))?, DASHES)?;
    let after = body[end..].strip_prefix(DASHES)?.strip_prefix(b"END ")?;
    after.strip_prefix(label.as_bytes())?.strip_prefix(DASHES)?;
    let (encrypted, body) = decoded(&body[..end])?;
    let len = BEGIN.len() + 2 * label_len + 3 * DASHES.len() + end + b"END ".len();
    Some(Block { len, label, encrypted, body })
}

impl Block<'_> {
    /// The private key that it holds.
    pub(super) fn key(&self) -> Option<PrivateKey> {
        let sealed = |form| {
            let long = self.body.len() >= MIN_CIPHERTEXT;
            long.then(|| PrivateKey::new(form, None, Protection::Encrypted))
        };
        match self.label {
            "RSA PRIVATE KEY" if self.encrypted => sealed(Form::Pkcs1),
            "RSA PRIVATE KEY" => der::pkcs1(&self.body),
            "EC PRIVATE KEY" if self.encrypted => sealed(Form::Sec1),
            "EC PRIVATE KEY" => der::sec1(&self.body),
            "DSA PRIVATE KEY" if self.encrypted => sealed(Form::Dsa),
            "DSA PRIVATE KEY" => der::dsa(&self.body),
            "PRIVATE KEY" => der::pkcs8(&self.body),
            "ENCRYPTED PRIVATE KEY" => der::encrypted_pkcs8(&self.body),
            "OPENSSH PRIVATE KEY" => openssh::key(&self.body),
            "PGP PRIVATE KEY BLOCK" => gnupg::packets(&self.body),
            "ENCRYPTED SIGSTORE PRIVATE KEY" | "ENCRYPTED COSIGN PRIVATE KEY" => sealed(Form::Sigstore),
            _ => None,
        }
    }

    /// The certificate that it holds, as DER.
    pub(super) fn certificate(&self) -> Option<&[u8]> {
        matches!(self.label, "CERTIFICATE" | "X509 CERTIFICATE" | "TRUSTED CERTIFICATE").then_some(&*self.body)
    }
}

/// Base64 without its line ends, escapes of line ends, quotes and blanks, behind a head that may say it is encrypted.
fn decoded(body: &[u8]) -> Option<(bool, Zeroizing<Vec<u8>>)> {
    let lines = Zeroizing::new(unescaped(body));
    let (mut encrypted, mut text) = (false, Zeroizing::new(Vec::with_capacity(lines.len())));
    for line in lines.split(|byte| *byte == b'\n') {
        let line = line.trim_ascii();
        if line.len() <= MAX_HEADER && line.contains(&b':') {
            encrypted |= line.starts_with(b"Proc-Type:") && line.ends_with(b"ENCRYPTED");
        } else if !(line.starts_with(b"=") && line.len() == 5) {
            // All but the checksum of an OpenPGP armor.
            text.extend(line.iter().filter(|byte| !matches!(byte, b'"' | b'\'' | b' ' | b'\t' | b',' | b'\\')));
        }
    }
    let body = BASE64.decode(&text).ok()?;
    (!body.is_empty()).then(|| (encrypted, Zeroizing::new(body)))
}

/// The body with real line ends in place of `\n` and `\r\n` as JSON and shells write them, once or twice escaped.
fn unescaped(body: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(body.len());
    let mut at = 0;
    while let Some(byte) = body.get(at) {
        let slashes = body[at..].iter().take(3).take_while(|byte| **byte == b'\\').count();
        match body.get(at + slashes) {
            Some(b'n' | b'r') if slashes > 0 => {
                text.push(b'\n');
                at += slashes + 1;
            }
            _ => {
                text.push(if *byte == b'\r' { b'\n' } else { *byte });
                at += 1;
            }
        }
    }
    text
}

/// What is inside base64 that holds PEM (`LS0tLS1CRUdJTi`).
pub(super) fn unwrapped(bytes: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let bytes = bytes.trim_ascii();
    let pem = bytes.starts_with(b"LS0tLS1CRUdJTi") && bytes.len() <= 2 * MAX_BODY;
    let inner = pem.then(|| BASE64.decode(bytes).ok()).flatten()?;
    Some(Zeroizing::new(inner))
}
