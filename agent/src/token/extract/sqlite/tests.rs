use std::{fs, path::Path};

use super::*;
use crate::{
    catalogue::model::Format,
    token::selector::{Place, find},
};

fn values(database: &Database, selector: &str) -> Result<Vec<(String, String)>, String> {
    let Ok(Place::Column(column)) = find(selector, Format::Sqlite).map(|find| find.place) else { panic!("{selector}") };
    let pair = |found: Found| (found.label, String::from_utf8_lossy(&found.bytes).into_owned());
    Ok(database.values(&column)?.into_iter().map(pair).collect())
}

fn pair(label: &str, value: &str) -> (String, String) {
    (label.to_owned(), value.to_owned())
}

/// A database in WAL mode as its program leaves it while it runs: the main file, and a log with what came later.
fn with_log(directory: &Path) -> (Vec<u8>, Vec<u8>) {
    let path = directory.join("x.db");
    let writer = Connection::open(&path).unwrap();
    writer.pragma_update(None, "journal_mode", "wal").unwrap();
    writer.pragma_update(None, "wal_autocheckpoint", 0).unwrap();
    writer.execute_batch("CREATE TABLE t(k TEXT PRIMARY KEY, v); INSERT INTO t VALUES('a', 'old')").unwrap();
    writer.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    writer.execute_batch("UPDATE t SET v = 'new'; INSERT INTO t VALUES('b', zeroblob(9000)), ('c', 7)").unwrap();
    (fs::read(&path).unwrap(), fs::read(directory.join("x.db-wal")).unwrap())
}

#[test]
fn the_log_is_part_of_the_database() {
    let directory = tempfile::tempdir().unwrap();
    let (database, log) = with_log(directory.path());
    let without = Database::open(&database, None).unwrap();
    assert_eq!(values(&without, "t.v by k").unwrap(), [pair("t.v a", "old")]);
    let with = Database::open(&database, Some(&log)).unwrap();
    let found = values(&with, "t.v by k").unwrap();
    assert_eq!(found.len(), 3);
    assert_eq!((&found[0], &found[2]), (&pair("t.v a", "new"), &pair("t.v c", "7")));
    assert_eq!(values(&with, "t.v where k glob '[bc]' by k").unwrap().len(), 2);
}

#[test]
fn a_log_counts_as_far_as_its_sums_and_salts_are_right() {
    let directory = tempfile::tempdir().unwrap();
    let (database, log) = with_log(directory.path());
    let seen = |log: &[u8]| values(&Database::open(&database, Some(log)).unwrap(), "t.v where k glob 'a'").unwrap();
    assert_eq!(seen(&log), [pair("t.v", "new")]);
    // A bit in the header, the salt, the sum and the page of the first frame; and a log cut within a transaction.
    for at in [9, 16, 32 + 8, 32 + 16, 32 + 24 + 100] {
        let mut broken = log.clone();
        broken[at] ^= 1;
        assert_eq!(seen(&broken), [pair("t.v", "old")], "byte {at}");
    }
    // Cut within the first frame, and within the last: the second transaction is not there, the first is.
    assert_eq!(seen(&log[..100]), [pair("t.v", "old")]);
    let cut = Database::open(&database, Some(&log[..log.len() - 1])).unwrap();
    assert_eq!(values(&cut, "t.v by k").unwrap(), [pair("t.v a", "new")]);
}

#[test]
fn what_is_not_there_is_empty_and_what_is_wrong_is_said() {
    let directory = tempfile::tempdir().unwrap();
    let (database, _) = with_log(directory.path());
    let open = Database::open(&database, None).unwrap();
    assert_eq!(values(&open, "other.v"), Ok(Vec::new()));
    assert!(values(&open, "t.other").unwrap_err().contains("not as the catalogue says"));
    assert!(Database::open(b"SQLite format 3\0", None).is_err());
    let mut broken = database;
    broken[100..].fill(0xff);
    let error = Database::open(&broken, None).and_then(|database| values(&database, "t.v")).unwrap_err();
    assert!(error.contains("SQLite"), "{error}");
}

#[test]
fn nothing_that_a_database_brings_is_run() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x.db");
    let writer = Connection::open(&path).unwrap();
    writer
        .execute_batch(
            "CREATE VIEW v AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n;
             CREATE TABLE t(i INTEGER)",
        )
        .unwrap();
    drop(writer);
    let database = Database::open(&fs::read(&path).unwrap(), None).unwrap();
    assert_eq!(values(&database, "v.i"), Ok(Vec::new()));
}
