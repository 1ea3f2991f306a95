//! A storm is one incident with exact numbers, and few findings.

use super::*;
use crate::incident::{notice::Activity, table::QUIET, text};

/// Two thousand findings of one process tree: 1,500 reads of three stores by two readers, 500 copies.
fn storm() -> Vec<Finding> {
    (0..2000_u32)
        .map(|n| {
            let mut tree = install(10_000 + n, 4100);
            if n % 2 == 1 {
                tree[0] = process(10_000 + n, 4101, "/usr/bin/cp");
            }
            let (tree, seconds) = (typed(tree, 812), f64::from(n) * 0.005);
            let id = ["gh-hosts", "npmrc", "aws-credentials"][n as usize % 3];
            if n % 4 == 3 { copy(&tree, id, seconds, &format!("/tmp/loot/{n}")) } else { read(&tree, id, seconds) }
        })
        .collect()
}

#[test]
fn a_storm_is_one_incident_with_exact_numbers() {
    let mut table = Incidents::default();
    let (taken, mut notices) = play(&mut table, &storm());
    table.tick(at(10.0) + QUIET);
    notices.extend(table.batch(at(10.0) + QUIET).notices);
    let whole = taken.iter().filter(|one| one.whole).count() as u64;
    assert!(taken.iter().all(|one| one.incident == taken[0].incident));
    assert!(notices.len() <= 5, "{}", notices.len());
    let end = &notices.last().unwrap();
    assert_eq!(end.activity, Activity::Closed);
    let incident = &end.incident;
    assert_eq!((incident.findings, incident.findings - incident.summarised), (2000, whole));
    assert!((50..300).contains(&whole), "{whole}");
    assert_eq!((incident.detectors.of("unexpected-reader"), incident.detectors.of("token-copied")), (1500, 500));
    assert_eq!(incident.readers.of("/usr/bin/cat") + incident.readers.of("/usr/bin/cp"), 2000);
    assert_eq!((incident.stores.total(), incident.stores.of("gh-hosts")), (2000, 667));
    assert_eq!((incident.copies.total(), incident.copies.other), (500, 500 - 24));
    let summarised: u64 = table.take_facts().summarised.iter().map(|(_, count)| count).sum();
    assert_eq!((incident.summarised, incident.summarised_by.total()), (summarised, summarised));
    let said = text::message(end);
    for part in ["2,000 findings", "read 3 stores", "copied 3 tokens (500 times"] {
        assert!(said.contains(part), "{part:?} is not in {said:?}");
    }
}

#[test]
fn an_hour_of_copying_is_some_hundred_findings() {
    let findings = (0..3600_u32).flat_map(|n| {
        let cp = typed(vec![process(10_000 + n, 812, "/usr/bin/cp")], 812);
        let seconds = f64::from(n);
        [read(&cp, "gh-hosts", seconds), copy(&cp, "gh-hosts", seconds, &format!("/tmp/c{n}"))]
    });
    let mut table = Incidents::default();
    let (mut whole, mut notices) = (0, 0);
    for finding in findings {
        whole += u64::from(table.take(&finding).whole);
        notices += table.batch(Timestamp::try_from(finding.wall).unwrap()).notices.len();
    }
    assert_eq!(table.len(), 1);
    assert!(whole < 300 && notices < 10, "{whole} findings, {notices} notifications");
    let text = text::page(table.open().next().unwrap(), Default::default());
    assert!(text.contains("7,200 findings"), "{text}");
}
