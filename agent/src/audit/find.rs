//! Where stores are: what the catalogue's patterns lead to in every home and in the system, links followed inside the
//! view, and what a search through the homes or the root meets of those that can be anywhere.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Mutex,
};

use ignore::DirEntry;
use rustix::fs::FileType;

use super::{
    model::{Counts, Skipped},
    progress::Progress,
    scope::{Home, Scope},
    walk::{self, Visitor},
};
use crate::catalogue::{
    Catalogue,
    homes::system_home,
    matcher::Matcher,
    model::{Role, Store},
    pattern::{Anchor, Part, Pattern, glob},
};

/// Most entries looked at for one pattern.
const ENTRIES: u64 = 100_000;
/// Deepest level below a `**`.
const DEPTH: usize = 16;
/// Most files of stores.
const FILES: usize = 100_000;

/// A file that stores are kept in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The name it is known by, inside the view.
    pub path: PathBuf,
    /// Numbers of the stores.
    pub stores: BTreeSet<u32>,
}

/// Every file of a store, by path.
#[must_use]
pub fn stores(scope: &Scope, catalogue: &Catalogue, counts: &mut Counts, progress: &Progress) -> Vec<Found> {
    let mut finder = Finder { scope, found: BTreeMap::new(), entries: 0, until: 0, cut: 0 };
    for (number, store) in catalogue.stores().iter().enumerate() {
        if store.role == Role::Store {
            finder.store(number as u32, store);
        }
    }
    let Finder { mut found, cut, .. } = finder;
    let cut = (0..cut).map(|_| Skipped::Cut);
    cut.for_each(|why| counts.skip(why));
    for (path, numbers) in search(scope, catalogue, counts, progress) {
        found.entry(path).or_default().extend(numbers);
    }
    for _ in FILES..found.len() {
        counts.skip(Skipped::Cut);
    }
    found.into_iter().take(FILES).map(|(path, stores)| Found { path, stores }).collect()
}

struct Finder<'a> {
    scope: &'a Scope,
    found: BTreeMap<PathBuf, BTreeSet<u32>>,
    entries: u64,
    /// Number of entries at which the current pattern is cut.
    until: u64,
    cut: u64,
}

impl Finder<'_> {
    fn store(&mut self, number: u32, store: &Store) {
        for pattern in store.kept_paths().filter(|pattern| !pattern.roams_anywhere()) {
            match pattern.anchor() {
                Anchor::Root if self.scope.system => self.start(number, store, None, Path::new("/"), pattern.parts()),
                Anchor::Home => {
                    for home in &self.scope.homes {
                        // Daemons have homes like `/usr/sbin`: a bare name there is not theirs.
                        if pattern.parts().len() > 1 || !system_home(&home.path) {
                            self.start(number, store, Some(home), &home.path, pattern.parts());
                        }
                    }
                }
                Anchor::Variable(name) => {
                    let values: Vec<PathBuf> = self.values(name);
                    for value in values {
                        self.start(number, store, None, &value, pattern.parts());
                    }
                }
                Anchor::Root | Anchor::Anywhere => {}
            }
        }
        for variable in &store.path_env {
            for value in self.values(&variable.name) {
                for rest in variable.templates.iter().filter_map(|template| template.strip_prefix("{}")) {
                    let Some(pattern) = Pattern::below(&value, rest) else { continue };
                    self.start(number, store, None, Path::new("/"), pattern.parts());
                }
            }
        }
    }

    fn values(&self, name: &str) -> Vec<PathBuf> {
        let all = self.scope.overrides.iter().filter(|(known, _)| *known == name);
        all.map(|(_, value)| value.to_owned()).collect()
    }

    fn start(&mut self, number: u32, store: &Store, home: Option<&Home>, directory: &Path, parts: &[Part]) {
        self.until = self.entries + ENTRIES;
        let home = home.map(|home| home.path.as_path());
        let mut wanted = |path: &Path| !store.exclude_paths.iter().any(|pattern| pattern.matches(path, home));
        self.expand(number, directory, parts, &mut wanted);
    }

    fn expand(&mut self, number: u32, directory: &Path, parts: &[Part], wanted: &mut dyn FnMut(&Path) -> bool) {
        let Some((first, rest)) = parts.split_first() else { return };
        match first {
            Part::Deep => self.tree(number, directory, rest, wanted, DEPTH),
            Part::Name(name) => self.entry(number, &directory.join(name), rest, wanted),
            Part::Wild(wild) => {
                let Ok(matcher) = glob(wild).map(|glob| glob.compile_matcher()) else { return };
                for (name, _) in self.list(directory) {
                    if matcher.is_match(&name) {
                        self.entry(number, &directory.join(name), rest, wanted);
                    }
                }
            }
        }
    }

    fn entry(&mut self, number: u32, path: &Path, rest: &[Part], wanted: &mut dyn FnMut(&Path) -> bool) {
        if !rest.is_empty() {
            return self.expand(number, path, rest, wanted);
        }
        let Ok(stat) = self.scope.view.stat(path, true) else { return };
        if FileType::from_raw_mode(stat.st_mode).is_file() && wanted(path) {
            self.found.entry(path.to_owned()).or_default().insert(number);
        }
    }

    /// Everything below a directory, not through links: they could lead round.
    fn tree(&mut self, number: u32, top: &Path, rest: &[Part], wanted: &mut dyn FnMut(&Path) -> bool, depth: usize) {
        if depth == 0 {
            self.cut += 1;
            return;
        }
        if !rest.is_empty() {
            self.expand(number, top, rest, wanted);
        }
        for (name, kind) in self.list(top) {
            let path = top.join(name);
            if kind.is_dir() {
                self.tree(number, &path, rest, wanted, depth - 1);
            } else if rest.is_empty() {
                self.entry(number, &path, rest, wanted);
            }
        }
    }

    fn list(&mut self, directory: &Path) -> Vec<(std::ffi::OsString, FileType)> {
        let left = usize::try_from(self.until.saturating_sub(self.entries)).unwrap_or(0);
        if left == 0 {
            self.cut += 1;
            return Vec::new();
        }
        let listed = self.scope.view.list(directory, left).unwrap_or_default();
        self.entries += listed.len() as u64;
        listed
    }
}

/// Files of stores that can be anywhere.
fn search(
    scope: &Scope,
    catalogue: &Catalogue,
    counts: &mut Counts,
    progress: &Progress,
) -> BTreeMap<PathBuf, BTreeSet<u32>> {
    // The catalogue compiled as a whole when it was loaded; a part of it does as well.
    let Ok(matcher) = Matcher::roaming(catalogue.stores()) else { return BTreeMap::new() };
    let results = Mutex::new((BTreeMap::new(), Counts::default()));
    let walked = Mutex::new(Counts::default());
    walk::walk(scope, progress, &walked, || Names {
        scope,
        matcher: &matcher,
        counts: Counts::default(),
        found: Vec::new(),
        results: &results,
    });
    let (found, mut seen) = results.into_inner().unwrap_or_default();
    seen.add(&walked.into_inner().unwrap_or_default());
    counts.add(&seen);
    found
}

/// Looks at names.
struct Names<'a> {
    scope: &'a Scope,
    matcher: &'a Matcher,
    counts: Counts,
    found: Vec<(PathBuf, Vec<u32>)>,
    results: &'a Mutex<(BTreeMap<PathBuf, BTreeSet<u32>>, Counts)>,
}

impl Visitor for Names<'_> {
    fn file(&mut self, path: &Path, _entry: &DirEntry, link: bool) {
        self.counts.names += 1;
        let numbers = self.matcher.matches(path, &self.scope.known_homes, &self.scope.overrides);
        let leads_to_file = || {
            let stat = self.scope.view.stat(path, true);
            stat.is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode).is_file())
        };
        if !numbers.is_empty() && (!link || leads_to_file()) {
            self.found.push((path.to_owned(), numbers));
        }
    }

    fn skipped(&mut self, why: Skipped) {
        self.counts.skip(why);
    }
}

impl Drop for Names<'_> {
    fn drop(&mut self) {
        if let Ok(mut results) = self.results.lock() {
            results.1.add(&self.counts);
            for (path, numbers) in self.found.drain(..) {
                results.0.entry(path).or_default().extend(numbers);
            }
        }
    }
}
