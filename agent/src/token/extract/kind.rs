//! Which kind of secret a place holds, by its name.

use crate::catalogue::model::{Kind, Selector, Store};

/// Words in a name and the kind they speak of. The first that fits, of a kind that the store has, is taken.
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
    ("idtoken", Kind::AccessToken),
    ("access", Kind::AccessToken),
    ("token", Kind::AccessToken),
    ("key", Kind::ApiKey),
    ("secret", Kind::GenericSecret),
];

/// The kind of what a selector found under a name: what the catalogue says of the selector, else what the name says and
/// the store can hold, else the first that the store can hold.
pub(super) fn of(store: &Store, selector: &Selector, name: &str) -> Kind {
    if let Some(kind) = selector.kind {
        return kind;
    }
    let plain: String = name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect();
    let fits = |(word, kind): &&(&str, Kind)| plain.contains(word) && store.kind.contains(kind);
    let named = WORDS.iter().find(fits).map(|(_, kind)| *kind);
    named.or_else(|| store.kind.first().copied()).unwrap_or(Kind::GenericSecret)
}
