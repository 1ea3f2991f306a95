//! To which process a finding belongs: the nearest one that all of one doing have in common.
//!
//! From the reader upwards, below the first boundary under which everything runs (service managers, logins, container
//! runtimes: those of `credential-sweep`), it is
//! - the AI agent or the editor that acts: what it does in one go is one doing;
//! - for a CI job the step: the process below the runner, which runs jobs of many;
//! - for anything else the topmost process below the nearest prompt, agent, editor or runner: the `npm ci` that was
//!   typed, not each of its forty children, and not the shell in which somebody works all day.
//!
//! What a shell with a prompt reads itself (`$(<file)`) belongs to no more than that shell, and so it counts with the
//! store only ([`Place::ground`]).

use serde::{Deserialize, Serialize};
use tokenhound_common::process::ProcessKey;

use crate::{
    detect::credential_sweep::{counted, is_boundary},
    finding::model::Finding,
    lineage::{
        actor::{Actor, Class},
        model::{Process, Writable},
    },
};

/// Programs that have a prompt.
const SHELLS: &[&str] = &["sh", "bash", "dash", "zsh", "ksh", "ksh93", "mksh", "fish", "rbash", "ash"];

/// Programs that start a shell for another user and wait for it.
const RELAYS: &[&str] = &["sudo", "su", "doas", "login", "runuser", "newgrp", "sg", "script"];

/// Where a finding belongs in the tree of processes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The process that all of it descends from.
    #[serde(with = "crate::incident::model::maybe_key")]
    pub root: Option<ProcessKey>,
    /// The shell at whose prompt it was started; or the process itself, where that is one under which unrelated things run.
    #[serde(with = "crate::incident::model::maybe_key")]
    pub ground: Option<ProcessKey>,
    /// The ground is a shell at whose prompt a person works.
    pub prompt: bool,
    /// The service of systemd that it runs in.
    pub unit: Option<String>,
}

impl Place {
    /// Where `finding` belongs, and the process there: `None` where no process acted.
    #[must_use]
    pub fn of(finding: &Finding) -> Option<(Self, &Process)> {
        let chain = finding.chain.as_ref()?;
        let all = &chain.processes;
        let reader = all.first()?;
        let fallback = Actor::default();
        let actor = finding.actor.as_ref().unwrap_or(&fallback);
        let (root, ground) = found(all, actor);
        let key = |index: Option<usize>| index.and_then(|index| all.get(index)).map(|process| process.key);
        let shown = root.and_then(|index| all.get(index)).unwrap_or(reader);
        let prompt = ground.is_some() && !is_boundary(reader);
        let unit = reader.unit.clone().filter(|unit| unit.ends_with(".service") && !unit.starts_with("user@"));
        Some((Self { root: key(root), ground: key(ground), prompt, unit }, shown))
    }
}

/// Indexes of the root and of what it stands on.
fn found(all: &[Process], actor: &Actor) -> (Option<usize>, Option<usize>) {
    if all.first().is_some_and(is_boundary) {
        return (None, Some(0));
    }
    let below = counted(all);
    let own = actor.party.process.and_then(|key| below.iter().position(|process| process.key == key));
    // What it has just forked runs the same program, and so do the processes of an editor.
    let same = |index: &usize| {
        let program = |at: usize| below.get(at).map(|process| process.executable.id);
        program(*index) == program(*index + 1)
    };
    let own = own.map(|index| (index..below.len()).find(|index| !same(index)).unwrap_or(index));
    let floor = match (actor.class(), own) {
        (Class::AiAgent | Class::Ide, Some(index)) => return (Some(index), None),
        (Class::CiJob, Some(index)) => return (Some(index.saturating_sub(1)), None),
        (Class::PackageScript, Some(index)) => index + 1,
        _ => 0,
    };
    for index in floor..below.len() {
        let prompt = is_prompt(all, below.len(), index, actor);
        if prompt || (index > 0 && is_host(&below[index], actor)) {
            return (index.checked_sub(1), prompt.then_some(index));
        }
    }
    (below.len().checked_sub(1), None)
}

/// One that runs many things which have nothing to do with each other.
fn is_host(process: &Process, actor: &Actor) -> bool {
    let many = |class| matches!(class, Class::AiAgent | Class::Ide | Class::CiJob);
    actor.on_behalf_of.iter().any(|party| many(party.class) && party.process == Some(process.key))
}

/// A shell that leads the session of a terminal which a login, a terminal's window, an editor or another such shell opened.
/// One that anything else opened (`pty.spawn`) belongs to what opened it.
fn is_prompt(all: &[Process], end: usize, index: usize, actor: &Actor) -> bool {
    let Some(process) = all.get(index) else { return false };
    let above = all.get(index + 1);
    let leads = |other: &Process| other.key.tgid == process.session;
    let leading = leads(process) || above.is_some_and(|login| is_boundary(login) && leads(login));
    let shell = SHELLS.contains(&process.name()) && process.executable.writable == Writable::No;
    if !(shell && leading && process.script.is_none() && !process.args_truncated && process.tty.is_some()) {
        return false;
    }
    let opener = (index + 1..end).find(|above| {
        let relay = RELAYS.contains(&all[*above].name()) && all[*above].executable.writable == Writable::No;
        !relay
    });
    let Some(opener) = opener else { return true };
    let opens = |class| matches!(class, Class::Interactive | Class::Ide);
    actor.parties().any(|party| opens(party.class) && party.process == Some(all[opener].key))
        || is_prompt(all, end, opener, actor)
}
