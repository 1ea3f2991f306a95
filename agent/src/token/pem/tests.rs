use super::*;
use crate::{
    catalogue::model::TimeEncoding,
    token::times::{self, Time},
};

/// Label and body of a key of the test data.
fn part(name: &str) -> (&'static str, &'static str) {
    let line = include_str!("testdata/keys.txt").lines().find(|line| line.split(" | ").next() == Some(name)).unwrap();
    let mut parts = line.split(" | ").skip(1);
    (parts.next().unwrap(), parts.next().unwrap())
}

fn block(label: &str, body: &str) -> String {
    let lines: Vec<&str> = body.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    let edge = |word: &str| format!("-----{word} {label}-----");
    format!("{}\n{}\n{}\n", edge("BEGIN"), lines.join("\n"), edge("END"))
}

/// The key as its tool writes it.
fn pem(name: &str) -> String {
    let (label, body) = part(name);
    block(label, body)
}

fn body(name: &str) -> Vec<u8> {
    data_encoding::BASE64.decode(part(name).1.as_bytes()).unwrap()
}

fn facts(key: &PrivateKey) -> (Form, &str, bool) {
    (key.form, key.algorithm.as_deref().unwrap_or("?"), key.protection == Protection::Encrypted)
}

#[test]
fn keys_of_the_real_tools_are_told_apart() {
    for (name, expected) in [
        ("rsa", (Form::Pkcs1, "RSA 1024", false)),
        ("rsa-pkcs8", (Form::Pkcs8, "RSA 1024", false)),
        ("ec", (Form::Sec1, "ECDSA P-256", false)),
        ("ec-pkcs8", (Form::Pkcs8, "ECDSA P-384", false)),
        ("ec-pkcs8-sealed", (Form::Pkcs8, "?", true)),
        ("ed25519-pkcs8", (Form::Pkcs8, "Ed25519", false)),
        ("dsa", (Form::Dsa, "DSA 1024", false)),
        ("ssh-ed25519", (Form::OpenSsh, "Ed25519", false)),
        ("ssh-ed25519-sealed", (Form::OpenSsh, "Ed25519", true)),
        ("ssh-ecdsa", (Form::OpenSsh, "ECDSA P-384", false)),
        ("ssh-rsa", (Form::OpenSsh, "RSA 1024", false)),
        ("pgp", (Form::OpenPgp, "Ed25519", false)),
        ("pgp-sealed", (Form::OpenPgp, "RSA", true)),
    ] {
        let text = format!("before\n{}after", pem(name));
        let found = keys(text.as_bytes());
        assert_eq!(found.len(), 1, "{name}");
        assert_eq!(facts(&found[0].1), expected, "{name}");
        assert_eq!(text.get(found[0].0.clone()), Some(pem(name).trim_end()), "{name}");
    }
}

#[test]
fn the_old_way_to_encrypt_is_in_the_head() {
    let (label, body) = part("rsa-sealed");
    let head = "Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,0123456789ABCDEF0123456789ABCDEF\n\n";
    let text = block(label, body).replacen("-----\n", &format!("-----\n{head}"), 1);
    assert_eq!(facts(&key(text.as_bytes()).unwrap()), (Form::Pkcs1, "?", true));
    // The same bytes without that head are no key.
    assert_eq!(key(block(label, body).as_bytes()), None);
}

#[test]
fn lines_may_be_escaped_joined_or_indented() {
    let text = pem("ec-pkcs8");
    for changed in [
        text.replace('\n', "\\n"),
        text.replace('\n', "\\\\n"),
        text.replace('\n', "\r\n"),
        text.replace('\n', " "),
        text.replace('\n', "\n      "),
        text.replace('\n', "\\n\" \\\n  \""),
        format!("{{\"private_key\": \"{}\"}}", text.replace('\n', "\\n")),
    ] {
        assert_eq!(keys(changed.as_bytes()).len(), 1, "{changed}");
    }
    let wrapped = data_encoding::BASE64.encode(text.as_bytes());
    assert_eq!(key(wrapped.as_bytes()).unwrap().form, Form::Pkcs8);
}

#[test]
fn what_only_looks_like_a_key_is_none() {
    let edge = |word: &str, label: &str| format!("-----{word} {label}-----");
    let (begin, end) = (edge("BEGIN", "PRIVATE KEY"), edge("END", "PRIVATE KEY"));
    for innocent in [
        begin.clone(),
        format!("{begin}\n...\n{end}"),
        format!("{begin}\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASC...\n{end}"),
        format!("{begin}\nYOUR KEY HERE\n{end}"),
        format!("if text.contains(\"{begin}\") && text.contains(\"{end}\")"),
        format!("{begin}\n{}\n{end}", data_encoding::BASE64.encode(&[7; 300])),
        pem("certificate"),
        block("PUBLIC KEY", part("ec-pkcs8").1),
        block("EC PARAMETERS", "BggqhkjOPQMBBw=="),
        pem("rsa").replace("END RSA", "END DSA"),
        pem("ssh-ed25519").replacen("b3BlbnNzaC1rZXk", "b3BlbnNzaC1rZXl", 1),
    ] {
        assert_eq!(keys(innocent.as_bytes()), [], "{innocent}");
    }
}

#[test]
fn a_cut_or_broken_key_is_none_and_nothing_panics() {
    for name in ["rsa", "ec-pkcs8-sealed", "ssh-ed25519", "pgp", "pgp-sealed", "certificate"] {
        let text = pem(name);
        for cut in (0..text.trim_end().len()).step_by(7) {
            assert_eq!(keys(&text.as_bytes()[..cut]), [], "{name} {cut}");
        }
        let body = body(name);
        for at in 0..body.len() {
            for value in [0, 0x7f, 0x80, 0xff] {
                let mut broken = body.clone();
                broken[at] = value;
                let _ = (key(&broken), certificate(&broken));
                let _ = key(block(part(name).0, &data_encoding::BASE64.encode(&broken)).as_bytes());
            }
            let _ = (key(&body[..at]), certificate(&body[..at]));
        }
    }
    let many = "-----BEGIN PRIVATE KEY-----".repeat(20_000);
    assert_eq!(keys(many.as_bytes()), []);
}

#[test]
fn binary_files_are_read() {
    assert_eq!(facts(&key(&body("ec-pkcs8")).unwrap()), (Form::Pkcs8, "ECDSA P-384", false));
    let pgp = key(&body("pgp")).unwrap();
    assert_eq!(facts(&pgp), (Form::OpenPgp, "Ed25519", false));
    assert_eq!(pgp.created, "2026-11-29T23:38:06Z".parse().ok());
    assert_eq!(facts(&key(&body("pgp-sealed")).unwrap()), (Form::OpenPgp, "RSA", true));
}

#[test]
fn a_stub_of_a_key_that_is_elsewhere_is_none() {
    // Version 4, made at some time, Ed25519 with a made-up public half, then S2K of GnuPG: no secret here.
    let mut stub = vec![4, 0, 0, 0, 1, 22, 1, 0x2b, 0, 8, 0xff];
    let plain = [&stub[..], &[0, 0, 8, 0xee, 0, 0]].concat();
    stub.extend([0xff, 0, 101, 0, b'G', b'N', b'U', 1]);
    let packet = |body: &[u8]| [&[0xc5, body.len() as u8][..], body].concat();
    assert_eq!(gnupg::packets(&packet(&stub)), None);
    assert_eq!(gnupg::packets(&packet(&plain)).map(|key| key.protection), Some(Protection::Plain));
}

#[test]
fn gnupgs_own_files_are_read() {
    for (text, expected) in [
        (
            "Created: 20261129T233806\nKey: (private-key (ecc (curve Ed25519)(flags eddsa)(q\n  #40#",
            (Form::GnuPg, "Ed25519", false),
        ),
        ("Created: 20261129T233806\nKey: (protected-private-key (rsa (n #00DA#", (Form::GnuPg, "RSA", true)),
        ("(11:private-key(3:rsa(1:n3:abc)", (Form::GnuPg, "RSA", false)),
        ("(21:protected-private-key(3:ecc(5:curve10:NIST P-256)", (Form::GnuPg, "ECDSA", true)),
        ("(20:shadowed-private-key(3:rsa(1:n3:abc)", (Form::GnuPg, "RSA", true)),
    ] {
        assert_eq!(facts(&key(text.as_bytes()).unwrap()), expected, "{text}");
    }
    let created = key(b"Created: 20261129T233806\nKey: (private-key (rsa (n #00#").unwrap().created;
    assert_eq!(created, "2026-11-29T23:38:06Z".parse().ok());
    for innocent in ["(public-key (rsa (n #00#", "(10:public-key(3:rsa", "call(private-key (rsa", "(9999:x", "("] {
        assert_eq!(key(innocent.as_bytes()), None, "{innocent}");
    }
}

#[test]
fn puttys_files_are_read() {
    let file = |encryption: &str| {
        format!(
            "PuTTY-User-Key-File-3: ssh-ed25519\r\nEncryption: {encryption}\r\nComment: laptop\r\nPublic-Lines: 1\r\nAAAA\r\nPrivate-Lines: 1\r\nAAAA\r\nPrivate-MAC: {}\r\n",
            "0123456789abcdef".repeat(4)
        )
    };
    assert_eq!(facts(&key(file("none").as_bytes()).unwrap()), (Form::Putty, "Ed25519", false));
    assert_eq!(facts(&key(file("aes256-cbc").as_bytes()).unwrap()), (Form::Putty, "Ed25519", true));
    let text = file("none");
    assert_eq!(keys(text.as_bytes())[0].0, 0..text.trim_end().len());
    assert_eq!(key(text.replace("Private-MAC", "Public-MAC").as_bytes()), None);
    assert_eq!(key(text.replace("Private-Lines: 1", "Private-Lines: 0").as_bytes()), None);
}

#[test]
fn ages_checksum_must_hold() {
    // The example of age's README: its private half is public.
    let text = "AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX";
    assert_eq!(facts(&key(text.as_bytes()).unwrap()), (Form::Age, "X25519", false));
    assert_eq!(keys(format!("# created\n{text}\n").as_bytes())[0].0, 10..10 + text.len());
    assert_eq!(key(text.replace("GFPQ4", "GFPQ5").as_bytes()), None);
    assert_eq!(key(&text.as_bytes()[..text.len() - 1]), None);
}

#[test]
fn certificates_say_until_when() {
    let end = "2027-11-29T23:38:06Z".parse().unwrap();
    let text = format!("{}{}", pem("ec"), pem("certificate"));
    assert_eq!(certificate(text.as_bytes()).map(|validity| validity.not_after), Some(end));
    assert_eq!(certificate(&body("certificate")).map(|validity| validity.not_after), Some(end));
    let wrapped = data_encoding::BASE64.encode(text.as_bytes());
    assert_eq!(times::decode(TimeEncoding::X509, wrapped.as_bytes()), Some(Time::At(end)));
    assert_eq!(certificate(pem("ec").as_bytes()), None);
}

#[test]
fn ssh_certificates_say_until_when() {
    let line = |name: &str| format!("{} {} comment\n", part(name).0, part(name).1);
    let end = "2027-01-01T00:00:00Z".parse().unwrap();
    let decoded = |name: &str| times::decode(TimeEncoding::SshCert, line(name).as_bytes());
    assert_eq!(decoded("ssh-cert-2027"), Some(Time::At(end)));
    assert_eq!(decoded("ssh-cert-forever"), Some(Time::Never));
    let text = line("ssh-cert-2027");
    for cut in 0..text.len() - " comment\n".len() {
        assert_eq!(ssh_certificate(&text.as_bytes()[..cut]), None, "{cut}");
    }
    assert_eq!(ssh_certificate(b"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA x"), None);
}
