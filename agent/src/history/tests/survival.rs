//! What the history survives: the end of its writer at any moment, a disk that is full or cannot be written to, and storms.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Command, Stdio},
    sync::LazyLock,
};

use prometheus_client::{encoding::text, registry::Registry};

use super::{
    super::*,
    setup, token,
    trail::{accessed, copied},
};
use crate::{
    detect::lifecycle::Change,
    finding::{model::Finding, samples, severity::Severity},
    history::model::Entry,
    telemetry::metrics::Metrics,
};

const STATE: &str = "TOKENHOUND_TEST_STATE";

pub(crate) fn finding(number: u32) -> Finding {
    static ONE: LazyLock<Finding> = LazyLock::new(|| samples::all().swap_remove(0));
    Finding { uid: format!("{number:032x}"), ..ONE.clone() }
}

/// The writer of [`a_killed_writer_loses_nothing_that_it_has_confirmed`]: says the number of each finding once it is
/// written, without an end.
#[test]
#[ignore = "a process for another test"]
fn writes_without_an_end() {
    let Some(state) = std::env::var_os(STATE) else { return };
    let mut database = Database::open(Path::new(&state)).unwrap();
    let mut out = std::io::stdout().lock();
    for number in 0_u32.. {
        let one = token(&format!("/home/ann/{number}"), &format!("made up {number}"));
        let entries = [
            Entry::Token(Change::Is(Box::new(one))),
            Entry::Access(Box::new(accessed(number, "/usr/bin/cat"))),
            Entry::Finding(Box::new(finding(number))),
        ];
        database.write(&entries, &Host::default(), &mut super::whole()).unwrap();
        if writeln!(out, "\nwritten {number}").and_then(|()| out.flush()).is_err() {
            return;
        }
    }
}

#[test]
fn a_killed_writer_loses_nothing_that_it_has_confirmed() {
    let state = tempfile::tempdir().unwrap();
    for round in 0..3 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["history::tests::survival::writes_without_an_end", "--exact", "--ignored", "--nocapture"])
            .env(STATE, state.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let numbers = lines.filter_map(|line| line.strip_prefix("written ")?.parse::<u32>().ok());
        let confirmed: Vec<u32> = numbers.take(40 + round * 17).collect();
        // In the middle of whatever it is at.
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(confirmed.len(), 40 + round * 17);
        let database = Database::open(state.path()).unwrap();
        for number in &confirmed {
            assert_eq!(database.findings_with(&format!("{number:032x}"), 2).unwrap().len(), 1, "{round}: {number}");
        }
        let whole = database.connection.query_row("PRAGMA integrity_check", [], |row| row.get::<_, String>(0)).unwrap();
        assert_eq!(whole, "ok");
        let extent = database.extent().unwrap();
        let rows = |table: &str| extent.rows.iter().find(|(name, _)| *name == table).unwrap().1;
        assert!(rows("tokens") as usize >= confirmed.len() && rows("findings") as usize >= confirmed.len());
    }
}

fn counted(registry: &Registry) -> String {
    let mut page = String::new();
    text::encode(&mut page, registry).unwrap();
    page
}

fn value(page: &str, name: &str) -> i64 {
    page.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok()).unwrap_or(0)
}

/// A disk that says no: what was given is there, or counted as lost, or as taken out for the rest; and nobody is held up.
fn refused(pragma: &str, limit: i64) -> (i64, String) {
    let state = tempfile::tempdir().unwrap();
    let database = Database::open(state.path()).unwrap();
    database.connection.pragma_update(None, pragma, limit).unwrap();
    let (metrics, registry) = Metrics::new();
    let mut writer = Writer::start(database, Setup { metrics, ..setup() }).unwrap();
    for number in 0..700 {
        let severity = if number == 1 { Severity::Critical } else { Severity::Medium };
        writer.send(Entry::Finding(Box::new(Finding { severity, ..finding(number) })));
    }
    drop(writer);
    let page = counted(&registry);
    let database = Database::look(state.path()).unwrap().unwrap();
    let written = database.extent().unwrap();
    let written = written.rows.iter().find(|(name, _)| *name == "findings").unwrap().1;
    let lost = value(&page, "tokenhound_history_lost_total");
    let pruned = value(&page, "tokenhound_history_pruned_total{table=\"findings\"}");
    assert_eq!(lost + pruned + written, 700, "each is written or counted: {page}");
    if written > 0 {
        let last = database.findings_with(&format!("{:032x}", 699), 1).unwrap();
        assert_eq!(last.len(), 1, "the oldest goes for the newest");
    }
    (lost, page)
}

#[test]
fn a_disk_that_is_full_or_read_only_is_counted() {
    let (lost, page) = refused("query_only", 1);
    assert_eq!((lost, value(&page, "tokenhound_sink_dropped_total{sink=\"all\"}")), (700, 700), "{page}");
    // A full disk: what is already in the file goes, the oldest first.
    let (lost, page) = refused("max_page_count", 400);
    assert_eq!(lost, 0, "{page}");
}

#[test]
fn a_storm_of_reads_is_a_few_rows() {
    let state = tempfile::tempdir().unwrap();
    let mut writer = Writer::start(Database::open(state.path()).unwrap(), setup()).unwrap();
    let storm: Vec<Entry> = (0..5_000).map(|_| Entry::Access(Box::new(accessed(7, "/usr/bin/grep")))).collect();
    for chunk in storm.chunks(500) {
        chunk.iter().for_each(|entry| writer.send(entry.clone()));
    }
    drop(writer);
    let database = Database::open(state.path()).unwrap();
    let rows = database.connection.query_row("SELECT count(*), sum(count) FROM accesses", [], |row| {
        Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?))
    });
    assert_eq!(rows.unwrap(), (1, 5_000));
}

#[test]
fn it_stays_within_its_bounds_and_keeps_what_matters_longest() {
    let state = tempfile::tempdir().unwrap();
    let mut database = Database::open(state.path()).unwrap();
    let of = |number: u32| {
        let severity = if number == 3 { Severity::Critical } else { finding(0).severity.min(Severity::Low) };
        Entry::Finding(Box::new(Finding { severity, ..finding(number) }))
    };
    let entries: Vec<Entry> = (0..6_000).map(of).collect();
    for chunk in entries.chunks(500) {
        database.write(chunk, &Host::default(), &mut super::whole()).unwrap();
    }
    let before = prune::used(&database.connection).unwrap();
    let last = |database: &Database| {
        let sql = "SELECT max(id) FROM findings";
        database.connection.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap()
    };
    let newest = last(&database);
    let bounds = Bounds { max_age: 100 * 365 * 86_400, max_bytes: before / 2, ..Bounds::default() };
    let pruned = prune::prune(&mut database, bounds).unwrap();
    assert!(pruned.bytes <= bounds.max_bytes && pruned.rows[0].0 == "findings", "{pruned:?}");
    assert_eq!(last(&database), newest, "the oldest goes first");
    assert_eq!(database.findings_with(&format!("{:032x}", 3), 1).unwrap().len(), 1, "it is critical");
    assert!(database.findings_with(&format!("{:032x}", 4), 1).unwrap().is_empty());
    let pruned = prune::prune(&mut database, Bounds { max_age: 1, ..bounds }).unwrap();
    assert!(pruned.rows.iter().any(|(name, count)| *name == "findings" && *count > 0), "{pruned:?}");
    database.write(&[of(9_999)], &Host::default(), &mut super::whole()).unwrap();
    assert!(last(&database) > newest, "numbers are never given again: a cursor stays true");
}

#[test]
fn copies_that_are_still_there_are_the_last_to_go() {
    let state = tempfile::tempdir().unwrap();
    let mut database = Database::open(state.path()).unwrap();
    let mut entries: Vec<Entry> = (0..4_500).map(|number| Entry::Finding(Box::new(finding(number)))).collect();
    entries.push(Entry::Copy(Box::new(copied("/home/ann/deploy.sh"))));
    for chunk in entries.chunks(500) {
        database.write(chunk, &Host::default(), &mut super::whole()).unwrap();
    }
    let bounds = |database: &Database, less| Bounds {
        max_age: 100 * 365 * 86_400,
        max_bytes: prune::used(&database.connection).unwrap() - less,
        ..Bounds::default()
    };
    let limit = bounds(&database, 1);
    prune::prune(&mut database, limit).unwrap();
    assert_eq!(database.copies().unwrap().len(), 1, "there were findings to take");
    let pruned = prune::prune(&mut database, Bounds { max_bytes: 0, ..limit }).unwrap();
    assert_eq!(database.copies().unwrap().len(), 0, "the bound holds");
    assert!(pruned.rows.contains(&("copies", 1)), "{pruned:?}");
}

/// Of the database and its log, in bytes.
fn on_disk(state: &Path) -> u64 {
    let length = |name: String| fs::metadata(state.join(name)).map_or(0, |file| file.len());
    length(FILE.to_owned()) + length(format!("{FILE}-wal"))
}

#[test]
fn the_bound_holds_under_a_storm() {
    let state = tempfile::tempdir().unwrap();
    let bounds = Bounds { max_bytes: 4 << 20, alike: u64::MAX, ..Bounds::default() };
    let mut writer = Writer::start(Database::open(state.path()).unwrap(), Setup { bounds, ..setup() }).unwrap();
    let mut most = 0;
    for number in 0..12_000 {
        writer.send(Entry::Finding(Box::new(finding(number))));
        if number % 500 == 0 {
            most = most.max(on_disk(state.path()));
        }
    }
    drop(writer);
    most = most.max(on_disk(state.path()));
    // A batch too much, and the log of the last writes.
    assert!(most < bounds.max_bytes + (20 << 20), "{most}");
    let database = Database::look(state.path()).unwrap().unwrap();
    assert!(prune::used(&database.connection).unwrap() < bounds.max_bytes * 5 / 4);
    assert_eq!(database.findings_with(&format!("{:032x}", 11_999), 1).unwrap().len(), 1, "the last is there");
}
