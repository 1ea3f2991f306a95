//! Each detector: the attack, and its innocent twin.

use tokenhound_common::{loss::Reason, process::ProcessKey};

use super::*;
use crate::{
    detect::{
        access::Tier,
        fixtures::{
            access_at, expected, init, process, read_at, store, tolerated, under_shell, unexpected, with_args,
            with_script,
        },
    },
    finding::{detector::DetectorId, severity::Severity},
    ingest::observation::{Inspection, OpenMode, Stream},
    lineage::model::{Chain, Process, Script, Writable},
};

mod services;

fn engine() -> Engine {
    Engine::new(Salt::new("test host", "test boot"))
}

fn detectors(outcome: &Outcome) -> Vec<&'static str> {
    outcome.findings.iter().map(|finding| finding.detector.name()).collect()
}

fn cat(pid: u32) -> Process {
    process(pid, 812, "/usr/bin/cat")
}

// unexpected-reader

#[test]
fn one_unexpected_read_is_enough_and_an_expected_one_is_silent() {
    for (name, judgements, findings, verdicts) in [
        (
            "a thief",
            vec![unexpected(store("aws", "aws", 1))],
            vec!["unexpected-reader"],
            vec![("aws", Verdict::Unexpected)],
        ),
        ("its own tool", vec![expected(store("aws", "aws", 1))], vec![], vec![("aws", Verdict::Expected)]),
        ("a policy exception", vec![tolerated(store("aws", "aws", 1))], vec![], vec![("aws", Verdict::Tolerated)]),
        (
            "a shared file, one store expects the reader",
            vec![unexpected(store("heroku", "heroku", 1)), expected(store("netrc", "netrc", 2))],
            vec![],
            vec![("netrc", Verdict::Expected)],
        ),
        (
            "a shared file, no store does",
            vec![unexpected(store("netrc", "netrc", 2)), unexpected(store("heroku", "heroku", 1))],
            vec!["unexpected-reader"],
            vec![("netrc", Verdict::Unexpected), ("heroku", Verdict::Unexpected)],
        ),
        ("no store at all", vec![], vec![], vec![]),
    ] {
        let outcome = engine().access(&read_at(0.0, under_shell(cat(4242)), "/home/ann/.x"), &judgements);
        assert_eq!(detectors(&outcome), findings, "{name}");
        let said: Vec<_> = outcome.verdicts.iter().map(|(id, verdict)| (id.as_str(), *verdict)).collect();
        assert_eq!(said, verdicts, "{name}");
    }
}

#[test]
fn severity_follows_the_most_dangerous_store_and_is_explained() {
    let mut broad = store("netrc", "netrc", 2);
    broad.broad = true;
    let weak = Judgement {
        store: broad,
        expectation: Expectation::Unexpected { why: vec!["its place is writable by ann".to_owned()], weak: true },
    };
    for (judgements, severity, reason) in [
        (vec![unexpected(store("aws", "aws", 1))], Severity::High, "tier 1"),
        (vec![unexpected(store("npm", "npm", 2))], Severity::Medium, "tier 2"),
        (
            vec![unexpected(store("npm", "npm", 2)), unexpected(store("aws", "aws", 1))],
            Severity::High,
            "aws is a tier 1",
        ),
        (vec![weak.clone()], Severity::Medium, "the doubt is small"),
        (vec![weak], Severity::Medium, "many programs read netrc"),
    ] {
        let outcome = engine().access(&read_at(0.0, under_shell(cat(4242)), "/home/ann/.x"), &judgements);
        let finding = &outcome.findings[0];
        assert_eq!(finding.severity, severity);
        assert!(finding.reasons.iter().any(|text| text.contains(reason)), "{:?}", finding.reasons);
    }
}

#[test]
fn opening_for_writing_only_is_no_read() {
    let mut access = read_at(0.0, under_shell(cat(4242)), "/home/ann/.x");
    for (mode, findings) in [
        (OpenMode { write: true, truncate: true, ..OpenMode::default() }, 0),
        // sqlite opens its stores for both.
        (OpenMode { read: true, write: true, ..OpenMode::default() }, 1),
    ] {
        let Target::Store { mode: opened, .. } = &mut access.target else { panic!("a store") };
        *opened = mode;
        let outcome = engine().access(&access, &[unexpected(store("aws", "aws", 1))]);
        assert_eq!((outcome.findings.len(), outcome.verdicts.len()), (findings, findings));
    }
}

#[test]
fn repeats_are_counted_until_the_window_is_over() {
    let mut engine = engine();
    let judgement = [unexpected(store("aws", "aws", 1))];
    let mut read = |seconds, chain| engine.access(&read_at(seconds, chain, "/home/ann/.x"), &judgement).findings;
    assert_eq!(read(0.0, under_shell(cat(1))).len(), 1);
    assert_eq!(read(1.0, under_shell(cat(1))).len(), 0);
    assert_eq!(read(59.0, under_shell(cat(1))).len(), 0);
    assert_eq!(read(59.5, under_shell(cat(2))).len(), 1, "another process");
    assert_eq!(read(59.6, under_shell(process(1, 812, "/usr/bin/cp"))).len(), 1, "the same process after another exec");
    let again = read(61.0, under_shell(cat(1)));
    assert!(again[0].evidence.iter().any(|fact| fact.text.contains("2 more times")), "{:?}", again[0].evidence);
}

#[test]
fn a_replay_is_identical() {
    let run = || {
        let mut engine = engine();
        let outcome = engine.access(
            &read_at(0.0, under_shell(cat(1)), "/home/ann/.x"),
            &[unexpected(store("b", "b", 1)), unexpected(store("a", "a", 1))],
        );
        format!("{:?}", outcome.findings)
    };
    assert_eq!(run(), run());
}

#[test]
fn names_cannot_act_on_a_terminal() {
    let reader = with_script(process(1, 812, "/usr/bin/python3"), "/tmp/\x1b[2J\u{202e}x.py", Writable::Yes);
    let outcome =
        engine().access(&read_at(0.0, under_shell(reader), "/home/a\nb/.x"), &[unexpected(store("a", "a", 1))]);
    let finding = &outcome.findings[0];
    assert_eq!(
        finding.headline,
        r"/usr/bin/python3 running /tmp/\x1b[2J\u{202e}x.py read /home/a\x0ab/.x (the a credentials file)"
    );
}

// credential-sweep

/// Reads of (second, store, family, tier) by whatever chain `reader` makes of the index.
fn sweep(reads: &[(f64, &str, u8)], reader: impl Fn(u32) -> Chain) -> Vec<Finding> {
    let mut engine = engine();
    let mut found = Vec::new();
    for (index, (seconds, family, tier)) in reads.iter().enumerate() {
        let chain = reader(5000 + index as u32);
        let access = read_at(*seconds, chain, &format!("/home/ann/.{family}"));
        let outcome = engine.access(&access, &[unexpected(store(family, family, *tier))]);
        found.extend(outcome.findings.into_iter().filter(|finding| finding.detector == DetectorId::CredentialSweep));
    }
    found
}

const THREE: [(f64, &str, u8); 3] = [(0.0, "aws", 1), (1.0, "npm", 2), (2.0, "ssh", 2)];

#[test]
fn breadth_is_counted_over_a_lineage() {
    let one_process = |_| under_shell(process(4000, 812, "/usr/bin/python3"));
    let one_each = |pid| under_shell(cat(pid));
    let own_session_each = |pid: u32| {
        let mut chain = under_shell(process(pid, 4000, "/usr/bin/cat"));
        chain.processes[0].session = pid;
        chain.processes.insert(1, process(4000, 812, "/usr/bin/node"));
        chain
    };
    for (name, found, ancestor) in [
        ("one process", sweep(&THREE, one_process), 4000),
        ("one process for each file", sweep(&THREE, one_each), 812),
        ("a session for each file", sweep(&THREE, own_session_each), 4000),
    ] {
        assert_eq!(found.len(), 1, "{name}");
        assert_eq!(found[0].severity, Severity::Critical, "{name}");
        assert_eq!(found[0].stores.iter().map(|store| store.id.as_str()).collect::<Vec<_>>(), ["aws", "npm", "ssh"]);
        let text = format!("pid {ancestor}");
        assert!(
            found[0].evidence.iter().any(|fact| fact.key == "sweep.ancestor" && fact.text.contains(&text)),
            "{name}"
        );
    }
}

#[test]
fn what_is_no_sweep() {
    let same_shell = |pid| under_shell(cat(pid));
    let apart = |pid: u32| {
        // Three services: nothing in common but pid 1.
        Chain { processes: vec![process(pid, 1, "/usr/bin/cat"), init()], incomplete: false }
    };
    let logins = |pid: u32| {
        let shell = process(pid + 1000, 800, "/usr/bin/bash");
        Chain {
            processes: vec![process(pid, pid + 1000, "/usr/bin/cat"), shell, process(800, 1, "/usr/sbin/sshd"), init()],
            incomplete: false,
        }
    };
    assert!(sweep(&THREE, apart).is_empty(), "three services");
    assert!(sweep(&THREE, logins).is_empty(), "three logins");
    let slow = [(0.0, "aws", 1), (40.0, "npm", 2), (80.0, "ssh", 2)];
    assert!(sweep(&slow, same_shell).is_empty(), "more than a minute");
    let two = [(0.0, "aws", 1), (1.0, "npm", 2), (2.0, "aws", 1), (3.0, "npm", 2)];
    assert!(sweep(&two, same_shell).is_empty(), "two families");
}

#[test]
fn a_program_called_sshd_hides_no_sweep() {
    let chain = |pid: u32| {
        let mut fake = process(4000, 812, "/home/ann/sshd");
        fake.executable.writable = Writable::Yes;
        let mut copied = fake.clone();
        copied.executable.path = "/usr/sbin/sshd".into();
        Chain { processes: vec![process(pid, 4000, "/usr/bin/cat"), copied, init()], incomplete: false }
    };
    assert_eq!(sweep(&THREE, chain).len(), 1, "it lies where its user can write");
}

#[test]
fn without_tier_one_a_sweep_is_high() {
    let found = sweep(&[(0.0, "a", 2), (1.0, "b", 3), (2.0, "c", 2)], |pid| under_shell(cat(pid)));
    assert_eq!(found[0].severity, Severity::High);
}

#[test]
fn a_sweep_is_reported_once_and_the_next_one_again() {
    let reads =
        [(0.0, "a", 1), (1.0, "b", 1), (2.0, "c", 1), (3.0, "d", 1), (4.0, "e", 1), (50.0, "f", 1), (51.0, "g", 1)];
    assert_eq!(sweep(&reads, |pid| under_shell(cat(pid))).len(), 1);
    let python = |_| under_shell(process(4000, 812, "/usr/bin/python3"));
    assert_eq!(sweep(&reads, python).len(), 1, "its ancestors do not report it again");
    let later = [(0.0, "a", 1), (1.0, "b", 1), (2.0, "c", 1), (100.0, "a", 1), (101.0, "b", 1), (102.0, "c", 1)];
    assert_eq!(sweep(&later, |pid| under_shell(cat(pid))).len(), 2);
}

#[test]
fn expected_reads_and_shared_files_do_not_add_up() {
    let mut engine = engine();
    let mut run = |seconds, judgements: &[Judgement]| {
        engine.access(&read_at(seconds, under_shell(cat(4000)), "/home/ann/.x"), judgements).findings
    };
    let shared: Vec<_> = ["a", "b", "c", "d"].iter().map(|id| unexpected(store(id, id, 1))).collect();
    assert_eq!(run(0.0, &shared).len(), 1, "one file of four stores is one read");
    run(1.0, &[expected(store("e", "e", 1))]);
    run(2.0, &[tolerated(store("f", "f", 1))]);
    assert_eq!(run(3.0, &[unexpected(store("b", "b", 1))]).len(), 1, "a family of the shared file");
    assert_eq!(run(4.0, &[unexpected(store("g", "g", 1))]).len(), 1, "the second");
    assert_eq!(run(5.0, &[unexpected(store("h", "h", 1))]).len(), 2, "the third");
}

#[test]
fn tables_stay_bounded() {
    let mut engine = engine();
    for pid in 0..20_000 {
        let chain = Chain { processes: vec![process(pid + 2, 1, "/usr/bin/cat"), init()], incomplete: false };
        engine.access(&read_at(0.0, chain, "/home/ann/.x"), &[unexpected(store("a", "a", 1))]);
    }
    let evictions: std::collections::BTreeMap<_, _> = engine.evictions().into_iter().collect();
    assert_eq!(evictions["unexpected_reader"], 20_000 - 8192);
    assert_eq!(evictions["credential_sweep"], 20_000 - 8192);
}

// process-inspection

fn victim() -> Process {
    process(900, 812, "/usr/bin/node")
}

fn environ(reader: Process, target: Process) -> Vec<Finding> {
    let target = Target::Process(Inspection::Environ, Some(Box::new(target)), None);
    engine().access(&access_at(0.0, under_shell(reader), target), &[]).findings
}

fn memory(reader: Process, target: Process) -> Vec<Finding> {
    let target = Target::Process(Inspection::Mem, Some(Box::new(target)), None);
    engine().access(&access_at(0.0, under_shell(reader), target), &[]).findings
}

#[test]
fn ps_may_list_but_not_show_environments() {
    let ps = |line: &str| with_args(process(4242, 812, "/usr/bin/ps"), line);
    assert!(environ(ps("ps -ef"), victim()).is_empty());
    let found = environ(ps("ps auxe"), victim());
    assert_eq!((found.len(), found[0].severity), (1, Severity::High));

    let mut copy = ps("ps -ef");
    copy.executable.writable = Writable::Yes;
    assert_eq!(environ(copy, victim()).len(), 1, "a place that ann can write");
    let renamed = with_args(process(4242, 812, "/home/ann/ps"), "ps -ef");
    assert_eq!(environ(renamed, victim()).len(), 1, "a program of that name elsewhere");
    let mut padded = ps("ps -ef");
    padded.args_truncated = true;
    assert_eq!(environ(padded, victim()).len(), 1, "arguments that cannot be known");
    let mut bsd = ps("ps -ef");
    bsd.environment.push(("PS_PERSONALITY".to_owned(), "bsd".into()));
    assert_eq!(environ(bsd, victim()).len(), 1, "a personality that changes the letters");
    assert_eq!(memory(ps("ps -ef"), victim()).len(), 1, "memory is no part of a listing");
}

#[test]
fn who_may_read_an_environment() {
    let child = process(900, 4242, "/usr/bin/node");
    assert!(environ(cat(4242), child).is_empty(), "its own child");
    assert_eq!(environ(cat(4242), victim()).len(), 1, "a sibling");
    let detect = || process(4242, 812, "/usr/bin/systemd-detect-virt");
    assert!(environ(detect(), init()).is_empty());
    assert_eq!(environ(detect(), victim()).len(), 1, "not pid 1");
    let perl = |script, writable| with_script(process(4242, 812, "/usr/bin/perl"), script, writable);
    assert!(environ(perl("/usr/sbin/needrestart", Writable::No), victim()).is_empty());
    assert_eq!(environ(perl("/home/ann/needrestart", Writable::No), victim()).len(), 1);
    assert_eq!(environ(perl("/usr/sbin/needrestart", Writable::Yes), victim()).len(), 1);
    let mut inline = process(4242, 812, "/usr/bin/perl");
    inline.script = Some(Script::Inline);
    assert_eq!(environ(inline, victim()).len(), 1);
}

#[test]
fn memory_of_another_user_is_critical_and_debuggers_have_their_place() {
    let foreign = Process { uid: 0, ..victim() };
    assert_eq!(memory(cat(4242), victim())[0].severity, Severity::High);
    assert_eq!(memory(cat(4242), foreign.clone())[0].severity, Severity::Critical);
    assert_eq!(environ(cat(4242), foreign)[0].severity, Severity::High);
    assert_eq!(memory(cat(4242), process(900, 4242, "/usr/bin/node")).len(), 1, "a child's memory is its own");

    let gdb = |parent| Process { tty: Some((136, 0)), ..process(4242, parent, "/usr/bin/gdb") };
    let by_script = |reader, target| {
        let mut chain = under_shell(reader);
        chain.processes.insert(1, process(4000, 812, "/usr/bin/make"));
        let target = Target::Process(Inspection::Mem, Some(Box::new(target)), None);
        engine().access(&access_at(0.0, chain, target), &[]).findings
    };
    assert!(memory(gdb(812), process(900, 4242, "/usr/bin/node")).is_empty(), "what it started");
    assert_eq!(memory(gdb(812), victim())[0].severity, Severity::Informational, "typed at a prompt");
    assert_eq!(by_script(gdb(4000), victim())[0].severity, Severity::High, "started by another");
    let mut renamed = gdb(812);
    renamed.executable.writable = Writable::Yes;
    assert_eq!(memory(renamed, victim())[0].severity, Severity::High, "a copy that ann can write");
}

#[test]
fn a_sweep_over_all_processes_is_one_finding() {
    let mut engine = engine();
    let mut open = |seconds, reader: Process, pid| {
        let target = Target::Process(Inspection::Environ, Some(Box::new(process(pid, 1, "/usr/bin/node"))), None);
        engine.access(&access_at(seconds, under_shell(reader), target), &[]).findings
    };
    let total: usize = (0..1000).map(|pid| open(0.0, cat(4242), 2000 + pid).len()).sum();
    assert_eq!(total, 1, "one process, many targets");
    let total: usize = (0..1000).map(|pid| open(1.0, cat(6000 + pid), 2000 + pid).len()).sum();
    assert_eq!(total, 0, "the same program, started for each target by the same shell");
    assert_eq!(open(2.0, process(4243, 812, "/usr/bin/grep"), 2000).len(), 1, "another program");
    let again = open(61.0, cat(4242), 2000);
    assert!(
        again[0].evidence.iter().any(|fact| fact.text.starts_with("1999 more processes")),
        "{:?}",
        again[0].evidence
    );
}

#[test]
fn a_harmless_target_hides_no_dangerous_one() {
    let mut engine = engine();
    let mut open = |uid| {
        let target = Target::Process(Inspection::Mem, Some(Box::new(Process { uid, ..victim() })), None);
        engine.access(&access_at(0.0, under_shell(cat(4242)), target), &[]).findings
    };
    assert_eq!(open(1000)[0].severity, Severity::High);
    assert_eq!(open(0)[0].severity, Severity::Critical);
    assert!(open(0).is_empty());
}

#[test]
fn an_unresolved_target_is_reported_and_oneself_is_not() {
    let access = access_at(0.0, under_shell(cat(4242)), Target::Process(Inspection::Mem, None, None));
    let outcome = engine().access(&access, &[]);
    assert!(outcome.findings[0].headline.contains("could not be resolved"));
    assert!(memory(cat(4242), cat(4242)).is_empty());
}

// decoy-read

#[test]
fn a_decoy_is_critical_whoever_reads_it_but_for_policy() {
    use crate::lineage::actor::tests::lineage;
    let decoy = |id: &str| StoreFacts { decoy: true, ..store(id, id, 1) };
    for text in ["/usr/bin/cat < SSH", "/usr/bin/cat < /usr/bin/sh ! < NPM < SSH", "/usr/bin/cat"] {
        let access = read_at(0.0, lineage(text), "/home/ann/old-laptop/.aws/credentials");
        let outcome = engine().access(&access, &[unexpected(decoy("decoy-aws-1"))]);
        let said: Vec<_> = outcome.findings.iter().map(|found| (found.detector, found.severity)).collect();
        assert_eq!(said, [(DetectorId::DecoyRead, Severity::Critical)], "{text}");
        assert_eq!(outcome.verdicts, [("decoy-aws-1".to_owned(), Verdict::Unexpected)]);
        assert!(outcome.findings[0].remediation.commands.is_empty(), "there is nothing to revoke");
        let quiet = engine().access(&access, &[tolerated(decoy("decoy-aws-1"))]);
        assert_eq!((detectors(&quiet).len(), quiet.verdicts[0].1), (0, Verdict::Tolerated), "{text}");
    }
    // Planted where a real store is, its own tool is no excuse.
    let access = read_at(0.0, under_shell(cat(4242)), "/home/ann/.aws/credentials");
    let both = [expected(store("aws-credentials", "aws", 1)), unexpected(decoy("decoy-aws-1"))];
    assert_eq!(detectors(&engine().access(&access, &both)), ["decoy-read"]);
    // A write is none.
    let mut access = read_at(0.0, under_shell(cat(4242)), "/home/ann/decoy");
    if let Target::Store { mode, .. } = &mut access.target {
        *mode = OpenMode { write: true, ..OpenMode::default() };
    }
    assert_eq!(engine().access(&access, &[unexpected(decoy("decoy-aws-1"))]), Outcome::default());
}

#[test]
fn a_decoy_is_told_once_a_minute_and_counts_in_a_sweep() {
    let decoy = |family: &str| unexpected(StoreFacts { decoy: true, ..store(&format!("decoy-{family}-1"), family, 1) });
    let mut engine = engine();
    let mut read = |second: f64, pid: u32, judgement: Judgement| {
        let mut chain = under_shell(cat(pid));
        chain.processes.insert(1, process(4200, 812, "/usr/bin/find"));
        detectors(&engine.access(&read_at(second, chain, "/home/ann/x"), &[judgement]))
    };
    assert_eq!(read(0.0, 1001, decoy("aws")), ["decoy-read"]);
    assert!(read(1.0, 1001, decoy("aws")).is_empty());
    assert_eq!(read(2.0, 1002, decoy("ssh")), ["decoy-read"]);
    assert_eq!(read(3.0, 1003, unexpected(store("npm", "npm", 2))), ["unexpected-reader", "credential-sweep"]);
    assert_eq!(read(90.0, 1001, decoy("aws")), ["decoy-read"]);
}

// sensor-degraded

#[test]
fn loss_is_reported_once_a_minute_with_totals() {
    let mut engine = engine();
    let wall = SystemTime::UNIX_EPOCH;
    let mut at = |seconds: u64, degradation: &Degradation| {
        engine.degraded(degradation, KernelTime(seconds * 1_000_000_000), wall)
    };
    let hits = |total| Degradation::kernel(Reason::HITS_RING_FULL, total);
    assert!(at(1, &hits(0)).is_none(), "nothing lost");
    let first = at(2, &hits(5)).unwrap();
    assert_eq!(first.severity, Severity::High);
    assert_eq!(first.headline, "5 records were lost (hits_ring_full)");
    assert!(at(3, &hits(7)).is_none(), "within the minute");
    assert_eq!(at(4, &Degradation::kernel(Reason::LIFE_RING_FULL, 1)).unwrap().severity, Severity::Medium);
    let later = at(70, &hits(9)).unwrap();
    assert!(later.evidence[0].text.contains("4 since the last report, 9 since the start"), "{:?}", later.evidence);
    assert!(at(200, &hits(9)).is_none(), "nothing new");
}

#[test]
fn a_silent_probe_is_reported() {
    let mut engine = engine();
    let probe = Degradation::Probe {
        probe: "file_open".to_owned(),
        tier: Tier::Lsm,
        why: "attached, but the canary's record did not arrive".to_owned(),
    };
    let finding = engine.degraded(&probe, KernelTime(1), SystemTime::UNIX_EPOCH).unwrap();
    assert_eq!((finding.severity, finding.tier), (Severity::High, Some(Tier::Lsm)));
    assert!(engine.degraded(&probe, KernelTime(2), SystemTime::UNIX_EPOCH).is_none());
    assert_eq!(finding.reader().map(|process| process.key), None::<ProcessKey>);
}

#[test]
fn a_file_that_seldom_holds_a_secret_is_told_but_does_not_alarm_and_makes_no_sweep() {
    let perhaps = |id: &str| StoreFacts { perhaps: true, ..store(id, id, 1) };
    let mut engine = engine();
    for (second, id) in [(0.0, "npm"), (1.0, "pip"), (2.0, "git-config")] {
        let access = read_at(second, under_shell(cat(4242)), &format!("/srv/project/.{id}"));
        let outcome = engine.access(&access, &[unexpected(perhaps(id))]);
        let severities: Vec<_> = outcome.findings.iter().map(|finding| finding.severity).collect();
        assert_eq!(severities, [Severity::Informational], "{id}");
    }
    // The same file as a store that is there to hold a secret counts in full.
    let access = read_at(3.0, under_shell(cat(4243)), "/home/ann/.npmrc");
    let outcome = engine.access(&access, &[unexpected(perhaps("npm")), unexpected(store("yarn", "npm", 1))]);
    assert_eq!(outcome.findings.first().map(|finding| finding.severity), Some(Severity::High));
}

/// Severity through the whole engine: the same file, the same program, and whoever had it read.
#[test]
fn severity_follows_whoever_acts() {
    use crate::lineage::actor::tests::lineage;
    let read = |engine: &mut Engine, text: &str, id: &str, tier: u8| {
        let access = read_at(0.0, lineage(text), &format!("/home/ann/.{id}"));
        engine.access(&access, &[unexpected(store(id, id, tier))]).findings
    };
    for (text, severity) in [
        ("/usr/bin/cat < SSH", Severity::Informational),
        ("/usr/bin/cat < /usr/bin/bash ! < SSH", Severity::Medium),
        ("/usr/bin/cat < /usr/bin/sh ! < NPM < SSH", Severity::High),
        ("/usr/bin/cat < /usr/bin/bash ! < CLAUDE < SSH", Severity::High),
        ("/usr/bin/cat < /usr/bin/bash ! < RUNNER", Severity::Medium),
        ("/usr/bin/cat", Severity::Medium),
    ] {
        let findings = read(&mut engine(), text, "npm", 2);
        assert_eq!(findings[0].severity, severity, "{text}");
        let agent = text.contains("CLAUDE");
        assert_eq!(!findings[0].ai_risks().is_empty(), agent, "{text}");
    }
    for (text, severity) in [("/usr/bin/cat < SSH", Severity::Low), ("/usr/bin/cp < SSH", Severity::Critical)] {
        let mut engine = engine();
        let all: Vec<_> = ["aws", "npm", "ssh"].iter().flat_map(|id| read(&mut engine, text, id, 1)).collect();
        let sweep = all.iter().find(|finding| finding.detector == DetectorId::CredentialSweep);
        assert_eq!(sweep.map(|finding| finding.severity), Some(severity), "{text}");
    }
}
