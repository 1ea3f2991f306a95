//! What one store's file holds, and who else can get at it.

use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::{
    Inputs,
    find::Found,
    model::{Skipped, StoreFile},
    scope::Scope,
};
use crate::{
    catalogue::{
        matcher::primary_first,
        model::{Holds, Kind, Role, Store},
    },
    posture::{self, Expected, gather::Gatherer},
    token::{
        extract::{Content, extract_all, limits::MAX_BYTES},
        model::{Known, Reference, Token},
        scan::{MOST_TOKENS, NeedleSet, Needles},
        secret::Secret,
    },
};

/// What a SQLite database begins with.
const SQLITE: &[u8] = b"SQLite format 3\0";

/// Looks at one store's file after the other.
pub struct Looker<'a> {
    scope: &'a Scope,
    inputs: &'a Inputs<'a>,
    gatherer: Gatherer<'a>,
    needles: Vec<Needles>,
    not_searched: u64,
}

impl<'a> Looker<'a> {
    /// For the files of a scope.
    #[must_use]
    pub const fn new(scope: &'a Scope, inputs: &'a Inputs<'a>) -> Self {
        Self { scope, inputs, gatherer: Gatherer::new(&scope.view), needles: Vec::new(), not_searched: 0 }
    }

    /// What it takes to find every token that was met, and the number of those that cannot be looked for: too short, made
    /// of words, or too many.
    #[must_use]
    pub fn into_needles(self) -> (NeedleSet, u64) {
        (NeedleSet::new(self.inputs.key, &self.needles), self.not_searched)
    }

    /// Everything about one file.
    ///
    /// # Errors
    /// Why it could not be looked at.
    pub fn look(&mut self, found: &Found) -> Result<StoreFile, Skipped> {
        let catalogue = self.inputs.catalogue;
        let stores = found.stores.iter().filter_map(|number| catalogue.stores().get(*number as usize)).collect();
        let stores: Vec<&Store> = primary_first(stores, &found.path);
        let Some((primary, others)) = stores.split_first() else { return Err(Skipped::Failed) };
        let home = self.scope.home_of(&found.path);
        let expected = Expected {
            mode: primary.mode,
            dir_mode: primary.dir_mode,
            owner: home.and_then(|home| home.uid),
            home: home.map(|home| home.path.clone()),
        };
        let facts = self.gatherer.facts(&found.path, expected).map_err(|error| Skipped::from(&error))?;
        let stat = self.scope.view.stat(&found.path, true).map_err(|error| Skipped::from(&error))?;
        let written = Timestamp::from_second(stat.st_mtime).ok();
        let held = self.extract(&stores, &found.path, written);
        let exposures = posture::exposures(&facts);
        let sure = |store: &&Store| catalogue.holds(store, &found.path, &self.scope.known_homes) == Holds::Secret;
        Ok(StoreFile {
            store: primary.id.clone(),
            tool: primary.tool.clone(),
            also: others.iter().filter(|store| store.role == Role::Store).map(|store| store.id.clone()).collect(),
            holds: if stores.iter().any(sure) { Holds::Secret } else { Holds::Perhaps },
            owner: self.scope.name(facts.uid).map(str::to_owned),
            size: u64::try_from(stat.st_size).unwrap_or(0),
            written,
            tokens: held.tokens,
            references: held.references,
            problems: held.problems,
            exposures,
            facts,
        })
    }
}

/// What a store's file holds, without its tokens.
#[derive(Debug, Default)]
struct Held {
    tokens: Vec<Known>,
    references: Vec<Reference>,
    problems: Vec<String>,
}

impl Looker<'_> {
    /// Takes the tokens out by the rules of every store that shares the file.
    fn extract(&mut self, stores: &[&Store], path: &Path, written: Option<Timestamp>) -> Held {
        let mut held = Held::default();
        let bytes = match self.read(path) {
            Ok(bytes) => bytes,
            Err(error) => {
                held.problems.push(format!("cannot be read: {}", error.kind()));
                return held;
            }
        };
        let wal = bytes.expose().starts_with(SQLITE).then(|| self.read(&beside(path, "-wal")).ok()).flatten();
        let content = Content { path, bytes: bytes.expose(), wal: wal.as_ref().map(Secret::expose), written };
        for (store, extraction) in extract_all(stores, &content) {
            for token in &extraction.tokens {
                self.needles(token);
            }
            held.references.extend(extraction.references.iter().cloned());
            held.problems.extend(extraction.problems.iter().cloned());
            held.tokens.extend(extraction.known(self.inputs.key, &store.id, path));
        }
        held.references.dedup();
        held.problems.sort_unstable();
        held.problems.dedup();
        held
    }

    /// Keeps what it takes to find the token elsewhere.
    fn needles(&mut self, token: &Token) {
        if self.needles.len() >= MOST_TOKENS {
            self.not_searched += 1;
        } else if wanted(token.facts.kind) {
            match Needles::of(self.inputs.key, &token.secret) {
                Ok(needles) => self.needles.push(needles),
                Err(_) => self.not_searched += 1,
            }
        }
    }

    fn read(&self, path: &Path) -> std::io::Result<Secret> {
        // One byte more, so that extraction can say that it is too large.
        self.scope.view.read(path, MAX_BYTES as u64 + 1).map(Secret::new)
    }
}

/// Is it secret at all?
const fn wanted(kind: Kind) -> bool {
    !matches!(kind, Kind::Metadata | Kind::ConfigWithHelper | Kind::AgentSocket)
}

/// The file of that name with something added.
fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}
