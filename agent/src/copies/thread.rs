//! The threads that look into candidates: one that keeps the queue, one that looks into files at once, and one for those that
//! take long. A file that hangs, as on a network that is away, costs the thread that looks into it, and nobody else.

use std::{
    collections::VecDeque,
    ffi::OsStr,
    io,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use super::{
    look::{AT_ONCE, BACKGROUND, Known, Lane, Memory, look},
    model::{Candidate, Looked, Outcome, Scanned, Skipped, Writer},
    queue::{Pushed, Queue, Waiting},
};
use crate::{ingest::clock, token::scan::NeedleSet};

/// Most candidates that are on their way to the queue, and looks on their way back.
const ON_THE_WAY: usize = 4096;

/// Most files that wait for the lane of those that take long.
const LONG: usize = 1024;

/// How much longer than it may take a look can hang before it is given up.
const PATIENCE: Duration = Duration::from_secs(5);

/// Most looks that hang. Beyond, no thread is started until one of them comes back.
const MOST_HANGING: usize = 8;

/// Files that were looked into lately are looked into again for tokens that have become known since: a tool that logs in writes
/// the store and the copy at once.
const LATELY: Duration = Duration::from_secs(5);
const MOST_LATELY: usize = 2048;

/// The lanes.
const LANES: [Lane; 2] = [AT_ONCE, BACKGROUND];

/// What the keeper of the queue is told.
enum Message {
    Candidate(Box<Candidate>),
    /// Other tokens lie in stores.
    Known,
    Looked(Answer),
}

/// What comes of a job.
struct Answer {
    lane: usize,
    /// Which worker of the lane: one that was given up may still answer.
    worker: u64,
    /// `None`: it takes more than this lane has.
    outcome: Option<Outcome>,
}

struct Job {
    candidate: Candidate,
    known: Known,
}

/// Files that wait or are looked into, for each lane.
type Pending = Arc<[AtomicUsize; 2]>;

/// Tokens that have become known, until the keeper takes them.
type News = Arc<Mutex<Option<Arc<NeedleSet>>>>;

/// The threads, as the pipeline sees them.
pub struct Copies {
    messages: mpsc::SyncSender<Message>,
    done: mpsc::Receiver<(usize, Scanned)>,
    pending: Pending,
    news: News,
}

impl Copies {
    /// Starts them.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start() -> io::Result<Self> {
        let (messages, receive) = mpsc::sync_channel(ON_THE_WAY);
        let (send, done) = mpsc::sync_channel(ON_THE_WAY);
        let (pending, news) = (Pending::default(), News::default());
        let keeper = Keeper {
            queue: Queue::default(),
            long: VecDeque::new(),
            lately: VecDeque::new(),
            known: None,
            number: 0,
            lanes: [LaneState::default(), LaneState::default()],
            workers: 0,
            hanging: 0,
            memory: Memory::default(),
            messages: messages.clone(),
            done: send,
            pending: Arc::clone(&pending),
            news: Arc::clone(&news),
        };
        thread::Builder::new().name("copies".into()).spawn(move || keeper.run(&receive))?;
        Ok(Self { messages, done, pending, news })
    }

    /// Has a file looked into. What finds no room comes back at once.
    pub fn scan(&self, candidate: Box<Candidate>) -> Option<Scanned> {
        self.pending[0].fetch_add(1, Ordering::Relaxed);
        match self.messages.try_send(Message::Candidate(candidate)) {
            Ok(()) => None,
            Err(mpsc::TrySendError::Full(message) | mpsc::TrySendError::Disconnected(message)) => {
                self.pending[0].fetch_sub(1, Ordering::Relaxed);
                let Message::Candidate(candidate) = message else { return None };
                Some(skipped(*candidate, Vec::new(), Skipped::QueueFull))
            }
        }
    }

    /// From now on these tokens are looked for.
    pub fn know(&self, set: Arc<NeedleSet>) {
        *self.news.lock().unwrap_or_else(PoisonError::into_inner) = Some(set);
        // With so much to do already it comes to it in any case.
        let _ = self.messages.try_send(Message::Known);
    }

    /// What was found since the last call.
    pub fn found(&self) -> Vec<Scanned> {
        let take = |(lane, scanned): (usize, Scanned)| {
            if let Some(pending) = self.pending.get(lane) {
                pending.fetch_sub(1, Ordering::Relaxed);
            }
            scanned
        };
        self.done.try_iter().map(take).collect()
    }

    /// Files that wait or are looked into at once, and in the background.
    #[must_use]
    pub fn pending(&self) -> [usize; 2] {
        [0, 1].map(|lane: usize| self.pending[lane].load(Ordering::Relaxed))
    }

    /// How long to wait before it is asked again for what was found; `None` where nothing is awaited.
    #[must_use]
    pub fn left(&self) -> Option<Duration> {
        match self.pending() {
            [0, 0] => None,
            [0, _] => Some(Duration::from_millis(200)),
            _ => Some(Duration::from_millis(5)),
        }
    }
}

fn skipped(candidate: Candidate, others: Vec<Writer>, why: Skipped) -> Scanned {
    Scanned { time: clock::now(), candidate, others, outcome: Outcome::Skipped(why) }
}

/// What a lane works on.
#[derive(Default)]
struct LaneState {
    /// The worker, once it was needed.
    worker: Option<(u64, mpsc::SyncSender<Job>)>,
    busy: Option<Busy>,
}

struct Busy {
    candidate: Candidate,
    others: Vec<Writer>,
    since: Instant,
    /// Which tokens it is looked into for.
    number: u64,
}

/// Keeps the queue and the workers.
struct Keeper {
    queue: Queue,
    /// Candidates that take longer than the first lane has.
    long: VecDeque<(Candidate, Vec<Writer>)>,
    lately: VecDeque<(Instant, Candidate)>,
    known: Option<Known>,
    number: u64,
    lanes: [LaneState; 2],
    workers: u64,
    hanging: usize,
    memory: Memory,
    messages: mpsc::SyncSender<Message>,
    done: mpsc::SyncSender<(usize, Scanned)>,
    pending: Pending,
    news: News,
}

/// The pipeline has ended.
struct Ended;

impl Keeper {
    /// Works until nobody takes what was found any more.
    fn run(mut self, messages: &mpsc::Receiver<Message>) {
        // Until the pipeline has let go of it.
        while Arc::strong_count(&self.pending) > 1 {
            let message = match messages.recv_timeout(self.wait(Instant::now())) {
                Ok(message) => Some(message),
                Err(mpsc::RecvTimeoutError::Timeout) => None,
                Err(mpsc::RecvTimeoutError::Disconnected) => return,
            };
            if self.learn().is_err() {
                return;
            }
            for message in message.into_iter().chain(messages.try_iter().take(ON_THE_WAY)) {
                if self.take(message).is_err() {
                    return;
                }
            }
            if self.give_up(Instant::now()).and_then(|()| self.hand_out(Instant::now())).is_err() {
                return;
            }
        }
    }

    /// How long nothing is to be done, unless there is word.
    fn wait(&self, now: Instant) -> Duration {
        let idle = self.lanes[0].busy.is_none() && self.can_work(0);
        let due = self.queue.next().filter(|_| idle);
        let ends = (0..LANES.len())
            .filter_map(|lane| Some(self.lanes[lane].busy.as_ref()?.since + LANES[lane].time + PATIENCE));
        let next = ends.chain(due).min();
        next.map_or(Duration::from_secs(60), |next| next.saturating_duration_since(now))
    }

    /// Has the lane a worker, or may it have one?
    fn can_work(&self, lane: usize) -> bool {
        self.lanes[lane].worker.is_some() || self.hanging < MOST_HANGING
    }

    fn take(&mut self, message: Message) -> Result<(), Ended> {
        match message {
            Message::Candidate(candidate) => self.push(*candidate),
            Message::Known => Ok(()),
            Message::Looked(answer) => self.looked(answer),
        }
    }

    /// Takes in which tokens are known. What was looked into right before is looked into again.
    fn learn(&mut self) -> Result<(), Ended> {
        let Some(set) = self.news.lock().unwrap_or_else(PoisonError::into_inner).take() else { return Ok(()) };
        self.number += 1;
        self.known = Some(Known { set, number: self.number }).filter(|known| !known.set.is_empty());
        let now = Instant::now();
        for (at, candidate) in std::mem::take(&mut self.lately) {
            if now.saturating_duration_since(at) < LATELY {
                self.pending[0].fetch_add(1, Ordering::Relaxed);
                self.push(candidate)?;
            }
        }
        Ok(())
    }

    fn push(&mut self, candidate: Candidate) -> Result<(), Ended> {
        match self.queue.push(candidate, Instant::now()) {
            Pushed::Waits => Ok(()),
            Pushed::Merged => {
                self.pending[0].fetch_sub(1, Ordering::Relaxed);
                Ok(())
            }
            Pushed::Full(candidate) => self.tell(0, skipped(*candidate, Vec::new(), Skipped::QueueFull)),
        }
    }

    fn looked(&mut self, Answer { lane, worker, outcome }: Answer) -> Result<(), Ended> {
        let state = &mut self.lanes[lane];
        if state.worker.as_ref().is_none_or(|(own, _)| *own != worker) {
            // It was given up, and told of.
            self.hanging = self.hanging.saturating_sub(1);
            return Ok(());
        }
        let Some(Busy { candidate, others, number, .. }) = state.busy.take() else { return Ok(()) };
        match outcome {
            Some(outcome) => {
                if number == self.number {
                    self.remember(&candidate);
                } else {
                    // Others have become known while it was looked into.
                    self.pending[0].fetch_add(1, Ordering::Relaxed);
                    self.push(candidate.clone())?;
                }
                self.tell(lane, Scanned { time: clock::now(), candidate, others, outcome })
            }
            None if self.long.len() < LONG => {
                tracing::info!("a file takes long to look into, which goes on in the background");
                self.pending[1].fetch_add(1, Ordering::Relaxed);
                self.pending[0].fetch_sub(1, Ordering::Relaxed);
                self.long.push_back((candidate, others));
                Ok(())
            }
            None => self.tell(lane, skipped(candidate, others, Skipped::QueueFull)),
        }
    }

    fn remember(&mut self, candidate: &Candidate) {
        let now = Instant::now();
        while self.lately.len() >= MOST_LATELY
            || self.lately.front().is_some_and(|(at, _)| now.saturating_duration_since(*at) >= LATELY)
        {
            self.lately.pop_front();
        }
        self.lately.push_back((now, candidate.clone()));
    }

    fn tell(&mut self, lane: usize, mut scanned: Scanned) -> Result<(), Ended> {
        if let Some(known) = &self.known {
            scanned.candidate.path = without_token(&known.set, &scanned.candidate.path);
            if let Outcome::Looked(looked) = &mut scanned.outcome {
                looked.moved = looked.moved.take().map(|moved| without_token(&known.set, &moved));
            }
        }
        self.done.send((lane, scanned)).map_err(|_| Ended)
    }

    /// Lanes whose worker does not answer get another.
    fn give_up(&mut self, now: Instant) -> Result<(), Ended> {
        for (lane, limits) in LANES.iter().enumerate() {
            let state = &mut self.lanes[lane];
            let hangs = state.busy.take_if(|busy| now >= busy.since + limits.time + PATIENCE);
            if let Some(Busy { candidate, others, .. }) = hangs {
                state.worker = None;
                self.hanging += 1;
                self.tell(lane, skipped(candidate, others, Skipped::Hangs))?;
            }
        }
        Ok(())
    }

    fn hand_out(&mut self, now: Instant) -> Result<(), Ended> {
        for lane in 0..LANES.len() {
            while self.lanes[lane].busy.is_none() {
                let next = match lane {
                    0 => self.queue.pop(now).map(|Waiting { candidate, others, .. }| (candidate, others)),
                    _ => self.long.pop_front(),
                };
                let Some((candidate, others)) = next else { break };
                self.begin(lane, candidate, others, now)?;
            }
        }
        Ok(())
    }

    fn begin(&mut self, lane: usize, candidate: Candidate, others: Vec<Writer>, now: Instant) -> Result<(), Ended> {
        let Some(known) = self.known.clone() else {
            // Nothing is known that could be found; perhaps it is in a moment.
            self.remember(&candidate);
            let outcome = Outcome::Looked(Box::new(Looked { appended: true, ..Looked::default() }));
            return self.tell(lane, Scanned { time: clock::now(), candidate, others, outcome });
        };
        if self.lanes[lane].worker.is_none() && self.hanging < MOST_HANGING {
            self.lanes[lane].worker = self.start(lane);
        }
        let Some((_, worker)) = &self.lanes[lane].worker else {
            return self.tell(lane, skipped(candidate, others, Skipped::Hangs));
        };
        let number = known.number;
        if worker.try_send(Job { candidate: candidate.clone(), known }).is_err() {
            self.lanes[lane].worker = None;
            return self.tell(lane, skipped(candidate, others, Skipped::Failed));
        }
        self.lanes[lane].busy = Some(Busy { candidate, others, since: now, number });
        Ok(())
    }

    fn start(&mut self, lane: usize) -> Option<(u64, mpsc::SyncSender<Job>)> {
        self.workers += 1;
        let number = self.workers;
        let (send, jobs) = mpsc::sync_channel::<Job>(1);
        let (messages, memory, limits) = (self.messages.clone(), Arc::clone(&self.memory), *LANES.get(lane)?);
        let name = if lane == 0 { "copies-look" } else { "copies-long" };
        let work = move || {
            if lane > 0 {
                // Of this thread alone, on Linux (nice(2), notes). Should it not be allowed, it works all the same.
                let _ = rustix::process::nice(10);
            }
            while let Ok(Job { candidate, known }) = jobs.recv() {
                let outcome = look(&candidate, &known, limits, &memory);
                if messages.send(Message::Looked(Answer { lane, worker: number, outcome })).is_err() {
                    return;
                }
            }
        };
        match thread::Builder::new().name(name.into()).spawn(work) {
            Ok(_) => Some((number, send)),
            Err(error) => {
                tracing::error!(%error, "no thread to look into files with");
                None
            }
        }
    }
}

/// The path to tell: names may hold a token as well as files.
fn without_token(set: &NeedleSet, path: &Path) -> PathBuf {
    let mut holds = false;
    set.search(path.as_os_str().as_bytes(), &mut |_| holds = true);
    if !holds {
        return path.to_owned();
    }
    let holds = |part: &OsStr| {
        let mut holds = false;
        set.search(part.as_bytes(), &mut |_| holds = true);
        holds
    };
    path.iter().map(|part| if holds(part) { OsStr::new("(a name that holds a token)") } else { part }).collect()
}

#[cfg(test)]
mod tests;
