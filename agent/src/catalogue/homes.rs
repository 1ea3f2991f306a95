//! Homes and environment overrides: what moves a store from one machine, user or process to the next.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    ffi::OsString,
    path::{Component, Path, PathBuf},
};

/// Most homes kept. Later ones are dropped and counted.
pub const MAX_HOMES: usize = 4096;

/// Most values kept per learnt variable. Later ones are dropped and counted.
pub const MAX_VALUES: usize = 64;

/// The homes of all users: from the user database, and `HOME` of processes seen.
///
/// `/root` and `/home/*` always count, so that a user of a container whose home is in no database is not missed.
#[derive(Clone, Debug, Default)]
pub struct Homes {
    homes: HashSet<PathBuf>,
    dropped: u64,
}

impl Homes {
    /// Homes from an iterator.
    pub fn new(homes: impl IntoIterator<Item = PathBuf>) -> Self {
        let mut all = Self::default();
        for home in homes {
            all.insert(&home);
        }
        all
    }

    /// Homes from the text of `/etc/passwd` (passwd(5)): the sixth field of each line.
    #[must_use]
    pub fn from_passwd(text: &str) -> Self {
        let home = |line: &str| line.split(':').nth(5).map(PathBuf::from);
        Self::new(text.lines().filter(|line| !line.starts_with('#')).filter_map(home))
    }

    /// Adds a home. Relative paths and paths with `..` are refused; returns whether it is new.
    pub fn insert(&mut self, home: &Path) -> bool {
        // Asked for every program that starts: nothing is copied where nothing is new.
        if self.homes.contains(home) {
            return false;
        }
        let clean: PathBuf = home.components().collect();
        if !clean.is_absolute() || clean.components().any(|part| part == Component::ParentDir) {
            return false;
        }
        if self.homes.contains(&clean) {
            return false;
        }
        if self.homes.len() >= MAX_HOMES {
            self.dropped += 1;
            return false;
        }
        self.homes.insert(clean)
    }

    /// Homes that were not kept because there were too many.
    #[must_use]
    pub const fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Every home kept.
    pub fn iter(&self) -> impl Iterator<Item = &Path> {
        self.homes.iter().map(PathBuf::as_path)
    }

    /// Is it the home of a user?
    #[must_use]
    pub fn contains(&self, path: &Path) -> bool {
        self.homes.contains(path) || path == Path::new("/root") || path.parent() == Some(Path::new("/home"))
    }

    /// Every way to see an absolute `path` as a home and what lies below it.
    pub fn split<'a>(&'a self, path: &'a Path) -> impl Iterator<Item = (&'a Path, &'a Path)> {
        path.ancestors()
            .skip(1)
            .filter(|home| self.contains(home))
            .filter_map(|home| path.strip_prefix(home).ok().map(|rest| (home, rest)))
    }
}

/// A "home" of the user database that is a directory of the system (`/`, `/usr/sbin`, `/dev`) or shared by everybody:
/// stores are looked for right in it, but it is not searched and patterns that roam (`~/**/x`) do not apply.
#[must_use]
pub fn system_home(home: &Path) -> bool {
    let mut parts = home.components().skip(1);
    let Some(Component::Normal(first)) = parts.next() else { return true };
    let first = first.to_string_lossy();
    let system = ["bin", "boot", "dev", "etc", "lib", "lib64", "nonexistent", "proc", "run", "sbin", "sys", "usr"];
    system.contains(&first.as_ref())
        || (matches!(first.as_ref(), "home" | "opt" | "srv" | "tmp" | "var") && parts.next().is_none())
        || home == Path::new("/var/tmp")
}

/// Where variables point: of the reading process, and learnt from others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EnvOverrides {
    values: BTreeMap<String, BTreeSet<PathBuf>>,
    dropped: u64,
}

impl EnvOverrides {
    /// None.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Those of a process: `environment` as the decoder keeps it, `cwd` to resolve relative values.
    #[must_use]
    pub fn of(environment: &[(String, OsString)], cwd: Option<&Path>) -> Self {
        let mut all = Self::new();
        for (name, value) in environment {
            all.learn(name, value, cwd);
        }
        all
    }

    /// Adds a value; lists separated by `:` (`KUBECONFIG`) and prefixes (`KRB5CCNAME=FILE:/x`) are taken apart.
    pub fn learn(&mut self, name: &str, value: &std::ffi::OsStr, cwd: Option<&Path>) {
        use std::os::unix::ffi::OsStrExt as _;
        let whole = value.as_bytes();
        let parts = whole.split(|byte| *byte == b':').chain(whole.contains(&b':').then_some(whole));
        for part in parts {
            let path = Path::new(std::ffi::OsStr::from_bytes(part));
            let absolute = match (path.is_absolute(), cwd) {
                (true, _) => clean(path),
                (false, Some(cwd)) if !part.is_empty() => clean(&cwd.join(path)),
                _ => continue,
            };
            self.insert(name, absolute);
        }
    }

    fn insert(&mut self, name: &str, value: PathBuf) {
        if value.parent().is_none() {
            return;
        }
        let values = self.values.entry(name.to_owned()).or_default();
        if values.len() >= MAX_VALUES && !values.contains(&value) {
            self.dropped += 1;
        } else {
            values.insert(value);
        }
    }

    /// The values that are not in `other`.
    #[must_use]
    pub fn without(&self, other: &Self) -> Self {
        let mut left = Self::new();
        for (name, value) in self.iter() {
            if !other.values.get(name).is_some_and(|known| known.contains(value)) {
                left.insert(name, value.to_owned());
            }
        }
        left
    }

    /// Takes over the values of `other`.
    pub fn merge(&mut self, other: &Self) {
        for (name, value) in other.iter() {
            self.insert(name, value.to_owned());
        }
    }

    /// Every value.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Path)> {
        self.values.iter().flat_map(|(name, values)| values.iter().map(|value| (name.as_str(), value.as_path())))
    }

    /// Values that were not kept because there were too many.
    #[must_use]
    pub const fn dropped(&self) -> u64 {
        self.dropped
    }
}

/// `.` and `..` taken out by text, and `/var/run` as `/run`.
#[must_use]
pub fn clean(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                out.pop();
            }
            part => out.push(part),
        }
    }
    match out.strip_prefix("/var/run") {
        Ok(rest) => Path::new("/run").join(rest),
        Err(_) => out,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn homes_come_from_the_user_database_and_from_nowhere_else() {
        let homes = Homes::from_passwd("root:x:0:0:root:/root:/bin/sh\nci:x:9:9::/srv/ci:/bin/sh\nbad:x:1:1::rel:/x\n");
        let found = |path: &str| homes.split(Path::new(path)).count();
        assert_eq!(found("/srv/ci/.netrc"), 1);
        assert_eq!(found("/root/.netrc"), 1);
        assert_eq!(found("/home/new/.netrc"), 1, "homes below /home count without an entry");
        assert_eq!(found("/srv/other/.netrc"), 0);
        assert_eq!(found("/rel/.netrc"), 0);
    }

    #[test]
    fn too_many_homes_are_counted() {
        let mut homes = Homes::new((0..MAX_HOMES).map(|i| PathBuf::from(format!("/srv/{i}"))));
        assert!(!homes.insert(Path::new("/srv/more")));
        assert_eq!(homes.dropped(), 1);
    }

    #[test]
    fn values_are_lists_and_may_be_relative() {
        let environment = [
            ("KUBECONFIG".to_owned(), OsString::from("/a/one:two")),
            ("KRB5CCNAME".to_owned(), OsString::from("FILE:/tmp/krb5cc_0")),
            ("AWS_CONFIG_FILE".to_owned(), OsString::from("../x")),
        ];
        let overrides = EnvOverrides::of(&environment, Some(Path::new("/w/d")));
        let values: Vec<_> = overrides.iter().map(|(name, value)| format!("{name}={}", value.display())).collect();
        for expected in ["KUBECONFIG=/a/one", "KUBECONFIG=/w/d/two", "KRB5CCNAME=/tmp/krb5cc_0", "AWS_CONFIG_FILE=/w/x"]
        {
            assert!(values.iter().any(|value| value == expected), "{expected}: {values:?}");
        }
    }

    #[test]
    fn system_directories_are_no_homes_to_search() {
        for home in ["/", "/usr/sbin", "/dev", "/nonexistent", "/bin", "/tmp", "/var", "/home"] {
            assert!(system_home(Path::new(home)), "{home}");
        }
        for home in ["/root", "/home/a", "/srv/ci", "/var/lib/jenkins", "/opt/actions-runner"] {
            assert!(!system_home(Path::new(home)), "{home}");
        }
    }
}
