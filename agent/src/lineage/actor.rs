//! On whose behalf a process acts: worked out from its lineage, purely.
//!
//! - What counts is who a process descends from, by the programs' files and by who forked whom. Double forks and
//!   reparenting change nothing, because lineage keeps the parent of the fork.
//! - The nearest meaningful actor wins: a person's `npm ci` is the person's, its postinstall is a package's. Those above
//!   it are kept as well ([`Actor::on_behalf_of`]).
//! - A package script, an AI agent or a CI job anywhere above a terminal wins over the terminal: whoever opens one of
//!   its own does not become a person by that.
//! - A variable of the environment is weak: anyone can set it, or leave it out. It may make an actor of these three kinds
//!   where lineage shows none. It never makes a person.
//! - A person is only what [`person`] can show to be one; that alone lowers a severity.
//!
//! The programs and variables are data: `agent/catalogue/actors.yaml`, read by [`crate::catalogue::actors`].

mod classify;
mod person;
#[cfg(test)]
pub(crate) mod tests;

pub use classify::classify;
pub(super) use classify::{DETAIL, clean};
use tokenhound_common::process::ProcessKey;

use super::ci::Ci;
use crate::yaml::fields::words;

words! {
    /// Class of what acts. The names are a contract: findings, metrics and policies use them.
    pub enum Class {
        /// Somebody at a terminal.
        Interactive = "interactive",
        /// An AI coding agent, and what it starts.
        AiAgent = "ai-agent",
        /// A job of a CI runner.
        CiJob = "ci-job",
        /// Code of a package that a package manager runs: an install script, a build.
        PackageScript = "package-script",
        /// An editor or IDE, with its extensions.
        Ide = "ide",
        /// cron, a timer, a service.
        Automation = "automation",
        /// Something in a container, of which no more is known.
        Container = "container",
        /// Nothing tells.
        Unknown = "unknown",
    }
}

impl std::fmt::Display for Class {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.pad(self.name())
    }
}

impl Class {
    /// Runs code of others, or on orders that no person typed: never less severe than an unknown actor, and stronger
    /// than a terminal below it.
    #[must_use]
    pub const fn is_delegated(self) -> bool {
        matches!(self, Self::PackageScript | Self::AiAgent | Self::CiJob)
    }
}

words! {
    /// What variables tell of an actor besides its class.
    pub enum Detail {
        /// Session of an agent.
        Session = "session",
        /// Package whose code runs.
        Package = "package",
        /// Which of its scripts.
        Script = "script",
    }
}

/// How an actor was recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Proof {
    /// By a program in a place that its user cannot write.
    Place,
    /// By a program's name and place, which its user could have made.
    Name,
    /// By facts of the process itself: terminal, container, unit.
    Standing,
    /// By a variable of the environment, which anyone can set.
    Marker,
}

impl Proof {
    /// As it is written in output.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Place => "place",
            Self::Name => "name",
            Self::Standing => "standing",
            Self::Marker => "marker",
        }
    }
}

/// One that acts, or on whose behalf it is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Party {
    /// What kind.
    pub class: Class,
    /// Id in the catalogue: `npm`, `claude-code`. `None` where the class is all there is.
    pub id: Option<String>,
    /// What to call it: `Claude Code`, `systemd unit backup.service`.
    pub name: String,
    /// Its process, where there is one.
    pub process: Option<ProcessKey>,
    /// How it was recognised.
    pub proof: Proof,
    /// What variables tell: redacted, at most 80 characters each.
    pub details: Vec<(Detail, String)>,
}

/// What is known of whoever acts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    /// Who.
    pub party: Party,
    /// Why, one clause each.
    pub reasons: Vec<String>,
    /// Actors further up, nearest first, each once.
    pub on_behalf_of: Vec<Party>,
    /// A person typed it at the prompt of their own terminal. True only where lineage shows it whole.
    pub at_prompt: bool,
    /// What it runs only shows what it reads.
    pub viewer: bool,
    /// The job of a CI system that it runs in.
    pub ci: Option<Box<Ci>>,
}

impl Default for Actor {
    fn default() -> Self {
        Self {
            party: Party {
                class: Class::Unknown,
                id: None,
                name: "nothing that is known".to_owned(),
                process: None,
                proof: Proof::Standing,
                details: Vec::new(),
            },
            reasons: vec!["no known program, terminal or runner is in its lineage".to_owned()],
            on_behalf_of: Vec::new(),
            at_prompt: false,
            viewer: false,
            ci: None,
        }
    }
}

impl Actor {
    /// Its class.
    #[must_use]
    pub const fn class(&self) -> Class {
        self.party.class
    }

    /// It, then those on whose behalf it acts.
    pub fn parties(&self) -> impl Iterator<Item = &Party> {
        std::iter::once(&self.party).chain(&self.on_behalf_of)
    }

    /// Is it, or one that it acts for, of this class?
    #[must_use]
    pub fn involves(&self, class: Class) -> bool {
        self.parties().any(|party| party.class == class)
    }
}
