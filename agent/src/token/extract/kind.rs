//! Which kind of secret a place holds, by its name.

use crate::catalogue::model::{Kind, Selector, Store};

/// Words in a name that leave no doubt, and the kind they speak of.
const CLEAR: &[(&str, Kind)] = &[
    ("refresh", Kind::RefreshToken),
    ("clientsecret", Kind::OauthClientSecret),
    ("private", Kind::PrivateKey),
    ("clientkey", Kind::PrivateKey),
    ("pkey", Kind::PrivateKey),
    ("hash", Kind::PasswordHash),
    ("cookie", Kind::SessionCookie),
    ("pass", Kind::Password),
    ("psk", Kind::Password),
];

/// Words that mean this or that, and a kind they can mean.
const VAGUE: &[(&str, Kind)] = &[
    ("session", Kind::SessionToken),
    ("apikey", Kind::ApiKey),
    ("apitoken", Kind::ApiKey),
    ("accesskey", Kind::ApiKey),
    ("secretkey", Kind::ApiKey),
    ("authorization", Kind::AccessToken),
    ("access", Kind::AccessToken),
    ("token", Kind::AccessToken),
    ("key", Kind::ApiKey),
    ("secret", Kind::GenericSecret),
];

/// The kind of what a selector found under a name: what the catalogue says of the selector; else what the name says that
/// the store can hold; else what the name says clearly; else the first that the store can hold.
pub(super) fn of(store: &Store, selector: &Selector, name: &str) -> Kind {
    if let Some(kind) = selector.kind {
        return kind;
    }
    let plain: String = name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect();
    let said =
        |words: &'static [(&str, Kind)]| words.iter().filter(|(word, _)| plain.contains(word)).map(|(_, kind)| *kind);
    let held = said(CLEAR).chain(said(VAGUE)).find(|kind| store.kind.contains(kind));
    held.or_else(|| said(CLEAR).next()).or_else(|| store.kind.first().copied()).unwrap_or(Kind::GenericSecret)
}
