//! What was opened: which process, or which file of which stores, by whatever name.

use super::{Core, Output, World};
use crate::{
    detect::access::Target,
    ingest::observation::{Inspected, Inspection, Object, Open, Way},
};

impl Core {
    /// What was opened, in terms of the catalogue; `None` where the kernel matched more than is wanted.
    pub(super) fn target(&mut self, open: &Open, world: &mut dyn World, out: &mut dyn FnMut(Output)) -> Option<Target> {
        match open.object {
            Object::Process(how, Inspected::Key(key)) => {
                Some(Target::Process(how, self.processes.get(key).map(Box::new), None))
            }
            Object::Process(how, Inspected::Pid(pid)) => {
                // It may have ended; a thread's number only /proc knows.
                let namespace = open.task.pid_namespace;
                let key = self.processes.by_pid(pid, namespace, open.time).or_else(|| world.find(pid, namespace));
                let process = key.and_then(|key| self.processes.get(key));
                Some(Target::Process(how, process.map(Box::new), None))
            }
            Object::File => {
                if let Some(process) = self.dumps.core(open.file.id) {
                    let (process, core) = (process.clone().map(Box::new), open.path.path.clone());
                    return open.mode.read.then_some(Target::Process(Inspection::CoreDump, process, Some(core)));
                }
                self.file_target(open, world, out)
            }
        }
    }

    /// A file of stores.
    fn file_target(&mut self, open: &Open, world: &mut dyn World, out: &mut dyn FnMut(Output)) -> Option<Target> {
        let overrides = self.processes.overrides();
        let homes = self.processes.homes();
        // Of what a program was started with the record has no name.
        let nameless = open.way == Way::Exec && open.path.path == std::path::Path::new("/");
        // With other mounts a name means another file, or the same one by chance: what the host calls it counts.
        let foreign = self.processes.is_foreign(open.task.mount_namespace);
        let known = if nameless || foreign { self.names.known_as(open.file.id, world) } else { None };
        let seen = known.as_ref().filter(|_| nameless).unwrap_or(&open.path.path);
        let mut known_as = known.as_ref().filter(|known| !nameless && **known != open.path.path).cloned();
        let mut stores = match &known_as {
            Some(known) => self.catalogue.stores_for(known, homes, overrides),
            None if open.path.truncated => self.catalogue.stores_for_truncated(&open.path.path),
            None => self.catalogue.stores_for(seen, homes, overrides),
        };
        if stores.is_empty() {
            let known = self.names.known_as(open.file.id, world)?;
            stores = self.catalogue.stores_for(&known, homes, overrides);
            known_as = Some(known);
        }
        if stores.is_empty() {
            return None;
        }
        let stores = stores.into_iter().map(|store| store.id.clone()).collect();
        let path = seen.clone();
        if known_as.is_none() && !open.unlinked {
            // From now on it is watched whatever name leads to it.
            out(Output::Watch(open.file.id));
            // What a container calls it is no name on the host.
            if !foreign || self.processes.container(&open.task, open.time, world).is_none() {
                if self.names.name_of(open.file.id).as_ref() != Some(&path) {
                    out(Output::Met(path.clone()));
                }
                self.names.remember(open.file.id, &path);
            }
        }
        // Again: of a store that was new its id is watched from here on only.
        out(Output::Held { process: open.task.key, file: open.file.id, writes: open.mode.write });
        let (mode, way, path_in_root) = (open.mode, open.way, open.path_in_root.clone());
        Some(Target::Store { stores, path, known_as, file: open.file, mode, way, path_in_root })
    }
}
