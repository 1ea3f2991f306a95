//! How much a finding matters, and why: one pure function for all detectors. `docs/design/severity.md` explains it, with
//! tables that are made from it.
//!
//! It starts from what was done, goes up with whoever acts and with what hides, and goes down for one thing only: a
//! person at the prompt of their own terminal.

pub mod container;
pub mod token;

use super::{
    access::{Access, Target},
    judge::StoreFacts,
    secret_in_arguments::foreign::Foreign,
    words,
};
use crate::{
    copies::{model::Git, place::Place},
    finding::severity::Severity,
    ingest::{
        loading::Grip,
        observation::{Inspection, Stream, Way},
    },
    lineage::{
        actor::{Actor, Class},
        model::{Process, Script, Writable},
    },
};

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed<'a> {
    /// A store was read by a reader that is not expected.
    Read {
        /// The most dangerous store that the file belongs to.
        store: &'a StoreFacts,
        /// It may well be an expected reader, but that cannot be proved.
        weak: bool,
    },
    /// Several stores were.
    Sweep {
        /// A tier 1 store is among them.
        tier_one: bool,
    },
    /// A store was read by an expected reader with foreign code in it.
    Injection(Injection),
    /// A decoy was read.
    Decoy,
    /// A program connected to whoever keeps or hands out tokens.
    Connect {
        /// The most dangerous of what is concerned.
        store: &'a StoreFacts,
        /// It is a kind of program that may, but any thief can be one.
        weak: bool,
    },
    /// A store was read by an expected reader that is not what it was.
    Changed,
    /// A store's own program printed a token for somebody.
    Print {
        /// Where it went.
        output: Stream,
        /// Who asked is a kind of program that may, but any thief can be one.
        weak: bool,
    },
    /// A program was started with a token.
    Start(Start),
    /// After a store was read by a reader that is not expected, its lineage connected to another machine.
    Egress {
        /// The store.
        store: &'a StoreFacts,
        /// How much the read itself mattered.
        read: Severity,
    },
    /// A token was put into a file that is no store of it.
    Copy(Spot),
    /// Another process was looked into.
    Inspection {
        /// How.
        how: Inspection,
        /// It belongs to another user.
        foreign: bool,
        /// It runs the job of a CI system.
        runner: bool,
        /// The reader is a debugger.
        debugger: bool,
    },
}

/// Where a token was put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spot {
    /// What kind of file.
    pub place: Place,
    /// What git knows of it.
    pub git: Git,
    /// Everybody may read it.
    pub open: bool,
    /// It is a project's file that holds a token only at times, and went along with the project.
    pub along: bool,
    /// It is the copy that an editor keeps beside the store.
    pub beside: bool,
}

/// With what token a program was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// With one of a store on its command line.
    Argument,
    /// With something on its command line that is built like one.
    Shaped,
    /// With one of a store in a variable, and has no business with it.
    Inherited(Foreign),
}

/// What foreign code does in a reader, and where it comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Injection {
    /// What it does.
    pub grip: Grip,
    /// Where it comes from.
    pub standing: Standing,
}

/// Where foreign code comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Standing {
    /// A tool that is known to do this, below the user's home.
    Tool,
    /// The user's own files, or another user's.
    Own,
    /// The same, changed shortly before.
    New,
    /// A directory for temporary files.
    Temporary,
    /// It is not there any more, or has no name.
    Gone,
    /// The variable holds the code.
    Code,
    /// Another process traces the reader.
    Tracer,
}

impl Injection {
    /// How much that matters, whoever acts. What developers do every day is not worth an alert.
    const fn severity(self) -> Severity {
        match (self.grip, self.standing) {
            (_, Standing::Tool) | (Grip::Helper, Standing::Own | Standing::New) => Severity::Informational,
            (Grip::Helper, _) | (Grip::Search, Standing::Own | Standing::New | Standing::Gone) => Severity::Low,
            (Grip::Runs, Standing::Own) => Severity::Medium,
            (Grip::Search | Grip::Runs, _) => Severity::High,
        }
    }

    const fn reason(self) -> &'static str {
        match (self.grip, self.standing) {
            (_, Standing::Tracer) => "whoever traces a program has all of its memory, and every token in it",
            (_, Standing::Tool) => "a tool that many developers use does this; its files can be changed all the same",
            (_, Standing::Code) => "the variable itself holds the code: it is in no file that somebody could look at",
            (Grip::Helper, _) => "it does not run in the reader, and is not given the token by itself",
            (_, Standing::Temporary) => "it lies where everybody can put files, which no installed tool does",
            (Grip::Search, _) => "the reader looks there first for what it imports; many developers set this",
            (Grip::Runs, Standing::Gone) => "it is not there any more: it hides what it was",
            (Grip::Runs, Standing::New) => {
                "it runs in the reader with all its rights, and was made or changed shortly before"
            }
            (Grip::Runs, _) => "it runs in the reader with all its rights, and gets every token that the reader reads",
        }
    }
}

/// What is known of the reader and of how it came to the content.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Manner {
    /// Its program has no name on disk: deleted, or a memfd.
    pub hidden: bool,
    /// An interpreter whose code comes from its command line, its input or a descriptor.
    pub inline: bool,
    /// Somebody handed it an open descriptor.
    pub passed: bool,
    /// Its user cannot change its program, nor its script if it has one.
    pub sound: bool,
    /// The file is its user's own, and its program only shows what it reads.
    pub viewing: bool,
}

impl Manner {
    /// What an access shows.
    #[must_use]
    pub fn of(access: &Access) -> Self {
        let Some(reader) = access.chain.processes.first() else { return Self::default() };
        let executable = &reader.executable;
        let (way, viewing) = match &access.target {
            Target::Store { way, file, .. } => (*way, file.uid == reader.uid && views(&access.actor, *way)),
            Target::Process(..) | Target::Service { .. } | Target::Copy { .. } => (Way::Open, false),
        };
        Self {
            hidden: executable.links == 0 && executable.id.inode != 0 && !executable.path.as_os_str().is_empty(),
            inline: reader.script == Some(Script::Inline),
            passed: matches!(way, Way::Receive | Way::Read | Way::Map),
            sound: is_sound(reader),
            viewing: viewing && reader.script.is_none() && reader.euid == reader.uid,
        }
    }
}

/// Does the reader's program only show files, opened in this way?
fn views(actor: &Actor, way: Way) -> bool {
    // The shell opens, the viewer reads: `less < file`.
    actor.viewer && matches!(way, Way::Open | Way::Exec)
}

fn is_sound(reader: &Process) -> bool {
    let script = match &reader.script {
        Some(Script::File { writable, .. }) => *writable == Writable::No,
        Some(Script::Module(_) | Script::Inline) => false,
        None => true,
    };
    reader.executable.writable == Writable::No && script
}

/// A severity with its reasons, one clause each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assessment {
    /// How much it matters.
    pub severity: Severity,
    /// Why.
    pub reasons: Vec<String>,
}

impl Assessment {
    fn at_least(&mut self, least: Severity, reason: String) {
        self.severity = self.severity.max(least);
        self.reasons.push(reason);
    }

    fn step(&mut self, by: i8, reason: String) {
        let at = Severity::ALL.iter().position(|severity| *severity == self.severity).unwrap_or_default();
        let to = at.saturating_add_signed(by.into()).min(Severity::ALL.len() - 1);
        self.severity = Severity::ALL[to];
        self.reasons.push(reason);
    }
}

/// How much `deed` matters when `actor` does it in this `manner`.
#[must_use]
pub fn assess(deed: Deed<'_>, actor: &Actor, manner: Manner) -> Assessment {
    let (severity, reason) = base(deed);
    let mut assessment = Assessment { severity, reasons: vec![reason] };
    // A decoy is there to be read by nobody: neither who reads it nor how makes it less.
    if matches!(deed, Deed::Read { store, .. } if store.perhaps) || matches!(deed, Deed::Decoy) {
        return assessment;
    }
    if let Deed::Print { output, weak } = deed {
        printed(output, weak, actor, &mut assessment);
        return assessment;
    }
    if let Deed::Egress { .. } = deed {
        assessment.step(1, "then the lineage connected to another machine: what was read may be gone".to_owned());
        return assessment;
    }
    // Whoever exports a token hands it to every script of every package: that is careless, and no theft yet.
    if matches!(deed, Deed::Start(Start::Inherited(_))) {
        return assessment;
    }
    if let Deed::Injection(injection) = deed {
        injected(injection, actor, &mut assessment);
        return assessment;
    }
    if let Deed::Copy(spot) = deed {
        token::copied(spot, actor, manner, &mut assessment);
        return assessment;
    }
    let person = actor.at_prompt && manner.sound && !(manner.hidden || manner.inline || manner.passed);
    if person && at_own_terminal(deed, manner, &mut assessment) {
        return assessment;
    }
    if deed == Deed::Start(Start::Shaped) {
        if matches!(actor.class(), Class::PackageScript | Class::AiAgent) {
            assessment.step(1, "nobody typed this: code of a package or an AI agent acts".to_owned());
        }
        return assessment;
    }
    if let Deed::Connect { weak: true, .. } = deed {
        let reason = "programs of that kind use it on an ordinary day";
        assessment.step(-1, reason.to_owned());
    }
    up(actor, manner, &mut assessment);
    if let Deed::Read { store, weak } | Deed::Connect { store, weak } = deed
        && person
        && (weak || store.broad)
    {
        let reason = "a person started an installed program at a prompt, of which little is to be thought here";
        assessment.step(-1, reason.to_owned());
    }
    assessment
}

/// How much the worst of several matters. Who acts counts only for code that runs in the reader: most of these
/// variables are inherited from whoever set up the session.
fn injected(injection: Injection, actor: &Actor, assessment: &mut Assessment) {
    let runs = injection.grip == Grip::Runs && injection.standing != Standing::Tool;
    if runs && actor.class() == Class::PackageScript {
        let reason = "code of a package acts: no install needs its own code in another program".to_owned();
        assessment.at_least(Severity::High, reason);
    }
}

/// How much it matters that a token was printed. Whose terminal or prompt it is counts for more than which program prints:
/// that is the store's own in any case.
fn printed(output: Stream, weak: bool, actor: &Actor, assessment: &mut Assessment) {
    let own_command = actor.at_prompt && output != Stream::File;
    if own_command || (actor.class() == Class::Interactive && output == Stream::Terminal) {
        assessment.severity = Severity::Informational;
        assessment.reasons.push("a person asked for it at their own terminal".to_owned());
        return;
    }
    if actor.class() == Class::Ide && output != Stream::File {
        assessment.step(-1, "editors ask the tools for their logins on behalf of their extensions".to_owned());
    }
    if weak {
        let reason = "programs of that kind ask for it on an ordinary day, as libraries of the vendor do";
        assessment.step(-1, reason.to_owned());
    }
    up(actor, Manner::default(), assessment);
}

/// What was done, whoever does it.
fn base(deed: Deed<'_>) -> (Severity, String) {
    match deed {
        Deed::Read { store, .. } if store.perhaps => (
            Severity::Informational,
            format!("{} keeps a secret in this file only at times: a read alone says little", store.id),
        ),
        Deed::Read { store, .. } if store.tier <= 1 => {
            (Severity::High, format!("{} is a tier 1 store: its token alone is enough to act as its owner", store.id))
        }
        Deed::Read { store, .. } => (Severity::Medium, format!("{} is a tier {} store", store.id, store.tier)),
        Deed::Changed => (
            Severity::Medium,
            "a store was read by a program that has the right name and another content than the last time".to_owned(),
        ),
        Deed::Decoy => (
            Severity::Critical,
            "it is a decoy: it holds no token, no tool knows it, and nobody has a reason to read it".to_owned(),
        ),
        Deed::Connect { store, .. } if store.tier <= 1 && !store.broad => {
            (Severity::High, format!("{} is tier 1 and few programs use it", store.id))
        }
        Deed::Connect { store, .. } => {
            (Severity::Medium, format!("whoever may ask {} acts as the owner of what it keeps", store.id))
        }
        Deed::Print { output, .. } => (Severity::Medium, words::where_output_goes(output).to_owned()),
        Deed::Start(start) => started(start),
        Deed::Egress { store, read } => (
            read,
            format!(
                "a token of {} was read by a program that it does not belong to, which mattered as {}",
                store.id,
                read.name()
            ),
        ),
        Deed::Copy(spot) => {
            let (severity, reason) = spot.place.severity();
            (severity, reason.to_owned())
        }
        Deed::Sweep { tier_one: true } => (Severity::Critical, "a tier 1 store is among them".to_owned()),
        Deed::Sweep { tier_one: false } => (Severity::High, "no tier 1 store is among them".to_owned()),
        Deed::Injection(injection) => (injection.severity(), injection.reason().to_owned()),
        Deed::Inspection { how, foreign, runner, .. } => {
            let severity =
                if how != Inspection::Environ && (foreign || runner) { Severity::Critical } else { Severity::High };
            (severity, words::why_inspection_matters(how).to_owned())
        }
    }
}

fn started(start: Start) -> (Severity, String) {
    let seen = "every user of the machine can read the command line of a process, and shells and logs keep it";
    match start {
        Start::Argument => (Severity::Medium, seen.to_owned()),
        Start::Shaped => (Severity::Low, seen.to_owned()),
        Start::Inherited(Foreign::Package) => {
            (Severity::Medium, "code of a package has no business with the token, and has it all the same".to_owned())
        }
        Start::Inherited(Foreign::Agent) => (
            Severity::Low,
            "an AI agent's tools have no business with the token: it was exported for others".to_owned(),
        ),
        Start::Inherited(Foreign::Place(place)) => {
            (Severity::Medium, format!("the program has no business with the token: {place}"))
        }
    }
}

/// A person at the prompt of their own terminal, doing what a person does there. Returns whether it is that.
fn at_own_terminal(deed: Deed<'_>, manner: Manner, assessment: &mut Assessment) -> bool {
    let (severity, reason) = match deed {
        Deed::Read { .. } if manner.viewing => {
            (Severity::Informational, "a person looks at their own token in their own terminal")
        }
        Deed::Sweep { .. } if manner.viewing => {
            (Severity::Low, "a person looks through their own files in their own terminal")
        }
        Deed::Start(Start::Shaped) => (Severity::Informational, "a person typed it in their own terminal"),
        Deed::Start(Start::Argument) => {
            (Severity::Low, "a person typed it, or had their shell put it there, in their own terminal")
        }
        Deed::Inspection { debugger: true, .. } => (Severity::Informational, "a debugger that was typed at a prompt"),
        _ => return false,
    };
    assessment.severity = severity;
    assessment.reasons.push(reason.to_owned());
    true
}

fn up(actor: &Actor, manner: Manner, assessment: &mut Assessment) {
    match actor.class() {
        Class::PackageScript => {
            let reason = "code of a package acts: nobody typed this, and no install needs it".to_owned();
            assessment.at_least(Severity::High, reason);
        }
        Class::AiAgent => {
            let reason = "an AI agent acts: what it reads goes to its model, and what it does others may have written";
            assessment.at_least(Severity::High, reason.to_owned());
        }
        _ => {}
    }
    if manner.inline && actor.class() != Class::Interactive {
        let reason = "the code came from a command line, an input or a descriptor: nobody can say what ran";
        assessment.at_least(Severity::High, reason.to_owned());
    }
    if manner.passed {
        let reason = "the descriptor was opened by another process: the file was not read in the plain way";
        assessment.at_least(Severity::High, reason.to_owned());
    }
    if manner.hidden {
        assessment.step(1, "the reader's program has no name on disk (deleted, or only in memory)".to_owned());
    }
}

#[cfg(test)]
mod tests;
