//! Taking a value apart that was found: base64, HTTP credentials, URLs, JSON within.

use data_encoding::{BASE64, BASE64_NOPAD, BASE64URL, BASE64URL_NOPAD};
use zeroize::Zeroizing;

use super::{json, label};
use crate::token::selector::Step;

/// A value on its way, with what its label gets.
pub(super) struct Value {
    pub bytes: Zeroizing<Vec<u8>>,
    pub suffix: String,
}

/// What the steps make of a value. Nothing if a step does not fit it.
pub(super) fn take(bytes: &[u8], steps: &[Step]) -> Vec<Value> {
    let mut values = vec![Value { bytes: Zeroizing::new(bytes.to_vec()), suffix: String::new() }];
    for step in steps {
        values = values.into_iter().flat_map(|value| apply(value, step)).collect();
    }
    values
}

fn apply(value: Value, step: &Step) -> Vec<Value> {
    let Value { bytes, suffix } = value;
    let one = |bytes: Option<Zeroizing<Vec<u8>>>| {
        bytes.map(|bytes| Value { bytes, suffix: suffix.clone() }).into_iter().collect()
    };
    match step {
        Step::Base64 => one(base64(&bytes)),
        Step::Login => one(Some(login(&bytes))),
        Step::Url => one(url(&bytes)),
        Step::Unescape => one(Some(unescaped(&bytes))),
        Step::Json(segments) => {
            let Some(tree) = std::str::from_utf8(&bytes).ok().and_then(|text| json::parse(text).ok()) else {
                return Vec::new();
            };
            let hits = tree.select(segments, false);
            let value = |hit: super::tree::Hit<'_>| Value {
                bytes: Zeroizing::new(hit.text.as_bytes().to_vec()),
                suffix: format!("{suffix}#{}", label::pointer(&hit.path)),
            };
            hits.into_iter().map(value).collect()
        }
    }
}

/// Decodes base64 of either alphabet, padded or not, white space ignored. `None` if it is none.
pub(super) fn base64(bytes: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let text: Zeroizing<Vec<u8>> =
        Zeroizing::new(bytes.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect());
    let bare: &[u8] = text.strip_suffix(b"==").or_else(|| text.strip_suffix(b"=")).unwrap_or(&text);
    let padded = bare.len() < text.len();
    let found = match (padded, bare.contains(&b'-') || bare.contains(&b'_')) {
        (true, false) => BASE64.decode(&text),
        (true, true) => BASE64URL.decode(&text),
        (false, false) => BASE64_NOPAD.decode(&text),
        (false, true) => BASE64URL_NOPAD.decode(&text),
    };
    found.ok().filter(|bytes| !bytes.is_empty()).map(Zeroizing::new)
}

/// The secret of HTTP credentials. What is none of the known forms is the secret itself.
fn login(bytes: &[u8]) -> Zeroizing<Vec<u8>> {
    let own = |bytes: &[u8]| Zeroizing::new(bytes.to_vec());
    let Ok(text) = std::str::from_utf8(bytes) else { return own(bytes) };
    let mut text = text.trim();
    // `AUTHORIZATION: basic ...`: the header with its name.
    if let Some((name, value)) = text.split_once(": ")
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    {
        text = value.trim();
    }
    let words = text.split_once(' ').map(|(scheme, rest)| (scheme.to_ascii_lowercase(), rest.trim()));
    let secret_of = |text: &str| text.split_once(':').map(|(_, secret)| own(secret.as_bytes()));
    let decoded = |text: &str| {
        let bytes = base64(text.as_bytes())?;
        secret_of(std::str::from_utf8(&bytes).ok()?)
    };
    match words {
        Some((scheme, rest)) if scheme == "basic" => decoded(rest).unwrap_or_else(|| own(rest.as_bytes())),
        Some((scheme, rest)) if scheme == "bearer" || scheme == "token" => own(rest.as_bytes()),
        _ => secret_of(text).or_else(|| decoded(text)).unwrap_or_else(|| own(text.as_bytes())),
    }
}

/// Shortest user of a URL that is taken for a token, in bytes: `https://TOKEN@github.com/`.
const MIN_USER_TOKEN: usize = 20;

/// The password of a URL, decoded; or its user, where that is the token.
fn url(bytes: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let text = std::str::from_utf8(bytes).ok()?;
    let rest = &text[text.find("://")? + 3..];
    let authority = &rest[..rest.find(['/', '?', '#']).unwrap_or(rest.len())];
    let (user, _) = authority.rsplit_once('@')?;
    let secret = match user.split_once(':') {
        // git hosts take the token as the user and one of these as the password.
        Some((user, "x-oauth-basic" | "")) => user,
        Some((_, password)) => password,
        None if user.len() >= MIN_USER_TOKEN => user,
        None => return None,
    };
    (!secret.is_empty()).then(|| percent_decoded(secret.as_bytes()))
}

fn unescaped(bytes: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut escaped = false;
    let kept = bytes.iter().copied().filter(|byte| {
        escaped = *byte == b'\\' && !escaped;
        !escaped
    });
    let mut out = Zeroizing::new(Vec::with_capacity(bytes.len()));
    out.extend(kept);
    out
}

fn percent_decoded(bytes: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut out = Zeroizing::new(Vec::with_capacity(bytes.len()));
    let mut at = 0;
    let hex = |byte: Option<&u8>| byte.and_then(|byte| char::from(*byte).to_digit(16));
    while let Some(&byte) = bytes.get(at) {
        match (byte, hex(bytes.get(at + 1)), hex(bytes.get(at + 2))) {
            (b'%', Some(high), Some(low)) => {
                // Two hexadecimal digits fit a byte.
                out.push((high * 16 + low) as u8);
                at += 3;
            }
            _ => {
                out.push(byte);
                at += 1;
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{catalogue::model::Format, token::selector::find};

    fn taken(text: &str, steps: &str) -> Vec<(String, String)> {
        let steps = find(&format!("*file*{steps}"), Format::Plain).unwrap().steps;
        let texts = take(text.as_bytes(), &steps);
        texts.into_iter().map(|value| (value.suffix, String::from_utf8(value.bytes.to_vec()).unwrap())).collect()
    }

    #[test]
    fn http_credentials_in_every_form() {
        for text in [
            "dXNlcjpzM2NyZXQ=",
            "Basic dXNlcjpzM2NyZXQ=",
            "AUTHORIZATION: basic dXNlcjpzM2NyZXQ",
            "Bearer s3cret",
            "Authorization: Bearer s3cret",
            "token s3cret",
            "user:s3cret",
            "s3cret",
        ] {
            assert_eq!(taken(text, " | login"), [(String::new(), "s3cret".to_owned())], "{text}");
        }
    }

    #[test]
    fn passwords_of_urls() {
        for (text, secret) in [
            ("https://u:p%40ss%2@h/x", Some("p@ss%2")),
            ("https://made-up-token-of-some-length@h/", Some("made-up-token-of-some-length")),
            ("https://made-up:x-oauth-basic@h", Some("made-up")),
            ("https://u@h/", None),
            ("https://h/a:b@c", None),
            ("git@h:x", None),
        ] {
            let found = taken(text, " | url");
            assert_eq!(found.first().map(|(_, secret)| secret.as_str()), secret, "{text}");
        }
    }

    #[test]
    fn a_backslash_stands_for_what_follows_it() {
        assert_eq!(taken(r"a\:b\\\c\\", " | unescape"), [(String::new(), r"a:b\c\".to_owned())]);
    }

    #[test]
    fn documents_within() {
        let found = taken("eyJhIjp7ImIiOiJjIn19", " | base64 | json:/a/*");
        assert_eq!(found, [("#/a/b".to_owned(), "c".to_owned())]);
        assert!(taken("not base64!", " | base64").is_empty());
        assert!(taken("{", " | json:/a").is_empty());
    }
}
