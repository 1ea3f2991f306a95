//! Which stores a path belongs to. Asked for every hit: all globs are compiled once, into a few sets.

use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
};

use globset::{Candidate, GlobSet, GlobSetBuilder};

use super::{
    homes::{EnvOverrides, Homes, clean, system_home},
    model::{Holds, Role, Store},
    pattern::{Anchor, Pattern, glob},
};

/// What one glob of a set says.
#[derive(Clone, Copy, Debug)]
struct Meaning {
    store: u32,
    excludes: bool,
    roams: bool,
}

/// Globs with what they mean.
#[derive(Clone, Debug, Default)]
struct Set {
    globs: GlobSet,
    meanings: Vec<Meaning>,
}

struct SetBuilder {
    globs: GlobSetBuilder,
    meanings: Vec<Meaning>,
}

impl Default for SetBuilder {
    fn default() -> Self {
        Self { globs: GlobSetBuilder::new(), meanings: Vec::new() }
    }
}

impl SetBuilder {
    fn add(&mut self, glob: globset::Glob, meaning: Meaning) {
        self.globs.add(glob);
        self.meanings.push(meaning);
    }

    fn build(&self) -> Result<Set, globset::Error> {
        Ok(Set { globs: self.globs.build()?, meanings: self.meanings.clone() })
    }
}

/// What becomes of a variable's value.
#[derive(Clone, Debug, Default)]
struct Variable {
    /// Stores whose file is the value itself.
    itself: Vec<u32>,
    /// Globs below the value.
    below: Set,
}

/// All paths of the catalogue, compiled.
#[derive(Clone, Debug, Default)]
pub struct Matcher {
    home: Set,
    root: Set,
    variables: HashMap<String, Variable>,
}

/// The catalogue's globs do not compile as a set (too large).
#[derive(Debug, thiserror::Error)]
#[error("compiling the catalogue's paths: {0}; make the catalogue smaller")]
pub struct MatcherError(#[from] globset::Error);

impl Matcher {
    /// Compiles the watched paths of `stores`; the position in the slice is the store's number.
    ///
    /// # Errors
    /// The globs together are too large to compile.
    pub fn new(stores: &[Store]) -> Result<Self, MatcherError> {
        Self::of(stores, Store::watched, |store| store.watched_paths().collect())
    }

    /// The same of their sockets.
    ///
    /// # Errors
    /// Likewise.
    pub fn sockets(stores: &[Store]) -> Result<Self, MatcherError> {
        Self::of(stores, |store| store.role == Role::AgentSocket, |store| store.sockets().collect())
    }

    /// The same of histories and logs.
    ///
    /// # Errors
    /// Likewise.
    pub fn outlets(stores: &[Store]) -> Result<Self, MatcherError> {
        Self::of(stores, Store::is_outlet, |store| store.outlet_paths().collect())
    }

    /// Compiles the paths that can be anywhere below a home or the root (`~/**/x`, `**/x`), of stores that keep tokens,
    /// watched or not: what only a search finds.
    ///
    /// # Errors
    /// Likewise.
    pub fn roaming(stores: &[Store]) -> Result<Self, MatcherError> {
        Self::of(stores, |_| false, |store| store.kept_paths().filter(|pattern| pattern.roams_anywhere()).collect())
    }

    /// `moved`: what variables of `path_env` move are the paths.
    fn of(
        stores: &[Store],
        moved: fn(&Store) -> bool,
        paths: for<'a> fn(&'a Store) -> Vec<&'a Pattern>,
    ) -> Result<Self, MatcherError> {
        let mut home = SetBuilder::default();
        let mut root = SetBuilder::default();
        let mut variables: BTreeMap<&str, (Vec<u32>, SetBuilder)> = BTreeMap::new();
        for (number, store) in stores.iter().enumerate() {
            let watched = paths(store);
            if watched.is_empty() && !moved(store) {
                continue;
            }
            let number = number as u32;
            let excluded = store.exclude_paths.iter().map(|pattern| (pattern, true));
            for (pattern, excludes) in watched.into_iter().map(|pattern| (pattern, false)).chain(excluded) {
                let meaning = Meaning { store: number, excludes, roams: pattern.roams() };
                let set = match pattern.anchor() {
                    Anchor::Home => &mut home,
                    Anchor::Root | Anchor::Anywhere => &mut root,
                    Anchor::Variable(name) => &mut variables.entry(name).or_default().1,
                };
                set.add(pattern.glob()?, meaning);
            }
            for variable in store.path_env.iter().filter(|_| moved(store)) {
                let entry = variables.entry(&variable.name).or_default();
                for template in &variable.templates {
                    if template == "{}" {
                        entry.0.push(number);
                    } else if let Some(rest) = template.strip_prefix("{}/") {
                        entry.1.add(glob(rest)?, Meaning { store: number, excludes: false, roams: false });
                    }
                }
            }
        }
        let variables = variables
            .into_iter()
            .map(|(name, (itself, below))| Ok((name.to_owned(), Variable { itself, below: below.build()? })))
            .collect::<Result<_, globset::Error>>()?;
        Ok(Self { home: home.build()?, root: root.build()?, variables })
    }

    /// Numbers of the stores that an absolute path belongs to, in no order.
    #[must_use]
    pub fn matches(&self, path: &Path, homes: &Homes, overrides: &EnvOverrides) -> Vec<u32> {
        let path = clean(path);
        let mut found = Found::default();
        found.ask(&self.root, &path, false);
        for (home, rest) in homes.split(&path) {
            found.ask(&self.home, rest, system_home(home));
        }
        for (name, value) in overrides.iter() {
            if let Some(variable) = self.variables.get(name) {
                if path == value {
                    found.stores.extend(&variable.itself);
                } else if let Ok(rest) = path.strip_prefix(value) {
                    found.ask(&variable.below, rest, false);
                }
            }
        }
        found.finish()
    }

    /// The same for a path whose components near the root are missing: any beginning is possible, so it is compared
    /// from every component on. It may say too much, never too little.
    #[must_use]
    pub fn matches_truncated(&self, tail: &Path) -> Vec<u32> {
        let mut found = Found::default();
        let mut rest = tail.components();
        loop {
            let path = rest.as_path();
            if path.as_os_str().is_empty() {
                break;
            }
            found.ask(&self.home, path, false);
            found.ask(&self.root, &Path::new("/").join(path), false);
            rest.next();
        }
        found.finish()
    }

    /// Whether that variable moves one.
    #[must_use]
    pub fn moves(&self, variable: &str) -> bool {
        self.variables.get(variable).is_some_and(|variable| !variable.itself.is_empty())
    }

    /// Every variable that moves a store.
    pub fn variables(&self) -> impl Iterator<Item = &str> {
        self.variables.keys().map(String::as_str)
    }
}

#[derive(Default)]
struct Found {
    stores: Vec<u32>,
    excluded: Vec<u32>,
    scratch: Vec<usize>,
}

impl Found {
    fn ask(&mut self, set: &Set, path: &Path, at_system_home: bool) {
        set.globs.matches_candidate_into(&Candidate::new(path), &mut self.scratch);
        for index in &self.scratch {
            let Some(meaning) = set.meanings.get(*index) else { continue };
            if meaning.excludes {
                self.excluded.push(meaning.store);
            } else if !(meaning.roams && at_system_home) {
                self.stores.push(meaning.store);
            }
        }
    }

    fn finish(mut self) -> Vec<u32> {
        self.stores.sort_unstable();
        self.stores.dedup();
        self.stores.retain(|store| !self.excluded.contains(store));
        self.stores
    }
}

/// Puts the store first that a path is best named after: `.netrc` is `netrc` before it is `heroku`.
#[must_use]
pub fn primary_first<'a>(mut stores: Vec<&'a Store>, path: &Path) -> Vec<&'a Store> {
    let roaming = |store: &Store| {
        let fixed = |pattern: &Pattern| !matches!(pattern.anchor(), Anchor::Anywhere) && !pattern.roams();
        let leaf = path.file_name().and_then(|name| name.to_str());
        !store.watched_paths().any(|pattern| {
            fixed(pattern) && pattern.parts().last().and_then(super::pattern::Part::name) == leaf && leaf.is_some()
        })
    };
    // Stable: the catalogue's own order decides between equals.
    stores.sort_by_key(|store| (store.tier, store.holds == Holds::Perhaps, roaming(store)));
    stores
}

#[cfg(test)]
mod tests {
    use std::{ffi::OsString, path::PathBuf};

    use super::*;
    use crate::catalogue::tests::shipped_catalogue;

    fn homes() -> Homes {
        Homes::new(["/root", "/home/ann", "/srv/ci", "/", "/usr/sbin"].map(PathBuf::from))
    }

    fn stores(path: &str) -> Vec<String> {
        stores_with(path, &[])
    }

    fn stores_with(path: &str, environment: &[(&str, &str)]) -> Vec<String> {
        let environment: Vec<_> =
            environment.iter().map(|(name, value)| ((*name).to_owned(), OsString::from(value))).collect();
        let catalogue = shipped_catalogue();
        let overrides = EnvOverrides::of(&environment, None);
        catalogue.stores_for(Path::new(path), &homes(), &overrides).iter().map(|store| store.id.clone()).collect()
    }

    #[test]
    fn paths_belong_to_their_stores_in_every_home() {
        for (path, first) in [
            ("/home/ann/.aws/credentials", "aws-credentials"),
            ("/srv/ci/.aws/credentials", "aws-credentials"),
            ("/root/.aws/credentials", "aws-credentials"),
            ("/.aws/credentials", "aws-credentials"),
            ("/home/ann/.aws/sso/cache/0a1b.json", "aws-sso-cache"),
            ("/home/ann/.aws/sso/cache/kiro-auth-token.json", "kiro-aws-token"),
            ("/home/ann/.netrc", "netrc"),
            ("/home/ann/.config/gh/hosts.yml", "gh-hosts"),
            ("/home/ann/.docker/config.json", "docker-config"),
            ("/home/ann/.docker/config.json123456", "docker-config"),
            ("/home/ann/.kube/config", "kubeconfig"),
            ("/home/ann/.ssh/id_ed25519", "ssh-private-keys"),
            ("/home/ann/.ssh/work/id_rsa", "ssh-private-keys"),
            ("/home/ann/p/.npmrc", "npm-npmrc"),
            ("/home/ann/deep/er/x.kdbx", "keepass"),
            ("/home/ann/.config/Bitwarden CLI/data.json", "bitwarden-cli"),
            ("/home/ann/.mozilla/firefox/abc.default/key4.db", "firefox-logins"),
            ("/home/ann/.config/google-chrome/Default/Cookies", "chrome-cookies"),
            ("/etc/shadow", "etc-shadow"),
            ("/etc/shadow-", "etc-shadow"),
            ("/var/run/secrets/kubernetes.io/serviceaccount/token", "kube-sa-token"),
            ("/run/secrets/kubernetes.io/serviceaccount/..data/token", "kube-sa-token"),
            ("/run/secrets/db_password", "container-run-secrets"),
            ("/home/ann/.git-credentials", "git-credentials"),
            ("/home/ann/.config/gcloud/legacy_credentials/a@b/adc.json", "gcloud-legacy-credentials"),
        ] {
            assert_eq!(stores(path).first().map(String::as_str), Some(first), "{path}: {:?}", stores(path));
        }
    }

    #[test]
    fn public_files_belong_to_none() {
        for path in [
            "/etc/passwd",
            "/etc/group",
            "/etc/.pwd.lock",
            "/home/ann/.ssh/known_hosts",
            "/home/ann/.ssh/config",
            "/home/ann/.ssh/id_ed25519.pub",
            "/home/ann/.ssh/authorized_keys",
            "/home/ann/.ssh/work/id_rsa.pub",
            "/etc/apt/sources.list.d/debian.sources",
            "/etc/my.cnf",
            "/srv/other/.aws/credentials",
            "/home/ann/x/.aws/credentials",
            "/home/ann/.aws/sso/cache/session.db",
            "/home/ann/_work/_temp/abc.sh",
            "/tmp/anything",
            "/proc/1/environ",
            "/home/ann/.bash_history",
            "/usr/sbin/deep/er/x.kdbx",
            "/home/ann/.kube/cache/discovery/x.json",
        ] {
            assert_eq!(stores(path), Vec::<String>::new(), "{path}");
        }
    }

    #[test]
    fn a_shared_file_belongs_to_all_and_is_named_after_its_owner() {
        let found = stores("/home/ann/.netrc");
        assert_eq!(found[0], "netrc");
        for id in ["heroku", "conjur", "confluent", "wandb"] {
            assert!(found.iter().any(|found| found == id), "{id}: {found:?}");
        }
    }

    #[test]
    fn variables_move_stores() {
        for (path, variables, first) in [
            ("/w/creds", [("AWS_SHARED_CREDENTIALS_FILE", "/w/creds")], "aws-credentials"),
            ("/w/gh/hosts.yml", [("XDG_CONFIG_HOME", "/w")], "gh-hosts"),
            ("/w/hosts.yml", [("GH_CONFIG_DIR", "/w/")], "gh-hosts"),
            ("/w/b", [("KUBECONFIG", "/w/a:/w/b")], "kubeconfig"),
            ("/w/credentials.db", [("CLOUDSDK_CONFIG", "/w")], "gcloud-credentials-db"),
            ("/w/.git/config", [("GITHUB_WORKSPACE", "/w")], "gha-checkout-credentials"),
        ] {
            let found = stores_with(path, &variables);
            assert_eq!(found.first().map(String::as_str), Some(first), "{path}: {found:?}");
        }
        assert_eq!(stores("/w/creds"), Vec::<String>::new());
        assert_eq!(stores_with("/w/other", &[("AWS_SHARED_CREDENTIALS_FILE", "/w/creds")]), Vec::<String>::new());
    }

    #[test]
    fn a_cut_path_is_recognised_by_its_end() {
        let catalogue = shipped_catalogue();
        let found = |path: &str| -> Vec<&str> {
            catalogue.stores_for_truncated(Path::new(path)).into_iter().map(|store| store.id.as_str()).collect()
        };
        assert!(found("x/y/ann/.aws/credentials").contains(&"aws-credentials"));
        assert!(found("x/y/z").is_empty());
    }
}
