//! What the corpus is made of.

use std::fmt;

/// In what surroundings a command runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Context {
    /// Typed by a person who has logged in at a terminal.
    Interactive,
    /// A step of a job of a CI runner.
    Job,
    /// Started by cron.
    Cron,
}

impl Context {
    pub(crate) const ALL: [Self; 3] = [Self::Interactive, Self::Job, Self::Cron];
}

impl fmt::Display for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Interactive => "interactive",
            Self::Job => "job",
            Self::Cron => "cron",
        })
    }
}

/// One line of shell, in a home that is full of stores. `$STAGE` is the test's own directory, `$OUT` where to put things.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    pub(crate) name: &'static str,
    /// Programs without which it cannot be played.
    pub(crate) tools: &'static [&'static str],
    pub(crate) script: &'static str,
    pub(crate) contexts: &'static [Context],
    pub(crate) kind: Kind,
}

/// What must come of an entry.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    /// Nothing above `informational`.
    Everyday,
    /// A finding.
    Attack(Attack),
    /// This identity: in a finding, or `None` where it is expected, in silence.
    Trick(&'static str, Option<Shown>),
}

/// Whom a finding names: ends of paths, and the class of the actor.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shown {
    pub(crate) reader: &'static str,
    pub(crate) script: &'static str,
    pub(crate) actor: &'static str,
}

/// What an attack is, and what must be said of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attack {
    /// MITRE ATT&CK.
    pub(crate) technique: &'static str,
    pub(crate) detector: &'static str,
    /// In words, with the public incident that it re-enacts, if one.
    pub(crate) about: &'static str,
}

/// An everyday command: no finding above `informational`, whoever runs it.
pub(crate) const fn everyday(name: &'static str, tools: &'static [&'static str], script: &'static str) -> Entry {
    Entry { name, tools, script, contexts: &Context::ALL, kind: Kind::Everyday }
}

/// A theft by a job: a finding.
pub(crate) const fn theft(
    name: &'static str,
    technique: &'static str,
    detector: &'static str,
    about: &'static str,
    tools: &'static [&'static str],
    script: &'static str,
) -> Entry {
    let kind = Kind::Attack(Attack { technique, detector, about });
    Entry { name, tools, script, contexts: &[Context::Job], kind }
}

/// A trick with who reads, by an unprivileged user in a job.
pub(crate) const fn trick(
    name: &'static str,
    about: &'static str,
    tools: &'static [&'static str],
    script: &'static str,
    shown: Option<Shown>,
) -> Entry {
    Entry { name, tools, script, contexts: &[Context::Job], kind: Kind::Trick(about, shown) }
}

impl Entry {
    pub(crate) const fn is_everyday(&self) -> bool {
        matches!(self.kind, Kind::Everyday)
    }

    pub(crate) const fn is_trick(&self) -> bool {
        matches!(self.kind, Kind::Trick(..))
    }

    /// The same elsewhere.
    pub(crate) const fn only(self, contexts: &'static [Context]) -> Self {
        Self { contexts, ..self }
    }
}
