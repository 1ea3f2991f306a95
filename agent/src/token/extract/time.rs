//! When a token was issued and when it ends, from the fields that stand beside it.

use std::path::Path;

use jiff::Timestamp;

use super::{Found, is_for, sources::Sources};
use crate::{
    catalogue::model::{Kind, Selector, Store, TimeEncoding, TimeField},
    token::times,
};

/// The times that a content holds.
pub(super) struct Times<'s> {
    expiry: Vec<At<'s>>,
    issued: Vec<At<'s>>,
}

struct At<'s> {
    field: &'s TimeField,
    path: Vec<String>,
    label: String,
    at: Timestamp,
}

impl<'s> Times<'s> {
    pub(super) fn new(store: &'s Store, path: &Path, sources: &mut Sources<'_>) -> Self {
        let mut read = |fields: &'s [TimeField]| {
            let mut all = Vec::new();
            for field in fields.iter().filter(|field| is_for(&field.field, path)) {
                for found in sources.quietly(&field.field) {
                    if let Some(at) = times::decode(field.encoding, &found.bytes).and_then(times::Time::at) {
                        all.push(At { field, path: found.path, label: found.label, at });
                    }
                }
            }
            all
        };
        Self { expiry: read(&store.expiry_fields), issued: read(&store.issued_fields) }
    }

    pub(super) fn expires(&self, selector: &Selector, kind: Kind, token: &Found) -> Option<Timestamp> {
        // What ends an access token does not end the token that renews it.
        let renews =
            matches!(kind, Kind::RefreshToken | Kind::OauthClientSecret | Kind::PrivateKey | Kind::ServiceAccountKey);
        nearest(&self.expiry, selector, token, renews)
    }

    pub(super) fn issued(&self, selector: &Selector, token: &Found) -> Option<Timestamp> {
        nearest(&self.issued, selector, token, false)
    }
}

/// The time that is about a token: the one that stands deepest of those beside it or above, of these the first. Only if
/// it is said to be about this token, if `named`.
fn nearest(times: &[At<'_>], selector: &Selector, token: &Found, named: bool) -> Option<Timestamp> {
    let mut best: Option<&At<'_>> = None;
    for time in times.iter().filter(|time| about(time, selector, token, named)) {
        if best.is_none_or(|best| best.path.len() < time.path.len()) {
            best = Some(time);
        }
    }
    best.map(|time| time.at)
}

fn about(time: &At<'_>, selector: &Selector, token: &Found, named: bool) -> bool {
    // What a token says itself is about itself alone.
    if matches!(time.field.encoding, TimeEncoding::JwtExp | TimeEncoding::JwtIat) {
        return time.path == token.path && time.label == token.label;
    }
    let above = time.path.split_last().map_or(&[][..], |(_, parent)| parent);
    if !token.parent().starts_with(above) {
        return false;
    }
    if time.field.of.is_empty() { !named } else { time.field.of.contains(&selector.selector) }
}
