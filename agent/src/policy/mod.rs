//! What the operator says of accesses: exceptions accept what the catalogue does not expect, restrictions take back what
//! it does.
//!
//! Files are `/etc/tokenhound/policy.d/*.yaml` and those of `--policy`:
//!
//! ```yaml
//! exceptions:
//!   - reason: nightly backup of all homes
//!     store: [aws-credentials, 'ssh-*']
//!     reader: /usr/bin/restic
//!     user: backup
//!
//! restrictions:
//!   - reason: agents may use gh, and have no business in the cloud
//!     store: ['aws-*', 'gcloud-*']
//!     actor: ai-agent
//! ```
//!
//! All selectors of an entry must hold; a list holds if one of its values does. Precedence: the catalogue says first
//! whether a reader is expected; a restriction that covers the access makes it unexpected; an exception that covers it then
//! makes it tolerated, also against a restriction. Order and file do not matter, but for which entry is named.

mod check;
mod parse;

use std::path::{Path, PathBuf};

use crate::{
    catalogue::{
        Catalogue,
        pattern::{Pattern, name_matches},
    },
    detect::access::{Access, Target},
    lineage::{
        actor::{Actor, Party, Proof},
        model::{Process, Script, Writable},
        package::Owners,
    },
    yaml::{self, Guard, Outcome, Place, Problems},
};

/// Where operators put their exceptions.
pub const DIRECTORY: &str = "/etc/tokenhound/policy.d";

/// In `store`, followed by the name of an [`crate::ingest::observation::Inspection`]: looking into other processes.
pub const PROCESS: &str = "proc-";

/// One exception.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exception {
    /// Why it is right. Shown with every access it covers.
    pub reason: String,
    /// Store ids, `*` is a wildcard. Empty: every store (but not other processes' environment and memory).
    pub store: Vec<String>,
    /// Paths of the reader's executable.
    pub reader: Vec<Pattern>,
    /// Paths of the script it runs.
    pub script: Vec<Pattern>,
    /// Paths of the executable or script of an ancestor.
    pub ancestor: Vec<Pattern>,
    /// Packages of the distribution that brought the reader: its script, or the program if it runs none.
    pub package: Vec<String>,
    /// Names or ids of the reader's real user.
    pub user: Vec<String>,
    /// Classes or ids of whoever acts. An actor that only a variable makes is none: anyone can set it.
    pub actor: Vec<String>,
    /// Also programs that the reading user can write.
    pub allow_writable: bool,
    /// The file it is in.
    pub file: PathBuf,
    /// Where in that file.
    pub place: Place,
}

/// One restriction: an expected reader that is not to read for this actor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restriction {
    /// Why. Shown with every access it covers.
    pub reason: String,
    /// Store ids, `*` is a wildcard.
    pub store: Vec<String>,
    /// Stores that it leaves alone all the same.
    pub except: Vec<String>,
    /// Classes or ids of whoever acts, or on whose behalf it is done. Here a variable is enough.
    pub actor: Vec<String>,
    /// Names or ids of the reader's real user.
    pub user: Vec<String>,
    /// The file it is in.
    pub file: PathBuf,
    /// Where in that file.
    pub place: Place,
}

impl Restriction {
    /// How to refer to it: file and line.
    #[must_use]
    pub fn label(&self) -> String {
        format!("{}:{}", self.file.display(), self.place.line)
    }

    /// Does it cover the reading of this store?
    #[must_use]
    pub fn covers(&self, access: &Access, store: &str) -> bool {
        let named = |list: &[String]| list.iter().any(|wanted| name_matches(wanted, store));
        named(&self.store)
            && !named(&self.except)
            && access.actor.parties().any(|party| is_party(&self.actor, party))
            && (self.user.is_empty() || covers_user(&self.user, access))
    }
}

fn is_party(list: &[String], party: &Party) -> bool {
    list.iter().any(|wanted| wanted == party.class.name() || party.id.as_ref() == Some(wanted))
}

fn covers_user(list: &[String], access: &Access) -> bool {
    let uid = access.chain.processes.first().map(|reader| reader.uid.to_string());
    let is = |user: &String| {
        Some(user) == uid.as_ref() || access.user_name.as_deref().is_some_and(|name| name_matches(user, name))
    };
    list.iter().any(is)
}

impl Exception {
    /// How to refer to it: file and line.
    #[must_use]
    pub fn label(&self) -> String {
        format!("{}:{}", self.file.display(), self.place.line)
    }

    /// Does it cover this access?
    #[must_use]
    pub fn covers(&self, access: &Access) -> bool {
        let Some((reader, ancestors)) = access.chain.processes.split_first() else { return false };
        let home = access.home.as_deref();
        self.covers_target(&access.target)
            && (self.reader.is_empty() || self.covers_program(reader, home))
            && (self.script.is_empty() || self.covers_script(reader, &self.script, home))
            && (self.package.is_empty() || self.covers_package(reader))
            && (self.ancestor.is_empty() || ancestors.iter().any(|ancestor| self.covers_ancestor(ancestor, home)))
            && (self.user.is_empty() || covers_user(&self.user, access))
            && (self.actor.is_empty() || self.covers_actor(&access.actor))
    }

    fn covers_target(&self, target: &Target) -> bool {
        let named = |id: &str| self.store.iter().any(|store| name_matches(store, id));
        match target {
            Target::Store { stores, .. } => self.store.is_empty() || stores.iter().any(|id| named(id)),
            Target::Process(how, ..) => self.store.iter().any(|store| store.strip_prefix(PROCESS) == Some(how.name())),
        }
    }

    fn covers_program(&self, process: &Process, home: Option<&Path>) -> bool {
        let executable = &process.executable;
        !executable.path_truncated
            && self.trusts(executable.writable)
            && self.reader.iter().any(|pattern| pattern.matches(&executable.path, home))
    }

    fn covers_script(&self, process: &Process, patterns: &[Pattern], home: Option<&Path>) -> bool {
        match &process.script {
            Some(Script::File { path, writable }) => {
                // A listed script in an interpreter that was brought along is not the listed script.
                self.trusts(*writable)
                    && self.trusts(process.executable.writable)
                    && patterns.iter().any(|pattern| pattern.matches(path, home))
            }
            Some(Script::Module(_) | Script::Inline) | None => false,
        }
    }

    /// A file that was changed since is nobody's, and a package brings none that the reading user can write.
    fn covers_package(&self, process: &Process) -> bool {
        let script = match &process.script {
            Some(Script::File { writable, .. }) => self.trusts(*writable),
            Some(Script::Module(_) | Script::Inline) | None => true,
        };
        let name = process.owners.as_deref().and_then(Owners::package);
        script
            && self.trusts(process.executable.writable)
            && name.is_some_and(|name| self.package.iter().any(|it| it == name))
    }

    fn covers_ancestor(&self, process: &Process, home: Option<&Path>) -> bool {
        let executable = &process.executable;
        let by_program = !executable.path_truncated
            && self.trusts(executable.writable)
            && self.ancestor.iter().any(|pattern| pattern.matches(&executable.path, home));
        by_program || self.covers_script(process, &self.ancestor, home)
    }

    /// Whoever acts itself, and nobody that it acts for: an agent's install script is not the agent.
    fn covers_actor(&self, actor: &Actor) -> bool {
        let sure = match actor.party.proof {
            Proof::Marker => false,
            Proof::Name => self.allow_writable,
            Proof::Place | Proof::Standing => true,
        };
        sure && is_party(&self.actor, &actor.party)
    }

    fn trusts(&self, writable: Writable) -> bool {
        self.allow_writable || writable == Writable::No
    }
}

/// Every exception and restriction, in the order of the files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    exceptions: Vec<Exception>,
    restrictions: Vec<Restriction>,
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
    /// The first exception that covers an access.
    #[must_use]
    pub fn tolerates(&self, access: &Access) -> Option<&Exception> {
        self.exceptions.iter().find(|exception| exception.covers(access))
    }

    /// The first restriction that covers the reading of a store.
    #[must_use]
    pub fn restricts(&self, access: &Access, store: &str) -> Option<&Restriction> {
        self.restrictions.iter().find(|restriction| restriction.covers(access, store))
    }

    /// Does an entry speak of packages?
    #[must_use]
    pub fn names_packages(&self) -> bool {
        self.exceptions.iter().any(|exception| !exception.package.is_empty())
    }

    /// Every exception.
    #[must_use]
    pub fn exceptions(&self) -> &[Exception] {
        &self.exceptions
    }

    /// Every restriction.
    #[must_use]
    pub fn restrictions(&self) -> &[Restriction] {
        &self.restrictions
    }

    /// The files of `directory` (none if it does not exist), then `more`.
    ///
    /// # Errors
    /// Every mistake of every file at once.
    pub fn load(directory: &Path, more: &[PathBuf], catalogue: &Catalogue) -> Result<Loaded, Problems> {
        let mut files = yaml::directory(directory)?;
        files.extend_from_slice(more);
        Self::read(&files, Guard::Trusted, catalogue)
    }

    fn read(files: &[PathBuf], guard: Guard, catalogue: &Catalogue) -> Result<Loaded, Problems> {
        let mut problems = Problems::new();
        let mut policy = Self::default();
        for file in files {
            match yaml::read(file, guard).and_then(|text| parse::parse(file, &text)) {
                Ok(found) => {
                    policy.exceptions.extend(found.exceptions);
                    policy.restrictions.extend(found.restrictions);
                }
                Err(found) => problems.append(found),
            }
        }
        check::together(&policy, catalogue, &mut problems);
        if problems.has_errors() {
            return Err(problems);
        }
        Ok(Loaded { policy, notes: problems })
    }

    /// Checks a policy file: every mistake with its place and what would be right.
    #[must_use]
    pub fn check(file: &Path, catalogue: &Catalogue) -> Outcome {
        match Self::read(&[file.to_owned()], Guard::Looked, catalogue) {
            Ok(loaded) => {
                let count = |count: usize, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
                let mut holds = count(loaded.policy.exceptions.len(), "exception");
                if !loaded.policy.restrictions.is_empty() {
                    holds = format!("{holds}, {}", count(loaded.policy.restrictions.len(), "restriction"));
                }
                Outcome::of(file, &loaded.notes, &holds)
            }
            Err(problems) => Outcome::of(file, &problems, ""),
        }
    }
}

#[cfg(test)]
mod tests;
