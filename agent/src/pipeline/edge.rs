//! Does what the core asks for: keys into the kernel, work for the watcher of stores, findings and counts out.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{Arc, mpsc},
    time::{SystemTime, UNIX_EPOCH},
};

use tokenhound_common::watch::{FileKey, FileWatch};

use super::{
    core::{Input, Output},
    cores::Cores,
    holders::Holders,
    tokens::{Request, Tokens},
    watchset::{Command, Watchset},
};
use crate::{
    catalogue::{
        Catalogue,
        homes::{EnvOverrides, Homes},
    },
    detect::judge::Verdict,
    finding::model::Finding,
    history::Writer,
    ingest::{clock, observation::KernelTime},
    lineage::{ci::Ci, package::Digest},
    probe::keys::{Keys, KeysError},
    readers::Record,
    telemetry::{events, metrics::Metrics},
    token::scan::NeedleSet,
};

/// Most files that are kept over a full look because they were learnt of meanwhile. Others are found by the next one.
const MAX_FRESH: usize = 4096;

/// What comes out.
#[derive(Debug)]
pub enum Report {
    /// Something to tell.
    Finding(Box<Finding>),
    /// A store was read; for summaries.
    Read {
        /// Id of the store.
        store: String,
        /// What is thought of it.
        verdict: Verdict,
        /// The reader's name, for display.
        reader: String,
        /// The job of a CI system that it ran in.
        ci: Option<Box<Ci>>,
    },
}

/// Everything that outputs go to, but the kernel's keys.
pub(super) struct Edge {
    pub(super) watchset: Watchset,
    pub(super) catalogue: Arc<Catalogue>,
    pub(super) metrics: Metrics,
    pub(super) findings: mpsc::SyncSender<Report>,
    /// Who has files of stores open.
    pub(super) holders: Holders,
    /// Whose cores have to be found.
    pub(super) cores: Cores,
    /// Files that the core had watched since the last full look: it may have been past them already.
    pub(super) fresh: HashMap<FileKey, FileWatch>,
    /// Readers at places that their user can write.
    pub(super) readers: Record,
    /// Some of them are perhaps not written down yet.
    pub(super) unwritten: bool,
    /// Looks at what lies in stores, if tokens are followed.
    pub(super) tokens: Option<Tokens>,
    /// Where what is known of them is kept.
    pub(super) history: Option<Writer>,
    /// State directory.
    pub(super) state: PathBuf,
    /// Watch keys that the kernel did not take, since the start.
    pub(super) unwatched: u64,
}

impl Edge {
    pub(super) fn take(&mut self, keys: &mut Keys, output: Output) {
        match output {
            Output::Finding(finding) => {
                events::FindingMade(&finding).emit(&self.metrics);
                // The receiver lives as long as the process; without it there is nobody left to tell.
                let _ = self.findings.send(Report::Finding(finding));
            }
            Output::Read { store, verdict, actor, reader, ci } => {
                events::StoreRead { store: &store, verdict, actor: actor.name() }.emit(&self.metrics);
                // For summaries only; a full queue costs a line there, never a finding.
                let _ = self.findings.try_send(Report::Read { store, verdict, reader, ci });
            }
            Output::Home(home) => self.watchset.send(Command::Home(home)),
            Output::Overrides(overrides) => self.watch_overrides(keys, &overrides),
            Output::Watch(id) => {
                if self.fresh.len() < MAX_FRESH {
                    let watch = FileWatch { generation: id.generation, flags: FileWatch::ITSELF };
                    self.fresh.insert(FileKey::of(id), watch);
                }
                let outcome = keys.watch(id, FileWatch::ITSELF);
                self.watched(outcome);
            }
            Output::Held { process, file, writes } => self.holders.accessed(process, file, writes, clock::now()),
            Output::Holder { holder, expected } => self.holders.judged(&holder, expected),
            Output::ReaderIs { path, digest, changed } => self.remember(&path, digest, changed),
            Output::Dumped(dumped) => {
                if self.cores.dumped(dumped) {
                    events::TableEvicted { table: "dumps", count: 1 }.emit(&self.metrics);
                }
            }
            Output::WatchCore(id) => {
                let outcome = keys.watch(id, FileWatch::ITSELF | FileWatch::CORE);
                self.watched(outcome);
            }
            Output::Token(change) => {
                if let Some(history) = &mut self.history {
                    history.send(change);
                    let lost = history.take_lost();
                    if lost > 0 {
                        events::TableEvicted { table: "history", count: lost }.emit(&self.metrics);
                    }
                }
            }
            Output::Change(change) => events::StoreChanged(&change).emit(&self.metrics),
            Output::Lost { reason, count } => events::RecordsLost { reason, count }.emit(&self.metrics),
            Output::Evicted { table, count } => events::TableEvicted { table, count }.emit(&self.metrics),
        }
    }

    /// A file of a store is there, or has changed: what lies in it?
    pub(super) fn look(&self, path: &Path, homes: &Homes, overrides: &EnvOverrides) {
        if let Some(tokens) = &self.tokens {
            tokens.look(Request::of(path, &self.catalogue, homes, overrides));
        }
    }

    /// The tokens that lie in stores, if they are others than the last time.
    pub(super) fn known_tokens(&self) -> Option<Arc<NeedleSet>> {
        self.tokens.as_ref().and_then(Tokens::known)
    }

    /// What lies in the files that were looked at.
    pub(super) fn looked(&self, time: KernelTime) -> Vec<Input> {
        let looks = self.tokens.iter().flat_map(Tokens::found);
        looks.map(|look| Input::Looked { time, look: Box::new(look) }).collect()
    }

    /// A disk can take its time: another thread writes it down.
    fn remember(&mut self, path: &Path, digest: Digest, changed: bool) {
        events::ReaderRemembered { path, changed }.emit(&self.metrics);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        self.readers.note(path, digest, now);
        self.watchset.send(Command::Readers(self.readers.clone()));
        self.unwritten = true;
    }

    /// At the end that thread may not come to it any more.
    pub(super) fn write_readers(&mut self) {
        if std::mem::take(&mut self.unwritten)
            && let Err(error) = self.readers.save(&self.state)
        {
            tracing::warn!(%error, "readers that were new are not remembered");
        }
    }

    /// A variable of a process that has just started moves a store: watch the new place as well.
    fn watch_overrides(&mut self, keys: &mut Keys, overrides: &EnvOverrides) {
        let plan = self.catalogue.watch_plan_of(overrides);
        self.watchset.send(Command::Overrides(plan.clone(), overrides.clone()));
        self.watchset.merge_names(plan);
        let names = self.watchset.names();
        let outcome = keys.watch_names(&names.name_keys(), &names.filter());
        self.watched(outcome);
    }

    /// A key that the kernel did not take is no reason to stop: what is watched already stays watched, and the gap is
    /// reported with the losses.
    pub(super) fn watched<T>(&mut self, outcome: Result<T, KeysError>) {
        if let Err(error) = outcome {
            tracing::warn!(%error, "something is not watched that should be");
            self.unwatched += 1;
        }
    }
}
