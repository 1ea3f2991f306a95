//! One rule, and whether it covers an access.

use std::{
    path::{Path, PathBuf},
    time::SystemTime,
};

use super::{PROCESS, condition::Condition, times::Window};
use crate::{
    catalogue::pattern::{Pattern, name_matches},
    detect::access::{Access, Target},
    lineage::{
        actor::{Actor, Party, Proof},
        model::{Process, Script, Writable},
        package::Owners,
    },
    yaml::Place,
};

/// What a rule says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// The store belongs to this reader, too.
    Expectation,
    /// What is not expected is tolerated.
    Exception,
    /// What is expected is taken back.
    Restriction,
}

impl Kind {
    /// As it is called in a sentence.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Expectation => "expectation",
            Self::Exception => "exception",
            Self::Restriction => "restriction",
        }
    }

    /// Its list in a policy file.
    #[must_use]
    pub const fn key(self) -> &'static str {
        match self {
            Self::Expectation => "expectations",
            Self::Exception => "exceptions",
            Self::Restriction => "restrictions",
        }
    }

    /// It lets something pass, so it must be sure of what it covers. A restriction covers on suspicion.
    #[must_use]
    pub const fn permits(self) -> bool {
        matches!(self, Self::Expectation | Self::Exception)
    }
}

/// One rule. All selectors must hold; one that is empty holds always; a list holds if one of its values does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// What it says.
    pub kind: Kind,
    /// Why it is right. Shown with every access it covers.
    pub reason: String,
    /// Store ids, `*` is a wildcard. Empty (in exceptions): every store, but not other processes' environment and memory.
    pub store: Vec<String>,
    /// Stores that it leaves alone all the same.
    pub except: Vec<String>,
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
    /// Classes or ids of whoever acts. To permit, an actor that only a variable makes is none: anyone can set it.
    pub actor: Vec<String>,
    /// Names of machines, `*` is a wildcard. On others the rule is left out.
    pub host: Vec<String>,
    /// When it holds.
    pub time: Vec<Window>,
    /// What else must be so.
    pub when: Option<Condition>,
    /// From then on it no longer holds.
    pub expires: Option<SystemTime>,
    /// Also programs that the reading user can write.
    pub allow_writable: bool,
    /// It came with the agent: the operator's restrictions come first.
    pub shipped: bool,
    /// The file it is in.
    pub file: PathBuf,
    /// Where in that file.
    pub place: Place,
}

/// What a rule is asked about.
#[derive(Clone, Copy, Debug)]
pub(super) struct Subject<'a> {
    /// The access.
    pub(super) access: &'a Access,
    /// Of the stores that share the file only this one.
    pub(super) store: Option<&'a str>,
    /// Name of the machine.
    pub(super) host: &'a str,
}

impl Rule {
    /// How to refer to it: file and line.
    #[must_use]
    pub fn label(&self) -> String {
        format!("{}:{}", self.file.display(), self.place.line)
    }

    /// Has it ended by then?
    #[must_use]
    pub fn expired(&self, now: SystemTime) -> bool {
        self.expires.is_some_and(|end| now >= end)
    }

    /// Is it for this machine?
    #[must_use]
    pub fn is_for(&self, host: &str) -> bool {
        self.host.is_empty() || self.host.iter().any(|wanted| name_matches(wanted, host))
    }

    /// Does it cover this access?
    #[must_use]
    pub(super) fn covers(&self, subject: &Subject<'_>) -> bool {
        let access = subject.access;
        let Some((reader, ancestors)) = access.chain.processes.split_first() else { return false };
        let home = access.home.as_deref();
        self.covers_target(subject)
            && (self.reader.is_empty() || self.covers_program(reader, home))
            && (self.script.is_empty() || self.covers_script(reader, &self.script, home))
            && (self.package.is_empty() || self.covers_package(reader))
            && (self.ancestor.is_empty() || ancestors.iter().any(|ancestor| self.covers_ancestor(ancestor, home)))
            && (self.user.is_empty() || covers_user(&self.user, access))
            && (self.actor.is_empty() || self.covers_actor(&access.actor))
            && (self.time.is_empty() || self.time.iter().any(|window| window.holds(access.wall)))
            && !self.expired(access.wall)
            // Last, because it costs most. One that fails permits nothing.
            && self.when.as_ref().is_none_or(|when| when.holds(subject).unwrap_or(!self.kind.permits()))
    }

    fn covers_target(&self, subject: &Subject<'_>) -> bool {
        match (&subject.access.target, subject.store) {
            (Target::Store { .. } | Target::Service { .. } | Target::Copy { .. }, Some(store)) => {
                self.covers_store(store)
            }
            (Target::Store { stores, .. } | Target::Service { stores, .. } | Target::Copy { stores, .. }, None) => {
                stores.iter().any(|store| self.covers_store(store))
            }
            (Target::Process(how, ..), _) => {
                let named = |list: &[String]| list.iter().any(|store| store.strip_prefix(PROCESS) == Some(how.name()));
                named(&self.store) && !named(&self.except)
            }
        }
    }

    fn covers_store(&self, store: &str) -> bool {
        let named = |list: &[String]| list.iter().any(|wanted| name_matches(wanted, store));
        (self.store.is_empty() || named(&self.store)) && !named(&self.except)
    }

    fn covers_program(&self, process: &Process, home: Option<&Path>) -> bool {
        let executable = &process.executable;
        (!executable.path_truncated || !self.kind.permits())
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
            && name.is_some_and(|name| self.package.iter().any(|package| package == name))
    }

    fn covers_ancestor(&self, process: &Process, home: Option<&Path>) -> bool {
        let executable = &process.executable;
        let by_program = (!executable.path_truncated || !self.kind.permits())
            && self.trusts(executable.writable)
            && self.ancestor.iter().any(|pattern| pattern.matches(&executable.path, home));
        by_program || self.covers_script(process, &self.ancestor, home)
    }

    /// To permit: whoever acts itself, and nobody that it acts for: an agent's install script is not the agent.
    fn covers_actor(&self, actor: &Actor) -> bool {
        if !self.kind.permits() {
            return actor.parties().any(|party| is_party(&self.actor, party));
        }
        let sure = match actor.party.proof {
            Proof::Marker => false,
            Proof::Name => self.allow_writable,
            Proof::Place | Proof::Standing => true,
        };
        sure && is_party(&self.actor, &actor.party)
    }

    fn trusts(&self, writable: Writable) -> bool {
        self.allow_writable || !self.kind.permits() || writable == Writable::No
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
