//! Names that announce a secret: of options, variables, headers and fields.

/// Parts of a name that stand for a secret whole: `db_password`, `X-Auth-Token`, `clientSecret`.
const PARTS: &[&str] = &[
    "token",
    "tokens",
    "secret",
    "secrets",
    "password",
    "passwords",
    "passwd",
    "passphrase",
    "passcode",
    "pass",
    "pwd",
    "pw",
    "apikey",
    "credential",
    "credentials",
    "creds",
    "cred",
    "auth",
    "authorization",
    "authentication",
    "oauth",
    "oauth2",
    "bearer",
    "jwt",
    "cookie",
    "cookies",
    "signature",
    "sig",
    "sas",
    "pat",
    "otp",
    "totp",
    "pin",
    "psk",
    "passin",
    "passout",
    "extraheader",
    "hmac",
    "webhook",
    "dsn",
    // The keys of a GitHub runner, on its command line.
    "jitconfig",
];

/// Spellings that may stand anywhere in a name: `PGPASSWORD`, `GITHUBTOKEN`.
const INFIXES: &[&str] = &[
    "password",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "apikey",
    "credential",
    "accesskey",
    "privatekey",
    "secretkey",
    "authkey",
    "signingkey",
    "sessionkey",
    "accountkey",
    "masterkey",
    "encryptionkey",
];

/// What makes a `key` a secret one.
const KEY_KINDS: &[&str] = &[
    "api",
    "access",
    "secret",
    "private",
    "account",
    "signing",
    "encryption",
    "auth",
    "master",
    "shared",
    "session",
    "service",
    "license",
    "deploy",
    "client",
    "storage",
    "app",
    "application",
    "admin",
];

/// Names that contain one of the above and are not secret.
const HARMLESS: &[&str] = &["PWD", "OLDPWD", "tokenhound", "tokenizer", "tokenize", "tokenizers"];

/// Last parts that say the value is where a secret is, or how to ask for it, not the secret.
const PLACES: &[&str] =
    &["file", "files", "path", "stdin", "dir", "directory", "fd", "timeout", "ttl", "length", "type"];

/// Does a value of this name have to be replaced? `name` may carry dashes, dots and underscores.
pub(super) fn is_secret(name: &str) -> bool {
    let name = name.trim_matches(|c: char| !c.is_ascii_alphanumeric());
    if name.is_empty() || name.len() > NAME_BYTES || HARMLESS.contains(&name) {
        return false;
    }
    let parts = Parts::of(name);
    let Some(last) = parts.all().last() else { return false };
    let is_in = |list: &[&str], part: &[u8]| list.iter().any(|known| known.as_bytes() == part);
    if is_in(PLACES, last) {
        return false;
    }
    let before_last = || parts.all().take(parts.count - 1);
    let key = matches!(last, b"key" | b"keys") && before_last().any(|part| is_in(KEY_KINDS, part));
    key || parts.all().any(|part| is_in(PARTS, part)) || (has_infix(parts.whole()) && !has(parts.whole(), b"tokeniz"))
}

fn has(whole: &[u8], wanted: &[u8]) -> bool {
    whole.windows(wanted.len()).any(|part| part == wanted)
}

fn has_infix(whole: &[u8]) -> bool {
    // One letter decides nearly always.
    let begins = |byte: u8| matches!(byte, b'a' | b'c' | b'e' | b'm' | b'p' | b's' | b't');
    let at = |at: usize| whole.get(at..).unwrap_or_default();
    (0..whole.len())
        .any(|start| begins(whole[start]) && INFIXES.iter().any(|infix| at(start).starts_with(infix.as_bytes())))
}

/// Is the value of this name the rest of a header line (`Authorization: Basic x`), not one word?
pub(super) fn is_header(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name.contains("auth") || name.contains("cookie")
}

/// Longest name that is looked at.
const NAME_BYTES: usize = 128;

/// Lower-case parts of a name, cut at punctuation and at humps.
struct Parts {
    /// All parts, one after the other.
    text: [u8; NAME_BYTES],
    /// Where each ends.
    ends: [u8; NAME_BYTES],
    count: usize,
}

impl Parts {
    /// Of a name that is no longer than [`NAME_BYTES`].
    fn of(name: &str) -> Self {
        let mut parts = Self { text: [0; NAME_BYTES], ends: [0; NAME_BYTES], count: 0 };
        let (mut length, mut lower_before) = (0, false);
        for byte in name.bytes() {
            let hump = byte.is_ascii_uppercase() && lower_before;
            if !byte.is_ascii_alphanumeric() || hump {
                parts.end(length);
            }
            if byte.is_ascii_alphanumeric()
                && let Some(to) = parts.text.get_mut(length)
            {
                *to = byte.to_ascii_lowercase();
                length += 1;
            }
            lower_before = byte.is_ascii_lowercase() || byte.is_ascii_digit();
        }
        parts.end(length);
        parts
    }

    /// Ends a part, unless there is nothing in it.
    fn end(&mut self, length: usize) {
        let begin = self.count.checked_sub(1).map_or(0, |last| usize::from(self.ends[last]));
        if length > begin
            && let Some(end) = self.ends.get_mut(self.count)
        {
            *end = length as u8;
            self.count += 1;
        }
    }

    fn all(&self) -> impl Iterator<Item = &[u8]> {
        let mut begin = 0;
        self.ends[..self.count].iter().map(move |end| {
            let part = &self.text[begin..usize::from(*end)];
            begin = usize::from(*end);
            part
        })
    }

    fn whole(&self) -> &[u8] {
        &self.text[..self.count.checked_sub(1).map_or(0, |last| usize::from(self.ends[last]))]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::btf::build::Random;

    /// The same in plain words, to hold the quick one against.
    fn plainly(name: &str) -> bool {
        let name = name.trim_matches(|c: char| !c.is_ascii_alphanumeric());
        let (mut spaced, mut lower_before) = (String::new(), false);
        for c in name.chars() {
            if !c.is_ascii_alphanumeric() || (c.is_ascii_uppercase() && lower_before) {
                spaced.push(' ');
            }
            if c.is_ascii_alphanumeric() {
                spaced.push(c.to_ascii_lowercase());
            }
            lower_before = c.is_ascii_lowercase() || c.is_ascii_digit();
        }
        let parts: Vec<&str> = spaced.split_whitespace().collect();
        let Some((last, before)) = parts.split_last() else { return false };
        if name.len() > NAME_BYTES || HARMLESS.contains(&name) || PLACES.contains(last) {
            return false;
        }
        let key = matches!(*last, "key" | "keys") && before.iter().any(|part| KEY_KINDS.contains(part));
        let whole = parts.concat();
        let infix = INFIXES.iter().any(|infix| whole.contains(infix)) && !whole.contains("tokeniz");
        key || parts.iter().any(|part| PARTS.contains(part)) || infix
    }

    #[test]
    fn quickly_and_plainly_are_the_same() {
        let others = [
            "",
            "_",
            "-",
            ".",
            "X",
            "x",
            "7",
            "\u{e9}",
            "key",
            "Key",
            "KEYS",
            "iz",
            "er",
            "stdin",
            "aaaaaaaaaaaaaaaaaaaaaaaa",
        ];
        let lists = [PARTS, INFIXES, KEY_KINDS, HARMLESS, PLACES, &others];
        let mut random = Random(5);
        let mut secret = 0;
        for _ in 0..50_000 {
            let mut name = String::new();
            for _ in 0..=random.below(5) {
                let list = lists[random.below(lists.len())];
                let word = list[random.below(list.len())];
                match random.below(4) {
                    0 => name.push_str(&word.to_ascii_uppercase()),
                    // The first letter alone, as in `clientSecret`.
                    1 => name.extend(
                        word.chars().enumerate().map(|(at, c)| if at == 0 { c.to_ascii_uppercase() } else { c }),
                    ),
                    2 => name.extend(word.chars().take(random.below(9))),
                    _ => name.push_str(word),
                }
            }
            assert_eq!(is_secret(&name), plainly(&name), "{name}");
            secret += usize::from(is_secret(&name));
        }
        assert!((5_000..45_000).contains(&secret), "{secret}");
    }

    #[test]
    fn names() {
        for name in [
            "--token",
            "--jitconfig",
            "ACTIONS_RUNNER_INPUT_JITCONFIG",
            "--password",
            "PGPASSWORD",
            "MYSQL_PWD",
            "clientSecret",
            "aws_secret_access_key",
            "--api-key",
            "apiKey",
            "APIKEY",
            "//registry.example/:_authToken",
            "X-Auth-Token",
            "PRIVATE-TOKEN",
            "--passphrase",
            "AccountKey",
            "db.password",
            "GITHUB_PAT",
            "REDISCLI_AUTH",
            "-passin",
            "Cookie",
            "SIGNING_KEY",
            "pass",
            "sig",
            "X-Amz-Signature",
            "secret_id",
            "SharedAccessKey",
            "githubtoken",
            "Pwd",
            "SENTRY_DSN",
        ] {
            assert!(is_secret(name), "{name}");
        }
        for name in [
            "PWD",
            "OLDPWD",
            "HOME",
            "--author",
            "key",
            "KEYMAP",
            "primary_key",
            "--token-file",
            "--password-stdin",
            "compass",
            "passive",
            "tokenizer",
            "TOKENIZERS_PARALLELISM",
            "",
            "--",
            "path",
            "monkey",
            "bypass_cache",
        ] {
            assert!(!is_secret(name), "{name}");
        }
    }
}
