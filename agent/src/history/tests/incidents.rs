//! Incidents in the database: with their findings or not at all, there again after a restart, and as somebody orders.

use std::time::{Duration, SystemTime};

use jiff::{SignedDuration, Unit};

use super::*;
use crate::{
    finding::{model::Finding, samples, severity::Severity},
    incident::suppress::Suppression,
    sink::{
        config::{SinkConfig, Take},
        stdout,
    },
};

/// One that has just happened, as all the others of this number's process.
fn finding(number: u64) -> Entry {
    let wall = SystemTime::now() - Duration::from_secs(60) + Duration::from_millis(number);
    let uid = format!("{number:032x}");
    Entry::Finding(Box::new(Finding { uid, wall, severity: Severity::Medium, ..samples::unexpected_reader() }))
}

/// With a sink that has not taken anything yet: what goes out stays.
fn waited_for(state: &Path) -> Database {
    let mut database = Database::open(state).unwrap();
    let sink = SinkConfig { take: Take::Both, ..stdout::default_sink() };
    database.configure_sinks(&[sink]).unwrap();
    database
}

fn texts(database: &Database, sql: &str) -> Vec<String> {
    let mut statement = database.connection.prepare(sql).unwrap();
    let found = statement.query_map([], |row| row.get(0)).unwrap();
    found.collect::<Result<_, _>>().unwrap()
}

#[test]
fn a_storm_is_some_rows_and_goes_on_after_a_restart() {
    let state = tempfile::tempdir().unwrap();
    let mut database = waited_for(state.path());
    let mut open = database.open_incidents(Bounds::default()).unwrap();
    let entries: Vec<Entry> = (0..300).map(finding).collect();
    for batch in entries.chunks(100) {
        database.write(batch, &Host::default(), &mut open).unwrap();
    }
    // It ends in the middle of a batch.
    let mut lost = open.clone();
    database.connection.pragma_update(None, "query_only", true).unwrap();
    database.write(&[finding(300)], &Host::default(), &mut lost).unwrap_err();
    drop((database, open, lost));

    let mut database = waited_for(state.path());
    let mut open = database.open_incidents(Bounds::default()).unwrap();
    database.write(&[finding(300), finding(301), finding(0)], &Host::default(), &mut open).unwrap();
    let found = Database::look(state.path()).unwrap().unwrap().incidents(false, 10).unwrap();
    assert_eq!(
        found.iter().map(|one| one.findings).collect::<Vec<_>>(),
        [302],
        "one that is there already is not counted again"
    );
    let incident = &found[0];
    let whole = incident.findings - incident.summarised;
    assert!(whole < 50, "{whole}");
    let (bodies, count) = database.findings_of(&incident.uid).unwrap();
    assert_eq!((bodies.len() as u64, count), (whole, whole));
    assert!(bodies.iter().all(|body| body.contains(&incident.uid)), "{}", bodies[0]);
    let told = texts(&database, "SELECT title FROM outbox WHERE kind = 1");
    assert!(told.len() == 1 && told[0].starts_with("MEDIUM npm"), "{told:?}");
    let sent = texts(&database, "SELECT uid FROM outbox WHERE kind = 0").len() as u64;
    assert_eq!(sent, whole);
    assert_eq!(database.incidents_with(&incident.uid[..6], 2).unwrap(), found);
}

#[test]
fn what_is_ordered_is_done() {
    let state = tempfile::tempdir().unwrap();
    let mut database = waited_for(state.path());
    let mut open = Incidents::default();
    let now = Timestamp::now();
    let mut quiet = Suppression {
        id: 0,
        detector: None,
        store: Some("aws-credentials".into()),
        reader: None,
        incident: None,
        reason: "a drill".into(),
        by: "ann".into(),
        until: now.round(Unit::Second).unwrap() + SignedDuration::from_hours(1),
    };
    quiet.id = database.suppress(&quiet, now).unwrap();
    database.write(&[finding(0)], &Host::default(), &mut open).unwrap();
    assert_eq!(database.suppressions(now).unwrap(), [quiet.clone()]);
    assert!(database.suppressions(quiet.until).unwrap().is_empty(), "its time is over");
    assert!(texts(&database, "SELECT title FROM outbox WHERE kind = 1").is_empty());
    assert!(database.unsuppress(quiet.id).unwrap() && !database.unsuppress(quiet.id).unwrap());
    database.write(&[finding(1)], &Host::default(), &mut open).unwrap();
    let uid = open.open().next().unwrap().uid.clone();
    database.order_close(&uid).unwrap();
    assert!(database.is_ordered().unwrap());
    database.write(&[], &Host::default(), &mut open).unwrap();
    assert!(open.is_empty() && !database.is_ordered().unwrap());
    let told = texts(&database, "SELECT title FROM outbox WHERE kind = 1 ORDER BY id");
    assert!(told.len() == 2 && told[1].starts_with("CLOSED (medium, 2 findings in all)"), "{told:?}");
    assert!(database.incidents(false, 10).unwrap().is_empty());
    assert_eq!(database.incidents(true, 10).unwrap().len(), 1);
    assert_eq!(super::super::incidents::prune(&database.connection, i64::MAX, 10).unwrap(), 1);
}
