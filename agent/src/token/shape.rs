//! Documented shapes of tokens: what they begin with, how they are built, who issues them. With them a token is recognised
//! where no store says that it is one: in histories, scripts and logs.
//!
//! [`find`] wants to be right: without a checksum a token must be built as its vendor says, look random, and be no
//! placeholder. Redaction (`ingest/redact/shapes.rs`) uses the same beginnings ([`beginnings`]) and takes more, as it must.

use std::ops::Range;

use super::model::{Facts, Lifetime, Subject};
use crate::catalogue::model::Kind;

mod build;
mod check;
mod find;
mod sample;
mod table;
#[cfg(test)]
mod tests;

pub use check::with_checksum;
pub use find::{Matches, find};

/// The name of the issuer of shapes that are nobody's own.
pub const UNKNOWN: &str = "unknown";

/// Who issues tokens of some shapes.
#[derive(Debug, PartialEq, Eq)]
pub struct Issuer {
    /// Its name.
    pub name: &'static str,
    /// How to make a token worthless.
    pub revoke: &'static str,
    /// Where the shapes are documented.
    pub source: &'static str,
}

/// What tokens of one kind look like, and what that says of them.
#[derive(Debug)]
pub struct Shape {
    /// Its id, unique among shapes; the catalogue's `token_shapes` name it.
    pub id: &'static str,
    /// What it is, in words.
    pub what: &'static str,
    /// Who issues it.
    pub issuer: &'static Issuer,
    /// What kind of token it is.
    pub kind: Kind,
    /// How long such tokens live, as documented.
    pub lifetime: Lifetime,
    /// Whom such tokens stand for.
    pub subject: Subject,
    /// What it begins with.
    prefixes: &'static [&'static str],
    /// How many characters of which alphabet stand before the prefix and belong to it.
    before: Option<build::Part>,
    /// How it is built after the prefix.
    body: build::Body,
    /// What must hold as well.
    check: check::Check,
    /// What redaction makes of the prefix.
    loose: Loose,
}

impl PartialEq for Shape {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl Eq for Shape {}

impl std::hash::Hash for Shape {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.id.hash(state);
    }
}

/// How much must follow a beginning for redaction to take it for a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loose {
    /// It occurs nowhere else: wherever it stands, with few characters behind it.
    Anywhere,
    /// Parts of words begin like it: not behind a letter or digit, with so many characters behind it.
    Start(usize),
    /// Names begin like it (`npm_config_cache`): the same, and so many letters and digits without a separator.
    Run(usize),
}

/// Ids of keys: public, and of no use without the key itself, which has no shape.
const IDS: [&str; 2] = ["aws-access-key", "aws-session-key"];

/// Fewest characters of a beginning that occurs by accident in no word of random letters.
const TELLING: usize = 4;

impl Shape {
    /// What it is and who issues it, in words: `personal access token (classic) of GitHub`.
    #[must_use]
    pub fn words(&self) -> String {
        match self.issuer.name {
            UNKNOWN => self.what.to_owned(),
            issuer => format!("{} of {issuer}", self.what),
        }
    }

    /// Is a text like that secret by itself, and by its beginning no accident?
    #[must_use]
    pub fn is_telling(&self) -> bool {
        !IDS.contains(&self.id) && self.before.is_none() && self.prefixes.iter().all(|prefix| prefix.len() >= TELLING)
    }
}

/// A token in a text.
#[derive(Clone, Debug)]
pub struct Match {
    /// Where it is, in bytes.
    pub range: Range<usize>,
    /// What it is.
    pub shape: &'static Shape,
    /// It is no accident: its checksum holds, or it was parsed (private keys, JSON web tokens).
    pub checked: bool,
}

impl Match {
    /// What the shape and the token itself say of it. `text` is what [`find`] was given.
    #[must_use]
    pub fn facts(&self, text: &[u8]) -> Facts {
        let mut facts = Facts::new(self.shape.kind, self.shape.id);
        facts.issuer = Some(self.shape.issuer.name.to_owned()).filter(|name| name != UNKNOWN);
        facts.lifetime = self.shape.lifetime;
        facts.subject = self.shape.subject;
        super::describe::from_content(text.get(self.range.clone()).unwrap_or_default(), &mut facts);
        facts
    }
}

/// Every shape.
pub fn all() -> impl Iterator<Item = &'static Shape> {
    table::TABLES.iter().copied().flatten()
}

/// The shape of that id.
#[must_use]
pub fn named(id: &str) -> Option<&'static Shape> {
    all().find(|shape| shape.id == id)
}

/// The shape of a token that stands alone. Blanks around it do not matter.
#[must_use]
pub fn of(token: &[u8]) -> Option<Match> {
    let start = token.len() - token.trim_ascii_start().len();
    let end = start + token.trim_ascii().len();
    find(token).next().filter(|found| found.range == (start..end))
}

/// All beginnings, with what redaction makes of them: those of [`all`], and those that say too little to recognise a token by.
pub fn beginnings() -> impl Iterator<Item = (&'static str, Loose)> {
    let shapes = all().flat_map(|shape| shape.prefixes.iter().map(|prefix| (*prefix, shape.loose)));
    shapes.chain(table::VAGUE.iter().copied())
}
