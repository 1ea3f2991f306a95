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
    if name.is_empty() || name.len() > 128 || HARMLESS.contains(&name) {
        return false;
    }
    let parts = split(name);
    if parts.last().is_some_and(|last| PLACES.contains(&last.as_str())) {
        return false;
    }
    let whole: String = parts.concat();
    let key = parts.last().is_some_and(|last| last == "key" || last == "keys")
        && parts.iter().rev().skip(1).any(|part| KEY_KINDS.contains(&part.as_str()));
    key || parts.iter().any(|part| PARTS.contains(&part.as_str()))
        || INFIXES.iter().any(|infix| whole.contains(infix)) && !whole.contains("tokeniz")
}

/// Is the value of this name the rest of a header line (`Authorization: Basic x`), not one word?
pub(super) fn is_header(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name.contains("auth") || name.contains("cookie")
}

/// Lower-case parts of a name, cut at punctuation and at humps.
fn split(name: &str) -> Vec<String> {
    let mut parts: Vec<String> = Vec::new();
    let mut current = String::new();
    let mut lower_before = false;
    for c in name.chars() {
        let hump = c.is_ascii_uppercase() && lower_before;
        if !c.is_ascii_alphanumeric() || hump {
            parts.push(std::mem::take(&mut current));
        }
        if c.is_ascii_alphanumeric() {
            current.push(c.to_ascii_lowercase());
        }
        lower_before = c.is_ascii_lowercase() || c.is_ascii_digit();
    }
    parts.push(current);
    parts.retain(|part| !part.is_empty());
    parts
}

#[cfg(test)]
mod tests {
    use super::is_secret;

    #[test]
    fn names() {
        for name in [
            "--token",
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
