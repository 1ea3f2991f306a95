//! Looks for known tokens in images that are new, in what builds leave in their cache, in volumes that an engine has filled, and
//! in what containers have written after a copy into one. In the background, on a thread of its own; what is found goes to the
//! core as [`Input::Exposed`].
//!
//! What was there when an engine became known is noted and not looked through.

mod engine;
mod looker;
mod spots;
#[cfg(test)]
mod tests;

use std::{
    io,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use self::looker::Looker;
use super::core::{Input, containers::Wanted};
use crate::{
    container::{
        engine::{Program, Task},
        facts::lookup::Places,
        model::Found,
    },
    ingest::clock,
    telemetry::{events, metrics::Metrics},
    token::scan::NeedleSet,
};

/// Most messages that wait, and most answers.
const WAITING: usize = 256;

enum Message {
    Daemon(Program, Vec<String>),
    Client(Option<PathBuf>, Option<Places>),
    /// Something was built or copied: look at once. The second value: what was changed from then on (seconds since 1970).
    Done(Task, i64),
}

/// The tokens that are looked for, once they are known. No message: one that finds no room would leave the thread with old ones.
type Needed = Arc<Mutex<Option<Arc<NeedleSet>>>>;

/// The thread, as the pipeline sees it.
pub(super) struct Images {
    messages: mpsc::SyncSender<Message>,
    set: Needed,
    metrics: Metrics,
    found: mpsc::Receiver<Found>,
}

impl Images {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(super) fn start(homes: Vec<PathBuf>, metrics: Metrics) -> io::Result<Self> {
        let (messages, receive) = mpsc::sync_channel(WAITING);
        let (send, found) = mpsc::sync_channel(WAITING);
        let set = Needed::default();
        let looker = Looker::new(Arc::clone(&set), send, metrics.clone());
        thread::Builder::new().name("images".into()).spawn(move || looker.run(&receive, &homes))?;
        Ok(Self { messages, set, metrics, found })
    }

    pub(super) fn know(&self, set: Arc<NeedleSet>) {
        *self.set.lock().unwrap_or_else(PoisonError::into_inner) = Some(set);
    }

    /// Takes what the core tells of engines and clients.
    pub(super) fn want(&self, wanted: &Wanted) {
        match wanted {
            Wanted::Look(_) => {}
            Wanted::Daemon(daemon, args) => self.send(Message::Daemon(*daemon, args.clone())),
            Wanted::Client(home, storage) => self.send(Message::Client(home.clone(), storage.clone())),
            Wanted::Done(since, task) => {
                let ago = Duration::from_nanos(clock::now().0.saturating_sub(since.0));
                let since = SystemTime::now().checked_sub(ago).and_then(|at| at.duration_since(UNIX_EPOCH).ok());
                let seconds = since.map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX));
                self.send(Message::Done(*task, seconds));
            }
        }
    }

    /// Images are looked for every second in any case. An engine in an unusual place, and what a copy has written, are missed by
    /// a message that finds no room: it is counted.
    fn send(&self, message: Message) {
        if self.messages.try_send(message).is_err() {
            events::TableEvicted { table: "image_looks", count: 1 }.emit(&self.metrics);
        }
    }

    /// What was found since the last call.
    pub(super) fn found(&self) -> Vec<Input> {
        let time = clock::now();
        self.found.try_iter().map(|found| Input::Exposed { time, found: Box::new(found) }).collect()
    }
}
