//! What a token tells: the facts that its store, its place and its own bytes give, without asking anybody.
//!
//! Where they disagree the token's own word counts first (the claims of a JSON web token, the head of a key), then what stands beside it,
//! then its shape, then what the catalogue says of all tokens of the store.

use jiff::{SignedDuration, Timestamp};

use super::{
    jwt,
    model::{Facts, Lifetime, Protection, Subject, Token},
    pem, shape,
};
use crate::catalogue::model::{Format, Kind, SessionScope, Staleness, Store};

/// A token in its store, with what the extractor made of its place.
#[derive(Clone, Copy, Debug)]
pub struct Field<'a> {
    /// The selector, with its wildcards.
    pub selector: &'a str,
    /// The same with the profile, host or account in their place.
    pub label: &'a str,
    /// What kind of token its place and its name speak of.
    pub kind: Kind,
    /// The token.
    pub secret: &'a [u8],
    /// How the catalogue says that this place is protected.
    pub protection: Option<Protection>,
    /// When it was issued, as the fields beside it say.
    pub issued: Option<Timestamp>,
    /// When it ends, as the fields beside it say.
    pub expires: Option<Timestamp>,
    /// When the file was last written.
    pub written: Option<Timestamp>,
    /// What the file holds: a certificate beside a private key ends it.
    pub file: &'a [u8],
}

/// What ends within this time is ephemeral: a day or so. AWS's longest sessions have 36 hours.
const EPHEMERAL: SignedDuration = SignedDuration::from_hours(36);
/// The longest life of AWS's temporary keys (STS, GetSessionToken: `DurationSeconds` up to 129,600).
const AWS_SESSION: SignedDuration = SignedDuration::from_hours(36);
/// The shape of the id of a temporary key of AWS.
const AWS_SESSION_KEY: &str = "aws-session-key";
/// The family of AWS's stores.
const AWS: &str = "aws";

/// The facts about a token.
#[must_use]
pub fn describe(store: &Store, field: &Field<'_>) -> Facts {
    let mut facts = Facts::new(field.kind, field.label);
    facts.issued = field.issued;
    facts.expires = field.expires;
    facts.protection = field.protection.unwrap_or_else(|| protection(store));
    facts.issuer = host(field);
    let shape = shape::of(field.secret).map(|found| found.shape);
    if let Some(shape) = shape {
        if store.kind.contains(&shape.kind) {
            facts.kind = shape.kind;
        }
        facts.subject = shape.subject;
        facts.lifetime = shape.lifetime;
        if facts.issuer.is_none() && shape.issuer.name != shape::UNKNOWN {
            facts.issuer = Some(shape.issuer.name.to_owned());
        }
    }
    let kind = facts.kind;
    from_content(field.secret, &mut facts);
    if !store.kind.contains(&facts.kind) {
        facts.kind = kind;
    }
    if facts.kind == Kind::PrivateKey && facts.expires.is_none() {
        certified(pem::certificate(field.file), &mut facts);
    }
    if facts.subject == Subject::Unknown {
        facts.subject = subject(store, facts.kind);
    }
    if facts.expires.is_none() {
        facts.expires = ends_after_write(store, field, &facts);
    }
    facts.lifetime = lifetime(store, &facts, field.written);
    facts
}

/// What the tokens of one profile say of each other: beside the session token or the id of a temporary key of AWS the secret
/// key is temporary as well, and looks like any other.
pub fn together(store: &Store, tokens: &mut [Token]) {
    if store.family != AWS {
        return;
    }
    let profile = |facts: &Facts| facts.field.rsplit_once('/').map(|(profile, _)| profile.to_owned());
    let temporary = |token: &&Token| is_aws_session(store, &token.facts.field, token.secret.expose());
    let ends: Vec<(Option<String>, Option<Timestamp>)> =
        tokens.iter().filter(temporary).map(|token| (profile(&token.facts), token.facts.expires)).collect();
    for (of, expires) in ends {
        for token in tokens.iter_mut().filter(|token| profile(&token.facts) == of) {
            token.facts.lifetime = Lifetime::Ephemeral;
            token.facts.expires = token.facts.expires.or(expires);
        }
    }
}

/// Is it the session token of AWS, which only temporary keys have, or the id of such a key?
fn is_aws_session(store: &Store, label: &str, secret: &[u8]) -> bool {
    let name = || label.rsplit('/').next().unwrap_or(label).to_ascii_lowercase().replace('_', "");
    let id = || shape::of(secret).is_some_and(|found| found.shape.id == AWS_SESSION_KEY);
    store.family == AWS && (name().ends_with("sessiontoken") || id())
}

/// What a token's own bytes say, whatever they were found in.
pub(super) fn from_content(secret: &[u8], facts: &mut Facts) {
    if let Some(jwt) = jwt::read(secret) {
        facts.kind = jwt.kind.unwrap_or(facts.kind);
        facts.issuer = jwt.issuer.or(facts.issuer.take());
        if jwt.subject != Subject::Unknown {
            facts.subject = jwt.subject;
        }
        facts.scopes = jwt.scopes;
        facts.issued = jwt.issued.or(facts.issued);
        facts.expires = jwt.expires.or(facts.expires);
        facts.lifetime = by_dates(facts, None).unwrap_or(facts.lifetime);
        return;
    }
    if let Some(key) = pem::key(secret) {
        facts.protection = facts.protection.max(key.protection);
        facts.issued = facts.issued.or(key.created);
        certified(pem::certificate(secret), facts);
        return;
    }
    if let Some(protection) = marked(secret) {
        facts.protection = facts.protection.max(protection);
    }
}

/// A key is of use for as long as the certificate beside it.
fn certified(certificate: Option<pem::Validity>, facts: &mut Facts) {
    if let Some(validity) = certificate {
        facts.issued = Some(validity.not_before);
        facts.expires = Some(validity.not_after);
        facts.lifetime = by_dates(facts, None).unwrap_or(facts.lifetime);
    }
}

/// Ciphertext says so: sops, Ansible (`ansible-vault`), age, OpenPGP, OpenSSL's `enc`. Jenkins and Maven keep the key beside it.
fn marked(secret: &[u8]) -> Option<Protection> {
    const ENCRYPTED: &[&[u8]] = &[
        b"ENC[AES256_GCM,",
        b"$ANSIBLE_VAULT;",
        b"age-encryption.org/v1",
        b"-----BEGIN AGE ENCRYPTED FILE-----",
        b"-----BEGIN PGP MESSAGE-----",
        b"U2FsdGVkX1",
        b"Salted__",
    ];
    let secret = secret.trim_ascii();
    if ENCRYPTED.iter().any(|mark| secret.starts_with(mark)) {
        return Some(Protection::Encrypted);
    }
    secret.starts_with(b"{AQAAAB").then_some(Protection::Obfuscated)
}

/// How a store that is nothing but ciphertext is protected.
fn protection(store: &Store) -> Protection {
    let sealed = matches!(
        store.format,
        Format::Age
            | Format::Ciphertext
            | Format::GnomeKeyring
            | Format::Gpg
            | Format::Jwe
            | Format::Kdbx
            | Format::Kwl
    );
    if sealed && store.kind.contains(&Kind::EncryptedVault) { Protection::Encrypted } else { Protection::Plain }
}

/// A host in the label that is not in the selector: `machine example.invalid#password`, `/auths/https:~1~1host~1v1~1/auth`.
fn host(field: &Field<'_>) -> Option<String> {
    let label = field.label.replace("~1", "/");
    // With `@` it is somebody's address.
    let words = label.split(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':' | '@')));
    let mut words = words.map(|word| word.trim_matches(':'));
    words.find(|word| is_host(word) && !field.selector.contains(*word)).map(str::to_owned)
}

/// A name of at least two labels, or four numbers; perhaps with a port.
fn is_host(word: &str) -> bool {
    let (name, port) = word.split_once(':').unwrap_or((word, "0"));
    let labels: Vec<&str> = name.split('.').collect();
    let number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let label = |text: &&str| {
        let inside = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        inside && !text.is_empty() && !text.starts_with('-') && !text.ends_with('-')
    };
    let top = labels.last().is_some_and(|top| top.len() > 1 && top.bytes().all(|byte| byte.is_ascii_alphabetic()));
    let address = labels.len() == 4 && labels.iter().all(|label| number(label));
    labels.len() > 1 && name.len() <= 253 && number(port) && labels.iter().all(label) && (top || address)
}

/// Whom it stands for, by what the catalogue says. A login is a person's unless the token says otherwise.
fn subject(store: &Store, kind: Kind) -> Subject {
    let job = [SessionScope::CiJob, SessionScope::Pod, SessionScope::Container, SessionScope::Unit];
    match kind {
        Kind::ServiceAccountKey | Kind::KubeSaToken | Kind::OauthClientSecret => Subject::Machine,
        _ if job.contains(&store.session_scope) => Subject::Machine,
        Kind::SessionCookie => Subject::Person,
        Kind::AccessToken | Kind::RefreshToken | Kind::SessionToken
            if store.session_scope == SessionScope::CliLogin =>
        {
            Subject::Person
        }
        _ => Subject::Unknown,
    }
}

fn after(written: Option<Timestamp>, life: SignedDuration) -> Option<Timestamp> {
    written.and_then(|written| written.checked_add(life).ok())
}

/// The end of a token that was new when its file was written and says no end itself. A shape of which another lifetime is
/// documented knows better than the store: npm's sessions live two hours, its access tokens months.
fn ends_after_write(store: &Store, field: &Field<'_>, facts: &Facts) -> Option<Timestamp> {
    if is_aws_session(store, field.label, field.secret) {
        return after(field.written, AWS_SESSION);
    }
    let life =
        store.ttl_seconds.filter(|_| store.staleness == Staleness::TtlSinceWrite && applies(store, facts.kind))?;
    let life = SignedDuration::from_secs(i64::try_from(life).ok()?);
    let agrees = match facts.lifetime {
        Lifetime::Unknown => true,
        Lifetime::Ephemeral => life <= EPHEMERAL,
        Lifetime::Limited => life > EPHEMERAL,
        Lifetime::LongLived => false,
    };
    after(field.written, life).filter(|_| agrees)
}

/// Is the store's `ttl_seconds` that of a token of this kind? Beside a refresh token it is the access token's.
fn applies(store: &Store, kind: Kind) -> bool {
    match kind {
        Kind::AccessToken | Kind::SessionToken | Kind::SessionCookie | Kind::KubeSaToken => true,
        Kind::RefreshToken => !store.kind.contains(&Kind::AccessToken),
        _ => store.staleness == Staleness::TtlSinceWrite,
    }
}

/// How long it lives, if its dates say so. Without a time of issue the file's counts: it was written then or later.
fn by_dates(facts: &Facts, written: Option<Timestamp>) -> Option<Lifetime> {
    let expires = facts.expires?;
    let life = facts.issued.or(written).map(|issued| expires.duration_since(issued));
    Some(if life.is_some_and(|life| life <= EPHEMERAL) { Lifetime::Ephemeral } else { Lifetime::Limited })
}

fn lifetime(store: &Store, facts: &Facts, written: Option<Timestamp>) -> Lifetime {
    if let Some(lifetime) = by_dates(facts, written) {
        return lifetime;
    }
    if facts.lifetime != Lifetime::Unknown {
        return facts.lifetime;
    }
    if let Some(life) = store.ttl_seconds.filter(|_| applies(store, facts.kind)) {
        let day = EPHEMERAL.as_secs().unsigned_abs();
        return if life <= day { Lifetime::Ephemeral } else { Lifetime::Limited };
    }
    match facts.kind {
        // These are good until somebody takes them back.
        Kind::ApiKey
        | Kind::PrivateKey
        | Kind::Password
        | Kind::PasswordHash
        | Kind::ServiceAccountKey
        | Kind::OauthClientSecret
        | Kind::TotpSeed => Lifetime::LongLived,
        _ => Lifetime::Unknown,
    }
}

#[cfg(test)]
mod tests;
