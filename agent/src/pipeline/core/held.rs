//! Who has files of stores open, and what becomes of those that were open for writing.

use tokenhound_common::{process::ProcessKey, record::FileId};

use super::{Core, Holder, Output, World, ask_owners, judge, processes};
use crate::detect::{change::StoreChange, judge::Expectation};

impl Core {
    /// A file that was open for writing is closed: what it holds may be another thing now.
    pub(super) fn written(&mut self, file: FileId, by: ProcessKey, out: &mut dyn FnMut(Output)) {
        let Some(path) = self.names.name_of(file) else { return };
        let stores = self.catalogue.stores_for(&path, self.processes.homes(), self.processes.overrides());
        let actor =
            self.processes.get(by).map_or_else(|| format!("pid {}", by.tgid), |process| process.name().to_owned());
        for store in stores {
            let (store, actor) = (store.id.clone(), actor.clone());
            out(Output::Change(StoreChange { store, what: "written", path: path.clone(), other: None, actor }));
        }
    }

    /// A process has a file open. Whether it may read it decides whether reads are worth watching.
    pub(super) fn holds(&mut self, holder: Holder, world: &mut dyn World, out: &mut dyn FnMut(Output)) {
        let expected = self.expects(&holder, world);
        out(Output::Holder { holder, expected });
    }

    /// Is the process one that may read the file, by the catalogue?
    fn expects(&mut self, holder: &Holder, world: &mut dyn World) -> bool {
        let Some(path) = self.names.name_of(holder.file) else { return true };
        let Some(mut chain) = self.processes.chain(holder.process, holder.time, world) else { return false };
        let Some(reader) = chain.processes.first_mut() else { return false };
        if self.asks_packages {
            ask_owners(reader, world);
        }
        let stores = self.catalogue.stores_for(&path, self.processes.homes(), self.processes.overrides());
        let stores: Vec<String> = stores.into_iter().map(|store| store.id.clone()).collect();
        let user = world.user(reader.uid);
        let home = processes::home(reader, user.as_ref());
        let judgements = judge::judge(&self.catalogue, &stores, &path, self.processes.homes(), reader, home.as_deref());
        judgements.iter().any(|judgement| matches!(judgement.expectation, Expectation::Expected { .. }))
    }
}
