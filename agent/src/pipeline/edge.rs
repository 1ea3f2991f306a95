//! Does what the core asks for: keys into the kernel, work for the watcher of stores, findings and counts out.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{Arc, mpsc},
    time::{SystemTime, UNIX_EPOCH},
};

use jiff::Timestamp;
use tokenhound_common::watch::{FileKey, FileWatch};

use super::{
    containers::Containers,
    core::{Input, Output},
    cores::Cores,
    holders::Holders,
    images::Images,
    remains::{self, Remains},
    starts::Starts,
    tokens::{Request, Tokens},
    watchset::{Command, Watchset},
    writers::Writers,
};
use crate::{
    catalogue::{
        Catalogue,
        homes::{EnvOverrides, Homes},
    },
    copies::{
        Copies,
        model::{Candidate, Scanned},
    },
    detect::{judge::Verdict, lifecycle::TokenAge},
    finding::model::Finding,
    history::{
        self, Writer,
        model::{Checked, Entry},
    },
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
    pub(super) findings: Option<mpsc::SyncSender<Report>>,
    /// Who has files of stores open.
    pub(super) holders: Holders,
    /// Who has histories and logs open for writing.
    pub(super) writers: Writers,
    /// Whose cores have to be found.
    pub(super) cores: Cores,
    /// What containers are called and what is mounted into them.
    pub(super) containers: Containers,
    /// Files that the core had watched since the last full look: it may have been past them already.
    pub(super) fresh: HashMap<FileKey, FileWatch>,
    /// Readers at places that their user can write.
    pub(super) readers: Record,
    /// Some of them are perhaps not written down yet.
    pub(super) unwritten: bool,
    /// Looks at what lies in stores, if tokens are followed.
    pub(super) tokens: Option<Tokens>,
    /// Looks into images for them.
    pub(super) images: Option<Images>,
    /// Looks into files for copies of them.
    pub(super) copies: Option<Copies>,
    /// Files that found no room there.
    pub(super) refused: Vec<Scanned>,
    /// Where what is known of them is kept.
    pub(super) history: Option<Writer>,
    /// Looks what remains of tokens that have left.
    pub(super) remains: Option<Remains>,
    /// Looks at what programs were started with beyond their records.
    pub(super) starts: Starts,
    /// How old they were when it was told last.
    pub(super) ages: Vec<TokenAge>,
    /// State directory, without links.
    pub(super) state: PathBuf,
    /// Watch keys that the kernel did not take, since the start.
    pub(super) unwatched: u64,
}

impl Edge {
    pub(super) fn take(&mut self, keys: &mut Keys, output: Output) {
        match output {
            Output::Finding(finding) => {
                events::FindingMade(&finding).emit(&self.metrics);
                if let Some(findings) = &self.findings {
                    // The receiver lives as long as the process; without it there is nobody left to tell.
                    let _ = findings.send(Report::Finding(finding.clone()));
                }
                self.remember_entry(|| Entry::Finding(finding));
            }
            Output::Read { store, verdict, actor, reader, ci } => {
                events::StoreRead { store: &store, verdict, actor: actor.name() }.emit(&self.metrics);
                if let Some(findings) = &self.findings {
                    // For summaries only; a full queue costs a line there, never a finding.
                    let _ = findings.try_send(Report::Read { store, verdict, reader, ci });
                }
            }
            Output::Access(access) => self.remember_entry(|| Entry::Access(access)),
            Output::Copied(copied) => {
                if let Some(tokens) = &self.tokens {
                    tokens.keep(copied.fingerprint);
                }
                self.remember_entry(|| Entry::Copy(copied));
            }
            Output::Left(change) => self.remember_entry(|| Entry::Left(change)),
            Output::Sent(sent) => self.remember_entry(|| Entry::Sent(sent)),
            Output::Standing(checked) => self.remember_entry(|| Entry::Standing(checked)),
            Output::Remaining(tokens) => {
                if let Some(remains) = &self.remains {
                    remains.ask(tokens);
                }
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
            Output::Writes { process, file } => self.writers.opened(process, file, clock::now()),
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
            Output::Token(change) => self.remember_entry(|| Entry::Token(change)),
            Output::Scan(candidate) => self.scan(candidate),
            Output::Container(wanted) => {
                if let Some(images) = &self.images {
                    images.want(&wanted);
                }
                self.containers.want(wanted, &self.metrics);
            }
            // The pipeline has it looked at, after what else came of the same record.
            Output::Met(_) => {}
            Output::Change(change) => events::StoreChanged(&change).emit(&self.metrics),
            Output::Lost { reason, count } => events::RecordsLost { reason, count }.emit(&self.metrics),
            Output::Evicted { table, count } => events::TableEvicted { table, count }.emit(&self.metrics),
        }
    }

    /// What remains of tokens that have left, as far as it was looked at. What changed is written down.
    pub(super) fn remaining(&mut self, time: KernelTime) -> Vec<Input> {
        let answers: Vec<_> = self.remains.iter().flat_map(Remains::answers).collect();
        let at = Timestamp::now();
        for (fingerprint, remaining) in &answers {
            for copy in remaining.iter().filter(|copy| remains::is_news(copy)) {
                let (path, tokens) = (copy.path.clone(), vec![*fingerprint]);
                let checked = Checked { path, tokens, state: copy.state, at };
                self.remember_entry(|| Entry::Standing(Box::new(checked)));
            }
        }
        let input = |(fingerprint, remaining)| Input::Remaining { time, fingerprint, remaining };
        answers.into_iter().map(input).collect()
    }

    /// Has it written down, where anything is. What is lost is counted there.
    fn remember_entry(&mut self, entry: impl FnOnce() -> Entry) {
        if let Some(history) = &mut self.history {
            history.send(entry());
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

    fn scan(&mut self, candidate: Box<Candidate>) {
        // Written by a command of ours, which some carrier has started.
        if history::is_own(&self.state, &candidate.path) {
            return;
        }
        let refused = self.copies.as_ref().and_then(|copies| copies.scan(candidate));
        self.refused.extend(refused);
    }

    /// What was found in the files that were looked into.
    pub(super) fn scanned(&mut self) -> Vec<Input> {
        let Some(copies) = &self.copies else { return Vec::new() };
        let mut found = std::mem::take(&mut self.refused);
        found.extend(copies.found());
        if !found.is_empty() {
            events::CopiesPending(copies.pending()).emit(&self.metrics);
        }
        let told = |scanned: Scanned| {
            events::FileScanned(&scanned).emit(&self.metrics);
            Input::Scanned(Box::new(scanned))
        };
        found.into_iter().map(told).collect()
    }

    /// What was found of containers and images.
    pub(super) fn contained(&mut self) -> Vec<Input> {
        let images = self.images.as_ref().map(Images::found).unwrap_or_default();
        self.containers.found().into_iter().chain(images).collect()
    }

    /// What lies in the files that were looked at.
    pub(super) fn looked(&mut self, time: KernelTime) -> Vec<Input> {
        let sealed: Vec<_> = self.tokens.iter().flat_map(Tokens::sealed).collect();
        for of in sealed {
            self.remember_entry(|| Entry::Needles(Box::new(of)));
        }
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
