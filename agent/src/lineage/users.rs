//! Users, their groups and their homes.
//!
//! The local files (`/etc/passwd`, `/etc/group`) are read and read again when they change. Users from elsewhere (LDAP,
//! systemd-homed, sssd) are asked for one by one ([`super::names`]);
//! the answers, also the empty ones, are kept up to a bound. They cannot be listed: their homes become known with the
//! first process that runs for them.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    ffi::OsStr,
    fs::{self, Metadata},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use thiserror::Error;

use super::{model::Process, names::Service};

/// Most users remembered that are not in the local file.
const OTHERS: usize = 1024;
/// Most homes remembered that only a running process named.
const EXTRA_HOMES: usize = 4096;

/// Why the user database could not be read.
#[derive(Debug, Error)]
pub enum UsersError {
    /// A file of the database cannot be read.
    #[error("cannot read the user database {path}: {source}; the agent needs it to find home directories")]
    Read {
        /// File.
        path: PathBuf,
        /// Cause.
        source: std::io::Error,
    },
}

/// One user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Name.
    pub name: String,
    /// User id.
    pub uid: u32,
    /// Primary group.
    pub gid: u32,
    /// Home directory, as the database has it.
    pub home: PathBuf,
}

/// A place where a user's stores may be.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Home {
    /// The directory.
    pub path: PathBuf,
    /// Whose it is; with shared homes the lowest.
    pub uid: u32,
}

/// What tells whether a file is the one read before.
type Stamp = (u64, u64, u64, i64, i64);

/// The user database with what running processes add.
#[derive(Debug)]
pub struct Users {
    passwd: PathBuf,
    group: PathBuf,
    home_parents: Vec<PathBuf>,
    /// Answers for users who are not in the file; none in tests.
    service: Option<Service>,
    stamps: Option<(Stamp, Stamp)>,
    users: BTreeMap<u32, User>,
    members: HashMap<String, BTreeSet<u32>>,
    others: HashMap<u32, Option<User>>,
    extra: BTreeSet<Home>,
    dropped: u64,
}

impl Users {
    /// Reads the database of this machine.
    ///
    /// # Errors
    /// `/etc/passwd` cannot be read.
    pub fn load() -> Result<Self, UsersError> {
        Self::asking(Service::Program)
    }

    /// Reads the database of this machine, and leaves what is not in it to that service.
    ///
    /// # Errors
    /// `/etc/passwd` cannot be read.
    pub fn asking(service: Service) -> Result<Self, UsersError> {
        Self::open(Path::new("/"), Some(service))
    }

    /// Reads the database below another root, without name services: for images, containers and tests.
    ///
    /// # Errors
    /// `etc/passwd` cannot be read there.
    pub fn load_below(root: &Path) -> Result<Self, UsersError> {
        Self::open(root, None)
    }

    fn open(root: &Path, service: Option<Service>) -> Result<Self, UsersError> {
        let mut users = Self {
            passwd: root.join("etc/passwd"),
            group: root.join("etc/group"),
            home_parents: vec![root.join("home"), root.join("var/home")],
            service,
            stamps: None,
            users: BTreeMap::new(),
            members: HashMap::new(),
            others: HashMap::new(),
            extra: BTreeSet::new(),
            dropped: 0,
        };
        users.refresh()?;
        Ok(users)
    }

    /// Reads the files again if they have changed. Returns whether they had.
    ///
    /// # Errors
    /// `/etc/passwd` cannot be read; what was known stays.
    pub fn refresh(&mut self) -> Result<bool, UsersError> {
        let failed = |source| UsersError::Read { path: self.passwd.clone(), source };
        let stamp = stamp(&fs::metadata(&self.passwd).map_err(failed)?);
        // Without a group file nobody is in a group but their own.
        let group_stamp =
            fs::metadata(&self.group).map_or_else(|_| Stamp::default(), |metadata| self::stamp(&metadata));
        if self.stamps == Some((stamp, group_stamp)) {
            return Ok(false);
        }
        let text = fs::read(&self.passwd).map_err(failed)?;
        let groups = fs::read(&self.group).unwrap_or_default();
        self.users = entries(&String::from_utf8_lossy(&text)).into_iter().map(|it| (it.uid, it)).collect();
        self.members = members(&String::from_utf8_lossy(&groups));
        self.others.clear();
        self.stamps = Some((stamp, group_stamp));
        Ok(true)
    }

    /// A user of the local file, or one that was asked for before.
    #[must_use]
    pub fn get(&self, uid: u32) -> Option<&User> {
        self.users.get(&uid).or_else(|| self.others.get(&uid)?.as_ref())
    }

    /// A user of the local file, by name.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<&User> {
        self.users.values().find(|user| user.name == name)
    }

    /// A user's name.
    #[must_use]
    pub fn name(&self, uid: u32) -> Option<&str> {
        self.get(uid).map(|user| user.name.as_str())
    }

    /// A user's home.
    #[must_use]
    pub fn home(&self, uid: u32) -> Option<&Path> {
        self.get(uid).map(|user| user.home.as_path())
    }

    /// Every group a user is in by the local database, the primary one included.
    #[must_use]
    pub fn groups(&self, uid: u32) -> BTreeSet<u32> {
        let Some(user) = self.get(uid) else { return BTreeSet::new() };
        let mut groups = self.members.get(&user.name).cloned().unwrap_or_default();
        groups.insert(user.gid);
        groups
    }

    /// Asks the name services for a user who is not in the local file. Blocks for up to two seconds, once per user.
    pub fn look_up(&mut self, uid: u32) -> Option<&User> {
        if !self.users.contains_key(&uid) && !self.others.contains_key(&uid) {
            let answer = self.service.as_mut().and_then(|service| service.ask(uid)).filter(|user| user.uid == uid);
            if self.others.len() >= OTHERS {
                self.others.clear();
                self.dropped += 1;
            }
            self.others.insert(uid, answer);
        }
        self.get(uid)
    }

    /// Takes note of `HOME` in a process's environment: services, containers and `sudo -E` have homes of their own.
    /// Returns whether it is new.
    pub fn learn_home(&mut self, process: &Process) -> bool {
        let home = process.environment.iter().find(|(name, _)| name == "HOME").map(|(_, value)| value.as_os_str());
        let Some(path) = home.and_then(usable) else { return false };
        let home = Home { path, uid: process.uid };
        if self.homes().iter().any(|known| known.path == home.path) {
            return false;
        }
        if self.extra.len() >= EXTRA_HOMES {
            self.dropped += 1;
            return false;
        }
        self.extra.insert(home)
    }

    /// Every home known: of all users in the database, of processes, and what lies in `/home`. One entry per directory.
    #[must_use]
    pub fn homes(&self) -> Vec<Home> {
        let mut homes: BTreeMap<PathBuf, u32> = BTreeMap::new();
        let users = self.users.values().chain(self.others.values().flatten());
        let listed = users.filter_map(|user| Some((usable(user.home.as_os_str())?, user.uid)));
        let found = self.home_parents.iter().flat_map(|parent| directories(parent));
        let extra = self.extra.iter().map(|home| (home.path.clone(), home.uid));
        for (path, uid) in listed.chain(extra).chain(found) {
            homes.entry(path).or_insert(uid);
        }
        homes.into_iter().map(|(path, uid)| Home { path, uid }).collect()
    }

    /// Times that something was forgotten or not taken for want of room.
    #[must_use]
    pub const fn dropped(&self) -> u64 {
        self.dropped
    }
}

fn stamp(metadata: &Metadata) -> Stamp {
    (metadata.dev(), metadata.ino(), metadata.size(), metadata.ctime(), metadata.ctime_nsec())
}

/// The users of a `passwd(5)` file; the first line of a number counts.
#[must_use]
pub fn entries(text: &str) -> Vec<User> {
    let users: BTreeMap<u32, User> = text.lines().rev().filter_map(user).map(|it| (it.uid, it)).collect();
    users.into_values().collect()
}

/// A line of `passwd(5)`.
pub(super) fn user(line: &str) -> Option<User> {
    let mut fields = line.split(':');
    let name = fields.next().filter(|name| !name.is_empty() && !name.starts_with(['#', '+', '-']))?;
    let uid = fields.nth(1)?.parse().ok()?;
    let gid = fields.next()?.parse().ok()?;
    let home = fields.nth(1)?;
    Some(User { name: name.to_owned(), uid, gid, home: PathBuf::from(home) })
}

/// Groups by member, from `group(5)`.
fn members(text: &str) -> HashMap<String, BTreeSet<u32>> {
    let mut groups: HashMap<String, BTreeSet<u32>> = HashMap::new();
    for line in text.lines() {
        let mut fields = line.split(':').skip(2);
        let Some(gid) = fields.next().and_then(|gid| gid.parse().ok()) else { continue };
        for name in fields.next().unwrap_or_default().split(',').filter(|name| !name.is_empty()) {
            groups.entry(name.to_owned()).or_default().insert(gid);
        }
    }
    groups
}

/// A directory that can hold stores: absolute, and not one of those that mean "none".
fn usable(home: &OsStr) -> Option<PathBuf> {
    let path: PathBuf = Path::new(home).components().collect();
    let none = ["/nonexistent", "/dev/null"].iter().any(|none| path == Path::new(none));
    (path.is_absolute() && !none).then_some(path)
}

/// Directories in `parent` with their owners.
fn directories(parent: &Path) -> Vec<(PathBuf, u32)> {
    let Ok(entries) = fs::read_dir(parent) else { return Vec::new() };
    let directory = |entry: fs::DirEntry| {
        let metadata = entry.metadata().ok().filter(Metadata::is_dir)?;
        Some((entry.path(), metadata.uid()))
    };
    entries.flatten().filter_map(directory).take(EXTRA_HOMES).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/bash\n# a comment\n+nis::::::\nbroken:x\n\
        daemon:x:1:1::/usr/sbin:/usr/sbin/nologin\nalice:x:1000:1000:Alice:/home/alice/:/bin/bash\n\
        svc:x:998:998::/nonexistent:/bin/false\ntoor:x:0:0::/root2:/bin/sh\n";

    fn database() -> (tempfile::TempDir, Users) {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("etc")).unwrap();
        fs::create_dir_all(root.path().join("home/left-behind")).unwrap();
        fs::write(root.path().join("etc/passwd"), PASSWD).unwrap();
        fs::write(root.path().join("etc/group"), "root:x:0:\ndocker:x:44:alice,bob\nadm:x:4:alice\nbad:x:y:alice\n")
            .unwrap();
        let users = Users::load_below(root.path()).unwrap();
        (root, users)
    }

    #[test]
    fn names_groups_and_homes() {
        let (root, mut users) = database();
        assert_eq!((users.name(1000), users.home(1000)), (Some("alice"), Some(Path::new("/home/alice/"))));
        assert_eq!(users.name(0), Some("root"), "the first line of a uid counts");
        assert_eq!(users.groups(1000), BTreeSet::from([4, 44, 1000]));
        assert_eq!((users.groups(1), users.groups(77)), (BTreeSet::from([1]), BTreeSet::new()));
        assert!(users.look_up(77).is_none());
        let homes: Vec<_> = users.homes().into_iter().map(|home| home.path).collect();
        let left = root.path().join("home/left-behind");
        assert_eq!(homes.len(), 4, "{homes:?}");
        for home in [Path::new("/root"), Path::new("/usr/sbin"), Path::new("/home/alice"), &left] {
            assert!(homes.iter().any(|it| it == home), "{home:?} in {homes:?}");
        }
    }

    #[test]
    fn a_changed_file_is_read_again_and_a_missing_one_changes_nothing() {
        let (root, mut users) = database();
        assert!(!users.refresh().unwrap());
        let passwd = root.path().join("etc/passwd");
        fs::write(&passwd, format!("{PASSWD}bob:x:1001:1001::/home/bob:/bin/sh\n")).unwrap();
        assert!(users.refresh().unwrap());
        assert_eq!(users.groups(1001), BTreeSet::from([44, 1001]));
        fs::remove_file(&passwd).unwrap();
        let error = users.refresh().unwrap_err().to_string();
        assert!(error.starts_with("cannot read the user database"), "{error}");
        assert_eq!(users.name(1001), Some("bob"));
    }

    #[test]
    fn homes_of_running_processes_are_learnt_once() {
        let (_root, mut users) = database();
        let mut process = super::super::writable::tests::process("/bin/x", 1000);
        process.environment = vec![("HOME".to_owned(), "/srv/runner".into())];
        assert!(users.learn_home(&process) && !users.learn_home(&process));
        for (home, new) in [("/home/alice", false), ("relative", false), ("/dev/null", false), ("/srv/other/", true)] {
            process.environment = vec![("HOME".to_owned(), home.into())];
            assert_eq!(users.learn_home(&process), new, "{home}");
        }
        assert!(users.homes().contains(&Home { path: "/srv/other".into(), uid: 1000 }));
    }

    #[test]
    fn name_services_are_asked_once() {
        let (root, _) = database();
        let mut users = Users::open(root.path(), Some(Service::Program)).unwrap();
        // This test's own user is in the real database.
        assert!(users.look_up(4_294_900_000).is_none());
        assert_eq!(users.others.len(), 1);
    }
}
