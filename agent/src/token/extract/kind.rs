//! Which kind of secret a place holds, by its name.

use crate::catalogue::model::{Kind, Selector, Store};

/// Words in a name and the kind they speak of. The first that fits is taken, before others if the store has that kind.
const WORDS: &[(&str, Kind)] = &[
    ("refresh", Kind::RefreshToken),
    ("session", Kind::SessionToken),
    ("clientsecret", Kind::OauthClientSecret),
    ("privatekey", Kind::PrivateKey),
    ("clientkey", Kind::PrivateKey),
    ("pkey", Kind::PrivateKey),
    ("hash", Kind::PasswordHash),
    ("cookie", Kind::SessionCookie),
    ("passphrase", Kind::Password),
    ("passwd", Kind::Password),
    ("password", Kind::Password),
    ("pass", Kind::Password),
    ("psk", Kind::Password),
    ("apikey", Kind::ApiKey),
    ("apitoken", Kind::ApiKey),
    ("accesskey", Kind::ApiKey),
    ("secretkey", Kind::ApiKey),
    ("authorization", Kind::AccessToken),
    ("idtoken", Kind::AccessToken),
    ("access", Kind::AccessToken),
    ("token", Kind::AccessToken),
    ("key", Kind::ApiKey),
    ("secret", Kind::GenericSecret),
];

/// The kind of what a selector found under a name: what the catalogue says of the selector, else what the name says and
/// the store can hold, else what the name says, else the first that the store can hold.
pub(super) fn of(store: &Store, selector: &Selector, name: &str) -> Kind {
    if let Some(kind) = selector.kind {
        return kind;
    }
    let plain: String = name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect();
    let mut named = WORDS.iter().filter(|(word, _)| plain.contains(word)).map(|(_, kind)| *kind);
    let known = named.clone().find(|kind| store.kind.contains(kind));
    known.or_else(|| named.next()).or_else(|| store.kind.first().copied()).unwrap_or(Kind::GenericSecret)
}
