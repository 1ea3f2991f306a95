//! Files that are a key: of PEM, which may hold certificates and parameters beside it, the private parts alone.

use memchr::memmem::find;

/// Most blocks looked at.
const MAX_BLOCKS: usize = 256;

/// The secret parts of a file that is taken whole: the private keys of PEM, each with its armour; nothing of PEM that is
/// public (certificates, parameters); everything of what is no PEM.
pub(super) fn secret_parts(bytes: &[u8]) -> Vec<&[u8]> {
    let blocks = blocks(bytes);
    let private: Vec<&[u8]> = blocks.iter().filter(|(label, _)| is_private(label)).map(|(_, block)| *block).collect();
    if !private.is_empty() {
        return private;
    }
    let public = !blocks.is_empty() && blocks.iter().all(|(label, _)| is_public(label));
    if public { Vec::new() } else { vec![bytes.trim_ascii()] }
}

fn is_private(label: &[u8]) -> bool {
    label.ends_with(b"PRIVATE KEY") || label.ends_with(b"PRIVATE KEY BLOCK")
}

fn is_public(label: &[u8]) -> bool {
    [&b"CERTIFICATE"[..], b"CERTIFICATE REQUEST", b"PUBLIC KEY", b"PUBLIC KEY BLOCK", b"PARAMETERS", b"CRL"]
        .iter()
        .any(|end| label.ends_with(end))
}

/// Every `-----BEGIN LABEL-----` with what follows up to its end.
fn blocks(bytes: &[u8]) -> Vec<(&[u8], &[u8])> {
    let mut found = Vec::new();
    let mut rest = bytes;
    while let Some(start) = find(rest, b"-----BEGIN ") {
        let from = &rest[start..];
        let Some(label) = find(&from[11..], b"-----").map(|length| &from[11..11 + length]) else { break };
        // A label is a few words; anything else is text that mentions one.
        if label.len() > 64 || label.contains(&b'\n') {
            rest = &from[11..];
            continue;
        }
        let end = [b"-----END ", label, b"-----"].concat();
        let Some(length) = find(from, &end).map(|at| at + end.len()) else { break };
        found.push((label, &from[..length]));
        rest = &from[length..];
        if found.len() >= MAX_BLOCKS {
            break;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pem(label: &str) -> String {
        format!("-----BEGIN {label}-----\nbWFkZS11cA==\n-----END {label}-----\n")
    }

    fn parts(text: &str) -> Vec<String> {
        secret_parts(text.as_bytes()).into_iter().map(|part| String::from_utf8(part.to_vec()).unwrap()).collect()
    }

    #[test]
    fn of_a_chain_with_its_key_the_key_is_secret() {
        let key = pem("EC PRIVATE KEY");
        let all = [pem("CERTIFICATE"), pem("EC PARAMETERS"), key.clone(), pem("CERTIFICATE")].concat();
        assert_eq!(parts(&all), [key.trim()]);
        assert_eq!(parts(&[pem("PRIVATE KEY"), pem("RSA PRIVATE KEY")].concat()).len(), 2);
    }

    #[test]
    fn public_parts_alone_are_no_secret() {
        assert_eq!(parts(&pem("CERTIFICATE")), Vec::<String>::new());
        assert_eq!(parts(&[pem("PUBLIC KEY"), pem("DH PARAMETERS")].concat()), Vec::<String>::new());
    }

    #[test]
    fn everything_else_is_whole() {
        for text in ["made-up", "-----BEGIN ", "-----BEGIN PRIVATE KEY-----\nxx", "-----BEGIN a\n-----BEGIN b-----"] {
            assert_eq!(parts(&format!(" {text}\n")), [text.trim()], "{text}");
        }
        assert_eq!(parts(&pem("OPENSSH PRIVATE KEY")), [pem("OPENSSH PRIVATE KEY").trim()]);
        assert_eq!(parts(&pem("AGE ENCRYPTED FILE")).len(), 1);
    }
}
