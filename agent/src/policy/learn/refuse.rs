//! What is not learnt, and why.

use std::path::Path;

use super::Who;
use crate::{
    catalogue::interpreters::Interpreters,
    detect::credential_sweep,
    finding::{detector::DetectorId, model::Finding, severity::Severity},
    lineage::{
        actor::Class,
        model::{Process, Script, Writable},
        package::{Integrity, Owner},
    },
};

/// Where nothing that stays is installed.
const TEMPORARY: &[&str] = &["/tmp", "/var/tmp", "/dev/shm", "/run/user", "/run/lock", "/proc"];

/// Why something is not learnt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Refusal {
    /// Code that was typed or piped in.
    InlineCode,
    /// A module by name.
    Module,
    /// The executable has no name any more, or never had one.
    Deleted,
    /// Its place is not known whole.
    PlaceUnknown,
    /// It lies where nothing stays.
    Temporary,
    /// Its user could have put it there.
    Writable,
    /// It is not what its package brought.
    Changed,
    /// It only moves bytes.
    CopyTool,
    /// It acted for a package script, an AI agent or a CI job.
    Delegated,
    /// It ran in a container.
    Container,
    /// It took part in a sweep.
    Sweep,
    /// Foreign code ran in it.
    Injected,
    /// It looked into another process.
    Inspection,
    /// It read a decoy.
    Decoy,
    /// Another detector speaks of it.
    Other(&'static str),
    /// A path that a rule cannot say.
    Unspeakable,
    /// A person looked at their own.
    Person,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(match self {
            Self::InlineCode => "runs code that was typed or piped in: it is something else each time",
            Self::Module => "runs a module by name; which file that is is not known",
            Self::Deleted => "its executable was deleted or never had a name (memfd): nobody can say what it is",
            Self::PlaceUnknown => "where its executable or script lies is not known",
            Self::Temporary => "it lies in a directory for temporary files: what is there tomorrow is another thing",
            Self::Writable => {
                "its user can write it, or nobody knows: whoever is that user can be it. Install it where only root writes; \
                 \"allow_writable\" is for rules with a reason of your own"
            }
            Self::Changed => "it is not what its package brought: find out who changed it",
            Self::CopyTool => "it is what any thief would use; name the script that starts it as \"ancestor\"",
            Self::Delegated => "it acted for a package script, an AI agent or a CI job, which is what thieves run as",
            Self::Container => "it ran in a container, where a path says nothing to this host",
            Self::Sweep => "it, or what ran beside it, touched three or more vendors' stores within a minute",
            Self::Injected => "foreign code ran in it",
            Self::Inspection => "it looked into another process; name it and \"store: proc-...\" by hand if that is its task",
            Self::Decoy => "it read a decoy, which nothing has a reason to",
            Self::Other(detector) => return write!(out, "it is a finding of {detector}, which is not learnt from"),
            Self::Unspeakable => "its path holds characters that a rule cannot say",
            Self::Person => "a person looked at their own token at their own prompt; that is informational already",
        })
    }
}

/// Who it was, in the words of a rule.
///
/// # Errors
/// Why no rule should be learnt of it.
pub(super) fn who(finding: &Finding, interpreters: &Interpreters) -> Result<Who, Refusal> {
    match finding.detector {
        DetectorId::UnexpectedReader => {}
        DetectorId::CredentialSweep => return Err(Refusal::Sweep),
        DetectorId::InjectedReader => return Err(Refusal::Injected),
        DetectorId::ProcessInspection => return Err(Refusal::Inspection),
        DetectorId::DecoyRead => return Err(Refusal::Decoy),
        other => return Err(Refusal::Other(other.meta().name)),
    }
    let (Some(chain), Some(reader)) = (&finding.chain, finding.reader()) else { return Err(Refusal::PlaceUnknown) };
    let executable = &reader.executable;
    if executable.links == 0 {
        return Err(Refusal::Deleted);
    }
    if !executable.path.is_absolute() || executable.path_truncated {
        return Err(Refusal::PlaceUnknown);
    }
    match reader.script {
        Some(Script::Inline) => return Err(Refusal::InlineCode),
        Some(Script::Module(_)) => return Err(Refusal::Module),
        Some(Script::File { .. }) | None => {}
    }
    if finding.severity == Severity::Informational {
        return Err(Refusal::Person);
    }
    if finding.actor.as_ref().is_some_and(|actor| actor.parties().any(|party| party.class.is_delegated())) {
        return Err(Refusal::Delegated);
    }
    if reader.container.is_some() {
        return Err(Refusal::Container);
    }
    if !sound(reader) {
        return Err(Refusal::Writable);
    }
    let changed = |owner: &Owner| matches!(owner, Owner::Package { integrity: Integrity::Changed, .. });
    let owners = reader.owners.as_deref();
    if owners.is_some_and(|owners| changed(&owners.executable) || owners.script.as_ref().is_some_and(changed)) {
        return Err(Refusal::Changed);
    }
    let automation = finding.actor.as_ref().is_some_and(|actor| actor.class() == Class::Automation);
    let who = match reader.script_path() {
        Some(script) => Who { reader: None, script: Some(script.to_owned()), ancestor: None },
        None if interpreters.generic(reader.name()) => {
            // A person who runs tar is no backup; a job of cron that does has a script that says which.
            let starter = chain.processes.get(1..).filter(|_| automation).and_then(starter);
            let ancestor = starter.ok_or(Refusal::CopyTool)?;
            Who { reader: Some(executable.path.clone()), script: None, ancestor: Some(ancestor.to_owned()) }
        }
        None => Who { reader: Some(executable.path.clone()), script: None, ancestor: None },
    };
    let said = [&who.reader, &who.script, &who.ancestor].into_iter().flatten().all(|path| speakable(path));
    if [&who.reader, &who.script, &who.ancestor].into_iter().flatten().any(|path| temporary(path)) {
        return Err(Refusal::Temporary);
    }
    if said { Ok(who) } else { Err(Refusal::Unspeakable) }
}

/// Neither program nor script can be written by its user.
fn sound(process: &Process) -> bool {
    let script = match &process.script {
        Some(Script::File { writable, .. }) => *writable == Writable::No,
        Some(Script::Module(_) | Script::Inline) | None => true,
    };
    script && process.executable.writable == Writable::No && !process.executable.path_truncated
}

/// The nearest script, below the programs under which everything runs.
fn starter(ancestors: &[Process]) -> Option<&Path> {
    let mut scripts = credential_sweep::counted(ancestors).iter().filter(|process| process.script_path().is_some());
    scripts.next().filter(|process| sound(process)).and_then(Process::script_path)
}

fn temporary(path: &Path) -> bool {
    TEMPORARY.iter().any(|directory| path.starts_with(directory))
}

/// Can it stand in a rule as it is? Wildcards would say more than was seen.
fn speakable(path: &Path) -> bool {
    let plain = |text: &str| !text.chars().any(|c| c.is_control() || "*?[]{}\\!".contains(c));
    path.to_str().is_some_and(plain) && path.is_absolute()
}
