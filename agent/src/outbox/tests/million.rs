//! A million findings through the outbox: `cargo xtask bench outbox`.

use std::{fs, time::Instant};

use super::*;

/// Findings that may be on their way: far fewer than the writer's queue has room for, so that none is given up.
const AHEAD: u32 = 8_192;

/// Findings of which the time is taken one by one.
const ONE_BY_ONE: u32 = 500;

/// Checks the order and says how far it is.
struct Counting {
    next: u32,
    told: mpsc::Sender<u32>,
}

impl Sink for Counting {
    fn batch(&self) -> usize {
        256
    }

    fn deliver(&mut self, items: &[Item]) -> Result<usize, Refused> {
        for item in items {
            assert_eq!(item.uid, uid(self.next));
            self.next += 1;
        }
        let _ = self.told.send(self.next);
        Ok(items.len())
    }
}

/// The most memory that was resident so far, in MiB.
fn memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.split_whitespace().next().unwrap().parse::<u64>().unwrap() >> 10
}

#[test]
#[ignore = "a benchmark"]
fn a_million_findings() {
    let count: u32 = std::env::var("TOKENHOUND_FINDINGS").ok().and_then(|text| text.parse().ok()).unwrap_or(1_000_000);
    let mut agent = Agent::new();
    let (told, far) = mpsc::channel();
    let outbox = agent.start(vec![(config("one"), Box::new(Counting { next: 0, told }))]);
    let began = Instant::now();
    let (mut sent, mut got) = (0, 0);
    let wait = |got: &mut u32, until: u32| {
        while *got < until {
            *got = far.recv_timeout(PATIENCE).unwrap();
        }
    };
    while sent < count {
        agent.find(sent..(sent + 512).min(count));
        sent = (sent + 512).min(count);
        wait(&mut got, sent.saturating_sub(AHEAD));
    }
    wait(&mut got, count);
    let seconds = began.elapsed().as_secs_f64();
    let size = |name: &str| fs::metadata(agent.state.path().join(name)).map_or(0, |file| file.len() >> 20);
    let (database, log) = (size("history.db"), size("history.db-wal"));
    let mut took: Vec<Duration> = (count..count + ONE_BY_ONE)
        .map(|number| {
            let began = Instant::now();
            agent.find(number..number + 1);
            wait(&mut got, number + 1);
            began.elapsed()
        })
        .collect();
    took.sort();
    let at = |share: usize| took[took.len() * share / 100 - 1].as_secs_f64() * 1000.0;
    println!("findings: {count}");
    println!("rate: {:.0} a second", f64::from(count) / seconds);
    println!("latency alone: median {:.2} ms, 99 of 100 within {:.2} ms", at(50), at(99));
    println!("memory: {} MiB at most", memory());
    println!("on disk: {database} MiB and {log} MiB of log");
    assert_eq!(agent.stop(outbox).1, Some(0));
}
