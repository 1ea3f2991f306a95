//! Delivery with receivers that take, stall, refuse and come back.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, mpsc},
};

use jiff::Timestamp;
use prometheus_client::registry::Registry;

use super::{backoff::Backoff, *};
use crate::{
    finding::{model::Finding, ocsf::Host, severity::Severity},
    history::{Bounds, Database, Setup, Writer, model::Entry, tests::finding},
    incident::suppress::Suppression,
    sink::{
        Item, Made, Refused, Sink,
        config::{Settings, SinkConfig, Take},
        stdout,
    },
};

/// Long enough for any machine; nothing waits so long when all is well.
const PATIENCE: Duration = Duration::from_secs(60);

fn config(name: &str) -> SinkConfig {
    SinkConfig { name: name.to_owned(), ..stdout::default_sink() }
}

/// What a receiver answers next; when there is nothing more, it takes everything.
#[derive(Clone, Debug)]
enum Answer {
    Take(usize),
    Later,
    Never,
    /// Does not answer at all until the test lets it go.
    Stall(Arc<Mutex<mpsc::Receiver<()>>>),
}

/// Tells the test which uids it has taken.
struct Fake {
    answers: VecDeque<Answer>,
    taken: mpsc::Sender<Vec<String>>,
    batch: usize,
    /// It gives no answers: of that many of the last it does not know whether they were read.
    silent: usize,
    last: VecDeque<i64>,
}

impl Sink for Fake {
    fn batch(&self) -> usize {
        self.batch
    }

    fn deliver(&mut self, items: &[Item]) -> Result<usize, Refused> {
        let taken = match self.answers.pop_front() {
            None => items.len(),
            Some(Answer::Take(most)) => most.min(items.len()),
            Some(Answer::Later) => return Err(Refused::Later { why: "busy".to_owned(), after: None }),
            Some(Answer::Never) => return Err(Refused::ForGood { why: "malformed".to_owned() }),
            Some(Answer::Stall(gate)) => {
                let _ = gate.lock().unwrap().recv();
                return Err(Refused::Later { why: "stalled".to_owned(), after: None });
            }
        };
        let _ = self.taken.send(items[..taken].iter().map(|item| item.uid.clone()).collect());
        self.last.extend(items[..taken].iter().map(|item| item.id));
        self.last.drain(..self.last.len().saturating_sub(self.silent));
        Ok(taken)
    }

    fn unsure(&self) -> Option<i64> {
        self.last.front().map(|oldest| oldest - 1)
    }
}

/// A receiver that gives these answers, and what it takes.
fn fake(answers: impl IntoIterator<Item = Answer>) -> (Box<dyn Sink>, mpsc::Receiver<Vec<String>>) {
    let (taken, told) = mpsc::channel();
    let (answers, last) = (answers.into_iter().collect(), VecDeque::new());
    (Box::new(Fake { answers, taken, batch: 3, silent: 0, last }), told)
}

/// One that takes everything and says nothing: the last two may not have been read.
fn silent() -> (Box<dyn Sink>, mpsc::Receiver<Vec<String>>) {
    let (taken, told) = mpsc::channel();
    (Box::new(Fake { answers: VecDeque::new(), taken, batch: 3, silent: 2, last: VecDeque::new() }), told)
}

fn uid(number: u32) -> String {
    format!("{number:032x}")
}

/// As many as there should be, in the order they came; more if they have come already.
fn get(told: &mpsc::Receiver<Vec<String>>, count: usize) -> Vec<u32> {
    let mut all = Vec::new();
    while all.len() < count {
        all.extend(told.recv_timeout(PATIENCE).unwrap());
    }
    all.extend(told.try_iter().flatten());
    all.iter().map(|uid| u32::from_str_radix(uid, 16).unwrap()).collect()
}

/// Notifications of incidents would stand between the findings.
fn nobody_is_told() -> Suppression {
    let detector = Some("unexpected-reader".to_owned());
    let until = Timestamp::now() + jiff::SignedDuration::from_hours(24);
    let (reason, by) = ("a test".to_owned(), "a test".to_owned());
    Suppression { id: 0, detector, store: None, reader: None, incident: None, reason, by, until }
}

/// A state directory with its writer and delivery.
struct Agent {
    state: tempfile::TempDir,
    writer: Option<Writer>,
    bell: Bell,
    metrics: Metrics,
    registry: Registry,
}

impl Agent {
    fn new() -> Self {
        Self::again(tempfile::tempdir().unwrap())
    }

    /// After a restart.
    fn again(state: tempfile::TempDir) -> Self {
        let (metrics, registry) = Metrics::new();
        Self { state, writer: None, bell: Bell::default(), metrics, registry }
    }

    fn start(&mut self, sinks: Vec<Made>) -> Outbox {
        let mut database = Database::open(self.state.path()).unwrap();
        let configured: Vec<SinkConfig> = sinks.iter().map(|(config, _)| config.clone()).collect();
        database.configure_sinks(&configured).unwrap();
        database.suppress(&nobody_is_told(), Timestamp::now()).unwrap();
        self.bell.committed(database.last_position().unwrap());
        let (metrics, bell) = (self.metrics.clone(), self.bell.clone());
        // All look the same, and each goes out by itself.
        let bounds = Bounds { alike: u64::MAX, ..Bounds::default() };
        let setup = Setup { host: Host::default(), bounds, metrics, bell };
        self.writer = Some(Writer::start(database, setup).unwrap());
        Outbox::start_with(self.state.path(), sinks, &self.bell, &self.metrics, quick()).unwrap()
    }

    fn find(&mut self, numbers: std::ops::Range<u32>) {
        numbers.for_each(|number| self.find_one(finding(number)));
    }

    fn find_one(&mut self, finding: Finding) {
        self.writer.as_mut().unwrap().send(Entry::Finding(Box::new(finding)));
    }

    /// Stops in order; returns what is left.
    fn stop(mut self, outbox: Outbox) -> (tempfile::TempDir, Option<i64>, String) {
        self.writer = None;
        let left = outbox.stop(PATIENCE);
        let mut page = String::new();
        prometheus_client::encoding::text::encode(&mut page, &self.registry).unwrap();
        (self.state, left, page)
    }
}

fn quick() -> Backoff {
    Backoff { first: Duration::from_millis(2), most: Duration::from_millis(8) }
}

#[test]
fn every_sink_gets_every_finding_in_order_and_the_outbox_is_empty_then() {
    let mut agent = Agent::new();
    let (one, of_one) = fake([]);
    let (two, of_two) = fake([Answer::Take(1), Answer::Later, Answer::Take(2), Answer::Later]);
    let outbox = agent.start(vec![(config("one"), one), (config("two"), two)]);
    agent.find(0..20);
    let expected: Vec<u32> = (0..20).collect();
    assert_eq!((get(&of_one, 20), get(&of_two, 20)), (expected.clone(), expected));
    agent.find(20..21);
    let (state, left, page) = agent.stop(outbox);
    assert_eq!((get(&of_one, 1), get(&of_two, 1), left), (vec![20], vec![20], Some(0)));
    assert!(page.contains("tokenhound_sink_delivered_total{sink=\"two\"} 21"), "{page}");
    assert!(page.contains("tokenhound_sink_failed_total{sink=\"two\"} 2"), "{page}");
    assert!(page.contains("tokenhound_sink_queue_length{sink=\"two\"} 0"), "{page}");
    // The writer takes out what all have with the next batch.
    let mut again = Agent::again(state);
    let outbox = again.start(vec![(config("one"), fake([]).0), (config("two"), fake([]).0)]);
    let (state, ..) = again.stop(outbox);
    let database = Database::look(state.path()).unwrap().unwrap();
    assert!(database.sinks().unwrap().iter().all(|sink| sink.behind == 0 && sink.failing.is_none()));
    assert_eq!(database.waiting().unwrap(), 0);
}

#[test]
fn a_sink_that_stalls_holds_up_nobody_and_gets_everything_later() {
    let mut agent = Agent::new();
    let (go, gate) = mpsc::channel();
    let (slow, of_slow) = fake([Answer::Stall(Arc::new(Mutex::new(gate)))]);
    let (fast, of_fast) = fake([]);
    let outbox = agent.start(vec![(config("slow"), slow), (config("fast"), fast)]);
    agent.find(0..600);
    assert_eq!(get(&of_fast, 600), (0..600).collect::<Vec<_>>());
    assert_eq!(of_slow.try_iter().count(), 0);
    go.send(()).unwrap();
    assert_eq!(get(&of_slow, 600), (0..600).collect::<Vec<_>>());
    assert_eq!(agent.stop(outbox).1, Some(0));
}

#[test]
fn what_is_refused_for_good_is_set_aside_and_the_next_goes_on() {
    let mut agent = Agent::new();
    let (sink, told) = fake([Answer::Take(2), Answer::Never, Answer::Later, Answer::Never]);
    let outbox = agent.start(vec![(config("soc"), sink)]);
    agent.find(0..3);
    // The third is refused; of what comes then the first.
    assert_eq!(get(&told, 2), [0, 1]);
    agent.find(3..6);
    assert_eq!(get(&told, 2), [4, 5]);
    let (state, left, page) = agent.stop(outbox);
    assert_eq!(left, Some(0));
    assert!(page.contains("tokenhound_sink_set_aside_total{sink=\"soc\"} 2"), "{page}");
    let sinks = Database::look(state.path()).unwrap().unwrap().sinks().unwrap();
    assert_eq!((sinks[0].set_aside, sinks[0].behind, sinks[0].failing.is_none()), (2, 0, true));
    let aside: Vec<_> = sinks[0].aside.iter().map(|one| (one.uid.clone(), one.why.as_str())).collect();
    assert_eq!(aside, [(uid(3), "malformed"), (uid(2), "malformed")]);
}

#[test]
fn what_was_not_taken_before_the_end_goes_out_after_the_next_start() {
    let mut agent = Agent::new();
    let (sink, told) = fake([Answer::Take(2)].into_iter().chain(std::iter::repeat_n(Answer::Later, 1000)));
    let outbox = agent.start(vec![(config("soc"), sink)]);
    agent.find(0..9);
    assert_eq!(get(&told, 2), [0, 1]);
    let (state, left, _) = agent.stop(outbox);
    assert_eq!(left, Some(7));
    let sinks = Database::look(state.path()).unwrap().unwrap().sinks().unwrap();
    assert!(sinks[0].behind == 7 && sinks[0].failing.as_ref().is_some_and(|(why, _)| why == "busy"), "{sinks:?}");
    let mut agent = Agent::again(state);
    let (sink, told) = fake([]);
    let outbox = agent.start(vec![(config("soc"), sink)]);
    agent.find(9..10);
    assert_eq!(get(&told, 8), (2..10).collect::<Vec<_>>(), "nothing is missing, nothing comes twice");
    assert_eq!(agent.stop(outbox).1, Some(0));
}

/// The end between a delivery and its cursor: it comes twice, and nothing is missing.
#[test]
fn a_cursor_that_was_not_written_makes_duplicates_and_never_a_gap() {
    let dead = || (config("dead"), fake(std::iter::repeat_n(Answer::Later, 10_000)).0);
    let mut agent = Agent::new();
    let (sink, told) = fake([]);
    // As long as one has not taken it, it stays.
    let outbox = agent.start(vec![(config("soc"), sink), dead()]);
    agent.find(0..4);
    assert_eq!(get(&told, 4), [0, 1, 2, 3]);
    let (state, ..) = agent.stop(outbox);
    // As it would be, had the agent been killed after the first two were written down.
    Database::open(state.path()).unwrap().rewind("soc", 2);
    let mut agent = Agent::again(state);
    let (sink, told) = fake([]);
    let outbox = agent.start(vec![(config("soc"), sink), dead()]);
    agent.find(4..6);
    assert_eq!(get(&told, 4), [2, 3, 4, 5]);
    agent.stop(outbox);
}

#[test]
fn what_a_silent_receiver_may_not_have_read_comes_again() {
    let mut agent = Agent::new();
    let (sink, told) = silent();
    let outbox = agent.start(vec![(config("soc"), sink)]);
    agent.find(0..6);
    assert_eq!(get(&told, 6), [0, 1, 2, 3, 4, 5]);
    let (state, left, _) = agent.stop(outbox);
    assert_eq!(left, Some(0));
    // One that ends before it could send them again leaves them to the next.
    let mut agent = Agent::again(state);
    let (sink, _) = fake(std::iter::repeat_n(Answer::Later, 1000));
    let outbox = agent.start(vec![(config("soc"), sink)]);
    let (state, left, _) = agent.stop(outbox);
    assert_eq!(left, Some(2));
    let mut agent = Agent::again(state);
    let (sink, told) = silent();
    let outbox = agent.start(vec![(config("soc"), sink)]);
    agent.find(6..7);
    assert_eq!(get(&told, 3), [4, 5, 6]);
    let (state, ..) = agent.stop(outbox);
    // One that is sure has all of it, and nothing is kept for it any more.
    let mut agent = Agent::again(state);
    let (sink, told) = fake([]);
    let outbox = agent.start(vec![(config("soc"), sink)]);
    assert_eq!(get(&told, 2), [5, 6]);
    let (state, ..) = agent.stop(outbox);
    let mut agent = Agent::again(state);
    let outbox = agent.start(vec![(config("soc"), fake([]).0)]);
    let (state, ..) = agent.stop(outbox);
    assert_eq!(Database::look(state.path()).unwrap().unwrap().waiting().unwrap(), 0);
}

#[test]
fn a_new_sink_begins_at_the_end_and_one_that_comes_back_where_it_was() {
    let mut agent = Agent::new();
    let (old, told) = fake([]);
    let outbox = agent.start(vec![(config("old"), old)]);
    agent.find(0..3);
    assert_eq!(get(&told, 3).len(), 3);
    let (state, ..) = agent.stop(outbox);
    // Without the old one, which keeps its place.
    let mut agent = Agent::again(state);
    let (new, of_new) = fake([]);
    let outbox = agent.start(vec![(config("new"), new)]);
    agent.find(3..5);
    assert_eq!(get(&of_new, 2), [3, 4], "nothing from before it was there");
    let (state, ..) = agent.stop(outbox);
    let mut agent = Agent::again(state);
    let ((old, of_old), (new, of_new)) = (fake([]), fake([]));
    let outbox = agent.start(vec![(config("old"), old), (config("new"), new)]);
    agent.find(5..6);
    assert_eq!((get(&of_old, 3), get(&of_new, 1)), (vec![3, 4, 5], vec![5]));
    agent.stop(outbox);
}

#[test]
fn a_sink_gets_what_is_for_it() {
    let mut agent = Agent::new();
    let (sink, told) = fake([]);
    let picky = SinkConfig { min_severity: Severity::High, ..config("pager") };
    let (none, of_none) = fake([]);
    let incidents = SinkConfig {
        take: Take::Incidents,
        settings: Settings::Stdout(stdout::Config { format: stdout::Format::Json }),
        ..config("incidents")
    };
    let outbox = agent.start(vec![(picky, sink), (incidents, none)]);
    for number in 0..300 {
        let severity = if number % 100 == 7 { Severity::Critical } else { Severity::Low };
        agent.find_one(Finding { severity, ..finding(number) });
    }
    assert_eq!(get(&told, 3), [7, 107, 207]);
    let (state, left, _) = agent.stop(outbox);
    assert_eq!((left, of_none.try_iter().count()), (Some(0), 0));
    assert!(Database::look(state.path()).unwrap().unwrap().sinks().unwrap().iter().all(|sink| sink.behind == 0));
}

#[test]
fn what_a_sink_has_not_taken_is_pruned_last_and_counted() {
    let mut agent = Agent::new();
    let (sink, told) = fake(std::iter::repeat_n(Answer::Later, 100_000));
    let outbox = agent.start(vec![(config("dead"), sink), (config("fine"), fake([]).0)]);
    for number in 0..2_500 {
        let severity = if number == 1 { Severity::Critical } else { Severity::Medium };
        agent.find_one(Finding { severity, ..finding(number) });
    }
    let (state, left, _) = agent.stop(outbox);
    assert_eq!((left, told.try_iter().count()), (Some(2_500), 0));
    let mut database = Database::open(state.path()).unwrap();
    // Everything is waited for: nothing goes for its age.
    database.prune_to(u64::MAX, 0);
    assert_eq!(database.waiting().unwrap(), 2_500);
    let size = database.size();
    let shed = database.prune_to(size / 2, i64::MAX / 1000);
    let sinks = database.sinks().unwrap();
    let waiting = database.waiting().unwrap();
    assert!(shed.iter().all(|(name, count)| name == "dead" && *count == 2_500 - waiting as u64), "{shed:?}");
    assert_eq!((sinks[0].shed, sinks[1].shed), (2_500 - waiting, 0));
    assert!((1..2_000).contains(&waiting) && database.size() <= size / 2, "{waiting}");
    let mut agent = Agent::again(state);
    let (sink, told) = fake([]);
    let outbox = agent.start(vec![(config("dead"), sink), (config("fine"), fake([]).0)]);
    let got = get(&told, waiting as usize);
    assert_eq!(
        (got[0], got[1], got.last()),
        (1, 2_500 - waiting as u32 + 1, Some(&2_499)),
        "the critical one was kept"
    );
    agent.stop(outbox);
}

#[test]
fn sinks_come_and_go_while_others_go_on() {
    let mut agent = Agent::new();
    let ((stays, of_stays), (goes, of_goes)) = (fake([]), fake(std::iter::repeat_n(Answer::Later, 100_000)));
    let (old, of_old) = fake([]);
    let mut outbox = agent.start(vec![(config("stays"), stays), (config("goes"), goes), (config("picky"), old)]);
    agent.find(0..3);
    assert_eq!((get(&of_stays, 3), get(&of_old, 3)), (vec![0, 1, 2], vec![0, 1, 2]));
    let ((new, of_new), (other, of_other)) = (fake([]), fake([]));
    let picky = SinkConfig { min_severity: Severity::Critical, ..config("picky") };
    let all = [config("stays"), config("new"), picky.clone()];
    outbox.change(&all, vec![(config("new"), new), (picky, other)]).unwrap();
    assert_eq!(outbox.configured().map(|sink| sink.name.as_str()).collect::<Vec<_>>(), ["stays", "new", "picky"]);
    for number in 3..6 {
        let severity = if number == 4 { Severity::Critical } else { Severity::Low };
        agent.find_one(Finding { severity, ..finding(number) });
    }
    assert_eq!((get(&of_stays, 3), get(&of_new, 3), get(&of_other, 1)), (vec![3, 4, 5], vec![3, 4, 5], vec![4]));
    assert_eq!((of_old.try_iter().count(), of_goes.try_iter().count()), (0, 0));
    // The one that has gone keeps its place.
    let (back, of_back) = fake([]);
    let all = [config("stays"), config("goes")];
    outbox.change(&all, vec![(config("goes"), back)]).unwrap();
    assert_eq!(get(&of_back, 6), [0, 1, 2, 3, 4, 5]);
    assert_eq!(agent.stop(outbox).1, Some(0));
}

/// A receiver that has something to do when nothing waits for it.
struct Restless(mpsc::Sender<()>);

impl Sink for Restless {
    fn batch(&self) -> usize {
        1
    }

    fn deliver(&mut self, _: &[Item]) -> Result<usize, Refused> {
        Ok(1)
    }

    fn idle(&mut self) -> Option<Duration> {
        let _ = self.0.send(());
        Some(Duration::from_millis(1))
    }
}

#[test]
fn a_sink_that_wants_to_be_called_again_is() {
    let mut agent = Agent::new();
    let (called, calls) = mpsc::channel();
    let outbox = agent.start(vec![(config("soc"), Box::new(Restless(called)))]);
    for _ in 0..3 {
        calls.recv_timeout(PATIENCE).unwrap();
    }
    assert_eq!(agent.stop(outbox).1, Some(0));
}

mod million;
