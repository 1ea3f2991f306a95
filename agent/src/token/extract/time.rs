//! When a token was issued and when it ends, from the fields that stand beside it.

use std::{collections::HashMap, path::Path};

use jiff::Timestamp;

use super::{
    is_for,
    sources::{Found, Sources},
};
use crate::{
    catalogue::model::{Kind, Selector, Store, TimeEncoding, TimeField},
    token::times,
};

/// The times that a content holds.
pub(super) struct Times<'s> {
    expiry: Fields<'s>,
    issued: Fields<'s>,
}

/// Times by where they stand, so that a content with thousands of tokens is no more work for each of them.
#[derive(Default)]
struct Fields<'s> {
    /// What a token says about itself, by its path and label.
    own: HashMap<(Vec<String>, String), Timestamp>,
    /// What stands beside tokens, by the names above it, in the order of the catalogue.
    beside: HashMap<Vec<String>, Vec<(&'s TimeField, Timestamp)>>,
}

impl<'s> Times<'s> {
    pub(super) fn new(store: &'s Store, path: &Path, sources: &mut Sources<'_>) -> Self {
        let mut read = |fields: &'s [TimeField]| {
            let mut all = Fields::default();
            for field in fields.iter().filter(|field| is_for(&field.field, path)) {
                for found in sources.quietly(&field.field) {
                    if let Some(at) = times::decode(field.encoding, &found.bytes).and_then(times::Time::at) {
                        all.add(field, found, at);
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
        self.expiry.nearest(selector, token, renews)
    }

    pub(super) fn issued(&self, selector: &Selector, token: &Found) -> Option<Timestamp> {
        self.issued.nearest(selector, token, false)
    }
}

impl<'s> Fields<'s> {
    fn add(&mut self, field: &'s TimeField, found: Found, at: Timestamp) {
        if matches!(field.encoding, TimeEncoding::JwtExp | TimeEncoding::JwtIat) {
            self.own.entry((found.path, found.label)).or_insert(at);
        } else {
            self.beside.entry(found.parent().to_vec()).or_default().push((field, at));
        }
    }

    /// The time that is about a token: its own word, else that of the nearest field beside it or above, of these the
    /// first. Only a field that names the token's selector, if `named`.
    fn nearest(&self, selector: &Selector, token: &Found, named: bool) -> Option<Timestamp> {
        if let Some(at) = self.own.get(&(token.path.clone(), token.label.clone())) {
            return Some(*at);
        }
        let about = |field: &TimeField| {
            if field.of.is_empty() { !named } else { field.of.contains(&selector.selector) }
        };
        let parent = token.parent();
        (0..=parent.len()).rev().find_map(|length| {
            let fields = self.beside.get(&parent[..length])?;
            fields.iter().find(|(field, _)| about(field)).map(|(_, at)| *at)
        })
    }
}
