//! A capture through a core: the same findings, on any machine, without any rights.

use std::{
    collections::VecDeque,
    io::Read,
    path::{Path, PathBuf},
    sync::Arc,
};

use tokenhound_common::{process::ProcessKey, record::FileId};

use super::{
    CaptureError,
    entry::Answer,
    reader::{Entry, Reader},
};
use crate::{
    catalogue::Catalogue,
    container::model::Named,
    ingest::{decode::Decoder, observation::KernelTime},
    lineage::{
        container::Membership,
        loaded::{Linkage, Place},
        model::{Chain, Container, Process},
        package::Owners,
    },
    pipeline::core::{Core, Input, Output, User, World},
    policy::Policy,
};

/// What was replayed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Records.
    pub records: u64,
    /// Entries that could not be written when it was recorded.
    pub gaps: u64,
    /// Questions that the recording has no answer to: it was made with another catalogue, policy or agent.
    pub unanswered: u64,
    /// Times that the policy was read anew while it was recorded, and not in the replay: another one is tried, or the
    /// catalogue does not know its stores.
    pub reloads_ignored: u64,
    /// The recording was ended in order.
    pub ended: bool,
    /// Processes in the table at the end.
    pub processes: usize,
}

/// By which policy a capture is replayed.
#[derive(Clone, Debug)]
pub enum Rules {
    /// By this one, which held at the start, and from then on by those that were read while it was recorded.
    Then(Policy),
    /// By this one from start to end: to see what it would have made of it.
    Instead(Policy),
}

/// Lets a core work on everything that `reader` gives and hands out what comes of it. `summary` counts along, also up to
/// an error.
///
/// # Errors
/// When the capture is cut off or damaged; what came before it has been worked on.
pub fn replay<R: Read>(
    reader: &mut Reader<R>,
    catalogue: Arc<Catalogue>,
    policy: Rules,
    decoder: &mut Decoder,
    summary: &mut Summary,
    out: &mut dyn FnMut(Output),
) -> Result<(), CaptureError> {
    let (policy, follow) = match policy {
        Rules::Then(policy) => (policy, true),
        Rules::Instead(policy) => (policy, false),
    };
    let mut core = Core::new(reader.header().setup(Arc::clone(&catalogue), policy));
    let mut world = Recorded::default();
    let outcome = all(reader, &mut core, &mut world, (&catalogue, follow), decoder, summary, out);
    summary.unanswered = world.unanswered;
    summary.processes = core.tracked();
    outcome
}

fn all<R: Read>(
    reader: &mut Reader<R>,
    core: &mut Core,
    world: &mut Recorded,
    (catalogue, follow): (&Catalogue, bool),
    decoder: &mut Decoder,
    summary: &mut Summary,
    out: &mut dyn FnMut(Output),
) -> Result<(), CaptureError> {
    loop {
        let begin = reader.offset();
        let input = match reader.entry()? {
            None => return Ok(()),
            Some(Entry::Answer(answer)) => {
                world.answers.push_back(answer);
                continue;
            }
            Some(Entry::Gap(entries)) => {
                summary.gaps += entries;
                continue;
            }
            Some(Entry::End) => {
                summary.ended = true;
                continue;
            }
            Some(Entry::Record(ring, bytes)) => match decoder.decode(bytes) {
                Ok(decoded) => {
                    summary.records += 1;
                    Input::Record(ring, decoded)
                }
                Err(error) => {
                    let what = error.to_string();
                    return Err(CaptureError::Damaged { path: reader.path().to_owned(), offset: begin, what });
                }
            },
            Some(Entry::Input(entry)) => match entry.input(catalogue) {
                Some(Input::Policy(policy)) if follow => Input::Policy(policy),
                Some(Input::Policy(_)) | None => {
                    summary.reloads_ignored += 1;
                    continue;
                }
                Some(input) => input,
            },
        };
        if let Input::Time(time) = input {
            world.time = time;
        }
        core.feed(input, world, out);
        if !world.answers.is_empty() {
            world.answers.clear();
        }
    }
}

/// The world as it was. What it was not asked then it does not know.
#[derive(Debug, Default)]
pub(super) struct Recorded {
    /// Answers to questions about the next input, in the order in which they were asked.
    pub(super) answers: VecDeque<Answer>,
    pub(super) time: KernelTime,
    pub(super) unanswered: u64,
}

impl Recorded {
    /// Takes out the first answer that fits, which is nearly always the first.
    fn answer<T>(&mut self, mut fits: impl FnMut(&Answer) -> Option<T>) -> Option<T> {
        let found = self.answers.iter().enumerate().find_map(|(at, answer)| Some((at, fits(answer)?)));
        match found {
            Some((at, answer)) => {
                self.answers.remove(at);
                Some(answer)
            }
            None => {
                self.unanswered += 1;
                None
            }
        }
    }
}

impl World for Recorded {
    fn resolve(&mut self, key: ProcessKey) -> Option<Process> {
        self.answer(|answer| answer.to_resolve(key)).flatten()
    }

    fn find(&mut self, pid: u32, pid_namespace: u32) -> Option<ProcessKey> {
        self.answer(|answer| answer.to_find(pid, pid_namespace)).flatten()
    }

    fn membership(&mut self, key: ProcessKey) -> Option<Membership> {
        self.answer(|answer| answer.to_membership(key)).flatten()
    }

    fn gone(&mut self, _keys: &[ProcessKey]) -> Vec<ProcessKey> {
        self.answer(Answer::to_gone).unwrap_or_default()
    }

    fn fill_writable(&mut self, chain: &mut Chain) {
        // Without an answer it stays unknown, which is in nobody's favour.
        self.answer(|answer| answer.to_writable(chain));
    }

    fn place(&mut self, _chain: &Chain, path: &Path) -> Place {
        self.answer(|answer| answer.to_place(path)).unwrap_or_default()
    }

    fn linkage(&mut self, _chain: &Chain) -> Linkage {
        self.answer(Answer::to_linkage).unwrap_or_default()
    }

    fn owners(&mut self, process: &Process) -> Option<Owners> {
        self.answer(|answer| answer.to_owners(process.key)).flatten()
    }

    fn user(&mut self, uid: u32) -> Option<User> {
        self.answer(|answer| answer.to_user(uid)).flatten()
    }

    fn host(&mut self, address: core::net::IpAddr) -> Option<String> {
        self.answer(|answer| answer.to_host(address)).flatten()
    }

    fn mount_point(&mut self, device: u32) -> Option<PathBuf> {
        self.answer(|answer| answer.to_mount_point(device)).flatten()
    }

    fn file(&mut self, path: &Path) -> Option<FileId> {
        self.answer(|answer| answer.to_file(path)).flatten()
    }

    fn named(&mut self, container: &Container) -> Named {
        self.answer(|answer| answer.to_named(&container.id)).unwrap_or_default()
    }

    fn now(&mut self) -> KernelTime {
        let time = self.time;
        self.answer(Answer::to_now).unwrap_or(time)
    }
}
