//! Which part of a token is looked for.
//!
//! A short token is looked for whole. Of a long one it is a *core*: bytes that no other token has, late in it, because
//! tokens of one issuer begin alike (`-----BEGIN`, the header of a JWT). Inside the core nine bytes, the *anchor*, are
//! what a scan notices first; all forms of a token are noticed by the same nine.

use std::ops::Range;

use super::plain::SHORTEST;

/// Longest core, in bytes.
pub(super) const LONGEST_CORE: usize = 64;

/// Bytes that are looked at at once.
pub(super) const WINDOW: usize = 8;

/// A scan looks at every second position, so a form is known by two windows, one byte apart.
pub(super) const STRIDE: usize = 2;

/// Bytes of an anchor: those windows.
pub(super) const ANCHOR: usize = WINDOW + STRIDE - 1;

/// The core of a token, as a range of it.
pub(super) fn core(token: &[u8]) -> Range<usize> {
    let part = private_line(token).unwrap_or(0..token.len());
    if part.len() <= LONGEST_CORE {
        return part;
    }
    let last = part.end - LONGEST_CORE;
    let first = (part.start + part.len() / 2).min(last);
    let at = (first..=last)
        .step_by(8)
        .chain([last])
        .max_by_key(|at| distinct(&token[*at..*at + LONGEST_CORE]))
        .unwrap_or(last);
    at..at + LONGEST_CORE
}

/// Where the anchor begins in a core. Never in its first quarter, where prefixes are.
pub(super) fn anchor(core: &[u8]) -> usize {
    let last = core.len().saturating_sub(ANCHOR);
    let first = (core.len() / 4).min(last);
    (first..=last).max_by_key(|at| distinct(&core[*at..*at + ANCHOR])).unwrap_or(last)
}

/// Different bytes, and changes between letters, digits and other bytes: what is rarely met elsewhere has many.
fn distinct(bytes: &[u8]) -> usize {
    let mut seen = [false; 256];
    let class = |byte: u8| (byte.is_ascii_lowercase(), byte.is_ascii_uppercase(), byte.is_ascii_digit());
    let different = bytes.iter().filter(|byte| !std::mem::replace(&mut seen[usize::from(**byte)], true)).count();
    2 * different + bytes.windows(2).filter(|pair| class(pair[0]) != class(pair[1])).count()
}

/// Of a secret of several lines, such as a PEM key, one line of private material: copies are indented, joined, given
/// other line ends or escaped ones, but a line stays a line.
///
/// The last lines hold comment and padding, the first ones header and public key: in long keys of PKCS#1, PKCS#8 and PGP
/// the private numbers begin in the first half and go on to the end. Keys on curves are short: PKCS#8 has the private
/// number in the first two lines and then the public one, SEC1 (`EC PRIVATE KEY`) begins with it. PuTTY says where the
/// private part begins.
fn private_line(token: &[u8]) -> Option<Range<usize>> {
    let mut body = lines(token);
    if body.len() == 1 && body[0].len() == token.trim_ascii().len() {
        return None;
    }
    if let Some(begin) = find(token, b"Private-Lines:") {
        body.retain(|line| line.start > begin);
    }
    let count = body.len();
    let wanted = match count {
        0 => return None,
        _ if find(token, b"OPENSSH PRIVATE KEY").is_some() => openssh_line(token, &body),
        _ if find(token, b"Private-Lines:").is_some() => count / 2,
        1..=6 if count < 3 || find(token, b"EC PRIVATE KEY").is_some() => 0,
        3..=6 => 1,
        _ => count * 7 / 10,
    };
    body.get(wanted).filter(|line| line.len() >= SHORTEST).cloned()
}

/// The lines that may be such material: long enough, without spaces, no armour (`-----BEGIN`), no header (`Proc-Type: `).
fn lines(token: &[u8]) -> Vec<Range<usize>> {
    let mut lines = Vec::new();
    let mut at = 0;
    for line in token.split(|byte| *byte == b'\n') {
        let trimmed = line.trim_ascii();
        let from = at + line.len() - line.trim_ascii_start().len();
        at += line.len() + 1;
        if trimmed.len() >= SHORTEST && !trimmed.starts_with(b"--") && !trimmed.contains(&b' ') {
            lines.push(from..from + trimmed.len());
        }
    }
    lines
}

/// The line of an OpenSSH key that begins latest in its private part and is full: the part begins after header, public
/// key and again a public key, and ends with comment and padding, whose length only the key itself says (`PROTOCOL.key`
/// of OpenSSH). An encrypted part is as good anywhere.
fn openssh_line(token: &[u8], body: &[Range<usize>]) -> usize {
    let full = body[0].len();
    private_end(token, body).map_or(body.len().saturating_sub(2), |end| {
        // Base64 characters before the end of the last private number.
        let mut characters = end * 4 / 3;
        let mut wanted = 0;
        for (number, line) in body.iter().enumerate() {
            wanted = number;
            if characters <= line.len() {
                break;
            }
            characters -= line.len();
        }
        // Where the number ends in the first third of its line, most of it is in the line before.
        if characters * 3 < full { wanted.saturating_sub(1) } else { wanted }
    })
}

/// Where the last private number of an OpenSSH key that is not encrypted ends, in bytes of what its base64 stands for.
fn private_end(token: &[u8], body: &[Range<usize>]) -> Option<usize> {
    let mut text = zeroize::Zeroizing::new(Vec::with_capacity(token.len()));
    body.iter().for_each(|line| text.extend_from_slice(&token[line.clone()]));
    let bytes = zeroize::Zeroizing::new(data_encoding::BASE64.decode(&text).ok()?);
    let mut at = b"openssh-key-v1\0".len();
    let mut string = |skip: usize| {
        at += skip;
        let length = u32::from_be_bytes(*bytes.get(at..)?.first_chunk()?) as usize;
        let from = at + 4;
        at = from.checked_add(length).filter(|end| *end <= bytes.len())?;
        Some(from..at)
    };
    if &bytes[string(0)?] != b"none" {
        return None;
    }
    // Name of the derivation, its options; the number of keys, the public key.
    for skip in [0, 0, 4] {
        string(skip)?;
    }
    // Length of the private part and two check numbers; then its fields, of which the last is the comment.
    let mut before = string(4 + 8)?;
    let mut private = before.clone();
    while let Some(field) = string(0) {
        private = std::mem::replace(&mut before, field);
    }
    // In an Ed25519 key the second half of the private number is the public one again.
    let half = if find(&bytes[..80.min(bytes.len())], b"ssh-ed25519").is_some() { private.len() / 2 } else { 0 };
    Some(private.end - half)
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    memchr::memmem::find(bytes, wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_token_is_its_own_core_and_a_long_one_has_it_late() {
        assert_eq!(core(b"ghp_0aB1cD2eF3gH4iJ5"), 0..20);
        let jwt = format!("eyJhbGciOiJSUzI1NiJ9.{}.{}", "eyJzdWIiOiJtZSJ9", "aB3_x-Z9".repeat(30));
        let core = core(jwt.as_bytes());
        assert!(core.len() == LONGEST_CORE && core.start >= jwt.len() / 2 - 1, "{core:?} of {}", jwt.len());
    }

    #[test]
    fn the_anchor_is_where_the_token_is_most_itself() {
        assert!((15..18).contains(&anchor(b"aaaaaaaaaaaaaaaa7kQ2zX9w4aaaaaaaaaaa")));
        assert!(anchor(b"ghp_0aB1cD2eF3gH4iJ5kL6m") >= 6);
        assert_eq!(anchor(b"k7Q2zX9w4Rp1"), 3);
    }

    fn chosen(key: &str) -> &str {
        &key[core(key.as_bytes())]
    }

    #[test]
    fn of_a_key_it_is_a_line_of_private_material() {
        let line = |letter: char| letter.to_string().repeat(64);
        let pem = |label: &str, lines: &[String]| {
            format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
        };
        let lines: Vec<String> = ('a'..='z').map(line).collect();
        assert_eq!(chosen(&pem("PRIVATE KEY", &lines)), line('s'));
        for short in 3..7 {
            assert_eq!(chosen(&pem("PRIVATE KEY", &lines[..short])), line('b'));
            assert_eq!(chosen(&pem("EC PRIVATE KEY", &lines[..short])), line('a'));
        }
        let putty =
            format!("Public-Lines: 2\n{}\nPrivate-Lines: 1\n{}\nPrivate-MAC: 00\n", lines[..2].join("\n"), lines[2]);
        assert_eq!(chosen(&putty), line('c'));
        assert_eq!(chosen(&pem("PRIVATE KEY", &lines[..1])), line('a'));
        let with_header = format!("Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\n{}", lines[..10].join("\n"));
        assert_eq!(chosen(&pem("RSA PRIVATE KEY", &[with_header])), line('h'));
        assert_eq!(chosen(&pem("PRIVATE KEY", &lines).replace('\n', "\r\n    ")), line('s'));
    }

    /// What `ssh-keygen` writes (`PROTOCOL.key` of OpenSSH), with numbers made up of one byte each.
    fn openssh(kind: &str, public: &[&[u8]], private: &[&[u8]], comment: usize) -> String {
        let string = |bytes: &[u8]| [&(bytes.len() as u32).to_be_bytes()[..], bytes].concat();
        let key = |parts: &[&[u8]]| -> Vec<u8> {
            [kind.as_bytes()].iter().chain(parts).flat_map(|part| string(part)).collect()
        };
        let mut part = [&[7; 8][..], &key(private), &string(&vec![b'c'; comment])].concat();
        part.extend(1..=(part.len().next_multiple_of(8) - part.len()) as u8);
        let blob = [
            b"openssh-key-v1\0",
            &[string(b"none"), string(b"none"), string(b""), vec![0, 0, 0, 1]].concat()[..],
            &string(&key(public)),
            &string(&part),
        ]
        .concat();
        let text = data_encoding::BASE64.encode(&blob);
        let lines: Vec<_> = text.as_bytes().chunks(70).map(|line| std::str::from_utf8(line).unwrap()).collect();
        format!("-----BEGIN OPENSSH PRIVATE KEY-----\n{}\n-----END OPENSSH PRIVATE KEY-----\n", lines.join("\n"))
    }

    #[test]
    fn of_an_openssh_key_it_is_mostly_the_private_number() {
        let (public, private) = ([0x11; 400], [0xff; 400]);
        for comment in [0, 7, 20, 60, 120, 250] {
            let ed25519 = [&private[..32], &public[..32]].concat();
            for (kind, publics, privates) in [
                ("ssh-ed25519", vec![&public[..32]], vec![&public[..32], &ed25519]),
                (
                    "ecdsa-sha2-nistp256",
                    vec![b"nistp256", &public[..65]],
                    vec![b"nistp256", &public[..65], &private[..33]],
                ),
                (
                    "ecdsa-sha2-nistp521",
                    vec![b"nistp521", &public[..133]],
                    vec![b"nistp521", &public[..133], &private[..66]],
                ),
                (
                    "ssh-rsa",
                    vec![&public[..3], &public[..257]],
                    vec![&public[..257], &public[..3], &private[..257], &private[..129]],
                ),
            ] {
                let key = openssh(kind, &publics, &privates, comment);
                // All ones are slashes.
                let slashes = chosen(&key).bytes().filter(|byte| *byte == b'/').count();
                assert!(slashes >= 20, "{kind} {comment}: {}", chosen(&key));
            }
        }
    }
}
