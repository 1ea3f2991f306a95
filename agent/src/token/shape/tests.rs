use std::collections::HashSet;

use data_encoding::{BASE64, BASE64_MIME, HEXLOWER};

use super::*;
use crate::token::jwt;

/// The ids and texts of what is found.
fn found(text: &str) -> Vec<(&'static str, &str, bool)> {
    let all = find(text.as_bytes());
    all.map(|found| (found.shape.id, text.get(found.range.clone()).unwrap(), found.checked)).collect()
}

fn chance(name: &str, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    blake3::Hasher::new().update(name.as_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

#[test]
fn rows_are_whole_and_no_beginning_is_listed_twice() {
    let (mut ids, mut prefixes) = (HashSet::new(), HashSet::new());
    for shape in all() {
        assert!(ids.insert(shape.id), "{}", shape.id);
        assert!(!shape.issuer.source.is_empty() && !shape.issuer.revoke.is_empty() && !shape.what.is_empty());
        assert!(shape.prefixes.iter().all(|prefix| prefix.len() >= 3), "{}", shape.id);
    }
    for (prefix, _) in beginnings() {
        assert!(prefixes.insert(prefix), "{prefix}");
    }
    assert!(ids.len() > 120, "{}", ids.len());
}

#[test]
fn a_token_of_every_shape_is_found_in_every_surrounding() {
    for shape in all() {
        for seed in 0..12 {
            let Some(token) = shape.made_up(seed) else { continue };
            for text in [
                token.clone(),
                format!("export TOKEN=\"{token}\"\n"),
                format!("{{\"token\":\"{token}\"}}"),
                format!("curl -H 'Authorization: Bearer {token}' https://api.invalid/v1"),
                format!("https://user:{token}@host.invalid/path"),
                format!("It is {token}. And then\n"),
                format!("<a>{token}</a> , {token}"),
            ] {
                let all = found(&text);
                assert!(!all.is_empty(), "{} {seed}: {text}", shape.id);
                for (id, range, _) in all {
                    assert_eq!((id, range), (shape.id, token.as_str()), "{text}");
                }
            }
            assert_eq!(of(format!(" {token}\n").as_bytes()).map(|found| found.shape.id), Some(shape.id));
            // As a part of a word it is none.
            assert_eq!(found(&format!("x{token}")), [], "{}", shape.id);
            assert_eq!(found(&format!("{token}zz")).iter().filter(|(_, text, _)| *text == token).count(), 0);
        }
    }
}

#[test]
fn checksums_decide() {
    // The example of the checksum that others publish, and the same with another last character.
    let token = format!("ghp_{}", "zQWBuTSOoRi4A9spHcVY5ncnsDkxkJ0mLq17");
    assert_eq!(found(&token), [("github-classic", token.as_str(), true)]);
    assert_eq!(found(&token.replace("Lq17", "Lq18")), []);
    let npm = with_checksum("npm_", "aB3dE6gH9jK2mN5pQ8sT1vW4yZ7bC0");
    assert_eq!(found(&npm), [("npm", npm.as_str(), true)]);
    assert_eq!(found(&npm.replace("npm_aB", "npm_aC")), []);
    let grafana = named("grafana-service").unwrap().made_up(1).unwrap();
    assert!(found(&grafana)[0].2);
    assert_eq!(found(&grafana.replace("glsa_", "glsb_")), []);
    // GitLab's routable token; its older form has no checksum.
    let payload = "aBcDeFgH1jKlMn0pQrStUvWxYz29";
    let value = format!("glpat-{payload}.0{}", "s");
    let sum = format!("{:0>7}", radix36(crc32fast::hash(value.as_bytes())));
    let token = format!("{value}{sum}");
    assert_eq!(found(&token), [("gitlab-personal", token.as_str(), true)]);
    assert_eq!(found(&format!("{value}0000000")), []);
    assert!(!found("glpat-x7Kq2ZmN9pLw4RtB1sVc")[0].2);
}

fn radix36(mut number: u32) -> String {
    let mut text = String::new();
    while number > 0 {
        text.insert(0, char::from_digit(number % 36, 36).unwrap());
        number /= 36;
    }
    text
}

#[test]
fn placeholders_are_refused() {
    for text in [
        "AKIAIOSFODNN7EXAMPLE",
        "AKIAXXXXXXXXXXXXXXXX",
        "AKIAABCDEFGHIJKLMNOP",
        "ASIAAAAAAAAAAAAAAAAA",
        "ghp_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
        "ghp_000000000000000000000000000000000000",
        "ghp_abcdefghijklmnopqrstuvwxyz0123456789",
        "glpat-your-token-goes-here",
        "glpat-xxxxxxxxxxxxxxxxxxxx",
        "github_pat_11AAAAAAA0123456789012_abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456",
        "AIzaSyXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXX",
        "hf_yourhuggingfacetokengoesrighthereok",
        "dop_v1_0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
        "shpat_deadbeefdeadbeefdeadbeefdeadbeef",
        "sk_test_your_stripe_key_goes_in_here",
        "xoxb-123456789012-1234567890123-AbCdEfGhIjKlMnOpQrStUvWx",
        "SG.your_sendgrid_key_id00.your_sendgrid_key_secret_goes_in_here_000000",
        "hvs.CAESIJexampleexampleexampleexampleexampleexampleexampleexampleexampleexampleexampleexampleexample",
        "ghp_${GITHUB_TOKEN}",
        "npm_config_cache=/tmp npm_package_name=x npm_lifecycle_event",
    ] {
        assert_eq!(found(text), [], "{text}");
    }
}

#[test]
fn json_web_tokens_are_decoded() {
    let token =
        jwt::made_up(r#"{"alg":"RS256"}"#, r#"{"iss":"https://id.test.invalid","exp":1800000000,"scope":"read"}"#);
    let text = format!("Authorization: Bearer {token}.\n");
    assert_eq!(found(&text), [("jwt", token.as_str(), true)]);
    let facts = find(text.as_bytes()).next().unwrap().facts(text.as_bytes());
    assert_eq!(facts.issuer.as_deref(), Some("https://id.test.invalid"));
    assert_eq!(facts.scopes, ["read"]);
    let example = jwt::made_up(r#"{"alg":"HS256","typ":"JWT"}"#, r#"{"sub":"1234567890","name":"John Doe"}"#);
    for innocent in [
        example.as_str(),
        "eyJhbGciOiJIUzI1NiJ9",
        "eyJhbGciOiJIUzI1NiJ9.e30",
        "eyJmb28iOiJiYXIifQ.eyJmb28iOiJiYXIifQ.c2lnbmF0dXJl",
        &format!("x{token}"),
        &BASE64.encode(br#"{"version":3,"sources":["a.js"],"mappings":"AAAA"}"#),
    ] {
        assert_eq!(found(innocent), [], "{innocent}");
    }
}

#[test]
fn private_keys_are_parsed() {
    let keys = include_str!("../pem/testdata/keys.txt");
    let line = keys.lines().find(|line| line.starts_with("ssh-ed25519 |")).unwrap();
    let mut parts = line.split(" | ").skip(1);
    let (label, body) = (parts.next().unwrap(), parts.next().unwrap());
    let key = format!("-----{} {label}-----\n{body}\n-----{} {label}-----", "BEGIN", "END");
    let text = format!("cat <<EOF > key\n{key}\nEOF\n----- BEGIN of something else -----\n");
    assert_eq!(found(&text), [("private-key", key.as_str(), true)]);
    assert_eq!(found(&text.replace("b3BlbnNzaC1r", "b3BlbnNzaC1s")), []);
    let age = "AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX";
    assert_eq!(found(&format!("# key\n{age}\n")), [("private-key", age, true)]);
}

/// What people's disks are full of.
fn innocent() -> Vec<(&'static str, String)> {
    let mut texts = Vec::new();
    let lines = |name: &str, width: usize, count: usize| -> String {
        chance(name, width * count).chunks(width).map(|bytes| HEXLOWER.encode(bytes) + " commit message\n").collect()
    };
    texts.push(("git", lines("git", 20, 5000)));
    texts.push(("sha256", lines("sha256", 32, 5000)));
    let uuid = |bytes: &[u8]| {
        let hex = HEXLOWER.encode(bytes);
        format!("{}-{}-{}-{}-{}\n", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
    };
    texts.push(("uuid", chance("uuid", 16 * 5000).chunks(16).map(uuid).collect()));
    let image = chance("image", 400_000);
    texts.push(("data URL", format!("url(data:image/png;base64,{})", BASE64.encode(&image))));
    texts.push(("MIME", BASE64_MIME.encode(&image)));
    let integrity = |bytes: &[u8]| format!("\"integrity\": \"sha512-{}\",\n", BASE64.encode(bytes));
    texts.push(("lock", chance("lock", 64 * 2000).chunks(64).map(integrity).collect()));
    // Names as minifiers and generators make them, with beginnings of shapes among them.
    let words = [
        "a", "e.t", "npm_", "sk-", "key-", "hf_", "task-", "AKIA", "eyJ", "s.", "SG.", "gho_", "glpat-", "dapi", "1//0",
    ];
    let mut script = String::new();
    for pair in chance("script", 40_000).chunks(2) {
        script.push_str(words[usize::from(pair[0]) % words.len()]);
        script.push_str(["(", "){return ", "=", "_config_cache", ";var ", "-", "FILE_NAME "][usize::from(pair[1]) % 7]);
    }
    texts.push(("script", script));
    texts
}

#[test]
fn innocent_text_gives_none() {
    for (name, text) in innocent() {
        assert_eq!(found(&text), [], "{name}");
    }
    let own: [&[u8]; 5] = [
        include_bytes!("../../../../Cargo.lock"),
        include_bytes!("../../../catalogue/aws.yaml"),
        include_bytes!("../../../catalogue/ai.yaml"),
        include_bytes!("../../../catalogue/git-hosting.yaml"),
        include_bytes!("table/services.rs"),
    ];
    for text in own {
        assert_eq!(find(text).count(), 0);
    }
}

#[test]
fn random_bytes_give_none_and_nothing_panics() {
    let bytes = chance("bytes", 2_000_000);
    assert_eq!(find(&bytes).count(), 0);
    // A beginning at every place, cut at every place.
    let all: Vec<u8> = beginnings().flat_map(|(prefix, _)| prefix.bytes().chain([b' '])).collect();
    for start in (0..all.len()).step_by(3) {
        let text = String::from_utf8_lossy(&all[start..]);
        assert_eq!(found(&text), []);
    }
    for end in 0..4 {
        assert_eq!(find(&b"AKI"[..end.min(3)]).count(), 0);
    }
    // Linear also where every place begins one.
    for text in ["eyJ.", "-----BEGIN ", "AKIA", "glpat-", "ya29.", "fm2_"] {
        assert_eq!(find(text.repeat(20_000).as_bytes()).count(), 0, "{text}");
    }
}
