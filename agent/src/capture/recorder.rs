//! Writes down what a core consumes.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use tokenhound_common::{process::ProcessKey, record::FileId};

use super::{
    CaptureError, FORMAT, MAGIC,
    entry::{Answer, InputEntry},
    frame,
    header::Header,
    kind, put, record,
    writer::{Block, Writer},
};
use crate::{
    container::model::Named,
    ingest::{decode::Decoded, observation::KernelTime, sequence::Ring},
    lineage::{
        container::Membership,
        loaded::{self, Linkage},
        model::{Chain, Container, Process},
        package::Owners,
    },
    pipeline::core::{Core, Input, Output, User, World},
};

/// Bytes of a block; with those that wait for the disk at most 4 MiB.
const BLOCK: usize = 64 << 10;

/// Mode of the file: it names files and programs, which is nobody else's business.
const MODE: u32 = 0o600;

/// A file that is there and empty, before anything is known that could be written.
#[derive(Debug)]
pub struct Place {
    path: PathBuf,
    file: File,
}

impl Place {
    /// Creates the file. One that exists is left alone, whatever it is.
    ///
    /// # Errors
    /// When it exists or cannot be created.
    pub fn create(path: &Path) -> Result<Self, CaptureError> {
        let file = OpenOptions::new().write(true).create_new(true).mode(MODE).open(path);
        let failed = |source| CaptureError::Create { path: path.to_owned(), source };
        Ok(Self { path: path.to_owned(), file: file.map_err(failed)? })
    }

    /// A file that is open already.
    #[cfg(test)]
    pub(super) fn of(path: PathBuf, file: File) -> Self {
        Self { path, file }
    }
}

/// Trouble that is to be told once, with all entries that were lost so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// The file.
    pub path: PathBuf,
    /// Entries that are not in it, since the last time that this was asked.
    pub lost: u64,
    /// What the system said, when it has not been told before. Nothing more is written.
    pub failure: Option<String>,
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { path, lost, failure } = self;
        write!(f, "{lost} entries are missing from the capture {}", path.display())?;
        match failure {
            Some(error) => write!(f, ", which ends early: {error}; check the space left there"),
            None => f.write_str(": its disk was too slow"),
        }
    }
}

/// The recording.
pub struct Recorder {
    path: PathBuf,
    writer: Writer,
    block: Block,
    answers: Vec<Answer>,
    /// Entries that found no room, not yet written down as a gap.
    gap: u64,
    dropped: u64,
    told: u64,
    /// The disk takes nothing more, and that has been told.
    stopped: bool,
}

impl Recorder {
    /// Begins a recording with its head.
    ///
    /// # Errors
    /// When the file cannot be written or the system gives no thread.
    pub fn start(place: Place, header: &Header) -> io::Result<Self> {
        let Place { path, mut file } = place;
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&FORMAT.to_le_bytes());
        if !frame(&mut bytes, kind::HEADER, |out| put(out, header)) {
            return Err(io::Error::other("the head of the capture is too long"));
        }
        file.write_all(&bytes)?;
        Ok(Self {
            path,
            writer: Writer::start(file)?,
            block: Block { bytes: Vec::with_capacity(BLOCK), entries: 0 },
            answers: Vec::new(),
            gap: 0,
            dropped: 0,
            told: 0,
            stopped: false,
        })
    }

    /// Writes a record down as the core will see it in a replay.
    pub fn record(&mut self, ring: Ring, bytes: &[u8], decoded: &Decoded) {
        let kind = match ring {
            Ring::Life => kind::LIFE,
            Ring::Hits => kind::HITS,
            Ring::Trail => kind::TRAIL,
        };
        self.entry(kind, |out| record::clean(bytes, &decoded.observation, out).is_ok());
    }

    /// Lets the core work on an input and writes it down with the answers that were given.
    pub fn feed(&mut self, core: &mut Core, input: Input, world: &mut dyn World, out: &mut dyn FnMut(Output)) {
        let entries = InputEntry::of(&input);
        let mut answers = std::mem::take(&mut self.answers);
        core.feed(input, &mut Listening { world, answers: &mut answers }, out);
        for answer in answers.drain(..) {
            self.entry(kind::ANSWER, |out| put(out, &answer));
        }
        self.answers = answers;
        for entry in entries {
            self.entry(kind::INPUT, |out| put(out, &entry));
        }
    }

    /// Adds an entry. One that cannot be told whole, as `fill` says, or is too long for a frame is lost.
    fn entry(&mut self, kind: u8, fill: impl FnOnce(&mut Vec<u8>) -> bool) {
        if self.stopped {
            return self.lose(1);
        }
        if !frame(&mut self.block.bytes, kind, fill) {
            return self.lose(1);
        }
        self.block.entries += 1;
        if self.block.bytes.len() >= BLOCK {
            self.flush();
        }
    }

    /// Hands what is written so far to the disk.
    pub fn flush(&mut self) {
        if self.block.bytes.is_empty() {
            return;
        }
        let block = self.take_block();
        let entries = block.entries;
        if !self.writer.send(block) {
            self.lose(entries);
        }
    }

    fn lose(&mut self, entries: u64) {
        self.gap += entries;
        self.dropped += entries;
    }

    /// The block, after a mark for what is missing before it.
    fn take_block(&mut self) -> Block {
        let next = Block { bytes: Vec::with_capacity(BLOCK), entries: 0 };
        let mut block = std::mem::replace(&mut self.block, next);
        if self.gap > 0 {
            let mut bytes = Vec::new();
            frame(&mut bytes, kind::GAP, |out| put(out, &self.gap));
            bytes.append(&mut block.bytes);
            (block.bytes, self.gap) = (bytes, 0);
        }
        block
    }

    /// What has gone wrong since the last time, if anything.
    pub fn trouble(&mut self) -> Option<Trouble> {
        let (lost, failure) = self.writer.failed();
        let failure = failure.filter(|_| !std::mem::replace(&mut self.stopped, true));
        let total = self.dropped + lost;
        let new = total - self.told;
        self.told = total;
        (new > 0 || failure.is_some()).then(|| Trouble { path: self.path.clone(), lost: new, failure })
    }

    /// Ends the recording in order and waits until it is written; then ask for [`Recorder::trouble`].
    pub fn finish(&mut self) {
        self.entry(kind::END, |_| true);
        let block = self.take_block();
        self.writer.send_last(block);
        self.writer.finish();
    }
}

/// A world of which every answer is kept.
struct Listening<'a> {
    world: &'a mut dyn World,
    answers: &'a mut Vec<Answer>,
}

impl World for Listening<'_> {
    fn resolve(&mut self, key: ProcessKey) -> Option<Process> {
        let answer = self.world.resolve(key);
        self.answers.push(Answer::resolve(key, answer.as_ref()));
        answer
    }

    fn find(&mut self, pid: u32, pid_namespace: u32) -> Option<ProcessKey> {
        let answer = self.world.find(pid, pid_namespace);
        self.answers.push(Answer::find(pid, pid_namespace, answer));
        answer
    }

    fn membership(&mut self, key: ProcessKey) -> Option<Membership> {
        let answer = self.world.membership(key);
        self.answers.push(Answer::membership(key, answer.as_ref()));
        answer
    }

    fn gone(&mut self, keys: &[ProcessKey]) -> Vec<ProcessKey> {
        let answer = self.world.gone(keys);
        self.answers.push(Answer::gone(&answer));
        answer
    }

    fn fill_writable(&mut self, chain: &mut Chain) {
        self.world.fill_writable(chain);
        self.answers.push(Answer::writable(chain));
    }

    fn place(&mut self, chain: &Chain, path: &Path) -> loaded::Place {
        let answer = self.world.place(chain, path);
        self.answers.push(Answer::place(path, &answer));
        answer
    }

    fn linkage(&mut self, chain: &Chain) -> Linkage {
        let answer = self.world.linkage(chain);
        self.answers.push(Answer::linkage(&answer));
        answer
    }

    fn owners(&mut self, process: &Process) -> Option<Owners> {
        let answer = self.world.owners(process);
        self.answers.push(Answer::owners(process.key, answer.as_ref()));
        answer
    }

    fn user(&mut self, uid: u32) -> Option<User> {
        let answer = self.world.user(uid);
        self.answers.push(Answer::user(uid, answer.as_ref()));
        answer
    }

    fn host(&mut self, address: core::net::IpAddr) -> Option<String> {
        let answer = self.world.host(address);
        self.answers.push(Answer::Host(address, answer.clone()));
        answer
    }

    fn mount_point(&mut self, device: u32) -> Option<PathBuf> {
        let answer = self.world.mount_point(device);
        self.answers.push(Answer::mount_point(device, answer.as_deref()));
        answer
    }

    fn file(&mut self, path: &Path) -> Option<FileId> {
        let answer = self.world.file(path);
        self.answers.push(Answer::file(path, answer));
        answer
    }

    fn named(&mut self, container: &Container) -> Named {
        let answer = self.world.named(container);
        self.answers.push(Answer::Named(container.id.clone(), answer.clone()));
        answer
    }

    fn now(&mut self) -> KernelTime {
        let answer = self.world.now();
        self.answers.push(Answer::Now(answer.0));
        answer
    }
}
