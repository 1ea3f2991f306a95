//! What the kernel watches for the catalogue. Pure.
//!
//! Each path becomes the most selective name key that cannot miss it (see [`tokenhound_common::watch`]); the kernel
//! compares at most three names, and the agent decides on the full path. Where no name can express a path, a
//! [`ScanRoot`] has the agent look for the files or directories and watch their ids.

use std::collections::BTreeSet;

use tokenhound_common::watch::{Filter, LONG_NAME, NameKey, NameWatch, Role, Shape, name_hash, name_words};

use super::{
    homes::EnvOverrides,
    model::Store,
    pattern::{Anchor, Part, Pattern},
};

/// Directory names that are everywhere: alone they would match half the disk.
const GENERIC_DIRECTORIES: &[&str] = &[
    "Downloads",
    "Documents",
    "Default",
    "JetBrains",
    "User",
    "agent",
    "app",
    "apps",
    "archive",
    "assets",
    "auth",
    "backup",
    "backups",
    "bin",
    "build",
    "builds",
    "cache",
    "caches",
    "certs",
    "common",
    "conf",
    "conf.d",
    "config",
    "configs",
    "contexts",
    "current",
    "data",
    "db",
    "default",
    "dist",
    "dist-packages",
    "doc",
    "docs",
    "etc",
    "files",
    "git",
    "home",
    "include",
    "instance",
    "instances",
    "lib",
    "lib64",
    "libexec",
    "lists",
    "local",
    "log",
    "logs",
    "main",
    "network",
    "node_modules",
    "objects",
    "opt",
    "output",
    "plugins",
    "private",
    "profiles",
    "public",
    "resources",
    "root",
    "run",
    "runner",
    "sbin",
    "scripts",
    "seed",
    "server",
    "settings",
    "share",
    "site-packages",
    "snap",
    "sources",
    "src",
    "srv",
    "state",
    "storage",
    "store",
    "stores",
    "system",
    "target",
    "temp",
    "test",
    "tests",
    "tmp",
    "tools",
    "user",
    "users",
    "usr",
    "var",
    "versions",
    "wal",
    "work",
    "workspace",
    ".cache",
    ".config",
    ".git",
    ".local",
    ".vscode",
    ".vscode-server",
];

/// Directories in which everybody makes files all the time: not even their ids are watched, files are searched for.
const CROWDED_DIRECTORIES: &[&str] = &["tmp", "shm", "lock"];

/// Directories below `/` that are file systems of their own on many machines. The kernel calls the top directory of a
/// file system `/`, whatever it is mounted on, so these names are no part of a key.
const MOUNTED_DIRECTORIES: &[&str] = &[
    "boot",
    "builds",
    "data",
    "dev",
    "github",
    "home",
    "media",
    "mnt",
    "opt",
    "proc",
    "root",
    "run",
    "srv",
    "sys",
    "tmp",
    "usr",
    "var",
    "vault",
    "workspace",
    "workspaces",
];

/// Names that the kernel looks at closer for what they are on procfs.
const PROCFS_NAMES: [&str; 2] = ["environ", "mem"];

/// File names that are everywhere.
const GENERIC_FILES: &[&str] = &[
    "config",
    "config.json",
    "config.toml",
    "config.yaml",
    "config.yml",
    "data",
    "data.json",
    "db",
    "index.js",
    "key",
    "main.js",
    "metadata",
    "package.json",
    "settings.json",
    "state.json",
    "token",
    "HEAD",
    "__init__.py",
    "Makefile",
];

/// A key in names instead of hashes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// The file's own name.
    pub name: Option<String>,
    /// Its directory's.
    pub parent: Option<String>,
    /// The one above.
    pub grandparent: Option<String>,
}

impl Key {
    fn new(name: Option<&str>, parent: Option<&str>, grandparent: Option<&str>) -> Option<Self> {
        let fits = |name: Option<&str>| name.is_none_or(|name| name_words(name.as_bytes()).is_some());
        let own = |name: Option<&str>| name.map(str::to_owned);
        let shaped = Self { name: own(name), parent: own(parent), grandparent: own(grandparent) };
        // Alone, such a name would let everything through the kernel's filter.
        let long = grandparent.is_some_and(|name| name.len() as u64 >= LONG_NAME);
        let open = name.is_none() && parent.is_none() && long;
        (fits(name) && fits(parent) && fits(grandparent) && !open && shaped.shape().is_some()).then_some(shaped)
    }

    fn shape(&self) -> Option<Shape> {
        match (self.name.is_some(), self.parent.is_some(), self.grandparent.is_some()) {
            (true, false, false) => Some(Shape::NAME),
            (true, true, false) => Some(Shape::NAME_PARENT),
            (true, false, true) => Some(Shape::NAME_GRANDPARENT),
            (false, true, false) => Some(Shape::PARENT),
            (false, true, true) => Some(Shape::PARENT_GRANDPARENT),
            (false, false, true) => Some(Shape::GRANDPARENT),
            (true, true, true) | (false, false, false) => None,
        }
    }

    /// As the kernel's map holds it.
    #[must_use]
    pub fn name_key(&self) -> NameKey {
        let hash = |name: &Option<String>| {
            name.as_ref().and_then(|name| name_words(name.as_bytes())).map_or(0, |words| name_hash(&words))
        };
        NameKey {
            name: hash(&self.name),
            parent: hash(&self.parent),
            grandparent: hash(&self.grandparent),
            shape: self.shape().map_or(0, |shape| shape.0),
            reserved: 0,
        }
    }

    /// Makes the filter know its names.
    fn add_to(&self, filter: &mut Filter) {
        let Some(shape) = self.shape() else { return };
        let names = [(&self.name, Role::File), (&self.parent, Role::Parent), (&self.grandparent, Role::Grandparent)];
        for (name, role) in names {
            if let Some(name) = name {
                filter.add_name(name.as_bytes(), role, shape);
            }
        }
    }

    fn matches(&self, name: &str, parent: &str, grandparent: &str) -> bool {
        let same = |own: &Option<String>, other: &str| own.as_ref().is_none_or(|own| own == other);
        same(&self.name, name) && same(&self.parent, parent) && same(&self.grandparent, grandparent)
    }
}

/// How a path is watched that no name can express.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Watch {
    /// Names suffice; only the ids of files that exist are wanted, for hard links and bind mounts.
    Names,
    /// The directory that holds the files, for entries to come.
    Directory,
    /// The directory in front of `**` and everything below it.
    Tree,
    /// Only files found by a search: `~/**/*.kdbx`, `/tmp/krb5cc_*`.
    Search,
}

/// A pattern to look for in the file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScanRoot {
    /// Number of the store in the catalogue.
    pub store: usize,
    /// The pattern.
    pub pattern: Pattern,
    /// What to watch of it.
    pub watch: Watch,
}

/// Everything to watch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WatchPlan {
    keys: BTreeSet<Key>,
    /// Of histories and logs.
    outlets: BTreeSet<Key>,
    scan: Vec<ScanRoot>,
}

impl WatchPlan {
    /// The plan for the paths of `stores`.
    #[must_use]
    pub fn new(stores: &[Store]) -> Self {
        let mut plan = Self::default();
        for (number, store) in stores.iter().enumerate() {
            for pattern in store.watched_paths().chain(store.sockets()) {
                plan.add(number, pattern.clone());
            }
            store.outlet_paths().for_each(|pattern| plan.add_outlet(pattern));
        }
        plan
    }

    /// The plan for stores that variables of running processes have moved.
    #[must_use]
    pub fn of_overrides(stores: &[Store], overrides: &EnvOverrides) -> Self {
        let mut plan = Self::default();
        let moved = |store: &&Store| store.watched() || store.is_outlet() || store.sockets().next().is_some();
        for (number, store) in stores.iter().enumerate().filter(|(_, store)| moved(store)) {
            for (name, value) in overrides.iter() {
                let moved = store.path_env.iter().filter(|variable| variable.name == name);
                for template in moved.flat_map(|variable| &variable.templates) {
                    let Some(rest) = template.strip_prefix("{}") else { continue };
                    match Pattern::below(value, rest.trim_start_matches('/')) {
                        Some(pattern) if store.is_outlet() => plan.add_outlet(&pattern),
                        Some(pattern) => plan.add(number, pattern),
                        None => {}
                    }
                }
                for pattern in store.watched_paths().chain(store.sockets()) {
                    if let Anchor::Variable(variable) = pattern.anchor()
                        && variable == name
                        && let Some(pattern) = pattern.at(value)
                    {
                        plan.add(number, pattern);
                    }
                }
            }
        }
        plan
    }

    fn add(&mut self, store: usize, pattern: Pattern) {
        if matches!(pattern.anchor(), Anchor::Variable(_)) {
            return;
        }
        let (keys, watch) = cover(pattern.anchor(), pattern.parts());
        self.keys.extend(keys);
        // What roams over every home is not searched for its own sake when a name covers it.
        let roams = pattern.roams() || *pattern.anchor() == Anchor::Anywhere;
        if !(roams && watch == Watch::Names) {
            self.scan.push(ScanRoot { store, pattern, watch });
        }
    }

    /// Only names: what is written is not looked for. A device (`HISTFILE=/dev/null`) is no file.
    fn add_outlet(&mut self, pattern: &Pattern) {
        let no_file = |part: &Part| matches!(part.name(), Some("dev" | "proc" | "sys"));
        if *pattern.anchor() == Anchor::Root && pattern.parts().first().is_some_and(no_file) {
            return;
        }
        self.outlets.extend(cover(pattern.anchor(), pattern.parts()).0);
    }

    /// Takes over `other`.
    pub fn merge(&mut self, other: Self) {
        self.keys.extend(other.keys);
        self.outlets.extend(other.outlets);
        self.scan.extend(other.scan);
    }

    /// The keys in names, each once.
    pub fn keys(&self) -> impl Iterator<Item = &Key> {
        self.keys.union(&self.outlets)
    }

    /// The keys as the kernel's map holds them, with what each is for.
    #[must_use]
    pub fn name_keys(&self) -> Vec<(NameKey, NameWatch)> {
        let watch = |key: &Key| match (self.keys.contains(key), self.outlets.contains(key)) {
            (true, true) => NameWatch::STORE.and(NameWatch::OUTLET),
            (false, true) => NameWatch::OUTLET,
            (_, false) => NameWatch::STORE,
        };
        self.keys().map(|key| (key.name_key(), watch(key))).collect()
    }

    /// What is to be looked for in the file system.
    #[must_use]
    pub fn scan_roots(&self) -> &[ScanRoot] {
        &self.scan
    }

    /// The kernel's exact match on names, as a reference for tests and for replay.
    #[must_use]
    pub fn matches(&self, name: &str, parent: &str, grandparent: &str) -> bool {
        self.keys().any(|key| key.matches(name, parent, grandparent))
    }

    /// The filter's part for names; files are the caller's to add.
    #[must_use]
    pub fn filter(&self) -> Box<Filter> {
        let mut filter = Box::new(Filter::EMPTY);
        for name in PROCFS_NAMES {
            filter.add_name(name.as_bytes(), Role::File, Shape::NAME);
        }
        self.keys().for_each(|key| key.add_to(&mut filter));
        filter
    }
}

fn generic_directory(name: &str) -> bool {
    name.len() < 2 || GENERIC_DIRECTORIES.contains(&name)
}

fn mounted(name: &str) -> bool {
    MOUNTED_DIRECTORIES.contains(&name)
}

/// What stands above a component.
#[derive(Clone, Copy)]
enum Above<'a> {
    Name(&'a str),
    Wild,
    Deep,
    Base,
}

fn step<'a>(anchor: &Anchor, parts: &'a [Part], below: usize) -> Above<'a> {
    match below.checked_sub(1).and_then(|at| parts.get(at)) {
        Some(Part::Name(name)) if below == 1 && *anchor == Anchor::Root && mounted(name) => Above::Base,
        Some(Part::Name(name)) => Above::Name(name),
        Some(Part::Wild(_)) => Above::Wild,
        Some(Part::Deep) => Above::Deep,
        None if *anchor == Anchor::Anywhere => Above::Deep,
        None => Above::Base,
    }
}

/// Whether names alone cover a pattern.
pub(super) fn has_keys(pattern: &Pattern) -> bool {
    let (keys, watch) = cover(pattern.anchor(), pattern.parts());
    matches!(pattern.anchor(), Anchor::Variable(_)) || (watch == Watch::Names && !keys.is_empty())
}

/// Keys that cover a pattern, and what must be watched by id besides.
fn cover(anchor: &Anchor, parts: &[Part]) -> (Vec<Key>, Watch) {
    let (keys, watch) = cover_fixed(anchor, parts);
    // Where a path can start anywhere there is no directory to watch: its files are searched for.
    let roams = *anchor == Anchor::Anywhere || parts.first() == Some(&Part::Deep);
    let holder = parts.len().checked_sub(2).and_then(|at| parts.get(at)).and_then(Part::name);
    let crowded = holder.is_some_and(|name| CROWDED_DIRECTORIES.contains(&name));
    let watch = if (roams || crowded) && watch != Watch::Names { Watch::Search } else { watch };
    (keys, watch)
}

fn cover_fixed(anchor: &Anchor, parts: &[Part]) -> (Vec<Key>, Watch) {
    let Some(last) = parts.len().checked_sub(1) else { return (Vec::new(), Watch::Names) };
    let parent = step(anchor, parts, last);
    let grandparent = last.checked_sub(1).map_or(Above::Base, |at| step(anchor, parts, at));
    match &parts[last] {
        Part::Name(name) => {
            let (mut keys, watch) = cover_name(name, parent, grandparent);
            keys.extend(cover_mounted(anchor, parts, name));
            (keys, watch)
        }
        Part::Wild(_) => match (parent, last.checked_sub(1)) {
            (Above::Deep, None) => (Vec::new(), Watch::Search),
            (Above::Deep, Some(deep)) => cover_tree(anchor, parts, deep, false),
            _ => cover_entries(parent, grandparent),
        },
        Part::Deep => cover_tree(anchor, parts, last, true),
    }
}

fn cover_name(name: &str, parent: Above<'_>, grandparent: Above<'_>) -> (Vec<Key>, Watch) {
    let generic = GENERIC_FILES.contains(&name);
    let key = match (parent, grandparent) {
        (Above::Name(parent), _) => Key::new(Some(name), Some(parent), None),
        (Above::Wild, Above::Name(grandparent)) => Key::new(Some(name), None, Some(grandparent)),
        (Above::Wild | Above::Base | Above::Deep, _) if generic => None,
        (Above::Deep, _) => Key::new(Some(name), None, None),
        (Above::Wild | Above::Base, _) => Key::new(Some(name), None, None),
    };
    match key {
        Some(key) => (vec![key], Watch::Names),
        None => (Vec::new(), Watch::Directory),
    }
}

/// Secrets below `/run` are mounted one directory or volume at a time, and Kubernetes puts a dated directory between
/// the top of the volume and the file (`..2026_01_02/token`): there a file is known by its name and the `/` above it.
fn cover_mounted(anchor: &Anchor, parts: &[Part], name: &str) -> Vec<Key> {
    let below_run = *anchor == Anchor::Root && parts.first().and_then(Part::name) == Some("run");
    if !below_run || parts.len() < 3 {
        return Vec::new();
    }
    let keys = [Key::new(Some(name), Some("/"), None), Key::new(Some(name), None, Some("/"))];
    keys.into_iter().flatten().collect()
}

fn cover_entries(parent: Above<'_>, grandparent: Above<'_>) -> (Vec<Key>, Watch) {
    let key = match (parent, grandparent) {
        (Above::Name(parent), Above::Name(grandparent))
            if !(generic_directory(parent) && generic_directory(grandparent)) =>
        {
            Key::new(None, Some(parent), Some(grandparent))
        }
        (Above::Name(parent), _) if !generic_directory(parent) => Key::new(None, Some(parent), None),
        (Above::Wild, Above::Name(grandparent)) if !generic_directory(grandparent) => {
            Key::new(None, None, Some(grandparent))
        }
        _ => None,
    };
    match key {
        Some(key) => (vec![key], Watch::Names),
        None => (Vec::new(), Watch::Directory),
    }
}

/// `x/**` (`all`) and `x/**/*.key`: names for the first two levels, ids for the deeper ones.
///
/// Below a name that is everywhere (`/etc/**/*.keytab`) watching every directory would report most of what is opened
/// there, so only files that a search finds are watched.
fn cover_tree(anchor: &Anchor, parts: &[Part], deep: usize, all: bool) -> (Vec<Key>, Watch) {
    let Some(over) = deep.checked_sub(1) else { return (Vec::new(), Watch::Search) };
    let top = step(anchor, parts, deep);
    let generic = matches!(top, Above::Name(name) if generic_directory(name));
    if generic && !all {
        return (Vec::new(), Watch::Search);
    }
    let (mut keys, _) = cover_entries(top, step(anchor, parts, over));
    if let Above::Name(name) = top
        && !generic
    {
        keys.extend(Key::new(None, None, Some(name)));
    }
    (keys, Watch::Tree)
}

#[cfg(test)]
mod tests;
