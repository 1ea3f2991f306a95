//! Storms: no hit of a watched store is lost, and what else is lost is counted to the record.
//!
//! A few seconds each; `cargo xtask bench storm` makes them longer and shows the figures. A program of their own: other
//! tests' agents would lose records in them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests: a failure is a panic")]

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use tokenhound_tests::{
    agent::Agent,
    finding::Finding,
    process::{self, Background},
    skip,
    stage::Stage,
    store::Store,
};

/// A helper program where cargo built it; in a guest it lies beside this one.
fn beside(built: &str, name: &str) -> PathBuf {
    let built = PathBuf::from(built);
    if built.exists() { built } else { env::current_exe().expect("this program").with_file_name(name) }
}

/// Why no storm is raised in a guest.
const EMULATED: &str = "an emulated machine is too slow for a storm";
/// Opens a second that are tried, by two programs together.
const OPENS: u64 = 200_000;
/// How far apart readers are.
const INTERVAL: Duration = Duration::from_millis(20);
/// Resident memory that the agent never goes beyond, in KiB: 32 MiB of facts about 32,768 processes, and its own.
const MEMORY_KIB: u64 = 100 << 10;
/// Processes that were there before and end meanwhile, and such.
const OTHERS: u64 = 200;

fn seconds() -> u64 {
    env::var("TOKENHOUND_STORM_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(4)
}

/// As it runs at users': every line of the log costs time.
fn start(stage: &Stage) -> Agent<'_> {
    Agent::start_with(stage, |command| {
        command.env("TOKENHOUND_LOG", "info");
    })
}

/// Starts one of the storms. Its `HOME` is where the stores lie: otherwise nobody could know that they are stores.
fn storm_command(home: &Path, act: &str, seconds: u64, arguments: &[&str]) -> Command {
    let mut command = Command::new(beside(env!("CARGO_BIN_EXE_storm"), "storm"));
    command.arg(act).arg((seconds * 1000).to_string()).args(arguments).env("HOME", home);
    command
}

fn storm(home: &Path, act: &str, seconds: u64, arguments: &[&str]) -> Background {
    Background::start(&mut storm_command(home, act, seconds, arguments))
}

/// What a storm printed at its end.
fn printed(mut storm: Background) -> String {
    let ended = storm.wait();
    assert_eq!(ended.code(), 0, "{}", ended.err());
    ended.out()
}

fn count(storm: Background) -> u64 {
    printed(storm).trim().parse().expect("a count")
}

/// What the agent has received and lost so far, by kind and reason.
#[derive(Clone, Default)]
struct Counts(BTreeMap<String, u64>);

impl Counts {
    fn of(agent: &Agent<'_>) -> Self {
        let metrics = agent.metrics();
        let value = |line: &str| {
            let (name, value) = line.split_once("\"} ")?;
            let (_, label) = name.strip_prefix("tokenhound_records_")?.split_once("=\"")?;
            Some((label.to_owned(), value.parse().ok()?))
        };
        Self(metrics.lines().filter_map(value).collect())
    }

    fn since(&self, before: &Self) -> Self {
        let grown = |(name, value): (&String, &u64)| (name.clone(), value - before.get(name));
        Self(self.0.iter().map(grown).filter(|(_, value)| *value > 0).collect())
    }

    fn get(&self, name: &str) -> u64 {
        self.0.get(name).copied().unwrap_or(0)
    }

    fn sum(&self, names: &[&str]) -> u64 {
        names.iter().map(|name| self.get(name)).sum()
    }

    /// Records of process life that were received or counted as lost.
    fn life(&self) -> u64 {
        self.sum(&["fork", "exec", "exit"]) + self.life_lost()
    }

    fn life_lost(&self) -> u64 {
        self.sum(&["life_ring_full", "life_unaccounted"])
    }

    fn hits_lost(&self) -> u64 {
        self.sum(&["hits_ring_full", "hits_unaccounted"])
    }
}

/// Every process and thread that was made since the boot.
fn made_on_this_machine() -> u64 {
    let stat = fs::read_to_string("/proc/stat").expect("read /proc/stat");
    let line = stat.lines().find_map(|line| line.strip_prefix("processes ")).expect("a count of processes");
    line.trim().parse().expect("a number")
}

/// The most memory that the agent has had resident, in KiB.
fn most_memory(agent: &Agent<'_>) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", agent.process.pid())).expect("its status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("VmHWM");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

/// What the storm did itself.
struct Sent {
    forks: u64,
    execs: u64,
}

impl Sent {
    /// All of them have ended.
    fn records(&self) -> u64 {
        2 * self.forks + self.execs
    }

    /// The same by kind.
    fn kinds(&self) -> [(&'static str, u64); 3] {
        [("fork", self.forks), ("exec", self.execs), ("exit", self.forks)]
    }
}

/// Asks until all that was sent is accounted for, or for long enough. What others did meanwhile stands for none of it: where
/// nothing is lost, there are as many of each kind.
fn settled(agent: &mut Agent<'_>, before: &Counts, sent: &Sent) -> Counts {
    let deadline = Instant::now() + process::patience();
    loop {
        let counts = Counts::of(agent).since(before);
        let whole = counts.life_lost() > 0 || sent.kinds().iter().all(|(kind, sent)| counts.get(kind) >= *sent);
        if counts.life() >= sent.records() && whole || Instant::now() > deadline {
            return counts;
        }
        assert!(!agent.process.ends_within(Duration::from_millis(100)), "the agent has ended");
    }
}

/// The findings about a store, as soon as so many reads of it are found, or after long enough. A child that was only forked is
/// judged when it has ended, which may be after the last reader was.
fn all_found(agent: &mut Agent<'_>, store: &str, reads: usize) -> Vec<Finding> {
    let deadline = Instant::now() + process::patience();
    loop {
        let findings = agent.findings(store);
        if found(&findings).len() >= reads || Instant::now() > deadline {
            return findings;
        }
        assert!(!agent.process.ends_within(Duration::from_millis(100)), "the agent has ended");
    }
}

/// The finding that mentions `text`, if there is one before long.
fn found_soon(agent: &mut Agent<'_>, text: &str) -> Option<Finding> {
    let deadline = Instant::now() + process::patience();
    loop {
        let found = agent.findings(text).pop();
        if found.is_some() || Instant::now() > deadline {
            return found;
        }
        assert!(!agent.process.ends_within(Duration::from_millis(100)), "the agent has ended");
    }
}

#[test]
fn no_hit_is_lost_in_a_storm_of_opens_and_forks() {
    if !skip::native(EMULATED) {
        return;
    }
    let stage = Stage::new();
    // Before it: what it has not read yet when it says that it is ready counts as others'.
    let made_before = made_on_this_machine();
    let mut agent = start(&stage);
    let home = stage.directory("homes/victim");
    let store = Store::GhHosts.put(&stage, &home).display().to_string();
    let last = Store::Netrc.put(&stage, &home).display().to_string();
    let cat = skip::program("cat").expect("cat").display().to_string();
    let nothing = skip::program("true").expect("true").display().to_string();
    let (time, rate, interval) = (seconds(), (OPENS / 2).to_string(), INTERVAL.as_micros().to_string());
    let before = Counts::of(&agent);

    let start = Instant::now();
    let opens = [(); 2].map(|()| storm(&home, "opens", time, &[&rate, "/etc/passwd"]));
    let forks = storm(&home, "forks", time, &[]);
    let execs = storm(&home, "execs", time, &[&nothing]);
    let readers = printed(storm(&home, "readers", time, &[&interval, &cat, &store]));
    let (forks, execs) = (count(forks), count(execs));
    let opens: u64 = opens.map(count).iter().sum();
    let took = start.elapsed().as_secs_f64();
    assert!(Command::new(&cat).arg(&last).env("HOME", &home).output().expect("start cat").status.success());

    agent.finding(&last);
    let (wanted, programs) = pids(&readers);
    // Five programs of ours, and the last reader.
    let sent = Sent { forks: forks + execs + wanted.len() as u64 + 6, execs: execs + programs + 6 };
    let counts = settled(&mut agent, &before, &sent);
    // Not before: others go on meanwhile.
    let made = made_on_this_machine() - made_before;
    let findings = all_found(&mut agent, &store, wanted.len());
    let found = found(&findings);
    let slowest = findings.iter().filter_map(|finding| finding.latency_ms()).fold(0.0, f64::max);
    println!(
        "storm: {time} s: {:.0} opens/s, {:.0} forks/s, {:.0} execs/s; {} readers, {} found, the slowest after {slowest:.1} ms; \
         sent {} records of process life, received and counted as lost {}; agent at most {} KiB; {:?}",
        opens as f64 / took,
        forks as f64 / took,
        execs as f64 / took,
        wanted.len(),
        found.len(),
        sent.records(),
        counts.life(),
        most_memory(&agent),
        counts.0
    );
    assert_eq!(found, wanted, "each reader is found once");
    assert_eq!(counts.hits_lost(), 0, "no hit is lost");
    accounted(&mut agent, &counts, &sent, made);
    assert!(most_memory(&agent) < MEMORY_KIB, "{} KiB resident", most_memory(&agent));
    agent.stop();
}

/// An agent that is held up loses what finds no room, to the record. Hits have room of their own.
#[test]
fn what_a_stalled_agent_misses_is_counted() {
    if !skip::native(EMULATED) {
        return;
    }
    /// Bytes that certainly do not fit into the ring for process life.
    const TOO_MUCH: u64 = 12 << 20;
    let stage = Stage::new();
    // Before it: what it has not read yet when it says that it is ready counts as others'.
    let made_before = made_on_this_machine();
    let mut agent = start(&stage);
    let home = stage.directory("homes/victim");
    let store = Store::GhHosts.put(&stage, &home).display().to_string();
    let last = Store::Netrc.put(&stage, &home).display().to_string();
    let cat = skip::program("cat").expect("cat").display().to_string();
    let nothing = skip::program("true").expect("true").display().to_string();
    // From here on it knows this home.
    let read = |file: &str| {
        assert!(Command::new(&cat).arg(file).env("HOME", &home).output().expect("start cat").status.success());
    };
    let first = Store::AwsCredentials.put(&stage, &home).display().to_string();
    read(&first);
    agent.finding(&first);
    // It makes the record of each exec as long.
    let environment = "x".repeat(3000);
    let before = Counts::of(&agent);

    let pid = rustix::process::Pid::from_child(&agent.process.child);
    let signal = |signal| {
        rustix::process::kill_process(pid, signal).expect("send the agent a signal");
    };
    signal(rustix::process::Signal::STOP);
    let mut sent = Sent { forks: 0, execs: 0 };
    while sent.execs * (environment.len() as u64) < TOO_MUCH {
        let mut command = storm_command(&home, "execs", 1, &[&nothing]);
        let done = count(Background::start(command.env("FILLER", &environment)));
        sent.forks += done + 1;
        sent.execs += done + 1;
    }
    let readers = printed(storm(&home, "readers", 1, &["20000", &cat, &store]));
    read(&last);
    signal(rustix::process::Signal::CONT);

    let at_last = found_soon(&mut agent, &last);
    let (wanted, programs) = pids(&readers);
    sent.forks += wanted.len() as u64 + 2;
    sent.execs += programs + 2;
    let counts = settled(&mut agent, &before, &sent);
    // Not before: others go on meanwhile.
    let made = made_on_this_machine() - made_before;
    let found = found(&all_found(&mut agent, &store, wanted.len()));
    println!(
        "stalled: {} readers, {} found; sent {} records of process life, received {}, counted as lost {}; {:?}",
        wanted.len(),
        found.len(),
        sent.records(),
        counts.life() - counts.life_lost(),
        counts.life_lost(),
        counts.0
    );
    assert!(at_last.is_some(), "the last reader is found");
    assert!(counts.life_lost() > 0, "too little was sent to lose any");
    assert_eq!(found, wanted, "each reader is found once, though its start is lost");
    accounted(&mut agent, &counts, &sent, made);
    agent.stop();
}

/// What readers printed: their pids in order, and how many of them were programs of their own.
fn pids(readers: &str) -> (Vec<u64>, u64) {
    let pid = |line: &str| line.split(' ').nth(1).expect("a pid").parse().expect("a pid");
    let mut pids: Vec<u64> = readers.lines().map(pid).collect();
    // Pids come back in a long storm: the same one may have to be found twice.
    pids.sort_unstable();
    (pids, readers.lines().filter(|line| line.starts_with("exec ")).count() as u64)
}

/// The readers' pids in order. Who reads several stores within seconds is told of for that as well.
fn found(findings: &[Finding]) -> Vec<u64> {
    let reads = findings.iter().filter(|finding| finding.detector() == "unexpected-reader");
    let mut pids: Vec<u64> = reads.filter_map(Finding::pid).collect();
    pids.sort_unstable();
    pids
}

/// Sent is received and counted as lost. Others on this machine start processes as well; how many, the kernel counts.
fn accounted(agent: &mut Agent<'_>, counts: &Counts, sent: &Sent, made: u64) {
    assert!(counts.life() >= sent.records(), "{} sent, {:?}", sent.records(), counts.0);
    let others = made.saturating_sub(sent.forks);
    let most = sent.records() + 3 * others + OTHERS;
    assert!(counts.life() <= most, "{} sent, at most {most} with others, {:?}", sent.records(), counts.0);
    if counts.life_lost() > 0 {
        // The metric has it before the finding has gone through the history.
        let told = agent.finding("life_ring_full");
        assert_eq!(told.detector(), "sensor-degraded", "loss is told: {}", told.brief());
    } else {
        for (kind, sent) in sent.kinds() {
            assert!(counts.get(kind) >= sent, "{kind}: {sent} sent, {:?}", counts.0);
        }
    }
}

/// A thief hides behind somebody who reads another store as fast as can be: one process, or one after the other.
#[test]
fn a_flood_of_hits_hides_no_theft() {
    if !skip::native(EMULATED) {
        return;
    }
    // Every one of a crowd is a finding of its own, and all of them are checked at the end.
    for (act, time) in [("flood", seconds()), ("crowd", (seconds() / 4).max(1))] {
        let stage = Stage::new();
        let mut agent = start(&stage);
        let home = stage.directory("homes/victim");
        let bait = Store::GhHosts.put(&stage, &home).display().to_string();
        let prize = Store::Netrc.put(&stage, &home).display().to_string();
        // From here on it knows this home. The flood is too short to wait in it.
        assert!(Command::new("cat").arg(&bait).env("HOME", &home).output().expect("start cat").status.success());
        agent.finding(&bait);
        let before = Counts::of(&agent);
        let start = Instant::now();
        let mut flood = storm(&home, act, time, &[&bait]);
        // At half of its time it has filled what can be filled.
        let half = (Duration::from_secs(time) / 2).saturating_sub(start.elapsed());
        assert!(!flood.ends_within(half), "{act} has ended");
        let mut thief = Background::start(Command::new("cat").arg(&prize).env("HOME", &home));
        let (pid, ended) = (u64::from(thief.pid()), thief.wait());
        assert_eq!(ended.code(), 0, "{}", ended.err());
        let hits = count(flood);
        let took = start.elapsed().as_secs_f64();

        let found = found_soon(&mut agent, &prize);
        let counts = Counts::of(&agent).since(&before);
        println!(
            "{act}: {:.0} hits/s for {took:.1} s, theft found after {:.1?} ms; agent at most {} KiB; {:?}",
            hits as f64 / took,
            found.as_ref().and_then(Finding::latency_ms),
            most_memory(&agent),
            counts.0
        );
        let found = found.expect("the theft is found");
        assert_eq!((found.detector(), found.pid()), ("unexpected-reader", Some(pid)), "{act}: {}", found.brief());
        if counts.hits_lost() > 0 {
            let told = agent.finding("hits_ring_full");
            assert_eq!(told.detector(), "sensor-degraded", "{act}: {}", told.brief());
        }
        assert!(most_memory(&agent) < MEMORY_KIB, "{act}: {} KiB resident", most_memory(&agent));
        agent.stop();
    }
}
