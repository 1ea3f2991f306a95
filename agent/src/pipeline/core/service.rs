//! Tokens that are asked of whoever keeps them: programs that are started to print one, connections to agents and addresses.

use std::path::Path;

use super::{
    Core,
    input::{Output, World},
    judge,
};
use crate::{
    catalogue::{
        Catalogue,
        expect::{self, Asks},
        model::{ReaderRole, Store},
        pattern::name_matches,
    },
    detect::{
        access::{Service, Target},
        judge::{Expectation, Judgement},
    },
    ingest::observation::{Connect, Exec, Peer},
    lineage::model::{Process, Script},
};

/// Most shells between a program and whoever had it started, that are passed over.
const SHELLS: usize = 4;

impl Core {
    /// A program has started: does it print a token, and for whom?
    pub(super) fn started(&mut self, exec: &Exec, world: &mut dyn World, out: &mut dyn FnMut(Output)) {
        let commands = self.catalogue.prints(exec.texts.args());
        let Some((_, command)) = commands.first() else { return };
        let service = Service::Print { command: (*command).to_owned(), output: exec.output };
        let target = Target::Service { stores: Vec::new(), service };
        let commands: Vec<_> =
            commands.iter().map(|(store, command)| (store.id.clone(), (*command).to_owned())).collect();
        let Some(mut access) = self.access(exec.task.key, exec.time, target, world) else { return };
        let Some((printer, ancestors)) = access.chain.processes.split_first() else { return };
        let home = access.home.as_deref();
        let prints = |id: &str, command: &str| {
            let store = self.catalogue.store(id)?;
            is_own(&self.catalogue, store, printer, command, home).then_some(store)
        };
        let asker = ancestors.iter().take(SHELLS + 1).find(|process| !passes_on(process)).or(ancestors.first());
        let mut judgements: Vec<Judgement> = Vec::new();
        for (id, command) in &commands {
            let Some(store) = prints(id, command) else { continue };
            let expectation = asked(&self.catalogue, store, asker, home);
            if let Target::Service { stores, service: Service::Print { command: told, .. } } = &mut access.target {
                stores.push(id.clone());
                told.clone_from(command);
            }
            judgements.push(Judgement { store: judge::facts(store), expectation });
        }
        if !judgements.is_empty() {
            self.judged(access, judgements, world, out);
        }
    }
}

impl Core {
    /// A process has connected to a watched socket or address.
    pub(super) fn connected(&mut self, connect: &Connect, world: &mut dyn World, out: &mut dyn FnMut(Output)) {
        let Some((stores, service)) = self.peer(&connect.peer, world, out) else {
            self.counts.add("connect_unmatched", 1);
            return;
        };
        let target = Target::Service { stores: stores.clone(), service };
        let Some(access) = self.access(connect.task.key, connect.time, target, world) else { return };
        let user = access.chain.processes.first();
        let stores = stores.iter().filter_map(|id| self.catalogue.store(id));
        let judgements: Vec<Judgement> = stores
            .map(|store| {
                let expectation = asked(&self.catalogue, store, user, access.home.as_deref());
                Judgement { store: judge::facts(store), expectation }
            })
            .collect();
        self.judged(access, judgements, world, out);
    }

    /// What was connected to, in terms of the catalogue; `None` where the kernel matched more than is wanted.
    fn peer(
        &mut self,
        peer: &Peer,
        world: &mut dyn World,
        out: &mut dyn FnMut(Output),
    ) -> Option<(Vec<String>, Service)> {
        let ids = |stores: Vec<&Store>| stores.into_iter().map(|store| store.id.clone()).collect::<Vec<_>>();
        let (stores, service) = match peer {
            Peer::Address { address, port } => {
                let service = Service::Address { address: *address, port: *port };
                (ids(self.catalogue.stores_at(*address).collect()), service)
            }
            Peer::Socket { path, file } => {
                let (homes, overrides) = (self.processes.homes(), self.processes.overrides());
                let mut stores = ids(self.catalogue.sockets_for(&path.path, homes, overrides));
                let mut known_as = None;
                if stores.is_empty() {
                    known_as = Some(self.names.known_as(file.id, world)?);
                    stores = ids(self.catalogue.sockets_for(known_as.as_ref()?, homes, overrides));
                } else {
                    // From now on it is watched whatever name leads to it.
                    out(Output::Watch(file.id));
                    self.names.remember(file.id, &path.path);
                }
                (stores, Service::Socket { path: path.path.clone(), known_as })
            }
        };
        (!stores.is_empty()).then_some((stores, service))
    }
}

/// Is it the program that the command names, and the store's own?
fn is_own(catalogue: &Catalogue, store: &Store, printer: &Process, command: &str, home: Option<&Path>) -> bool {
    let program = command.split(' ').next().unwrap_or_default();
    // Of what an interpreter runs the name is another: `gcloud.py`. There the script alone decides.
    let named = printer.script.is_some() || name_matches(program, printer.name());
    let asks = expect::asks(store, printer, home, catalogue.interpreters());
    named && matches!(asks, Asks::As(ReaderRole::Owner | ReaderRole::Helper | ReaderRole::Indirect))
}

/// A shell that only carries out one command for whoever started it.
fn passes_on(process: &Process) -> bool {
    process.script == Some(Script::Inline) && super::processes::is_shell(process.name())
}

fn asked(catalogue: &Catalogue, store: &Store, asker: Option<&Process>, home: Option<&Path>) -> Expectation {
    let Some(asker) = asker else {
        return Expectation::Unexpected { why: vec!["who asked for it is not known".to_owned()], weak: false };
    };
    match expect::asks(store, asker, home, catalogue.interpreters()) {
        Asks::As(role) => {
            let why = format!("{} may ask for it", asker.name());
            Expectation::Expected { role: role.name().to_owned(), why }
        }
        Asks::Weakly => {
            let why = format!(
                "{} is listed for {} as a generic program only, which any thief can be",
                asker.name(),
                store.id
            );
            Expectation::Unexpected { why: vec![why], weak: true }
        }
        Asks::Not => {
            let why = format!("{} is not listed among those who may ask for {}", asker.name(), store.id);
            Expectation::Unexpected { why: vec![why], weak: false }
        }
    }
}
