//! Whose files are looked at.

use std::{
    collections::BTreeMap,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use rustix::fs::FileType;

use crate::{
    catalogue::homes::{EnvOverrides, Homes, MAX_HOMES, system_home},
    lineage::users::{self, User},
    posture::view::{View, ViewError},
};

/// Largest user database that is read, in bytes.
const MAX_PASSWD: u64 = 16 << 20;

/// What is searched besides homes when all users are looked at: where people put files by hand, and logs.
const SYSTEM: &[&str] =
    &["/etc", "/opt", "/srv", "/tmp", "/usr/local", "/var/log", "/var/spool/cron", "/var/tmp", "/var/www"];

/// What was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whose {
    /// One user's.
    User(User),
    /// All users', and the system's own.
    All,
    /// An unpacked image or backup.
    Root(PathBuf),
}

/// A home that is looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Home {
    /// Where, inside the view.
    pub path: PathBuf,
    /// Whose.
    pub uid: Option<u32>,
}

/// Everything that is looked at.
#[derive(Debug)]
pub struct Scope {
    /// The files.
    pub view: View,
    /// The homes, those that exist.
    pub homes: Vec<Home>,
    /// The same for the catalogue.
    pub known_homes: Homes,
    /// Stores outside homes too.
    pub system: bool,
    /// Directories that are searched whole.
    pub searched: Vec<PathBuf>,
    /// Where variables have moved stores.
    pub overrides: EnvOverrides,
    /// In words.
    pub words: String,
    names: BTreeMap<u32, String>,
}

impl Scope {
    /// The scope of what was asked for. `environment` is that of the user whose files they are, where it is known.
    ///
    /// # Errors
    /// The root cannot be opened.
    pub fn new(whose: &Whose, environment: EnvOverrides) -> Result<Self, ViewError> {
        let (at, words) = match whose {
            Whose::User(user) => (Path::new("/"), format!("user {}", user.name)),
            Whose::All => (Path::new("/"), "all users and the system".to_owned()),
            Whose::Root(root) => (root.as_path(), "an unpacked root".to_owned()),
        };
        let view = View::open(at)?;
        let users = database(&view);
        let names = users.iter().map(|user| (user.uid, user.name.clone())).collect();
        let listed = match whose {
            Whose::User(user) => vec![Home { path: user.home.clone(), uid: Some(user.uid) }],
            Whose::All | Whose::Root(_) => homes(&view, &users),
        };
        let is_directory =
            |path: &Path| view.stat(path, true).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode).is_dir());
        // By their real names: files that a search meets have those.
        let real = |Home { path, uid }: Home| Home { path: view.real(&path).unwrap_or(path), uid };
        let homes = listed.into_iter().filter(|home| is_directory(&home.path)).take(MAX_HOMES);
        let homes: Vec<Home> = homes.map(real).collect();
        let known_homes = Homes::new(homes.iter().map(|home| home.path.clone()));
        let searched = match whose {
            Whose::Root(_) => vec![PathBuf::from("/")],
            // Also where a home is unusual; but the home of a daemon may be everything.
            Whose::User(_) => {
                homes.iter().map(|home| home.path.clone()).filter(|home| home.parent().is_some()).collect()
            }
            Whose::All => {
                let system = SYSTEM.iter().map(|path| view.real(Path::new(path)).unwrap_or_else(|_| path.into()));
                let system = system.filter(|path| is_directory(path));
                let homes = homes.iter().map(|home| home.path.clone()).filter(|home| !system_home(home));
                outermost(homes.chain(system))
            }
        };
        let system = !matches!(whose, Whose::User(_));
        Ok(Self { view, homes, known_homes, system, searched, overrides: environment, words, names })
    }

    /// The home that a path lies in: the innermost.
    #[must_use]
    pub fn home_of(&self, path: &Path) -> Option<&Home> {
        let one = !self.system;
        let own = |home: &&Home| home.path.parent().is_some() && (one || !system_home(&home.path));
        let inside = self.homes.iter().filter(own).filter(|home| path.starts_with(&home.path));
        inside.max_by_key(|home| home.path.as_os_str().len())
    }

    /// A user's name.
    #[must_use]
    pub fn name(&self, uid: u32) -> Option<&str> {
        self.names.get(&uid).map(String::as_str)
    }
}

/// The user database as the view has it.
fn database(view: &View) -> Vec<User> {
    let text = view.read(Path::new("/etc/passwd"), MAX_PASSWD).unwrap_or_default();
    users::entries(&String::from_utf8_lossy(&text))
}

/// The homes of all users, `/root`, and what lies in `/home`.
fn homes(view: &View, users: &[User]) -> Vec<Home> {
    let mut homes: BTreeMap<PathBuf, Option<u32>> = BTreeMap::new();
    for user in users {
        let usable = user.home.is_absolute() && user.home.as_os_str().as_bytes() != b"/nonexistent";
        if usable {
            homes.entry(user.home.clone()).or_insert(Some(user.uid));
        }
    }
    homes.entry(PathBuf::from("/root")).or_insert(Some(0));
    for parent in ["/home", "/var/home"].map(Path::new) {
        for (name, kind) in view.list(parent, MAX_HOMES).unwrap_or_default() {
            let path = parent.join(name);
            if kind.is_dir() && !homes.contains_key(&path) {
                let owner = view.stat(&path, false).ok().map(|stat| stat.st_uid);
                homes.insert(path, owner);
            }
        }
    }
    homes.into_iter().map(|(path, uid)| Home { path, uid }).collect()
}

/// Those that lie in no other.
fn outermost(paths: impl Iterator<Item = PathBuf>) -> Vec<PathBuf> {
    let mut sorted: Vec<PathBuf> = paths.collect();
    sorted.sort();
    let mut kept: Vec<PathBuf> = Vec::new();
    for path in sorted {
        if !kept.iter().any(|above| path.starts_with(above)) {
            kept.push(path);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn homes_of_a_root_are_its_own() {
        let root = tempfile::tempdir().unwrap();
        for directory in ["etc", "root", "home/ann", "home/bob", "srv/ci"] {
            fs::create_dir_all(root.path().join(directory)).unwrap();
        }
        let passwd = "root:x:0:0::/root:/bin/sh\nann:x:1000:1000::/home/ann:/bin/sh\nci:x:990:990::/srv/ci:/bin/sh\n\
                      gone:x:991:991::/srv/gone:/bin/sh\n";
        fs::write(root.path().join("etc/passwd"), passwd).unwrap();
        let scope = Scope::new(&Whose::Root(root.path().to_owned()), EnvOverrides::new()).unwrap();
        let homes: Vec<_> = scope.homes.iter().map(|home| home.path.to_str().unwrap()).collect();
        assert_eq!(homes, ["/home/ann", "/home/bob", "/root", "/srv/ci"]);
        assert_eq!(scope.home_of(Path::new("/srv/ci/x/y")).unwrap().uid, Some(990));
        assert_eq!(scope.home_of(Path::new("/srv/other")), None);
        assert_eq!(scope.name(1000), Some("ann"));
    }

    #[test]
    fn a_home_in_a_home_is_searched_once() {
        let paths = ["/home/ann", "/home/ann/ci", "/home/anna"].map(PathBuf::from);
        assert_eq!(outermost(paths.into_iter()), ["/home/ann", "/home/anna"].map(PathBuf::from));
    }
}
