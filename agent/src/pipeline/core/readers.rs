//! Expected readers that their user could have put there: what they were, and when they become something else.

use std::{collections::HashMap, path::PathBuf};

use super::{Core, Output, World, ask_owners};
use crate::{
    detect::{
        access::{Access, ReaderChange, Target},
        judge::{Expectation, Judgement},
    },
    lineage::{
        model::{Process, Script, Writable},
        package::{Digest, Owner},
    },
    readers::MOST,
};

/// What each held when it read last, by path. At most [`MOST`]: beyond, a new one is not remembered, which is counted.
#[derive(Debug, Default)]
pub(super) struct Readers {
    known: HashMap<PathBuf, Digest>,
}

impl Readers {
    pub(super) fn learn(&mut self, readers: Vec<(PathBuf, Digest)>) {
        self.known.extend(readers.into_iter().take(MOST.saturating_sub(self.known.len())));
    }
}

impl Core {
    /// Remembers a reader that is accepted by its name at a place that its user can write. Returns how it changed, if it
    /// is not what it was.
    pub(super) fn remember_reader(
        &mut self,
        access: &mut Access,
        judgements: &[Judgement],
        world: &mut dyn World,
        out: &mut dyn FnMut(Output),
    ) -> Option<ReaderChange> {
        let read = matches!(access.target, Target::Store { mode, .. } if mode.read);
        let expected = |judgement: &Judgement| matches!(judgement.expectation, Expectation::Expected { .. });
        let reader = access.chain.processes.first_mut().filter(|_| read && judgements.iter().any(expected))?;
        let path = brought(reader)?;
        ask_owners(reader, world);
        let owners = reader.owners.as_deref()?;
        let Owner::Nobody { digest: Some(now), .. } = owners.script.as_ref().unwrap_or(&owners.executable) else {
            return None;
        };
        let before = self.readers.known.get(&path).copied();
        if before == Some(*now) {
            return None;
        }
        if before.is_none() && self.readers.known.len() >= MOST {
            out(Output::Evicted { table: "readers", count: 1 });
            return None;
        }
        self.readers.known.insert(path.clone(), *now);
        out(Output::ReaderIs { path: path.clone(), digest: *now, changed: before.is_some() });
        before.map(|before| ReaderChange { path, before, now: *now })
    }
}

/// The file that makes the reader what it is, if its user can write it.
fn brought(reader: &Process) -> Option<PathBuf> {
    match &reader.script {
        Some(Script::File { path, writable }) => (*writable == Writable::Yes).then(|| path.clone()),
        Some(Script::Module(_) | Script::Inline) => None,
        None => (reader.executable.writable == Writable::Yes).then(|| reader.executable.path.clone()),
    }
}
