//! Which tool of a language's ecosystem says that it installed a file. Bounded; asks the records beside the file.
//!
//! Who can write a file can mostly write its record too. So this is a statement that findings hand on, and a type of its
//! own: nothing that decides by package takes it.

use std::{
    fmt,
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
};

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat2};

use super::{Integrity, cargo, npm, pip};
use crate::lineage::model::Writable;

/// Largest `package.json`, and largest record of npm or cargo that is read.
const FILE_BYTES: u64 = 8 << 20;
/// Most bytes of pip's records that are read for one file.
const RECORD_BYTES: u64 = 32 << 20;
/// Most entries of a directory that are looked at.
const ENTRIES: usize = 4096;
/// Most packages of Python whose records are read for one file.
const PACKAGES: usize = 512;
/// Most directories of packages beside one `bin`: one for each version of Python.
const SITES: usize = 8;

/// Who keeps a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Manager {
    /// pip, or another that writes what pip does (uv, pipx).
    Pip,
    /// npm.
    Npm,
    /// `cargo install`.
    Cargo,
}

impl Manager {
    /// As it is written in output.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pip => "pip",
            Self::Npm => "npm",
            Self::Cargo => "cargo",
        }
    }
}

/// What a record states about a file. It proves nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installed {
    /// Whose record.
    pub by: Manager,
    /// Package that the record names, and its version.
    pub package: Named,
    /// Where the record is.
    pub record: PathBuf,
    /// Could the reader's user have written the record?
    pub record_writable: Writable,
    /// Does the file have the sum that the record has of it? Nothing may be decided by this.
    pub integrity: Integrity,
}

/// A name and a version as a record has them: short, and of harmless characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    name: String,
    version: String,
}

impl Named {
    /// `None` where it cannot be the name or the version of a package: longer than 214 and 64 bytes, or of other
    /// characters than those that ecosystems allow.
    #[must_use]
    pub fn new(name: &str, version: &str) -> Option<Self> {
        let fits = |text: &str, most: usize, also: &[u8]| {
            let allowed = |byte: u8| byte.is_ascii_alphanumeric() || also.contains(&byte);
            (1..=most).contains(&text.len()) && text.bytes().all(allowed)
        };
        let good = fits(name, 214, b"-_.~@/") && fits(version, 64, b"-_.+!");
        good.then(|| Self { name: name.to_owned(), version: version.to_owned() })
    }

    /// Name of the package.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its version.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }
}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.version)
    }
}

/// Could pip have a sum of this file? Says so by the path alone.
#[must_use]
pub fn wants_sum(path: &Path) -> bool {
    pip::site(path).is_some() || pip::prefix(path).is_some()
}

/// What the records beside `path` state, on the system below `root`. `path` is absolute and without links. `sum` is the
/// SHA-256 of the file as pip writes it, if it is known.
#[must_use]
pub fn find(root: &Path, path: &Path, sum: Option<&str>) -> Option<Installed> {
    let below = Below { root };
    below.npm(path).or_else(|| below.pip(path, sum)).or_else(|| below.cargo(path))
}

/// A system's files.
struct Below<'a> {
    root: &'a Path,
}

impl Below<'_> {
    fn npm(&self, path: &Path) -> Option<Installed> {
        let place = npm::place(path)?;
        let manifest = place.directory.join("package.json");
        let own = npm::manifest(&self.read(&manifest, FILE_BYTES).ok()?);
        let listed = npm::locks(&place.directory).find_map(|(lock, key)| {
            let text = self.read(&lock, FILE_BYTES).ok()?;
            npm::listed(&text, &key, &place.name).map(|named| (named, lock))
        });
        let (package, record) = listed.or_else(|| own.map(|named| (named, manifest)))?;
        Some(statement(Manager::Npm, package, record, Integrity::Unrecorded))
    }

    fn pip(&self, path: &Path, sum: Option<&str>) -> Option<Installed> {
        let sites = match pip::site(path) {
            Some(site) => vec![site],
            None => self.sites(&pip::prefix(path)?),
        };
        let (mut left, mut packages) = (RECORD_BYTES, PACKAGES);
        for site in sites {
            let Some(listed) = pip::spelled(&site, path) else { continue };
            for (directory, package) in self.packages(&site, path) {
                packages = packages.checked_sub(1)?;
                let record = site.join(directory).join("RECORD");
                let Ok(text) = self.read(&record, left) else { continue };
                left = left.saturating_sub(text.len() as u64);
                let Some(recorded) = pip::recorded(&text, &listed) else { continue };
                let integrity = match (recorded, sum) {
                    (None, _) => Integrity::Unrecorded,
                    (Some(_), None) => Integrity::Unknown,
                    (Some(recorded), Some(sum)) if recorded == sum.as_bytes() => Integrity::Intact,
                    (Some(_), Some(_)) => Integrity::Changed,
                };
                return Some(statement(Manager::Pip, package, record, integrity));
            }
        }
        None
    }

    fn cargo(&self, path: &Path) -> Option<Installed> {
        let (record, name) = cargo::record(path)?;
        let package = cargo::installed(&self.read(&record, FILE_BYTES).ok()?, name)?;
        Some(statement(Manager::Cargo, package, record, Integrity::Unrecorded))
    }

    /// Directories of Python's packages below a prefix.
    fn sites(&self, prefix: &Path) -> Vec<PathBuf> {
        let lib = prefix.join("lib");
        let versions = self.entries(&lib).into_iter().filter(|name| name.starts_with("python"));
        let sites = versions.flat_map(|version| pip::SITES.map(|site| lib.join(&version).join(site)));
        sites.filter(|site| self.place(site).is_dir()).take(SITES).collect()
    }

    /// Packages that are recorded in a directory of packages: first those named like the file, then by name.
    fn packages(&self, site: &Path, path: &Path) -> Vec<(String, Named)> {
        let packages = self.entries(site).into_iter().filter_map(|name| pip::package(&name).map(|named| (name, named)));
        let mut packages: Vec<(String, Named)> = packages.collect();
        let alike = |named: &Named| pip::is_alike(site, path, named.name());
        packages.sort_by(|(a, a_named), (b, b_named)| (!alike(a_named), a).cmp(&(!alike(b_named), b)));
        packages
    }

    fn entries(&self, directory: &Path) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.place(directory)) else { return Vec::new() };
        let names = entries.take(ENTRIES).flatten().filter_map(|entry| entry.file_name().into_string().ok());
        let mut names: Vec<String> = names.collect();
        names.sort_unstable();
        names
    }

    fn place(&self, path: &Path) -> PathBuf {
        self.root.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// All of a regular file of at most this size. Nothing on its way may be a link: a user could have the agent read
    /// what they may not, or wait for a pipe.
    fn read(&self, path: &Path, most: u64) -> io::Result<Vec<u8>> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        let resolve = ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        let file = File::from(openat2(CWD, self.place(path), flags, Mode::empty(), resolve)?);
        let metadata = file.metadata()?;
        if !metadata.is_file() || metadata.len() > most {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut bytes = Vec::new();
        file.take(most).read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}

fn statement(by: Manager, package: Named, record: PathBuf, integrity: Integrity) -> Installed {
    Installed { by, package, record, record_writable: Writable::Unknown, integrity }
}

#[cfg(test)]
mod tests;
