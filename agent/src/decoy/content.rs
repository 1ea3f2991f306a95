//! What decoys hold: the right shapes with made-up values. Pure: chance comes in as a seed.
//!
//! The shapes are those of the tools named in the catalogue's entries for the real stores. GitHub's and npm's tokens end in a
//! checksum, which is right here: stealers check it before they send a token.

use crate::{catalogue::decoy::DecoyKind, token::shape};

const LETTERS_AND_DIGITS: &[u8] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const BASE32: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
const BASE64: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const URL_SAFE: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const DIGITS: &[u8] = b"0123456789";

/// Made-up values from a seed.
struct Chance(blake3::OutputReader);

impl Chance {
    fn new(seed: &[u8; 32]) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("tokenhound 2026 decoy content");
        hasher.update(seed);
        Self(hasher.finalize_xof())
    }

    fn bytes<const COUNT: usize>(&mut self) -> [u8; COUNT] {
        let mut bytes = [0; COUNT];
        self.0.fill(&mut bytes);
        bytes
    }

    /// `count` characters of `alphabet`. The small preference that a remainder gives some of them shows in nothing.
    fn text(&mut self, alphabet: &[u8], count: usize) -> String {
        (0..count)
            .map(|_| char::from(alphabet[usize::from(u16::from_le_bytes(self.bytes())) % alphabet.len()]))
            .collect()
    }

    /// `prefix`, 30 characters and their checksum (base 62, six digits), as GitHub and npm make them.
    fn checked(&mut self, prefix: &str) -> String {
        shape::with_checksum(prefix, &self.text(LETTERS_AND_DIGITS, 30))
    }

    /// A JSON web token of a service account, with a signature that is none.
    fn service_account_token(&mut self) -> String {
        let header = format!(r#"{{"alg":"RS256","kid":"{}"}}"#, self.text(URL_SAFE, 43));
        let body = r#"{"iss":"kubernetes/serviceaccount","kubernetes.io/serviceaccount/namespace":"kube-system","kubernetes.io/serviceaccount/secret.name":"deployer-token","sub":"system:serviceaccount:kube-system:deployer"}"#;
        let part = |text: &str| base64(text.as_bytes()).trim_end_matches('=').replace('+', "-").replace('/', "_");
        format!("{}.{}.{}", part(&header), part(body), self.text(URL_SAFE, 342))
    }
}

/// The content of a decoy for a user of that name.
#[must_use]
pub fn of(kind: DecoyKind, user: &str, seed: &[u8; 32]) -> String {
    let mut chance = Chance::new(seed);
    match kind {
        DecoyKind::Aws => aws(&mut chance),
        DecoyKind::Ssh => ssh(&mut chance, user),
        DecoyKind::Github => {
            let token = chance.checked("gho_");
            format!(
                "github.com:\n    users:\n        {user}:\n            oauth_token: {token}\n    git_protocol: https\n    oauth_token: {token}\n    user: {user}\n"
            )
        }
        DecoyKind::Npm => {
            format!("//npm.internal/:_authToken={}\nsave-exact=true\n", chance.checked("npm_"))
        }
        DecoyKind::Kubernetes => kubernetes(&mut chance),
        DecoyKind::Docker => {
            let login = format!("{user}:dckr_pat_{}", chance.text(URL_SAFE, 27));
            let auth = base64(login.as_bytes());
            format!(
                "{{\n\t\"auths\": {{\n\t\t\"https://index.docker.io/v1/\": {{\n\t\t\t\"auth\": \"{auth}\"\n\t\t}}\n\t}}\n}}"
            )
        }
        DecoyKind::Gcloud => gcloud(&mut chance),
        DecoyKind::Env => {
            let (password, key) = (chance.text(LETTERS_AND_DIGITS, 24), chance.text(LETTERS_AND_DIGITS, 64));
            let (id, secret) = (chance.text(BASE32, 16), chance.text(BASE64, 40));
            format!(
                "APP_ENV=production\nDATABASE_URL=postgres://app:{password}@db.internal:5432/app\nSECRET_KEY={key}\nAWS_ACCESS_KEY_ID=AKIA{id}\nAWS_SECRET_ACCESS_KEY={secret}\n"
            )
        }
    }
}

fn aws(chance: &mut Chance) -> String {
    let mut section = |name: &str| {
        let (id, secret) = (chance.text(BASE32, 16), chance.text(BASE64, 40));
        format!("[{name}]\naws_access_key_id = AKIA{id}\naws_secret_access_key = {secret}\n")
    };
    format!("{}\n{}", section("default"), section("production"))
}

/// An unencrypted OpenSSH key (PROTOCOL.key in its source). The public half does not belong to the private one: only a login
/// would show it.
fn ssh(chance: &mut Chance, user: &str) -> String {
    let (public, secret, check) = (chance.bytes::<32>(), chance.bytes::<32>(), chance.bytes::<4>());
    let comment = format!("{user}@laptop");
    let mut blob = Vec::new();
    put(&mut blob, b"ssh-ed25519");
    put(&mut blob, &public);
    let mut private = Vec::new();
    private.extend(check);
    private.extend(check);
    private.extend(&blob);
    put(&mut private, &[secret, public].concat());
    put(&mut private, comment.as_bytes());
    let padding = (8 - private.len() % 8) % 8;
    private.extend((1..=padding as u8).collect::<Vec<u8>>());
    let mut key = b"openssh-key-v1\0".to_vec();
    for part in [&b"none"[..], b"none", b""] {
        put(&mut key, part);
    }
    key.extend(1u32.to_be_bytes());
    put(&mut key, &blob);
    put(&mut key, &private);
    // In parts, so that no search for private keys finds one in our source.
    let line = |end: &str| format!("-----{end} OPENSSH PRIVATE KEY-----\n");
    let text = base64(&key);
    let lines: String = text.as_bytes().chunks(70).map(|line| format!("{}\n", String::from_utf8_lossy(line))).collect();
    format!("{}{lines}{}", line("BEGIN"), line("END"))
}

fn put(into: &mut Vec<u8>, bytes: &[u8]) {
    into.extend((bytes.len() as u32).to_be_bytes());
    into.extend(bytes);
}

fn kubernetes(chance: &mut Chance) -> String {
    let token = chance.service_account_token();
    format!(
        "apiVersion: v1\nkind: Config\nclusters:\n- name: production\n  cluster:\n    server: https://10.20.0.1:6443\n    insecure-skip-tls-verify: true\ncontexts:\n- name: production\n  context:\n    cluster: production\n    user: deployer\ncurrent-context: production\nusers:\n- name: deployer\n  user:\n    token: {token}\n"
    )
}

fn gcloud(chance: &mut Chance) -> String {
    let client = format!(
        "{}-{}.apps.googleusercontent.com",
        chance.text(DIGITS, 12),
        chance.text(b"abcdefghijklmnopqrstuvwxyz0123456789", 32)
    );
    let (secret, refresh) = (chance.text(URL_SAFE, 28), chance.text(URL_SAFE, 94));
    format!(
        "{{\n  \"account\": \"\",\n  \"client_id\": \"{client}\",\n  \"client_secret\": \"GOCSPX-{secret}\",\n  \"quota_project_id\": \"prod-core\",\n  \"refresh_token\": \"1//0{refresh}\",\n  \"type\": \"authorized_user\",\n  \"universe_domain\": \"googleapis.com\"\n}}"
    )
}

/// RFC 4648, with padding.
fn base64(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let mut word = [0u8; 4];
        word[1..=chunk.len()].copy_from_slice(chunk);
        let word = u32::from_be_bytes(word);
        for digit in 0..4 {
            let value = (word >> (18 - 6 * digit)) as usize & 63;
            text.push(if digit <= chunk.len() { char::from(BASE64[value]) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEED: [u8; 32] = [7; 32];

    #[test]
    fn each_has_the_shape_that_the_catalogue_knows() {
        let catalogue = crate::catalogue::tests::shipped_catalogue();
        for (kind, store) in [
            (DecoyKind::Aws, "aws-credentials"),
            (DecoyKind::Github, "gh-hosts"),
            (DecoyKind::Npm, "npm-npmrc"),
            (DecoyKind::Gcloud, "gcloud-adc"),
        ] {
            let text = of(kind, "ann", &SEED);
            let store = catalogue.store(store).unwrap();
            assert!(!store.token_shapes.is_empty(), "{}", store.id);
            let shaped = shape::find(text.as_bytes()).any(|found| store.token_shapes.contains(&found.shape));
            assert!(shaped, "{}", store.id);
        }
    }

    #[test]
    fn every_seed_gives_another_and_the_same_seed_the_same() {
        for kind in DecoyKind::ALL {
            let text = of(*kind, "ann", &SEED);
            assert_eq!(text, of(*kind, "ann", &SEED), "{kind:?}");
            assert_ne!(text, of(*kind, "ann", &[8; 32]), "{kind:?}");
            assert!(!text.contains("decoy") && !text.contains("tokenhound"), "{kind:?} gives itself away");
        }
    }

    #[test]
    fn base64_as_in_its_standard() {
        for (plain, coded) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")] {
            assert_eq!(base64(plain.as_bytes()), coded);
        }
    }

    #[test]
    fn structured_ones_can_be_parsed() {
        for kind in [DecoyKind::Docker, DecoyKind::Gcloud] {
            serde_json::from_str::<serde_json::Value>(&of(kind, "ann", &SEED)).unwrap();
        }
        for kind in [DecoyKind::Github, DecoyKind::Kubernetes] {
            crate::yaml::parse(std::path::Path::new("x"), &of(kind, "ann", &SEED)).unwrap();
        }
        assert_eq!(of(DecoyKind::Ssh, "ann", &SEED).lines().count(), 7, "as ssh-keygen writes it");
    }
}
