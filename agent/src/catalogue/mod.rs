//! The credential stores we know and who may read them.
//!
//! Shipped entries are part of the program; `/etc/tokenhound/catalogue.d/*.yaml` adds to them or replaces them by id.
//! A store answers two questions, both pure: does this path belong to it ([`matcher`]), and may this program read it
//! ([`expect`])? [`compile`] turns its paths into what the kernel watches, [`scan`] finds what names cannot express.

pub mod actors;
mod check;
pub mod compile;
pub mod decoy;
pub mod embedded;
pub mod expect;
pub mod homes;
pub mod interpreters;
pub mod matcher;
pub mod model;
mod parse;
pub mod pattern;
pub mod prints;
pub mod scan;
pub mod text;
mod vocabulary;

use std::{
    collections::{BTreeSet, HashMap},
    net::IpAddr,
    path::{Path, PathBuf},
};

use self::{
    actors::Actors,
    compile::WatchPlan,
    expect::Expectation,
    homes::{EnvOverrides, Homes},
    interpreters::Interpreters,
    matcher::Matcher,
    model::{Holds, Store},
    parse::Parsed,
    pattern::Pattern,
    prints::Prints,
};
use crate::{
    lineage::model::Process,
    yaml::{self, Guard, Place, Problems},
};

/// Where operators put their own entries.
pub const DIRECTORY: &str = "/etc/tokenhound/catalogue.d";

/// The whole catalogue, ready to answer.
#[derive(Clone, Debug, Default)]
pub struct Catalogue {
    stores: Vec<Store>,
    interpreters: Interpreters,
    actors: Actors,
    matcher: Matcher,
    sockets: Matcher,
    outlets: Matcher,
    numbers: HashMap<String, usize>,
    prints: Prints,
}

/// A catalogue with what its operator should be told.
#[derive(Clone, Debug, Default)]
pub struct Loaded {
    /// The catalogue.
    pub catalogue: Catalogue,
    /// Warnings, such as entries that were replaced.
    pub notes: Problems,
}

impl Catalogue {
    /// The shipped catalogue.
    ///
    /// # Errors
    /// A shipped file has a mistake; the unit tests rule that out.
    pub fn embedded() -> Result<Self, Problems> {
        Self::build(shipped()?, Vec::new()).map(|loaded| loaded.catalogue)
    }

    /// The shipped catalogue and the files of `directory` over it (none if it does not exist).
    ///
    /// # Errors
    /// Every mistake of every file at once.
    pub fn load(directory: &Path) -> Result<Loaded, Problems> {
        let mut problems = Problems::new();
        let mut own = Vec::new();
        for file in yaml::directory(directory)? {
            match yaml::read(&file, Guard::Trusted).and_then(|text| parse::parse(&file, &text)) {
                Ok(parsed) => own.push(parsed),
                Err(found) => problems.append(found),
            }
        }
        if problems.has_errors() {
            return Err(problems);
        }
        Self::build(shipped()?, own)
    }

    /// The shipped catalogue with one file over it that is only looked at; and how many stores the file has.
    ///
    /// # Errors
    /// Every mistake of the file at once.
    pub fn with_file(file: &Path) -> Result<(Loaded, usize), Problems> {
        let text = yaml::read(file, Guard::Looked)?;
        let parsed = parse::parse(file, &text)?;
        let stores = parsed.stores.len();
        Self::build(shipped()?, vec![parsed]).map(|loaded| (loaded, stores))
    }

    fn build(base: Vec<Parsed>, own: Vec<Parsed>) -> Result<Loaded, Problems> {
        let mut problems = Problems::new();
        let mut interpreters = Interpreters::default();
        let mut actors = Actors::default();
        let mut layers = [Vec::new(), Vec::new()];
        for (layer, parsed) in [base, own].into_iter().enumerate() {
            for file in parsed {
                layers[layer].extend(file.stores);
                interpreters.overlay(file.interpreters);
                actors::check(&file.actors, &mut problems);
                actors.overlay(file.actors);
            }
            check::unique(&layers[layer], &mut problems);
        }
        let [mut stores, own] = layers;
        for store in own {
            if let Some(old) = stores.iter_mut().find(|old| old.id == store.id) {
                let message = format!("\"{}\" replaces the entry of {}", store.id, old.file.display());
                problems.warning(&store.file, store.place, message);
                *old = store;
            } else {
                stores.push(store);
            }
        }
        share_paths(&mut stores);
        check::together(&stores, &interpreters, &mut problems);
        if problems.has_errors() {
            return Err(problems);
        }
        let compiled =
            Matcher::new(&stores).and_then(|files| Ok((files, Matcher::sockets(&stores)?, Matcher::outlets(&stores)?)));
        let (matcher, sockets, outlets) = compiled.map_err(|error| {
            let mut problems = Problems::new();
            problems.error(Path::new("catalogue"), Place::default(), error.to_string());
            problems
        })?;
        let numbers = numbers(&stores);
        let prints = Prints::new(&stores);
        Ok(Loaded {
            catalogue: Self { stores, interpreters, actors, matcher, sockets, outlets, numbers, prints },
            notes: problems,
        })
    }

    /// Every entry, in the order of the files.
    #[must_use]
    pub fn stores(&self) -> &[Store] {
        &self.stores
    }

    /// The entry with this id.
    #[must_use]
    pub fn store(&self, id: &str) -> Option<&Store> {
        self.numbers.get(id).and_then(|number| self.stores.get(*number))
    }

    /// The id nearest to a mistyped one.
    #[must_use]
    pub fn suggest(&self, id: &str) -> Option<&str> {
        yaml::fields::suggest(id, self.stores.iter().map(|store| store.id.as_str()))
    }

    /// The interpreters.
    #[must_use]
    pub const fn interpreters(&self) -> &Interpreters {
        &self.interpreters
    }

    /// The actors.
    #[must_use]
    pub const fn actors(&self) -> &Actors {
        &self.actors
    }

    /// The stores that an absolute path belongs to. The first names the path: its family is what counts in a sweep,
    /// since a shared file (`.netrc`) is one thing to a thief.
    ///
    /// `overrides` are those of the reading process, merged with what was learnt from others.
    #[must_use]
    pub fn stores_for(&self, path: &Path, homes: &Homes, overrides: &EnvOverrides) -> Vec<&Store> {
        self.named(&self.matcher.matches(path, homes, overrides), path)
    }

    /// The stores that a socket at an absolute path belongs to.
    #[must_use]
    pub fn sockets_for(&self, path: &Path, homes: &Homes, overrides: &EnvOverrides) -> Vec<&Store> {
        self.named(&self.sockets.matches(path, homes, overrides), path)
    }

    /// The history or log that a file with an absolute path is.
    #[must_use]
    pub fn outlet_for(&self, path: &Path, homes: &Homes, overrides: &EnvOverrides) -> Option<&Store> {
        self.named(&self.outlets.matches(path, homes, overrides), path).into_iter().next()
    }

    /// Does a variable of that name move a history or log?
    #[must_use]
    pub fn moves_outlets(&self, variable: &str) -> bool {
        self.outlets.moves(variable)
    }

    /// The stores whose tokens an address hands out.
    pub fn stores_at(&self, address: IpAddr) -> impl Iterator<Item = &Store> {
        self.stores.iter().filter(move |store| store.addresses.contains(&address))
    }

    /// Every address that hands out tokens, once.
    #[must_use]
    pub fn addresses(&self) -> BTreeSet<IpAddr> {
        self.stores.iter().flat_map(|store| &store.addresses).copied().collect()
    }

    /// The stores that a path may belong to whose components near the root are missing.
    #[must_use]
    pub fn stores_for_truncated(&self, tail: &Path) -> Vec<&Store> {
        self.named(&self.matcher.matches_truncated(tail), tail)
    }

    fn named(&self, numbers: &[u32], path: &Path) -> Vec<&Store> {
        let stores = numbers.iter().filter_map(|number| self.stores.get(*number as usize)).collect();
        matcher::primary_first(stores, path)
    }

    /// How sure it is that this file of a store holds a secret: a configuration file that holds one at times, or a
    /// project's `.npmrc`, says little by being read.
    #[must_use]
    pub fn holds(&self, store: &Store, path: &Path, homes: &Homes) -> Holds {
        let matches = |pattern: &Pattern| {
            let homes = homes.split(path).map(|(home, _)| home);
            pattern.matches(path, None) || homes.into_iter().any(|home| pattern.matches(path, Some(home)))
        };
        let sure = |pattern: &&Pattern| !store.perhaps_paths.contains(pattern);
        let perhaps = store.holds == Holds::Perhaps
            || (store.perhaps_paths.iter().any(matches) && !store.paths.iter().filter(sure).any(matches));
        if perhaps { Holds::Perhaps } else { Holds::Secret }
    }

    /// The stores whose token a program prints that is started with these arguments, if it is theirs, and by which command.
    #[must_use]
    pub fn prints<'a>(&self, args: impl Iterator<Item = &'a str> + Clone) -> Vec<(&Store, &str)> {
        let found = self.prints.of(args);
        found.into_iter().filter_map(|(number, command)| Some((self.stores.get(number as usize)?, command))).collect()
    }

    /// Is a reader of some store known by its package?
    #[must_use]
    pub fn names_packages(&self) -> bool {
        self.stores.iter().any(|store| store.readers.iter().any(|reader| !reader.package.is_empty()))
    }

    /// May `reader` read a file of these stores? One store that expects it is enough: they share the file.
    #[must_use]
    pub fn expectation(&self, stores: &[&Store], reader: &Process, home: Option<&Path>) -> Expectation {
        expect::of_any(stores, reader, home, &self.interpreters)
    }

    /// What the kernel watches for all of this.
    #[must_use]
    pub fn watch_plan(&self) -> WatchPlan {
        WatchPlan::new(&self.stores)
    }

    /// What it must watch besides, because variables of running processes have moved stores.
    #[must_use]
    pub fn watch_plan_of(&self, overrides: &EnvOverrides) -> WatchPlan {
        WatchPlan::of_overrides(&self.stores, overrides)
    }

    /// The environment variables that the decoder must keep: those that move a store, and `HOME`.
    #[must_use]
    pub fn environment_variables(&self) -> BTreeSet<String> {
        let moving = self.matcher.variables().chain(self.sockets.variables()).chain(self.outlets.variables());
        moving.map(str::to_owned).chain(["HOME".to_owned()]).collect()
    }
}

/// Notes which paths of each store another one has as well.
fn share_paths(stores: &mut [Store]) {
    let mut owners: HashMap<String, usize> = HashMap::new();
    for pattern in stores.iter().flat_map(|store| &store.paths) {
        *owners.entry(pattern.text().to_owned()).or_default() += 1;
    }
    for store in stores {
        let shared = store.paths.iter().filter(|pattern| owners.get(pattern.text()).is_some_and(|owners| *owners > 1));
        store.shared_paths = shared.cloned().collect();
    }
}

fn numbers(stores: &[Store]) -> HashMap<String, usize> {
    stores.iter().enumerate().map(|(number, store)| (store.id.clone(), number)).collect()
}

fn shipped() -> Result<Vec<Parsed>, Problems> {
    let mut problems = Problems::new();
    let mut all = Vec::new();
    for (name, text) in embedded::FILES {
        let file: PathBuf = embedded::file_name(name);
        match parse::parse(&file, text) {
            Ok(parsed) => all.push(parsed),
            Err(found) => problems.append(found),
        }
    }
    if problems.has_errors() { Err(problems) } else { Ok(all) }
}

#[cfg(test)]
mod page;
#[cfg(test)]
pub(crate) mod tests;
