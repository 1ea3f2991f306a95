use super::*;
use crate::{
    catalogue::model::Kind,
    detect::{
        access::Target,
        fixtures::{init, process, read_at, store},
        judge::Verdict,
        store_exposed, token_outlived_session, token_reused_by_automation,
    },
    finding::{
        detector::DetectorId,
        model::{Finding, Salt},
        severity::Severity,
    },
    ingest::observation::KernelTime,
    lineage::model::{Chain, Process},
    token::{
        fingerprint::Key,
        model::{Facts, Known},
    },
};

const PATH: &str = "/home/ann/.aws/credentials";
const HOUR: i64 = 3600;
const LIMITS: Limits = Limits { session_grace: 12 * HOUR, stale_after: 90 * 24 * HOUR };

/// What a wall clock of [`read_at`] shows after so many seconds.
fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_764_000_000 + seconds).unwrap()
}

fn known(secret: &str) -> Known {
    Known {
        fingerprint: Key::new([1; 32]).fingerprint_of(secret.as_bytes()),
        store: "aws-credentials".to_owned(),
        path: PATH.into(),
        facts: Facts::new(Kind::ApiKey, "[default]/aws_secret_access_key"),
    }
}

fn look(written: Option<i64>, tokens: Vec<Known>) -> Look {
    Look {
        path: PATH.into(),
        stores: vec!["aws-credentials".to_owned()],
        tokens,
        written: written.map(at),
        exposures: Vec::new(),
    }
}

/// `aws`, typed in the terminal of an ssh login.
fn by_hand(seconds: f64) -> Access {
    let on = |process: Process| Process { session: 812, tty: Some((136, 3)), ..process };
    let shell = on(process(812, 800, "/usr/bin/bash"));
    let login = Process { uid: 0, euid: 0, ..process(800, 1, "/usr/sbin/sshd") };
    let processes = vec![on(process(4242, 812, "/usr/bin/aws")), shell, login, init()];
    of_store(read_at(seconds, Chain { processes, incomplete: false }, PATH))
}

/// `aws`, started by cron.
fn by_cron(seconds: f64) -> Access {
    let cron = Process { uid: 0, euid: 0, unit: Some("cron.service".into()), ..process(700, 1, "/usr/sbin/cron") };
    let job = |process: Process| Process { unit: Some("cron.service".into()), session: 5000, ..process };
    let processes =
        vec![job(process(5001, 5000, "/usr/bin/aws")), job(process(5000, 700, "/usr/bin/dash")), cron, init()];
    of_store(read_at(seconds, Chain { processes, incomplete: false }, PATH))
}

fn of_store(mut access: Access) -> Access {
    if let Target::Store { stores, .. } = &mut access.target {
        *stores = vec!["aws-credentials".to_owned()];
    }
    access
}

/// A token that a person has put there at second 10, by writing.
fn logged_in() -> Lifecycle {
    let mut tokens = Lifecycle::default();
    tokens.looked(&look(Some(-1000), Vec::new()), at(0), at(0));
    tokens.touched(&by_hand(9.0), true);
    let (changes, _) = tokens.looked(&look(Some(10), vec![known("one")]), at(11), at(0));
    assert_eq!(changes.len(), 1);
    tokens
}

fn only(tokens: &Lifecycle) -> &Tracked {
    let all: Vec<_> = tokens.tokens().collect();
    let [token] = all[..] else { panic!("{all:?}") };
    token
}

/// One finding of each detector.
pub(crate) fn findings() -> Vec<Finding> {
    let mut tokens = logged_in();
    let (salt, store) = (Salt::new("sample host", "sample boot"), store("aws-credentials", "aws", 1));
    let access = by_cron(60.0);
    let (reused, _) = tokens.read(&access, Path::new(PATH), at(60));
    tokens.ended(ProcessKey::new(812_000, 812), at(100));
    let moment = report::Moment { time: KernelTime(7), wall: at(0).into() };
    let token = only(&tokens);
    let way = crate::posture::Exposure::HardLinks { links: 2 };
    let exposed = store_exposed::finding(&salt, Path::new(PATH), &[token], &store, &[Exposed::from(&way)], moment);
    let reused = token_reused_by_automation::finding(&salt, &reused[0], &store, &access, Verdict::Expected);
    let outlived = token_outlived_session::finding(&salt, token, &store, moment, 13 * HOUR);
    let stale = stale_token::finding(&salt, token, &store, moment, at(100 * 24 * HOUR));
    [outlived, stale, exposed].into_iter().chain(reused).collect()
}

#[test]
fn who_wrote_the_store_put_the_token_there() {
    let tokens = logged_in();
    let origin = only(&tokens).origin.clone().unwrap();
    assert_eq!((origin.actor, origin.seen, origin.uid), (Class::Interactive, true, 1000));
    assert_eq!(origin.program, Path::new("/usr/bin/aws"));
    let session = origin.session.unwrap();
    assert_eq!((session.leader.tgid, session.program.as_str()), (812, "bash"));
}

#[test]
fn a_token_that_was_there_before_has_no_origin() {
    let mut tokens = Lifecycle::default();
    tokens.touched(&by_hand(9.0), true);
    tokens.looked(&look(Some(-1000), vec![known("one")]), at(11), at(0));
    assert_eq!(only(&tokens).origin, None);
    // Renewed since: whoever wrote it then.
    tokens.touched(&by_hand(20.0), true);
    tokens.looked(&look(Some(21), vec![known("two")]), at(22), at(0));
    assert!(only(&tokens).origin.is_some());
    tokens.looked(&look(None, Vec::new()), at(30), at(0));
    assert_eq!(tokens.tokens().count(), 0);
}

#[test]
fn an_expected_reader_of_right_before_is_taken_for_the_writer_and_an_old_one_is_not() {
    for (read, origin) in [(9.0, true), (3.0, false)] {
        let mut tokens = Lifecycle::default();
        tokens.looked(&look(Some(-1000), Vec::new()), at(0), at(0));
        tokens.touched(&by_hand(read), false);
        tokens.looked(&look(Some(10), vec![known("one")]), at(11), at(0));
        assert_eq!(only(&tokens).origin.as_ref().map(|origin| origin.seen), origin.then_some(false), "{read}");
    }
}

#[test]
fn a_token_outlives_its_session_after_the_grace_and_is_told_once() {
    let mut tokens = logged_in();
    let leader = ProcessKey::new(812_000, 812);
    assert_eq!(tokens.leaders(), [leader]);
    assert!(tokens.due(at(13 * HOUR), |_| LIMITS).0.is_empty(), "the session goes on");
    assert!(tokens.ended(ProcessKey::new(4_242_000, 4242), at(20)).is_empty(), "another process");
    assert_eq!(tokens.ended(leader, at(100)).len(), 1);
    assert!(tokens.due(at(99 + 12 * HOUR), |_| LIMITS).0.is_empty());
    let (due, changes) = tokens.due(at(100 + 12 * HOUR), |_| LIMITS);
    let [Due::Outlived(token, since)] = &due[..] else { panic!("{due:?}") };
    assert_eq!((*since, changes.len()), (12 * HOUR, 1));
    let moment = report::Moment { time: KernelTime(1), wall: at(0).into() };
    let store = store("aws-credentials", "aws", 1);
    let finding = token_outlived_session::finding(&Salt::new("h", "b"), token, &store, moment, *since);
    assert_eq!((finding.detector, finding.severity), (DetectorId::TokenOutlivedSession, Severity::Medium));
    assert!(finding.headline.contains("12 hours after its session ended"), "{}", finding.headline);
    assert!(finding.evidence.iter().any(|one| one.text.contains("/usr/bin/aws for ann (interactive)")), "{finding:?}");
    assert!(tokens.due(at(30 * HOUR), |_| LIMITS).0.is_empty());
}

#[test]
fn what_has_ended_by_itself_or_is_gone_outlives_nothing() {
    let mut tokens = logged_in();
    let mut ephemeral = known("one");
    ephemeral.facts.expires = Some(at(HOUR));
    tokens.looked(&look(Some(12), vec![ephemeral]), at(12), at(0));
    tokens.ended(ProcessKey::new(812_000, 812), at(100));
    assert!(tokens.due(at(13 * HOUR), |_| LIMITS).0.is_empty());
    let mut tokens = logged_in();
    tokens.ended(ProcessKey::new(812_000, 812), at(100));
    tokens.looked(&look(Some(200), Vec::new()), at(200), at(0));
    assert!(tokens.due(at(13 * HOUR), |_| LIMITS).0.is_empty());
}

#[test]
fn a_persons_token_in_automation_is_told_once_for_each_program() {
    let mut tokens = logged_in();
    let (reused, _) = tokens.read(&by_hand(50.0), Path::new(PATH), at(50));
    assert!(reused.is_empty(), "the person themselves");
    let access = by_cron(60.0);
    assert_eq!(access.actor.class(), Class::Automation, "{:?}", access.actor);
    let (reused, changes) = tokens.read(&access, Path::new(PATH), at(60));
    assert_eq!((reused.len(), changes.len()), (1, 1));
    let (salt, store) = (Salt::new("h", "b"), store("aws-credentials", "aws", 1));
    let finding = token_reused_by_automation::finding(&salt, &reused[0], &store, &access, Verdict::Expected).unwrap();
    assert_eq!((finding.detector, finding.severity), (DetectorId::TokenReusedByAutomation, Severity::Medium));
    assert!(finding.headline.contains("ann logged in by hand"), "{}", finding.headline);
    let (reused, _) = tokens.read(&by_cron(70.0), Path::new(PATH), at(70));
    assert!(reused.is_empty(), "known by now");
    assert_eq!(only(&tokens).uses.len(), 2);
}

#[test]
fn a_token_that_nobody_was_seen_to_make_is_not_a_persons() {
    let mut tokens = Lifecycle::default();
    tokens.looked(&look(Some(-1000), vec![known("one")]), at(0), at(0));
    assert!(tokens.read(&by_cron(60.0), Path::new(PATH), at(60)).0.is_empty());
}

#[test]
fn an_old_token_is_stale_and_a_new_one_or_one_with_a_passphrase_is_not() {
    let days = |days: i64| -days * 24 * HOUR;
    let due = |written: i64, change: fn(&mut Facts)| {
        let mut tokens = Lifecycle::default();
        let mut token = known("one");
        change(&mut token.facts);
        tokens.looked(&look(Some(written), vec![token]), at(0), at(0));
        tokens.due(at(0), |_| LIMITS).0.len()
    };
    assert_eq!(due(days(91), |_| ()), 1);
    assert_eq!(due(days(89), |_| ()), 0);
    assert_eq!(due(days(91), |facts| facts.protection = crate::token::model::Protection::Encrypted), 0);
    assert_eq!(due(days(91), |facts| facts.expires = Some(at(-1))), 0, "it has ended");
    assert_eq!(due(days(91), |facts| facts.kind = Kind::PrivateKey), 0);
    assert_eq!(due(days(361), |facts| facts.kind = Kind::PrivateKey), 1);
    assert_eq!(due(days(1), |facts| facts.issued = Some(at(-91 * 24 * HOUR))), 1, "issued before it was written");
}

#[test]
fn exposure_is_told_when_it_is_new() {
    let way = |way: &str| Exposed {
        way: way.to_owned(),
        text: way.to_owned(),
        severity: Severity::High,
        remedy: "chmod".to_owned(),
    };
    let mut tokens = Lifecycle::default();
    let mut seen = look(Some(0), vec![known("one")]);
    assert!(tokens.looked(&seen, at(0), at(0)).1.is_empty());
    seen.exposures = vec![way("readable-by-all")];
    assert_eq!(tokens.looked(&seen, at(1), at(0)).1, [way("readable-by-all")]);
    assert!(tokens.looked(&seen, at(2), at(0)).1.is_empty());
    seen.exposures.push(way("hard-links"));
    assert_eq!(tokens.looked(&seen, at(3), at(0)).1, [way("hard-links")]);
    seen.exposures.clear();
    tokens.looked(&seen, at(4), at(0));
    seen.exposures = vec![way("readable-by-all")];
    assert_eq!(tokens.looked(&seen, at(5), at(0)).1.len(), 1, "again");

    let written = |changes: &[Change]| match changes.last() {
        Some(Change::Exposed(path, ways)) => vec![Exposures { path: path.clone(), ways: ways.clone() }],
        _ => Vec::new(),
    };
    let mut tokens = Lifecycle::default();
    let before = written(&tokens.looked(&seen, at(6), at(0)).0);
    tokens = Lifecycle::default();
    tokens.restore_exposures(before.clone());
    let (changes, new) = tokens.looked(&seen, at(7), at(7));
    assert!(new.is_empty() && written(&changes).is_empty(), "it was told before the restart");
    tokens = Lifecycle::default();
    tokens.restore_exposures(before.clone());
    seen.exposures.push(way("hard-links"));
    assert_eq!(tokens.looked(&seen, at(8), at(8)).1, [way("hard-links")], "that came while no agent ran");
    tokens = Lifecycle::default();
    tokens.restore_exposures(before);
    let (changes, _) = tokens.looked(&look(None, Vec::new()), at(9), at(9));
    assert!(written(&changes).iter().all(|of| of.ways.is_empty()), "{changes:?}");
    assert_eq!(tokens.looked(&seen, at(10), at(9)).1.len(), 2, "the file is a new one");
}

#[test]
fn what_is_gone_since_the_last_run_is_not_told() {
    let mut before = logged_in();
    before.ended(ProcessKey::new(812_000, 812), at(20));
    let mut tokens = Lifecycle::default();
    tokens.restore(before.tokens().cloned().collect());
    assert!(tokens.due(at(30 * HOUR), |_| LIMITS).0.is_empty(), "it was not looked at yet");
    let (changes, _) = tokens.looked(&look(None, Vec::new()), at(30 * HOUR), at(30 * HOUR));
    assert!(matches!(&changes[..], [Change::Gone(_)]), "{changes:?}");
    assert!(tokens.due(at(31 * HOUR), |_| LIMITS).0.is_empty());
    // Its twin is still there.
    let mut tokens = Lifecycle::default();
    tokens.restore(before.tokens().cloned().collect());
    assert!(tokens.due(at(30 * HOUR), |_| LIMITS).0.is_empty());
    tokens.looked(&look(Some(10), vec![known("one")]), at(30 * HOUR), at(30 * HOUR));
    assert_eq!(tokens.due(at(30 * HOUR), |_| LIMITS).0.len(), 1);
}

#[test]
fn what_was_known_goes_on_after_a_restart() {
    let before = logged_in();
    let mut tokens = Lifecycle::default();
    tokens.restore(before.tokens().cloned().collect());
    tokens.looked(&look(Some(10), vec![known("one")]), at(500), at(400));
    assert!(only(&tokens).origin.is_some(), "the same token");
    tokens.ended(ProcessKey::new(812_000, 812), at(600));
    assert_eq!(tokens.due(at(600 + 12 * HOUR), |_| LIMITS).0.len(), 1);
}
