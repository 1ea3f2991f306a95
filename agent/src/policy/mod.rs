//! What the operator says of accesses: expectations add readers to those of the catalogue, exceptions accept what is not
//! expected, restrictions take back what is.
//!
//! Files are `/etc/tokenhound/policy.d/*.yaml` and those of `--policy`:
//!
//! ```yaml
//! expectations:
//!   - reason: our deploy tool logs in to the registry
//!     store: docker-config
//!     reader: /opt/deploy/bin/deploy
//!
//! exceptions:
//!   - reason: nightly backup of all homes
//!     store: [aws-credentials, 'ssh-*']
//!     reader: /usr/bin/restic
//!     user: backup
//!     time: '01:00-05:00'
//!
//! restrictions:
//!   - reason: agents may use gh, and have no business in the cloud
//!     store: ['aws-*', 'gcloud-*']
//!     actor: ai-agent
//! ```
//!
//! [`tokens`] say how long a token may stay.
//!
//! All selectors of a rule must hold; a list holds if one of its values does. Precedence: catalogue and expectations say
//! whether a reader is expected; a restriction that covers the access makes it unexpected; an exception that covers it
//! then makes it tolerated, also against a restriction. Order and file do not matter, but for which rule is named. Of the
//! policy that is shipped ([`shipped`]) no exception holds against a restriction.

mod check;
pub mod condition;
pub mod learn;
mod parse;
pub mod rule;
pub mod shipped;
pub mod times;
pub mod tokens;

use std::{
    path::{Path, PathBuf},
    time::SystemTime,
};

pub use self::rule::{Kind, Rule};
use self::{rule::Subject, tokens::TokenRule};
use crate::{
    catalogue::Catalogue,
    detect::{
        access::{Access, Target},
        lifecycle::Limits,
    },
    yaml::{self, Guard, Outcome, Problems},
};

/// Where operators put their rules.
pub const DIRECTORY: &str = "/etc/tokenhound/policy.d";

/// In `store`, followed by the name of an [`crate::ingest::observation::Inspection`]: looking into other processes.
pub const PROCESS: &str = "proc-";

/// A file of a policy, as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The file.
    pub file: PathBuf,
    /// What it holds.
    pub text: String,
}

/// Every rule, in the order of the files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    rules: Vec<Rule>,
    tokens: Vec<TokenRule>,
    host: String,
    sources: Vec<Source>,
    /// No file says `shipped: false`.
    wants_shipped: bool,
}

/// A policy with what its operator should be told.
#[derive(Clone, Debug, Default)]
pub struct Loaded {
    /// The policy.
    pub policy: Policy,
    /// Warnings.
    pub notes: Problems,
}

impl Policy {
    /// The first expectation that makes the reader one that the store belongs to.
    #[must_use]
    pub fn expects(&self, access: &Access, store: &str) -> Option<&Rule> {
        self.first(Kind::Expectation, access, Some(store))
    }

    /// The first exception that covers an access.
    #[must_use]
    pub fn tolerates(&self, access: &Access) -> Option<&Rule> {
        let subject = Subject { access, store: None, host: &self.host };
        let mut covering = self.of(Kind::Exception).filter(|rule| rule.covers(&subject));
        covering.find(|rule| !rule.shipped || !self.restricts_any(access))
    }

    /// Does a restriction cover the reading of one of the stores that share the file?
    fn restricts_any(&self, access: &Access) -> bool {
        match &access.target {
            Target::Store { stores, .. } | Target::Service { stores, .. } | Target::Copy { stores, .. } => {
                stores.iter().any(|store| self.restricts(access, store).is_some())
            }
            Target::Process(..) => false,
        }
    }

    /// The first restriction that covers the reading of a store.
    #[must_use]
    pub fn restricts(&self, access: &Access, store: &str) -> Option<&Rule> {
        self.first(Kind::Restriction, access, Some(store))
    }

    fn first(&self, kind: Kind, access: &Access, store: Option<&str>) -> Option<&Rule> {
        let subject = Subject { access, store, host: &self.host };
        self.of(kind).find(|rule| rule.covers(&subject))
    }

    /// Does a rule speak of packages?
    #[must_use]
    pub fn names_packages(&self) -> bool {
        self.rules.iter().any(|rule| {
            !rule.package.is_empty() || rule.when.as_ref().is_some_and(condition::Condition::names_packages)
        })
    }

    /// How long tokens of a store may do what.
    #[must_use]
    pub fn token_limits(&self, store: &str) -> Limits {
        tokens::limits(&self.tokens, store)
    }

    /// Every entry on tokens.
    #[must_use]
    pub fn token_rules(&self) -> &[TokenRule] {
        &self.tokens
    }

    /// Every rule.
    #[must_use]
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// The rules of a kind.
    pub fn of(&self, kind: Kind) -> impl Iterator<Item = &Rule> {
        self.rules.iter().filter(move |rule| rule.kind == kind)
    }

    /// The files that it was read from.
    #[must_use]
    pub fn sources(&self) -> &[Source] {
        &self.sources
    }

    /// What of it holds on the machine with this name.
    #[must_use]
    pub fn on_host(mut self, host: &str) -> Self {
        self.rules.retain(|rule| rule.is_for(host));
        host.clone_into(&mut self.host);
        self
    }

    /// The files of `directory` (none if it does not exist), then `more`, then the policy that is shipped.
    ///
    /// # Errors
    /// Every mistake of every file at once.
    pub fn load(directory: &Path, more: &[PathBuf], catalogue: &Catalogue) -> Result<Loaded, Problems> {
        let mut files = yaml::directory(directory)?;
        files.extend_from_slice(more);
        let Loaded { policy, notes } = Self::read(&files, Guard::Trusted, catalogue, SystemTime::now())?;
        Ok(Loaded { policy: policy.with_shipped()?, notes })
    }

    /// The same, with `file`, to see what it would do: nothing has to be safe from others.
    ///
    /// # Errors
    /// Every mistake of every file at once.
    pub fn trial(directory: Option<&Path>, file: Option<&Path>, catalogue: &Catalogue) -> Result<Self, Problems> {
        let mut files = directory.map(yaml::directory).transpose()?.unwrap_or_default();
        // It may be one of them already, and is what is asked about.
        let same =
            |other: &PathBuf| file.and_then(|file| Some(file.canonicalize().ok()? == other.canonicalize().ok()?));
        files.retain(|other| same(other) != Some(true));
        files.extend(file.map(Path::to_owned));
        Self::read(&files, Guard::Looked, catalogue, SystemTime::now())?.policy.with_shipped()
    }

    fn read(files: &[PathBuf], guard: Guard, catalogue: &Catalogue, now: SystemTime) -> Result<Loaded, Problems> {
        let mut problems = Problems::new();
        let mut sources = Vec::new();
        for file in files {
            match yaml::read(file, guard) {
                Ok(text) => sources.push(Source { file: file.clone(), text }),
                Err(found) => problems.append(found),
            }
        }
        Self::parse(sources, catalogue, now, problems)
    }

    /// Adds the shipped policy, unless a file says that it does not hold. The operator's own rules are named first.
    fn with_shipped(mut self) -> Result<Self, Problems> {
        if self.wants_shipped {
            self.rules.extend(shipped::rules()?);
        }
        Ok(self)
    }

    /// The policy that these files hold, which were read before, and the one that is shipped. `now` is for the warning about rules that have expired.
    ///
    /// # Errors
    /// Every mistake of every file at once.
    pub fn of_sources(sources: Vec<Source>, catalogue: &Catalogue, now: SystemTime) -> Result<Loaded, Problems> {
        let Loaded { policy, notes } = Self::parse(sources, catalogue, now, Problems::new())?;
        Ok(Loaded { policy: policy.with_shipped()?, notes })
    }

    fn parse(
        sources: Vec<Source>,
        catalogue: &Catalogue,
        now: SystemTime,
        mut problems: Problems,
    ) -> Result<Loaded, Problems> {
        let mut policy = Self { wants_shipped: true, ..Self::default() };
        for Source { file, text } in &sources {
            match parse::parse(file, text) {
                Ok(found) => {
                    policy.rules.extend(found.rules);
                    policy.tokens.extend(found.tokens);
                    policy.wants_shipped &= found.shipped.unwrap_or(true);
                }
                Err(found) => problems.append(found),
            }
        }
        policy.sources = sources;
        check::together(&policy, catalogue, now, &mut problems);
        if problems.has_errors() {
            return Err(problems);
        }
        Ok(Loaded { policy, notes: problems })
    }

    /// Checks a policy file, or those of a directory together: every mistake with its place and what would be right.
    #[must_use]
    pub fn check(path: &Path, catalogue: &Catalogue, now: SystemTime) -> Outcome {
        let files = if path.is_dir() { yaml::directory(path) } else { Ok(vec![path.to_owned()]) };
        match files.and_then(|files| Self::read(&files, Guard::Looked, catalogue, now)) {
            Ok(loaded) => Outcome::of(path, &loaded.notes, &loaded.policy.holds()),
            Err(problems) => Outcome::of(path, &problems, ""),
        }
    }

    /// How many rules of which kind: `2 exceptions, 1 restriction`.
    #[must_use]
    pub fn holds(&self) -> String {
        let kinds = [Kind::Expectation, Kind::Exception, Kind::Restriction];
        let count = |kind: Kind| match self.of(kind).count() {
            0 => None,
            1 => Some(format!("1 {}", kind.name())),
            count => Some(format!("{count} {}", kind.key())),
        };
        let counts: Vec<_> = kinds.into_iter().filter_map(count).collect();
        if counts.is_empty() { "no rules".to_owned() } else { counts.join(", ") }
    }
}

#[cfg(test)]
mod tests;
