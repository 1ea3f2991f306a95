//! What one store's file holds, and who else can get at it.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

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
        model::{Holds, Role, Store},
    },
    posture::{self, Expected, gather::Gatherer},
    token::{
        model::{Extraction, Known, Reference},
        secret::Secret,
    },
};

/// Looks at one store's file after the other.
#[derive(Debug)]
pub struct Looker<'a> {
    scope: &'a Scope,
    inputs: &'a Inputs<'a>,
    gatherer: Gatherer<'a>,
}

impl<'a> Looker<'a> {
    /// For the files of a scope.
    #[must_use]
    pub const fn new(scope: &'a Scope, inputs: &'a Inputs<'a>) -> Self {
        Self { scope, inputs, gatherer: Gatherer::new(&scope.view) }
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

/// Largest file of a store that is read, in bytes.
const MAX_STORE: u64 = 64 << 20;

/// What a store's file holds, without its tokens.
#[derive(Debug, Default)]
struct Held {
    tokens: Vec<Known>,
    references: Vec<Reference>,
    problems: Vec<String>,
}

impl Looker<'_> {
    /// Takes the tokens out by the rules of every store that shares the file; each token counts for the first that knows it.
    fn extract(&self, stores: &[&Store], path: &Path, written: Option<Timestamp>) -> Held {
        let mut held = Held::default();
        let bytes = match self.read(path) {
            Ok(bytes) => bytes,
            Err(error) => {
                held.problems.push(format!("cannot be read: {}", error.kind()));
                return held;
            }
        };
        let wal = self.read(&beside(path, "-wal")).ok();
        let mut seen = BTreeSet::new();
        for store in stores {
            let wal = wal.as_ref().map(Secret::expose);
            let content = Content { path, bytes: bytes.expose(), wal, written };
            let Extraction { tokens, references, problems } = extract(store, &content);
            let extraction = Extraction { tokens, ..Extraction::default() };
            let known = extraction.known(self.inputs.key, &store.id, path);
            held.tokens.extend(known.into_iter().filter(|known| seen.insert(known.fingerprint)));
            held.references.extend(references);
            held.problems.extend(problems);
        }
        held.references.dedup();
        held.problems.dedup();
        held
    }

    fn read(&self, path: &Path) -> std::io::Result<Secret> {
        self.scope.view.read(path, MAX_STORE).map(Secret::new)
    }
}

/// The file of that name with something added.
fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

// Until extraction is merged.
struct Content<'a> {
    path: &'a Path,
    bytes: &'a [u8],
    wal: Option<&'a [u8]>,
    written: Option<Timestamp>,
}
fn extract(_store: &Store, content: &Content<'_>) -> Extraction {
    let _ = (content.path, content.bytes, content.wal, content.written);
    Extraction::default()
}
