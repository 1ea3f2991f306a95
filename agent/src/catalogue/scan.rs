//! Looking for stores in the file system: the thin edge that finds what the plan wants watched by id. Bounded; what
//! was cut is counted.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::fs::FileTypeExt,
    path::{Path, PathBuf},
};

use rustix::fs::{AtFlags, CWD, StatxFlags, statx};

use super::{
    Catalogue,
    compile::{ScanRoot, Watch, WatchPlan},
    homes::{EnvOverrides, Homes, system_home},
    pattern::{Anchor, Part, glob},
};

/// How far a scan goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most directory entries read for one pattern, or for the search of one home.
    pub entries: u64,
    /// Deepest level below the directory in front of `**`, or below a home that is searched.
    pub depth: usize,
    /// Most targets.
    pub targets: usize,
    /// Also search whole homes for files that can be anywhere (`*.kdbx`). By far the dearest part: a home of a
    /// hundred thousand files takes a second, everything else some milliseconds.
    pub search: bool,
    /// Look in homes only.
    pub homes_only: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self { entries: 100_000, depth: 7, targets: 32_768, search: true, homes_only: false }
    }
}

/// What a target is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TargetKind {
    /// A file of a store: watch it itself.
    File,
    /// A directory: watch its entries.
    Entries,
}

/// One thing to watch by id.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Target {
    /// The name the store is known by.
    pub known_as: PathBuf,
    /// The file itself, links resolved: what to take the id of.
    pub path: PathBuf,
    /// What it is.
    pub kind: TargetKind,
}

/// What a scan found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scanned {
    /// Targets, each once.
    pub targets: BTreeSet<Target>,
    /// Directory entries read.
    pub entries: u64,
    /// Times that a limit cut something off. Not zero: stores may exist that are not watched by id.
    pub cut: u64,
    /// Directories that could not be listed.
    pub unreadable: u64,
}

/// Directories that hold no stores and whole worlds of files.
const SKIPPED: &[&str] = &[
    ".git",
    ".hg",
    ".svn",
    ".npm",
    ".cargo",
    ".rustup",
    ".gradle",
    ".m2",
    ".pyenv",
    ".nvm",
    "Cache",
    "CacheStorage",
    "Cache_Data",
    "Code Cache",
    "GPUCache",
    "Trash",
    "__pycache__",
    "node_modules",
    "site-packages",
    "target",
    "venv",
    ".venv",
    ".cache",
    "proc",
    "sys",
];

impl Catalogue {
    /// Finds every existing file of a watched store, and the directories whose entries must be watched.
    #[must_use]
    pub fn scan(&self, plan: &WatchPlan, homes: &Homes, overrides: &EnvOverrides, limits: Limits) -> Scanned {
        let mut scan = Scan { catalogue: self, homes, overrides, limits, until: 0, found: Scanned::default() };
        let searched: Vec<PathBuf> =
            homes.iter().filter(|home| !system_home(home) && home.is_dir()).map(Path::to_owned).collect();
        for root in plan.scan_roots() {
            let parts = root.pattern.parts();
            match root.pattern.anchor() {
                // What roams is looked for once for all patterns, below.
                _ if roams(root) => {}
                Anchor::Root if limits.homes_only => {}
                Anchor::Root => scan.start(Path::new("/"), parts, root.watch),
                Anchor::Home => {
                    for home in homes.iter().filter(|home| home.is_dir()) {
                        let direct = parts.len() > 1 || root.watch == Watch::Names;
                        if direct || !system_home(home) {
                            scan.start(home, parts, root.watch);
                        }
                    }
                }
                Anchor::Anywhere | Anchor::Variable(_) => {}
            }
        }
        if limits.search && plan.scan_roots().iter().any(roams) {
            for home in searched {
                scan.search(home);
            }
        }
        scan.found
    }
}

fn roams(root: &ScanRoot) -> bool {
    root.pattern.roams() || *root.pattern.anchor() == Anchor::Anywhere
}

struct Scan<'a> {
    catalogue: &'a Catalogue,
    homes: &'a Homes,
    overrides: &'a EnvOverrides,
    limits: Limits,
    /// Number of entries read at which the current pattern or home is cut.
    until: u64,
    found: Scanned,
}

impl Scan<'_> {
    fn start(&mut self, directory: &Path, parts: &[Part], watch: Watch) {
        self.until = self.found.entries + self.limits.entries;
        self.expand(directory, parts, watch);
    }

    /// Follows a pattern from a directory on.
    fn expand(&mut self, directory: &Path, parts: &[Part], watch: Watch) {
        let Some((first, rest)) = parts.split_first() else { return };
        match first {
            Part::Deep => self.tree(directory, rest, watch),
            Part::Name(name) if rest.is_empty() => {
                self.entries_of(directory, watch);
                self.file(&directory.join(name));
            }
            Part::Name(name) => self.expand(&directory.join(name), rest, watch),
            Part::Wild(wild) => {
                if rest.is_empty() {
                    self.entries_of(directory, watch);
                }
                for entry in self.list(directory, wild) {
                    if rest.is_empty() {
                        self.file(&entry);
                    } else if entry.is_dir() {
                        self.expand(&entry, rest, watch);
                    }
                }
            }
        }
    }

    /// Everything below a directory, level by level, so that a limit cuts the deepest.
    fn tree(&mut self, top: &Path, rest: &[Part], watch: Watch) {
        let mut level = vec![top.to_owned()];
        for _ in 0..self.limits.depth {
            let mut below = Vec::new();
            for directory in level {
                self.entries_of(&directory, watch);
                let entries = self.list(&directory, "*");
                for entry in entries {
                    let is_link = entry.is_symlink();
                    if entry.is_dir() && !is_link {
                        if !skipped(&entry) {
                            below.push(entry);
                        }
                    } else if rest.is_empty() {
                        self.file(&entry);
                    }
                }
                if !rest.is_empty() {
                    self.expand(&directory, rest, Watch::Names);
                }
            }
            level = below;
            if level.is_empty() {
                return;
            }
        }
        self.found.cut += level.len() as u64;
    }

    /// Walks a home once and asks the catalogue about every file.
    fn search(&mut self, home: PathBuf) {
        self.until = self.found.entries + self.limits.entries;
        let mut level = vec![home];
        for _ in 0..self.limits.depth {
            let mut below = Vec::new();
            for directory in level {
                for entry in self.list(&directory, "*") {
                    match entry.symlink_metadata() {
                        Ok(metadata) if metadata.is_dir() && !skipped(&entry) => below.push(entry),
                        Ok(metadata) if metadata.is_file() => self.file(&entry),
                        _ => {}
                    }
                }
            }
            level = below;
        }
        self.found.cut += level.len() as u64;
    }

    /// Entries of a directory that match, within the limit.
    fn list(&mut self, directory: &Path, wild: &str) -> Vec<PathBuf> {
        let entries = match fs::read_dir(directory) {
            Ok(entries) => entries,
            Err(error) => {
                let absent = matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory);
                self.found.unreadable += u64::from(!absent);
                return Vec::new();
            }
        };
        let matcher = (wild != "*").then(|| glob(wild).ok().map(|glob| glob.compile_matcher())).flatten();
        let mut listed = Vec::new();
        for entry in entries.flatten() {
            if self.found.entries >= self.until {
                self.found.cut += 1;
                break;
            }
            self.found.entries += 1;
            if matcher.as_ref().is_none_or(|matcher| matcher.is_match(entry.file_name())) {
                listed.push(entry.path());
            }
        }
        listed.sort();
        listed
    }

    fn file(&mut self, path: &Path) {
        let Ok(metadata) = fs::metadata(path) else { return };
        let kind = metadata.file_type();
        let known = if kind.is_socket() { Catalogue::sockets_for } else { Catalogue::stores_for };
        let watched = kind.is_file() || kind.is_socket();
        if !watched || known(self.catalogue, path, self.homes, self.overrides).is_empty() {
            return;
        }
        let resolved = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        self.push(path, resolved, TargetKind::File);
    }

    /// The directory itself, where names do not cover its entries: because no name can, or because it is the root of
    /// a mount, whose name in the kernel is `/` whatever it is mounted on.
    fn entries_of(&mut self, directory: &Path, watch: Watch) {
        let wanted = matches!(watch, Watch::Directory | Watch::Tree) || mount_root(directory);
        if wanted && directory.parent().is_some() && directory.is_dir() {
            let resolved = fs::canonicalize(directory).unwrap_or_else(|_| directory.to_owned());
            self.push(directory, resolved, TargetKind::Entries);
        }
    }

    fn push(&mut self, known_as: &Path, path: PathBuf, kind: TargetKind) {
        if self.found.targets.len() >= self.limits.targets {
            self.found.cut += 1;
            return;
        }
        self.found.targets.insert(Target { known_as: known_as.to_owned(), path, kind });
    }
}

fn skipped(directory: &Path) -> bool {
    directory.file_name().and_then(|name| name.to_str()).is_some_and(|name| SKIPPED.contains(&name))
}

fn mount_root(directory: &Path) -> bool {
    let mount =
        |path: &Path| statx(CWD, path, AtFlags::STATX_DONT_SYNC, StatxFlags::MNT_ID).ok().map(|found| found.stx_mnt_id);
    match (mount(directory), directory.parent().and_then(mount)) {
        (Some(own), Some(above)) => own != above,
        _ => false,
    }
}

impl Scanned {
    /// Counts by kind, for a log line.
    #[must_use]
    pub fn counts(&self) -> BTreeMap<TargetKind, usize> {
        let mut counts = BTreeMap::new();
        for target in &self.targets {
            *counts.entry(target.kind).or_default() += 1;
        }
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::tests::shipped_catalogue;

    fn home_with(files: &[&str]) -> tempfile::TempDir {
        let home = tempfile::tempdir().unwrap();
        for file in files {
            let path = home.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "x").unwrap();
        }
        home
    }

    /// Files and directories found below `home`, relative to it.
    fn scan(home: &Path, limits: Limits) -> (Vec<String>, Vec<String>, Scanned) {
        let homes = Homes::new([home.to_owned()]);
        let catalogue = shipped_catalogue();
        let found = catalogue.scan(&catalogue.watch_plan(), &homes, &EnvOverrides::new(), limits);
        let below = |kind| {
            let of_kind = found.targets.iter().filter(|target| target.kind == kind);
            of_kind
                .filter_map(|target| target.known_as.strip_prefix(home).ok())
                .map(|path| path.display().to_string())
                .collect()
        };
        (below(TargetKind::File), below(TargetKind::Entries), found)
    }

    #[test]
    fn stores_are_found_and_nothing_else() {
        let home = home_with(&[
            ".aws/credentials",
            ".aws/other",
            ".ssh/id_rsa",
            ".ssh/id_rsa.pub",
            ".ssh/known_hosts",
            "work/deep/secrets.kdbx",
            "work/readme.md",
            "node_modules/x/y.kdbx",
            ".password-store/a/b/c.gpg",
        ]);
        let (files, directories, _) = scan(home.path(), Limits::default());
        for file in [".aws/credentials", ".ssh/id_rsa", "work/deep/secrets.kdbx", ".password-store/a/b/c.gpg"] {
            assert!(files.iter().any(|found| found == file), "{file}: {files:?}");
        }
        for file in [".aws/other", ".ssh/id_rsa.pub", ".ssh/known_hosts", "work/readme.md", "node_modules/x/y.kdbx"] {
            assert!(!files.iter().any(|found| found == file), "{file}");
        }
        assert!(directories.iter().any(|found| found == ".password-store/a/b"), "{directories:?}");
        assert!(!directories.iter().any(|found| found == "work"), "{directories:?}");
    }

    #[test]
    fn a_link_leads_to_the_file_behind_it() {
        let home = home_with(&["dotfiles/netrc"]);
        std::os::unix::fs::symlink(home.path().join("dotfiles/netrc"), home.path().join(".netrc")).unwrap();
        let (_, _, found) = scan(home.path(), Limits::default());
        let target = found.targets.iter().find(|target| target.known_as == home.path().join(".netrc")).unwrap();
        assert_eq!(target.path, fs::canonicalize(home.path().join("dotfiles/netrc")).unwrap());
    }

    #[test]
    fn what_a_limit_cuts_is_counted() {
        let home = home_with(&["a/b/c/d/e.kdbx", ".netrc"]);
        let limits = Limits { depth: 2, ..Limits::default() };
        let (files, _, found) = scan(home.path(), limits);
        assert!(!files.iter().any(|file| file.ends_with("e.kdbx")));
        assert!(files.iter().any(|file| file == ".netrc"), "names are found without searching");
        assert!(found.cut > 0);
        let limits = Limits { search: false, ..Limits::default() };
        let (files, _, found) = scan(home.path(), limits);
        assert!(files.iter().any(|file| file == ".netrc") && found.cut == 0);
        let limits = Limits { targets: 0, ..Limits::default() };
        let (files, _, found) = scan(home.path(), limits);
        assert_eq!(files, Vec::<String>::new());
        assert!(found.cut > 0);
    }
}
