//! Looks at what programs were started with beyond what their records told, on a thread of its own: `/proc` is asked at once,
//! as many a program ends soon.

use std::{
    fs::File,
    io::{self, ErrorKind, Read},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use tokenhound_common::process::ProcessKey;
use zeroize::{Zeroize, Zeroizing};

use super::core::Input;
use crate::{
    ingest::{
        observation::KernelTime,
        rest::{ARGUMENTS, Begun, ENVIRONMENT, More, Rest},
    },
    lineage::backfill,
    telemetry::{events, metrics::Metrics},
};

/// Most programs that wait to be looked at. One that finds no room is counted.
const WAITING: usize = 1024;

/// Most bytes that are read in a second: a flood of programs with large environments costs a bounded part of a processor.
const BUDGET: usize = 32 << 20;

/// For what the budget is.
const SECOND: Duration = Duration::from_secs(1);

/// A program whose record was cut.
pub(super) struct Started {
    pub(super) time: KernelTime,
    pub(super) process: ProcessKey,
    pub(super) rest: Rest,
}

/// What became of a look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// A token was found.
    Found,
    /// None was.
    Nothing,
    /// None was in what was looked at, and there is more.
    Partly,
    /// The process has ended.
    Gone,
    /// It has started another program, or written over its arguments or environment.
    Changed,
    /// The system did not let it be read.
    Refused,
    /// Too much was read in this second.
    Budget,
    /// Too many wait.
    Full,
}

impl Outcome {
    /// Its label.
    #[must_use]
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Found => "found",
            Self::Nothing => "nothing",
            Self::Partly => "partly",
            Self::Gone => "gone",
            Self::Changed => "changed",
            Self::Refused => "refused",
            Self::Budget => "budget",
            Self::Full => "full",
        }
    }
}

/// The thread, as the pipeline sees it.
pub(super) struct Starts {
    asked: mpsc::SyncSender<Started>,
    answers: mpsc::Receiver<Input>,
    metrics: Metrics,
}

impl Starts {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(super) fn start(metrics: Metrics) -> io::Result<Self> {
        let (asked, questions) = mpsc::sync_channel::<Started>(WAITING);
        let (answer, answers) = mpsc::sync_channel(WAITING);
        let counts = metrics.clone();
        let work = move || {
            let mut reader = Reader::new();
            for started in questions {
                let looked = reader.look(&started);
                let outcome = *looked.as_ref().map_or_else(|outcome| outcome, |(outcome, _)| outcome);
                events::StartRead(outcome.name()).emit(&counts);
                if let Ok((Outcome::Found, more)) = looked {
                    let Started { time, process, .. } = started;
                    if answer.send(Input::More { time, process, more }).is_err() {
                        return;
                    }
                }
            }
        };
        // Not bound by rules about files: those that are may not look into other processes.
        thread::Builder::new().name("starts".into()).spawn(work)?;
        Ok(Self { asked, answers, metrics })
    }

    /// Has what is left of these looked at.
    pub(super) fn look(&self, started: impl IntoIterator<Item = Started>) {
        for started in started {
            if self.asked.try_send(started).is_err() {
                events::StartRead(Outcome::Full.name()).emit(&self.metrics);
            }
        }
    }

    /// What was found since the last call.
    pub(super) fn found(&self) -> impl Iterator<Item = Input> {
        self.answers.try_iter()
    }
}

/// How much may be read.
struct Budget {
    since: Instant,
    left: usize,
}

impl Budget {
    /// Is something left of this second?
    fn is_left(&mut self, now: Instant) -> bool {
        if now.duration_since(self.since) >= SECOND {
            *self = Self { since: now, left: BUDGET };
        }
        self.left > 0
    }

    fn take(&mut self, bytes: usize) {
        self.left = self.left.saturating_sub(bytes);
    }
}

/// A text of a process. It may hold tokens, so it is overwritten once it was looked at.
struct Text {
    /// One byte more than is looked at: whether there is more is seen by it.
    bytes: Zeroizing<Vec<u8>>,
    read: usize,
}

impl Text {
    fn new(most: usize) -> Self {
        Self { bytes: Zeroizing::new(vec![0; most + 1]), read: 0 }
    }

    /// Reads it, if it was cut and begins as it did when the program was started. Returns whether there is more.
    fn read(&mut self, process: ProcessKey, name: &str, begun: Option<&Begun>) -> Result<bool, Outcome> {
        let Some(begun) = begun else { return Ok(false) };
        let mut file = File::open(format!("/proc/{}/{name}", process.tgid)).map_err(|error| missing(&error))?;
        loop {
            match file.read(self.bytes.get_mut(self.read..).unwrap_or_default()) {
                Ok(0) => break,
                Ok(bytes) => self.read += bytes,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(missing(&error)),
            }
        }
        match self.get() {
            text if begun.is_of(text) => Ok(self.read == self.bytes.len()),
            // A process without memory has no text: it is about to end.
            [] => Err(Outcome::Gone),
            _ => Err(Outcome::Changed),
        }
    }

    fn get(&self) -> &[u8] {
        self.bytes.get(..self.read.min(self.bytes.len() - 1)).unwrap_or_default()
    }

    fn wipe(&mut self) {
        self.bytes.get_mut(..self.read).unwrap_or_default().zeroize();
        self.read = 0;
    }
}

fn missing(error: &io::Error) -> Outcome {
    // ESRCH, where it ends while it is read.
    let gone = error.kind() == ErrorKind::NotFound || error.raw_os_error() == Some(libc::ESRCH);
    if gone { Outcome::Gone } else { Outcome::Refused }
}

/// What reads.
struct Reader {
    arguments: Text,
    environment: Text,
    budget: Budget,
}

impl Reader {
    fn new() -> Self {
        let budget = Budget { since: Instant::now(), left: BUDGET };
        Self { arguments: Text::new(ARGUMENTS), environment: Text::new(ENVIRONMENT), budget }
    }

    fn look(&mut self, started: &Started) -> Result<(Outcome, More), Outcome> {
        let looked = self.read(started);
        self.arguments.wipe();
        self.environment.wipe();
        looked
    }

    fn read(&mut self, Started { process, rest, .. }: &Started) -> Result<(Outcome, More), Outcome> {
        if !self.budget.is_left(Instant::now()) {
            return Err(Outcome::Budget);
        }
        let arguments = self.arguments.read(*process, "cmdline", rest.arguments.as_ref());
        let environment = self.environment.read(*process, "environ", rest.environment.as_ref());
        self.budget.take(self.arguments.read + self.environment.read);
        // Whose they are must be true after they were read.
        if !backfill::is_alive(*process) {
            return Err(Outcome::Gone);
        }
        let is_more = [arguments?, environment?].contains(&true);
        let more = rest.find(self.arguments.get(), self.environment.get());
        let none = if is_more { Outcome::Partly } else { Outcome::Nothing };
        Ok((if more.is_empty() { none } else { Outcome::Found }, more))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lineage::backfill::tick_ns;

    /// This process, of which the beginning of the command line or environment is known.
    fn own(arguments: Option<&[u8]>, environment: Option<&[u8]>) -> Started {
        let stat = procfs::process::Process::myself().unwrap().stat().unwrap();
        let process = ProcessKey::new(stat.starttime * tick_ns(), std::process::id());
        Started { time: KernelTime(1), process, rest: Rest::sample(arguments, environment) }
    }

    #[test]
    fn a_process_that_is_what_it_was_is_looked_at_and_what_was_read_is_overwritten() {
        let (arguments, environment) =
            (std::fs::read("/proc/self/cmdline").unwrap(), std::fs::read("/proc/self/environ").unwrap());
        let mut reader = Reader::new();
        let looked = reader.look(&own(Some(&arguments[..4]), Some(&environment[..environment.len().min(4)])));
        assert_eq!(looked, Ok((Outcome::Nothing, More::default())));
        assert!(reader.arguments.bytes.iter().chain(&*reader.environment.bytes).all(|byte| *byte == 0));
        assert_eq!(reader.look(&own(Some(b"another"), None)), Err(Outcome::Changed));
        let mut gone = own(Some(&arguments[..4]), None);
        gone.process.start_ns += 1_000_000_000;
        assert_eq!(reader.look(&gone), Err(Outcome::Gone), "another process has its number now");
        gone.process.tgid = u32::MAX;
        assert_eq!(reader.look(&gone), Err(Outcome::Gone));
        reader.budget = Budget { since: Instant::now() + SECOND, left: 0 };
        assert_eq!(reader.look(&own(Some(&arguments[..4]), None)), Err(Outcome::Budget));
    }

    #[test]
    fn more_than_is_looked_at_is_told() {
        let mut text = Text::new(4);
        let begun = own(Some(b"/"), None).rest.arguments.unwrap();
        let process = own(None, None).process;
        let all = std::fs::read("/proc/self/cmdline").unwrap();
        let begins = if all.starts_with(b"/") { Ok(true) } else { Err(Outcome::Changed) };
        assert_eq!(text.read(process, "cmdline", Some(&begun)), begins);
        assert_eq!(text.get(), &all[..4]);
    }
}
