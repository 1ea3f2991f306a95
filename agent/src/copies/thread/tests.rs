use std::{fs, path::Path};

use tokenhound_common::process::ProcessKey;

use super::*;
use crate::{
    copies::model::Why,
    ingest::observation::KernelTime,
    token::{fingerprint::Key, scan::Needles, secret::Secret},
};

const TOKEN: &str = "ghp_0aB1cD2eF3gH4iJ5kL6mN7oP8qR9sT0uV1wX";

fn set() -> Arc<NeedleSet> {
    let key = Key::new([3; 32]);
    let needles = Needles::of(&key, &Secret::from(TOKEN.to_owned())).unwrap();
    Arc::new(NeedleSet::new(&key, [&needles]))
}

fn candidate(path: &Path) -> Box<Candidate> {
    Box::new(Candidate::new(KernelTime(1), path.to_owned(), None, ProcessKey::default(), Why::Log))
}

/// Waits until so many files were looked into.
fn await_found(copies: &Copies, count: usize) -> Vec<Scanned> {
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut found = Vec::new();
    while found.len() < count {
        assert!(Instant::now() < deadline, "{} of {count}", found.len());
        match copies.done.recv_timeout(Duration::from_secs(1)) {
            Ok((lane, scanned)) => {
                copies.pending[lane].fetch_sub(1, Ordering::Relaxed);
                found.push(scanned);
            }
            Err(_) => continue,
        }
    }
    found
}

fn copies_in(scanned: &Scanned) -> usize {
    match &scanned.outcome {
        Outcome::Looked(looked) => looked.copies.len(),
        Outcome::Skipped(_) => 0,
    }
}

#[test]
fn files_are_looked_into_and_large_ones_hold_up_nobody() {
    let directory = tempfile::tempdir().unwrap();
    let (large, small) = (directory.path().join("large"), directory.path().join("small"));
    fs::write(&small, TOKEN).unwrap();
    let mut long = vec![b'-'; usize::try_from(AT_ONCE.size).unwrap() + 1];
    long.extend_from_slice(TOKEN.as_bytes());
    fs::write(&large, long).unwrap();
    let copies = Copies::start().unwrap();
    copies.know(set());
    for path in [&large, &small, &directory.path().join("gone")] {
        assert!(copies.scan(candidate(path)).is_none());
    }
    let found = await_found(&copies, 3);
    let of = |path: &Path| found.iter().position(|scanned| scanned.candidate.path == path).unwrap();
    assert_eq!((copies_in(&found[of(&large)]), copies_in(&found[of(&small)])), (1, 1));
    assert!(of(&small) < of(&large), "it did not wait");
    assert!(found.iter().any(|scanned| scanned.outcome == Outcome::Skipped(Skipped::Gone)));
    assert_eq!((copies.pending(), copies.left()), ([0, 0], None));
}

#[test]
fn what_was_looked_into_right_before_is_looked_into_for_new_tokens() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("copy");
    fs::write(&path, TOKEN).unwrap();
    let copies = Copies::start().unwrap();
    assert!(copies.scan(candidate(&path)).is_none());
    assert_eq!(copies_in(&await_found(&copies, 1)[0]), 0, "nothing is known yet");
    copies.know(set());
    assert_eq!(copies_in(&await_found(&copies, 1)[0]), 1);
    assert_eq!(copies.pending(), [0, 0]);
}

#[test]
fn many_files_are_all_accounted_for() {
    const FILES: usize = 3000;
    let directory = tempfile::tempdir().unwrap();
    let copies = Copies::start().unwrap();
    copies.know(set());
    let mut refused = 0;
    for number in 0..FILES {
        let path = directory.path().join(number.to_string());
        fs::write(&path, if number % 100 == 0 { TOKEN } else { "nothing" }).unwrap();
        refused += usize::from(copies.scan(candidate(&path)).is_some());
    }
    let found = await_found(&copies, FILES - refused);
    let clean = |scanned: &&Scanned| matches!(scanned.outcome, Outcome::Looked(_));
    assert_eq!(found.iter().filter(clean).count() + refused, FILES);
    assert!(refused > 0 || found.iter().filter(|scanned| copies_in(scanned) == 1).count() == FILES / 100);
    assert_eq!(copies.pending(), [0, 0]);
}

fn keeper() -> (Keeper, mpsc::Receiver<(usize, Scanned)>) {
    let (messages, _) = mpsc::sync_channel(1);
    let (done, told) = mpsc::sync_channel(16);
    let keeper = Keeper {
        queue: Queue::default(),
        long: VecDeque::new(),
        lately: VecDeque::new(),
        known: Some(Known { set: set(), number: 1 }),
        number: 1,
        lanes: [LaneState::default(), LaneState::default()],
        workers: 0,
        hanging: 0,
        memory: Memory::default(),
        messages,
        done,
        pending: Pending::default(),
        news: News::default(),
    };
    (keeper, told)
}

fn busy(path: &str, since: Instant, number: u64) -> Busy {
    Busy { candidate: *candidate(Path::new(path)), others: Vec::new(), since, number }
}

#[test]
fn what_was_looked_into_while_a_token_became_known_is_looked_into_again() {
    for (number, again) in [(1, false), (0, true)] {
        let (mut keeper, told) = keeper();
        let (worker, _jobs) = mpsc::sync_channel(1);
        keeper.lanes[0].worker = Some((1, worker));
        keeper.lanes[0].busy = Some(busy("/x", Instant::now(), number));
        let answer = Answer { lane: 0, worker: 1, outcome: Some(Outcome::Looked(Box::default())) };
        assert!(keeper.looked(answer).is_ok() && told.try_recv().is_ok());
        assert_eq!((keeper.queue.next().is_some(), keeper.lately.len()), (again, usize::from(!again)));
    }
}

#[test]
fn a_look_that_hangs_is_given_up_and_costs_one_thread() {
    let (mut keeper, told) = keeper();
    let start = Instant::now();
    for number in 1..=MOST_HANGING {
        let (worker, _jobs) = mpsc::sync_channel(1);
        keeper.lanes[0].worker = Some((number as u64, worker));
        keeper.lanes[0].busy = Some(busy("/net/x", start, 1));
        assert!(keeper.give_up(start + AT_ONCE.time).is_ok() && told.try_recv().is_err(), "it has time left");
        assert!(keeper.give_up(start + AT_ONCE.time + PATIENCE).is_ok());
        let (_, scanned) = told.try_recv().unwrap();
        assert_eq!((scanned.outcome, keeper.hanging), (Outcome::Skipped(Skipped::Hangs), number));
    }
    assert!(!keeper.can_work(0), "enough threads hang");
    assert!(keeper.begin(0, *candidate(Path::new("/x")), Vec::new(), start).is_ok());
    assert_eq!(told.try_recv().unwrap().1.outcome, Outcome::Skipped(Skipped::Hangs), "it is named all the same");
    let late = Answer { lane: 0, worker: 3, outcome: Some(Outcome::Looked(Box::default())) };
    assert!(keeper.looked(late).is_ok() && told.try_recv().is_err(), "that was told of");
    assert!(keeper.hanging == MOST_HANGING - 1 && keeper.can_work(0));
}

#[test]
fn what_takes_long_waits_in_a_bounded_queue() {
    let (mut keeper, told) = keeper();
    for number in 0..=LONG {
        let (worker, _jobs) = mpsc::sync_channel(1);
        keeper.lanes[0].worker = Some((1, worker));
        keeper.lanes[0].busy = Some(busy(&format!("/{number}"), Instant::now(), 1));
        assert!(keeper.looked(Answer { lane: 0, worker: 1, outcome: None }).is_ok());
    }
    assert_eq!(keeper.long.len(), LONG);
    let (_, scanned) = told.try_recv().unwrap();
    assert_eq!(scanned.outcome, Outcome::Skipped(Skipped::QueueFull));
    assert!(scanned.candidate.path.ends_with(LONG.to_string()));
}
