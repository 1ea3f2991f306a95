//! Who put a token where it is: whoever had the store open for writing when its content changed, or, where no such open was
//! seen (a temporary file was renamed into place), who read it right before.

use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::{Origin, Session};
use crate::{
    detect::{
        access::{Access, Target},
        recent::Recent,
    },
    ingest::observation::KernelTime,
    lineage::{
        actor::Class,
        model::{Chain, Process},
    },
};

/// Most stores of which is remembered who opened them last.
const STORES: usize = 1024;

/// How long before the change of a file its writer may have opened it, in seconds: a person types a password meanwhile.
const WRITER: i64 = 300;

/// The same for a reader that is taken for the writer because no writer was seen.
const READER: i64 = 5;

/// Seconds by which the time in the file system may be behind that of the kernel's records: it counts in ticks.
const BEHIND: i64 = 2;

/// Who opened the stores in a directory last.
#[derive(Debug)]
pub(super) struct Touches {
    last: Recent<(String, PathBuf), Touch>,
}

#[derive(Clone, Debug, Default)]
struct Touch {
    writer: Option<Origin>,
    reader: Option<Origin>,
}

impl Default for Touches {
    fn default() -> Self {
        Self { last: Recent::new(STORES) }
    }
}

impl Touches {
    /// Notes an open of a store.
    pub(super) fn note(&mut self, access: &Access, writes: bool) {
        let Target::Store { stores, path, known_as, .. } = &access.target else { return };
        let Some(directory) = known_as.as_ref().unwrap_or(path).parent() else { return };
        let Some(origin) = origin(access, writes) else { return };
        for store in stores {
            let touch = self.touch(store, directory, access.time);
            let kind = if writes { &mut touch.writer } else { &mut touch.reader };
            *kind = Some(origin.clone());
        }
    }

    fn touch(&mut self, store: &str, directory: &Path, time: KernelTime) -> &mut Touch {
        self.last.touch(&(store.to_owned(), directory.to_owned()), time, Touch::default)
    }

    /// Who wrote the file that changed at `written`.
    pub(super) fn origin(&self, store: &str, path: &Path, written: Timestamp) -> Option<Origin> {
        let touch = self.last.get(&(store.to_owned(), path.parent()?.to_owned()))?;
        let within = |origin: &&Origin, seconds: i64| {
            let before = written.as_second() - origin.at.as_second();
            (-BEHIND..=seconds).contains(&before)
        };
        let writer = touch.writer.as_ref().filter(|origin| within(origin, WRITER));
        writer.or_else(|| touch.reader.as_ref().filter(|origin| within(origin, READER))).cloned()
    }

    pub(super) fn evicted(&self) -> u64 {
        self.last.evicted()
    }
}

/// The program that acts, or the script it runs.
pub(super) fn program(process: &Process) -> PathBuf {
    process.script_path().unwrap_or(&process.executable.path).to_owned()
}

fn origin(access: &Access, seen: bool) -> Option<Origin> {
    let process = access.chain.processes.first()?;
    let actor = access.actor.class();
    Some(Origin {
        at: Timestamp::try_from(access.wall).ok()?,
        uid: process.uid,
        user: access.user_name.clone(),
        program: program(process),
        actor,
        session: (actor == Class::Interactive).then(|| session(&access.chain)).flatten(),
        seen,
    })
}

/// The login or terminal session: led by the oldest ancestor that leads a session on a terminal. Below it `sudo`, `su` and
/// `script` make terminals of their own, which end with it.
fn session(chain: &Chain) -> Option<Session> {
    let leads = |process: &&Process| process.tty.is_some() && process.session == process.key.tgid;
    let leader = chain.processes.iter().rfind(leads)?;
    Some(Session { leader: leader.key, program: leader.name().to_owned(), tty: leader.tty })
}
