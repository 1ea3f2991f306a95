//! Tokens that were found in images, and in what containers have written: whose they are, and who had it done.

use std::path::Path;

use super::{Core, Output, World, containers::Client, deliver, judge};
use crate::{
    container::{
        engine::Task,
        model::{Found, Place},
    },
    detect::{
        access::{Access, Target},
        container_exposure::{self, Exposed},
        engine::Outcome,
        judge::StoreFacts,
        lifecycle::report::Moment,
    },
    ingest::observation::{KernelTime, OpenMode, Way},
    token::fingerprint::Fingerprint,
};

/// How long before a token was found its client may have been started, in nanoseconds.
const BUILD_NS: u64 = 3_600_000_000_000;

impl Core {
    /// A token was found in an image, or in what a container has written.
    pub(super) fn exposed_in_image(
        &mut self,
        time: KernelTime,
        found: &Found,
        world: &mut dyn World,
        out: &mut dyn FnMut(Output),
    ) {
        let stores = self.stores_of(&found.tokens);
        if stores.is_empty() {
            return;
        }
        let access = self.done_by(time, found, &stores, world);
        if let Some(access) = &access
            && stores.iter().all(|store| self.tolerates_mount(access, store))
        {
            return;
        }
        let moment = Moment { time, wall: self.clock.wall(time) };
        let exposed = Exposed { found, stores, moment, access: access.as_ref() };
        let finding = container_exposure::found(self.engine.salt(), exposed);
        deliver(Outcome { findings: vec![finding], verdicts: Vec::new() }, world, out);
    }

    /// The client that had it done, as what accesses the file: the last that was told to.
    fn done_by(
        &mut self,
        time: KernelTime,
        found: &Found,
        stores: &[StoreFacts],
        world: &mut dyn World,
    ) -> Option<Access> {
        let (tasks, about): (&[Task], _) = match &found.place {
            Place::Layer { .. } | Place::Config(_) | Place::Cache { .. } => (&[Task::Build], None),
            Place::Written { .. } => (&[Task::Copy], None),
            // It is filled from its image when the first container is made with it.
            Place::Volume { name, .. } => (&[Task::Run, Task::Copy], Some(name.as_str())),
        };
        let Client { time: started, key, .. } = self.containers.last(tasks, about, time, BUILD_NS)?;
        let target = Target::Store {
            stores: stores.iter().map(|store| store.id.clone()).collect(),
            path: found.outside.clone(),
            known_as: None,
            file: tokenhound_common::record::FileFacts::default(),
            mode: OpenMode { write: true, ..OpenMode::default() },
            way: Way::Open,
            path_in_root: None,
        };
        self.access(key, started, target, world)
    }

    /// The stores that these tokens lie in, worst first, each with its files.
    fn stores_of(&self, tokens: &[Fingerprint]) -> Vec<StoreFacts> {
        let mut stores: Vec<StoreFacts> = Vec::new();
        for token in self.lifecycle.tokens().filter(|token| tokens.contains(&token.known.fingerprint)) {
            let path = Path::display(&token.known.path).to_string();
            match stores.iter_mut().find(|store| store.id == token.known.store) {
                Some(store) if store.paths.contains(&path) => {}
                Some(store) => store.paths.push(path),
                None => {
                    let facts = self.catalogue.store(&token.known.store).map(judge::facts);
                    stores.extend(facts.map(|facts| StoreFacts { paths: vec![path], ..facts }));
                }
            }
        }
        stores.sort_by(|a, b| (a.tier, &a.id).cmp(&(b.tier, &b.id)));
        stores
    }
}
