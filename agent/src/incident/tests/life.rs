//! How an incident goes: opened, told, raised, suppressed, restored, closed.

use super::*;
use crate::incident::{
    model::{Incident, Over},
    notice::Activity,
    ocsf,
    suppress::Suppression,
    table::{ALIKE, LONGEST, OPEN, OPENED, QUIET},
    text,
};

fn theft() -> Vec<Finding> {
    let of = |pid| typed(install(pid, 4100), 812);
    vec![
        read(&of(5000), "gh-hosts", 0.0),
        copy(&of(5001), "gh-hosts", 20.0, "/tmp/loot"),
        egress(&of(5002), "gh-hosts", 40.0),
    ]
}

#[test]
fn read_then_copied_then_sent_is_critical_and_each_step_is_told_at_once() {
    let mut table = Incidents::default();
    let (taken, notices) = play(&mut table, &theft());
    assert!(taken.iter().all(|one| one.whole && one.incident == taken[0].incident));
    let told: Vec<_> = notices.iter().map(|one| (one.activity, one.incident.severity)).collect();
    let wanted = [
        (Activity::Opened, Severity::Medium),
        (Activity::Updated, Severity::High),
        (Activity::Updated, Severity::Critical),
    ];
    assert_eq!(told, wanted);
    let last = text::message(&notices[2]);
    for said in [
        "CRITICAL (update 2, 3 findings in all) npm",
        "pid 4100, user ann",
        "read store gh-hosts",
        "copied 1 token (to /tmp/loot)",
        "connected to 203.0.113.7:443",
        "revoke: gh-hosts revoke --all",
    ] {
        assert!(last.contains(said), "{said:?} is not in {last:?}");
    }
    assert!(last.len() < 300 && !last.contains('\n'), "{last}");
    table.tick(at(40.0) + QUIET);
    let closed = table.batch(at(40.0) + QUIET);
    assert_eq!(closed.changed.len(), 1);
    let message = text::message(&closed.notices[0]);
    assert!(message.starts_with("CLOSED (critical, 3 findings in all) npm"), "{message}");
    assert!(table.is_empty() && table.batch(at(1e6)).notices.is_empty());
}

/// Written to the file named by `TOKENHOUND_OCSF_INCIDENTS`, for `tests/ocsf/check.py`.
#[test]
fn notifications_are_one_object_a_line() {
    let mut table = Incidents::default();
    let (_, mut notices) = play(&mut table, &theft());
    for sample in samples::all() {
        notices.extend(play(&mut table, &[sample]).1);
    }
    table.tick(at(0.0) + LONGEST * 2);
    notices.extend(table.batch(at(0.0) + LONGEST * 2).notices);
    let lines: Vec<String> = notices.iter().map(|notice| ocsf::line(notice, &host())).collect();
    for line in &lines {
        assert!(!line.contains('\n') && !line.contains("null"), "{line}");
        let event: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!((event["class_uid"].as_u64(), event["metadata"]["version"].as_str()), (Some(2005), Some("1.8.0")));
    }
    keep(&lines);
}

#[test]
fn what_joins_within_seconds_is_one_update() {
    let of = |n: u32, seconds| read(&typed(install(5000 + n, 4100), 812), &format!("s{n}"), seconds);
    let mut table = Incidents::default();
    let sweep: Vec<_> = (0..20).map(|n| of(n, f64::from(n) * 0.01)).collect();
    assert_eq!(play(&mut table, &sweep).1.len(), 1);
    let settled = table.batch(at(10.0)).notices;
    assert_eq!((settled.len(), settled[0].new), (1, 19), "and the rest once it has settled");
    assert!(table.batch(at(30.0)).notices.is_empty());
    // More of the same waits for its interval.
    play(&mut table, &[of(3, 31.0)]);
    assert!(table.batch(at(300.0)).notices.is_empty());
    assert_eq!(table.batch(at(311.0)).notices.len(), 1);
}

#[test]
fn a_person_who_looks_at_their_own_token_disturbs_nobody() {
    let person = typed(vec![process(5000, 812, "/usr/bin/cat")], 812);
    let look = Finding { severity: Severity::Informational, ..read(&person, "gh-hosts", 0.0) };
    let mut table = Incidents::default();
    assert!(play(&mut table, &[look]).1.is_empty());
    assert_eq!(table.len(), 1, "it is listed");
    table.tick(at(1.0) + QUIET);
    let batch = table.batch(at(1.0) + QUIET);
    assert!(batch.notices.is_empty() && batch.changed.len() == 1);
}

#[test]
fn it_goes_on_after_a_restart() {
    let mut before = Incidents::default();
    let all = theft();
    before.take(&all[0]);
    let written = before.batch(at(0.0)).changed;
    let stored: Vec<String> = written.iter().map(|one| serde_json::to_string(one).unwrap()).collect();
    let read = stored.iter().map(|text| serde_json::from_str::<Incident>(text).unwrap());
    let mut after = Incidents::restored(read, ALIKE);
    assert_eq!(written, after.get(&written[0].uid).cloned().into_iter().collect::<Vec<_>>());
    let (taken, notices) = play(&mut after, &all[1..]);
    assert_eq!(taken[1].incident, written[0].uid);
    assert_eq!(notices.last().map(|one| (one.activity, one.incident.findings)), Some((Activity::Updated, 3)));
    assert_eq!(notices.last().map(|one| one.incident.severity), Some(Severity::Critical));
}

fn suppression(until: f64) -> Suppression {
    Suppression {
        id: 1,
        detector: None,
        store: None,
        reader: None,
        incident: None,
        reason: "a test of the backup".to_owned(),
        by: "ann".to_owned(),
        until: at(until),
    }
}

#[test]
fn what_is_suppressed_is_counted_and_told_again_when_the_time_is_over() {
    let of = |n: u32, seconds| read(&typed(install(5000 + n, 4100), 812), "gh-hosts", seconds);
    let mut table = Incidents::default();
    table.suppress(vec![Suppression { reader: Some("/usr/bin/cat".to_owned()), ..suppression(100.0) }]);
    let (taken, notices) = play(&mut table, &[of(0, 0.0), of(1, 50.0)]);
    assert!(notices.is_empty() && taken.iter().all(|one| one.whole));
    assert_eq!(table.take_facts().suppressed, 1, "the opening");
    let (_, notices) = play(&mut table, &[of(2, 101.0)]);
    assert_eq!(notices.len(), 1);
    assert_eq!((notices[0].activity, notices[0].incident.covered, notices[0].new), (Activity::Opened, 2, 3));
    // Another reader is not covered.
    let mut table = Incidents::default();
    table.suppress(vec![Suppression { reader: Some("/usr/bin/dog".to_owned()), ..suppression(100.0) }]);
    assert_eq!(play(&mut table, &[of(0, 0.0)]).1.len(), 1);
}

#[test]
fn a_suppressed_incident_is_silent_and_its_end_is_told() {
    let mut table = Incidents::default();
    let all = theft();
    let (taken, notices) = play(&mut table, &all[..1]);
    assert_eq!(notices.len(), 1);
    table.suppress(vec![Suppression { incident: Some(taken[0].incident.clone()), ..suppression(10_000.0) }]);
    assert!(play(&mut table, &all[1..]).1.is_empty());
    assert_eq!(table.take_facts().suppressed, 2);
    assert!(table.close(&taken[0].incident, at(60.0), Over::Ordered));
    let end = table.batch(at(60.0)).notices;
    assert_eq!(end.iter().map(|one| one.activity).collect::<Vec<_>>(), [Activity::Closed]);
    assert!(!table.close(&taken[0].incident, at(60.0), Over::Ordered), "once");
}

#[test]
fn a_new_one_begins_when_the_old_one_is_over() {
    let of = |seconds| read(&typed(install(5000, 4100), 812), "gh-hosts", seconds);
    let mut table = Incidents::default();
    let first = table.take(&of(0.0)).incident;
    let quiet = QUIET.as_secs_f64();
    table.tick(at(quiet - 1.0));
    assert_eq!(table.take(&of(quiet - 1.0)).incident, first);
    table.tick(at(quiet + 1.0));
    assert_eq!(table.len(), 1, "it was not quiet for long enough");
    table.tick(at(quiet * 2.0));
    assert_ne!(table.take(&of(quiet * 2.0)).incident, first);
}

#[test]
fn too_many_at_once_are_one_and_none_is_lost() {
    let of = |n: u32, seconds| read(&chain(service(10_000 + n * 10, &format!("u{n}.service"))), "gh-hosts", seconds);
    let mut table = Incidents::default();
    let flood: Vec<_> = (0..500).map(|n| of(n, 0.01 * f64::from(n))).collect();
    let (taken, notices) = play(&mut table, &flood);
    assert_eq!((table.len(), notices.len()), (OPENED + 1, OPENED + 1));
    let rest = table.get(&taken[499].incident).unwrap();
    assert_eq!(rest.findings, 500 - OPENED as u64);
    assert!(text::title(rest).starts_with("many processes"), "{}", text::title(rest));
}

#[test]
fn the_quietest_makes_room_and_that_is_told() {
    let of = |n: u32, seconds| read(&chain(service(10_000 + n * 10, &format!("u{n}.service"))), "gh-hosts", seconds);
    let mut table = Incidents::default();
    let first = table.take(&of(0, 0.0)).incident;
    let mut notices = table.batch(at(0.0)).notices;
    for n in 1..=OPEN as u32 {
        table.take(&of(n, f64::from(n) * 1.1));
        notices.extend(table.batch(at(f64::from(n) * 1.1)).notices);
    }
    assert_eq!((table.len(), table.take_facts().evicted), (OPEN, 1));
    let closed: Vec<_> = notices.iter().filter(|one| one.activity == Activity::Closed).collect();
    assert_eq!(closed.len(), 1);
    assert_eq!((&closed[0].incident.uid, closed[0].incident.closed.unwrap().1), (&first, Over::NoRoom));
}
