//! What a capture tells of the command that was watched, without the rest of the machine: small, and fit to be shown to
//! others. Findings are the same but for what they say of the machine and of who started the agent.
//!
//! Kept are the agent's process, all that descends from it and whom they looked into; records of others, losses and
//! self-tests of the sensor, names of stores that were not touched, and who the machine is are left out. What is asked is
//! recorded anew while the rest is replayed, so no answer stays to a question about others.

use std::{
    collections::{HashMap, HashSet},
    path::{Path, PathBuf},
    sync::Arc,
};

use tokenhound_common::{process::ProcessKey, record::FileId, watch::FileKey};

use super::{
    CaptureError,
    entry::{Answer, InputEntry},
    header::Header,
    reader::{Entry, Reader},
    record,
    recorder::{Place, Recorder},
    replay::Recorded,
};
use crate::{
    catalogue::Catalogue,
    container::model::Named,
    finding::{model::Salt, ocsf::Host},
    ingest::{
        decode::{Decoded, Decoder},
        observation::{Inspected, KernelTime, Object, Observation, Peer},
        sequence::Ring,
    },
    lineage::{
        container::Membership,
        loaded::{self, Linkage},
        model::{Chain, Container, Process},
        package::Owners,
    },
    pipeline::core::{Core, Input, Scope, User, World},
    policy::Policy,
};

/// Why there is no excerpt.
#[derive(Debug, thiserror::Error)]
pub enum ExcerptError {
    /// The capture cannot be read, or the excerpt not be made.
    #[error(transparent)]
    Capture(#[from] CaptureError),
    /// It was not made by `watch`.
    #[error("{} was recorded of a whole machine, not of one command: there is no part to take out", path.display())]
    Host {
        /// The capture.
        path: PathBuf,
    },
    /// Something is missing from it.
    #[error("{} is not whole ({what}); record it again while less happens", path.display())]
    Parts {
        /// The capture.
        path: PathBuf,
        /// What is missing.
        what: String,
    },
    /// The excerpt cannot be written.
    #[error("write the excerpt: {0}")]
    Write(std::io::Error),
}

/// What findings of an excerpt say of the machine.
#[must_use]
pub fn host() -> Host {
    Host { hostname: Some("host.invalid".into()), kernel_release: None, boot_id: None }
}

/// Whose doings are kept.
#[derive(Debug, Default)]
struct Kept {
    own: u32,
    /// Everything that descends from the agent.
    keys: HashSet<ProcessKey>,
    /// Whom they looked into. Found in `/proc` or told by pid alone: the start does not always tell.
    targets: HashSet<u32>,
    files: HashSet<FileKey>,
    paths: Vec<PathBuf>,
    cgroups: HashMap<ProcessKey, u64>,
}

impl Kept {
    fn is_of_command(&self, key: ProcessKey) -> bool {
        key.tgid == self.own || self.keys.contains(&key)
    }

    fn holds(&self, key: ProcessKey) -> bool {
        self.is_of_command(key) || self.targets.contains(&key.tgid)
    }

    /// Who descends from whom. A hit can stand before the fork of its process; those are for later.
    fn note(&mut self, observation: Observation, later: &mut Vec<Observation>) {
        match observation {
            Observation::Fork(ref fork) if self.is_of_command(fork.parent) => {
                self.keys.insert(fork.child);
            }
            Observation::Exec(exec) => {
                self.cgroups.insert(exec.task.key, exec.task.cgroup);
            }
            Observation::Open(_)
            | Observation::Change(_)
            | Observation::Connect(_)
            | Observation::Written(_)
            | Observation::Answer(_) => {
                later.push(observation);
            }
            Observation::Fork(_) | Observation::Exit(_) | Observation::Dump(_) => {}
        }
    }

    /// What they touched.
    fn touched(&mut self, observation: &Observation) {
        match observation {
            Observation::Open(open) if self.is_of_command(open.task.key) && open.task.key.tgid != self.own => {
                self.file(open.file.id, &open.path.path);
                if let Object::Process(_, inspected) = open.object {
                    self.targets.insert(match inspected {
                        Inspected::Key(key) => key.tgid,
                        Inspected::Pid(pid) => pid,
                    });
                }
            }
            Observation::Connect(connect) if self.is_of_command(connect.task.key) => {
                if let Peer::Socket { path, file } = &connect.peer {
                    self.file(file.id, &path.path);
                }
            }
            Observation::Change(change) if self.is_of_command(change.task.key) => {
                self.file(change.file.id, change.place.path());
            }
            Observation::Written(written) if self.is_of_command(written.task.key) => {
                self.file(written.file.id, &written.path.path);
            }
            _ => {}
        }
    }

    fn file(&mut self, id: FileId, path: &Path) {
        self.files.insert(FileKey::of(id));
        self.paths.push(path.to_owned());
    }

    /// Is the record kept? What the agent opens itself nobody looks at.
    fn wants(&self, observation: &Observation) -> bool {
        match observation {
            Observation::Fork(fork) => self.holds(fork.child),
            Observation::Exec(exec) => self.holds(exec.task.key),
            Observation::Exit(exit) => self.holds(exit.process),
            Observation::Dump(dump) => self.holds(dump.process),
            Observation::Open(open) => self.is_of_command(open.task.key) && open.task.key.tgid != self.own,
            Observation::Change(change) => self.is_of_command(change.task.key) && change.task.key.tgid != self.own,
            Observation::Connect(connect) => self.is_of_command(connect.task.key) && connect.task.key.tgid != self.own,
            Observation::Written(written) => self.is_of_command(written.task.key) && written.task.key.tgid != self.own,
            Observation::Answer(answer) => self.is_of_command(answer.task.key) && answer.task.key.tgid != self.own,
        }
    }

    /// The input without what concerns others.
    fn cut(&self, entry: InputEntry, catalogue: &Catalogue) -> Option<Input> {
        match entry.input(catalogue)? {
            Input::Found(mut process) => {
                let kept = self.holds(process.key);
                // Above the agent the lineage is cut; a parent that is unknown says so.
                process.parent = process.parent.filter(|parent| self.holds(*parent));
                kept.then_some(Input::Found(process))
            }
            Input::Written { file, by } => self.is_of_command(by).then_some(Input::Written { file, by }),
            // What is written there is looked into for tokens, and `watch` follows none.
            Input::Appended { .. } => None,
            Input::Shaped { time, process, tokens } => {
                self.is_of_command(process).then_some(Input::Shaped { time, process, tokens })
            }
            Input::More { time, process, more } => {
                self.is_of_command(process).then_some(Input::More { time, process, more })
            }
            Input::Core { time, process, file } => self.holds(process).then_some(Input::Core { time, process, file }),
            Input::Holds(holder) => self.is_of_command(holder.process).then_some(Input::Holds(holder)),
            Input::Names { all, names } => {
                let names: Vec<_> = names.into_iter().filter(|(key, _)| self.files.contains(key)).collect();
                (all || !names.is_empty()).then_some(Input::Names { all, names })
            }
            input @ (Input::Time(_) | Input::Drain | Input::Clock(_)) => Some(input),
            Input::Readers(_) => None,
            Input::Decoys(mut decoys) => {
                decoys.retain(|decoy| self.paths.contains(&decoy.path));
                (!decoys.is_empty()).then_some(Input::Decoys(decoys))
            }
            // `watch` does not read its policy anew, and follows no tokens.
            Input::Malformed
            | Input::Probe { .. }
            | Input::Losses(_)
            | Input::Undelivered { .. }
            | Input::Record(..)
            | Input::Policy(_)
            | Input::Tokens { .. }
            | Input::Carried { .. }
            | Input::Looked { .. }
            | Input::Copies { .. }
            | Input::Before { .. }
            | Input::Searched { .. }
            | Input::Remaining { .. }
            | Input::Scanned(_)
            | Input::Container { .. }
            | Input::Exposed { .. } => None,
        }
    }
}

/// Writes to `place` what the capture at `from` tells of the watched command. Returns the number of records.
///
/// # Errors
/// When `from` is no whole capture of `watch`, or the excerpt cannot be written.
pub fn excerpt(from: &Path, place: Place, catalogue: Arc<Catalogue>, policy: Policy) -> Result<u64, ExcerptError> {
    let kept = survey(from)?;
    let mut reader = Reader::open(from)?;
    let mut setup = reader.header().setup(Arc::clone(&catalogue), policy);
    setup.salt = Salt::new("made-up host", "made-up boot");
    setup.homes.retain(|home| kept.paths.iter().any(|path| path.starts_with(home)));
    let header = Header::new(&setup, &host(), reader.header().rules.clone());
    let mut copy = Copy {
        recorder: Recorder::start(place, &header).map_err(ExcerptError::Write)?,
        core: Core::new(setup),
        world: Known { recorded: Recorded::default(), cgroups: &kept.cgroups, memberships: HashMap::new() },
        decoder: Decoder::of_capture(),
        sequences: HashMap::new(),
        records: 0,
    };
    loop {
        match reader.entry()? {
            None => break,
            Some(Entry::Answer(mut answer)) => {
                answer.cut(|key| kept.holds(key));
                copy.world.learn(&answer);
                copy.world.recorded.answers.push_back(answer);
            }
            Some(Entry::Record(ring, bytes)) => copy.record(ring, bytes, &kept),
            Some(Entry::Input(entry)) => {
                if let Some(input) = kept.cut(entry, &catalogue) {
                    copy.input(input);
                }
                copy.world.recorded.answers.clear();
            }
            Some(Entry::Gap(_) | Entry::End) => {}
        }
    }
    copy.recorder.finish();
    if let Some(trouble) = copy.recorder.trouble() {
        return Err(ExcerptError::Write(std::io::Error::other(trouble.to_string())));
    }
    match copy.world.recorded.unanswered {
        0 => Ok(copy.records),
        count => Err(ExcerptError::Parts { path: from.to_owned(), what: format!("{count} questions have no answer") }),
    }
}

/// Reads it once to see who belongs to the command.
fn survey(from: &Path) -> Result<Kept, ExcerptError> {
    let mut reader = Reader::open(from)?;
    // What it is set up with does not depend on the catalogue.
    if reader.header().scope() != Scope::Descendants {
        return Err(ExcerptError::Host { path: from.to_owned() });
    }
    let mut kept = Kept { own: reader.header().own(), ..Kept::default() };
    let mut decoder = Decoder::of_capture();
    let mut later = Vec::new();
    let mut ended = false;
    let mut gaps = 0;
    loop {
        let begin = reader.offset();
        match reader.entry()? {
            None => break,
            Some(Entry::Record(_, bytes)) => match decoder.decode(bytes) {
                Ok(decoded) => kept.note(decoded.observation, &mut later),
                Err(error) => {
                    let what = error.to_string();
                    return Err(CaptureError::Damaged { path: from.to_owned(), offset: begin, what }.into());
                }
            },
            Some(Entry::Input(InputEntry::Found(process))) => {
                let process = Process::from(*process);
                kept.cgroups.insert(process.key, process.cgroup);
            }
            Some(Entry::Gap(count)) => gaps += count,
            Some(Entry::End) => ended = true,
            Some(Entry::Input(_) | Entry::Answer(_)) => {}
        }
    }
    later.iter().for_each(|hit| kept.touched(hit));
    let what = match (gaps, ended) {
        (0, true) => return Ok(kept),
        (0, false) => "it was not ended in order".to_owned(),
        (gaps, _) => format!("{gaps} entries are missing"),
    };
    Err(ExcerptError::Parts { path: from.to_owned(), what })
}

/// The excerpt in the making.
struct Copy<'k> {
    recorder: Recorder,
    core: Core,
    world: Known<'k>,
    decoder: Decoder,
    /// Numbers are given anew: what is left out is not lost.
    sequences: HashMap<(Ring, u32), u64>,
    records: u64,
}

impl Copy<'_> {
    fn record(&mut self, ring: Ring, bytes: &[u8], kept: &Kept) {
        // It could be decoded a moment ago.
        let Ok(Decoded { header, observation }) = self.decoder.decode(bytes) else { return };
        if !kept.wants(&observation) {
            return;
        }
        let sequence = self.sequences.entry((ring, header.lane)).or_insert(0);
        *sequence += 1;
        let bytes = record::renumbered(bytes, *sequence);
        if let Ok(decoded) = self.decoder.decode(&bytes) {
            self.records += 1;
            self.recorder.record(ring, &bytes, &decoded);
            self.core.feed(Input::Record(ring, decoded), &mut self.world, &mut |_| ());
        }
    }

    fn input(&mut self, input: Input) {
        if let Input::Time(now) = input {
            self.world.recorded.time = now;
            if !self.core.is_due(now) {
                return;
            }
        }
        self.recorder.feed(&mut self.core, input, &mut self.world, &mut |_| ());
    }
}

/// The world as it was, which also knows of a cgroup what it was told when somebody else was asked about.
struct Known<'k> {
    recorded: Recorded,
    cgroups: &'k HashMap<ProcessKey, u64>,
    memberships: HashMap<u64, Membership>,
}

impl Known<'_> {
    fn learn(&mut self, answer: &Answer) {
        if let Some((key, membership)) = answer.membership_of()
            && let Some(cgroup) = self.cgroups.get(&key)
        {
            self.memberships.insert(*cgroup, membership);
        }
    }
}

impl World for Known<'_> {
    fn resolve(&mut self, key: ProcessKey) -> Option<Process> {
        self.recorded.resolve(key)
    }

    fn find(&mut self, pid: u32, pid_namespace: u32) -> Option<ProcessKey> {
        self.recorded.find(pid, pid_namespace)
    }

    fn membership(&mut self, key: ProcessKey) -> Option<Membership> {
        let known = self.cgroups.get(&key).and_then(|cgroup| self.memberships.get(cgroup));
        known.cloned().or_else(|| self.recorded.membership(key))
    }

    fn gone(&mut self, keys: &[ProcessKey]) -> Vec<ProcessKey> {
        self.recorded.gone(keys)
    }

    fn fill_writable(&mut self, chain: &mut Chain) {
        self.recorded.fill_writable(chain);
    }

    fn place(&mut self, chain: &Chain, path: &Path) -> loaded::Place {
        self.recorded.place(chain, path)
    }

    fn linkage(&mut self, chain: &Chain) -> Linkage {
        self.recorded.linkage(chain)
    }

    fn owners(&mut self, process: &Process) -> Option<Owners> {
        self.recorded.owners(process)
    }

    fn user(&mut self, uid: u32) -> Option<User> {
        self.recorded.user(uid)
    }

    fn host(&mut self, address: core::net::IpAddr) -> Option<String> {
        self.recorded.host(address)
    }

    fn mount_point(&mut self, device: u32) -> Option<PathBuf> {
        self.recorded.mount_point(device)
    }

    fn file(&mut self, path: &Path) -> Option<FileId> {
        self.recorded.file(path)
    }

    fn named(&mut self, container: &Container) -> Named {
        self.recorded.named(container)
    }

    fn now(&mut self) -> KernelTime {
        self.recorded.now()
    }
}
