//! What is known of a token without asking anybody.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    fingerprint::{Fingerprint, Key},
    secret::{Secret, clean_stack},
};
use crate::catalogue::model::Kind;
pub use crate::catalogue::model::Protection;

/// A token as it was taken out of a store: what it is, and its bytes for as long as its fingerprint takes.
#[derive(Debug)]
pub struct Token {
    /// Its bytes.
    pub secret: Secret,
    /// What it tells.
    pub facts: Facts,
}

/// Everything that a store's file holds.
#[derive(Debug, Default)]
pub struct Extraction {
    /// Tokens that lie in it.
    pub tokens: Vec<Token>,
    /// Tokens that it names and that lie elsewhere.
    pub references: Vec<Reference>,
    /// What could not be understood. Words without any content of the file.
    pub problems: Vec<String>,
}

impl Extraction {
    /// What is known of its tokens, without them: the tokens are overwritten, and so is the stack.
    #[must_use]
    pub fn known(self, key: &Key, store: &str, path: &Path) -> Vec<Known> {
        let known = |Token { secret, facts }: Token| Known {
            fingerprint: key.fingerprint(&secret),
            store: store.to_owned(),
            path: path.to_owned(),
            facts,
        };
        let all = self.tokens.into_iter().map(known).collect();
        clean_stack();
        all
    }
}

/// What a token and the store around it tell. None of it is secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// What kind of token it is.
    pub kind: Kind,
    /// Which of the store's tokens: the selector with the profile, host or account in place of its wildcards.
    pub field: String,
    /// Who issued it, where that is known: a host, the `iss` of a JWT.
    pub issuer: Option<String>,
    /// Whom it stands for.
    pub subject: Subject,
    /// What it allows, where that is said locally.
    pub scopes: Vec<String>,
    /// When it was issued.
    pub issued: Option<Timestamp>,
    /// When it ends.
    pub expires: Option<Timestamp>,
    /// How long tokens of its kind live.
    pub lifetime: Lifetime,
    /// How it is protected where it lies.
    pub protection: Protection,
}

impl Facts {
    /// Facts of which only the kind and the place are known.
    #[must_use]
    pub fn new(kind: Kind, field: impl Into<String>) -> Self {
        Self {
            kind,
            field: field.into(),
            issuer: None,
            subject: Subject::Unknown,
            scopes: Vec::new(),
            issued: None,
            expires: None,
            lifetime: Lifetime::Unknown,
            protection: Protection::Plain,
        }
    }
}

/// Whom a token stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Subject {
    /// A person.
    Person,
    /// A service account, robot, runner or application.
    Machine,
    /// It does not say.
    Unknown,
}

/// How long tokens of a kind live.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Lifetime {
    /// It ends by itself within a day or so.
    Ephemeral,
    /// It ends by itself, later.
    Limited,
    /// It is good until somebody revokes it.
    LongLived,
    /// Nobody knows.
    Unknown,
}

/// The token is not in the store: the store says where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// The selector that says so, with the names in place of its wildcards.
    pub field: String,
    /// Where it is.
    pub to: ReferenceTo,
}

/// Where a token is that is not in its store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReferenceTo {
    /// In a keyring or with a helper program: the good case.
    Helper,
    /// In a variable of the environment.
    Environment,
    /// In another file.
    File(PathBuf),
}

/// A token that is known: everything but the token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known {
    /// Which.
    pub fingerprint: Fingerprint,
    /// Id of the store.
    pub store: String,
    /// Where it was found.
    #[serde(with = "crate::state::path")]
    pub path: PathBuf,
    /// What it tells.
    pub facts: Facts,
}
