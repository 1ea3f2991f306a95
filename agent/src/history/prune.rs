//! Keeps the history within its bounds: by age, and by size.

use jiff::Timestamp;
use rusqlite::{Connection, params};
use tokenhound_common::process::ProcessKey;

use super::{Database, FILE, HistoryError, incidents, left, outbox};
use crate::{finding::severity::Severity, incident::table::ALIKE, lineage::backfill};

/// Rows that go in one transaction: nobody waits long for it.
const CHUNK: i64 = 500;

/// Most transactions in one go, every ten minutes.
const GO: usize = 64;

/// Most after a batch, for what is too much: far more rows than a batch brings, and findings do not wait for long.
const STEPS: usize = 8;

/// What is too much goes until there is room for a while: a part of this size of the bound.
const ROOM: u64 = 16;

/// Bytes of the write-ahead log beyond which all is put into the database, and it is cut: those who read all the time would
/// keep it from ever being begun anew.
const LOG: u64 = 32 << 20;

/// Free bytes in the file beyond which they are given back, if they are more than what may be used.
const FREE: u64 = 16 << 20;

/// Most processes that are looked at in one go.
const LOOKED: i64 = 4_096;

/// How long a process that has ended may still be what wrote a copy, in milliseconds: longer than marks last in the kernel.
const AFTER: i64 = 15 * 60 * 1000;

/// Room that the file has in advance, so that a disk that others fill does not stop it at once; a quarter of the bound where
/// that is less.
const RESERVE: u64 = 16 << 20;

/// With less free than this the reserve is made anew, and nothing has to go before it is so.
const SHORT: u64 = 4 << 20;

/// How much is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// How long, in seconds. Copies that are still there, and where tokens lie now, are kept however old they are.
    pub max_age: i64,
    /// How much, in bytes on disk. The oldest goes first, and what is below severity `high` before the rest; what a sink has
    /// not taken yet only when nothing else is left, and what is critical of that last.
    pub max_bytes: u64,
    /// Of the findings of an incident that look the same so many are kept and go out, then one a minute; the others are
    /// counted in the incident.
    pub alike: u64,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { max_age: 90 * 86_400, max_bytes: 256 << 20, alike: ALIKE }
    }
}

/// What was taken out.
#[derive(Debug, Default)]
pub(super) struct Pruned {
    /// Rows of each table, if any.
    pub(super) rows: Vec<(&'static str, u64)>,
    /// What sinks have not taken and will not get, if anything.
    pub(super) shed: Vec<(String, u64)>,
    /// Bytes in use afterwards.
    pub(super) bytes: u64,
}

impl Pruned {
    /// Is it something at all?
    pub(super) fn any(&self) -> bool {
        !self.rows.is_empty()
    }

    fn add(&mut self, table: &'static str, count: usize) {
        let count = count as u64;
        match self.rows.iter_mut().find(|(name, _)| *name == table) {
            Some((_, sum)) => *sum += count,
            None if count > 0 => self.rows.push((table, count)),
            None => {}
        }
    }
}

/// Takes out what is too old, then, as long as there is too much, the oldest.
pub(super) fn prune(database: &mut Database, bounds: Bounds) -> Result<Pruned, HistoryError> {
    let run = |db: &Connection| {
        let mut pruned = Pruned::default();
        let before = Timestamp::now().as_millisecond().saturating_sub(bounds.max_age.saturating_mul(1000));
        ended(db, &mut pruned)?;
        outbox::expire(db)?;
        for _ in 0..GO {
            if by_age(db, before, &mut pruned)? == 0 {
                break;
            }
        }
        pruned.add("incidents", incidents::prune(db, before, CHUNK)?);
        db.prepare_cached("DELETE FROM set_aside WHERE at < ?1")?.execute([before])?;
        shrink(db, bounds.max_bytes, GO, &mut pruned)?;
        give_back(db, bounds.max_bytes)?;
        Ok(pruned)
    };
    run(&database.connection).map_err(|source| database.error("prune", source))
}

/// As long as there is too much, takes out the oldest: whatever the rate, there is never more than a batch too much. `None`
/// where there is not.
pub(super) fn by_size(database: &mut Database, bounds: Bounds) -> Result<Option<Pruned>, HistoryError> {
    let log = database.path.with_file_name(format!("{FILE}-wal"));
    let long = std::fs::metadata(log).is_ok_and(|log| log.len() > LOG);
    let run = |db: &Connection| {
        if long {
            db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
        }
        if used(db)? <= bounds.max_bytes {
            return Ok(None);
        }
        let mut pruned = Pruned::default();
        shrink(db, bounds.max_bytes - bounds.max_bytes / ROOM, STEPS, &mut pruned)?;
        Ok(Some(pruned))
    };
    run(&database.connection).map_err(|source| database.error("prune", source))
}

fn shrink(db: &Connection, to: u64, steps: usize, pruned: &mut Pruned) -> rusqlite::Result<()> {
    for _ in 0..steps {
        if used(db)? <= to {
            break;
        }
        if taken(db, pruned)? == 0 && shed(db, Severity::Critical, pruned)? == 0 {
            // Only now what is still there, as it is what has to be cleared away, and what is critical.
            let sql = "DELETE FROM copies WHERE (fingerprint, path) IN
                       (SELECT fingerprint, path FROM copies ORDER BY seen LIMIT ?1 / 4)";
            let copies = db.prepare_cached(sql)?.execute(params![CHUNK])?;
            pruned.add("copies", copies);
            if copies == 0 && all(db, pruned)? == 0 {
                break;
            }
        }
    }
    pruned.bytes = used(db)?;
    Ok(())
}

/// A file that was allowed to be larger once is written anew.
fn give_back(db: &Connection, most: u64) -> rusqlite::Result<()> {
    if free(db)? > FREE.max(most) { db.execute_batch("VACUUM") } else { Ok(()) }
}

/// Bytes of pages that hold nothing.
fn free(db: &Connection) -> rusqlite::Result<u64> {
    let value = |name: &str| db.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    Ok(u64::try_from(value("freelist_count")? * value("page_size")?).unwrap_or(0))
}

/// Makes the file larger than it has to be, where it may become so large anyway.
pub(super) fn reserve(database: &mut Database, bounds: Bounds) -> Result<(), HistoryError> {
    let run = |db: &Connection| {
        let room = RESERVE.min(bounds.max_bytes / 4);
        if free(db)? >= SHORT.min(room) || used(db)? + room > bounds.max_bytes {
            return Ok(());
        }
        let transaction = db.unchecked_transaction()?;
        transaction.execute_batch("DROP TABLE IF EXISTS reserve; CREATE TABLE reserve (bytes BLOB) STRICT")?;
        transaction.execute("INSERT INTO reserve VALUES (zeroblob(?1))", [i64::try_from(room).unwrap_or(0)])?;
        transaction.commit()?;
        db.execute_batch("DROP TABLE reserve")
    };
    run(&database.connection).map_err(|source| database.error("make room in", source))
}

/// The disk is full: makes room inside of the file. Nothing, where there is some: then it is the log that has none.
pub(super) fn make_room(database: &mut Database) -> Result<Pruned, HistoryError> {
    let run = |db: &Connection| {
        let mut pruned = Pruned::default();
        if free(db)? < SHORT && taken(db, &mut pruned)? == 0 && shed(db, Severity::Critical, &mut pruned)? == 0 {
            all(db, &mut pruned)?;
        }
        pruned.bytes = used(db)?;
        Ok(pruned)
    };
    run(&database.connection).map_err(|source| database.error("make room in", source))
}

/// Bytes of pages that hold something. What is free is used again before the file grows.
pub(super) fn used(db: &Connection) -> rusqlite::Result<u64> {
    let value = |name: &str| db.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let pages = value("page_count")? - value("freelist_count")?;
    Ok(u64::try_from(pages * value("page_size")?).unwrap_or(0))
}

fn by_age(db: &Connection, before: i64, pruned: &mut Pruned) -> rusqlite::Result<usize> {
    let statements = [
        (
            "findings",
            "DELETE FROM findings WHERE id IN
             (SELECT id FROM findings WHERE time < ?1 AND id NOT IN (SELECT id FROM outbox) LIMIT ?2)",
        ),
        ("accesses", "DELETE FROM accesses WHERE id IN (SELECT id FROM accesses WHERE last < ?1 LIMIT ?2)"),
        ("egress", "DELETE FROM egress WHERE id IN (SELECT id FROM egress WHERE last < ?1 LIMIT ?2)"),
        (
            "copies",
            "DELETE FROM copies WHERE (fingerprint, path) IN
             (SELECT fingerprint, path FROM copies WHERE state = 'gone' AND seen < ?1 LIMIT ?2)",
        ),
        (
            "places",
            "DELETE FROM places WHERE (fingerprint, path, store, field) IN
             (SELECT fingerprint, path, store, field FROM places WHERE gone < ?1 LIMIT ?2)",
        ),
    ];
    let mut count = 0;
    for (table, sql) in statements {
        let rows = db.prepare_cached(sql)?.execute(params![before, CHUNK])?;
        pruned.add(table, rows);
        count += rows;
    }
    for (table, rows) in left::by_age(db, before, CHUNK)? {
        pruned.add(table, rows);
        count += rows;
    }
    Ok(count)
}

/// The oldest of what no sink waits for.
fn taken(db: &Connection, pruned: &mut Pruned) -> rusqlite::Result<usize> {
    let floor = outbox::floor(db)?;
    let sql = "DELETE FROM findings WHERE id IN
               (SELECT id FROM findings WHERE severity < 3 AND id <= ?1 ORDER BY id LIMIT ?2)";
    let mut findings = db.prepare_cached(sql)?.execute(params![floor, CHUNK])?;
    if findings == 0 {
        let sql = "DELETE FROM findings WHERE id IN (SELECT id FROM findings WHERE id <= ?1 ORDER BY id LIMIT ?2)";
        findings = db.prepare_cached(sql)?.execute(params![floor, CHUNK])?;
    }
    pruned.add("findings", findings);
    let statements = [
        ("accesses", "DELETE FROM accesses WHERE id IN (SELECT id FROM accesses ORDER BY last LIMIT ?1)"),
        ("egress", "DELETE FROM egress WHERE id IN (SELECT id FROM egress ORDER BY last LIMIT ?1)"),
        (
            "copies",
            "DELETE FROM copies WHERE (fingerprint, path) IN
             (SELECT fingerprint, path FROM copies WHERE state = 'gone' ORDER BY seen LIMIT ?1)",
        ),
        (
            "places",
            "DELETE FROM places WHERE (fingerprint, path, store, field) IN
             (SELECT fingerprint, path, store, field FROM places WHERE gone IS NOT NULL ORDER BY gone LIMIT ?1)",
        ),
    ];
    let mut count = findings;
    for (table, sql) in statements {
        let rows = db.prepare_cached(sql)?.execute(params![CHUNK])?;
        pruned.add(table, rows);
        count += rows;
    }
    for (table, rows) in left::oldest(db, CHUNK)? {
        pruned.add(table, rows);
        count += rows;
    }
    Ok(count)
}

/// The oldest of what sinks wait for and that is below that severity.
fn shed(db: &Connection, below: Severity, pruned: &mut Pruned) -> rusqlite::Result<usize> {
    let sql = "SELECT max(id) FROM (SELECT id FROM outbox WHERE severity < 4 ORDER BY id LIMIT ?1)";
    let upto: Option<i64> = db.prepare_cached(sql)?.query_row([CHUNK], |row| row.get(0))?;
    upto.map_or(Ok(0), |upto| give_up(db, upto, below as i64, pruned))
}

/// The oldest of what sinks wait for, critical or not.
fn all(db: &Connection, pruned: &mut Pruned) -> rusqlite::Result<usize> {
    let sql = "SELECT max(id) FROM (SELECT id FROM outbox ORDER BY id LIMIT ?1)";
    let upto: Option<i64> = db.prepare_cached(sql)?.query_row([CHUNK], |row| row.get(0))?;
    upto.map_or(Ok(0), |upto| give_up(db, upto, Severity::Critical as i64 + 1, pruned))
}

/// Takes out of the outbox what is below a severity, up to a position, and notes for which sinks.
fn give_up(db: &Connection, upto: i64, below: i64, pruned: &mut Pruned) -> rusqlite::Result<usize> {
    let transaction = db.unchecked_transaction()?;
    let sql = "SELECT s.name, count(*) FROM sinks s JOIN outbox o ON o.id > s.cursor AND o.id <= ?1 AND o.severity < ?2
               AND o.severity >= s.min_severity AND o.kind BETWEEN s.first_kind AND s.last_kind GROUP BY s.name";
    let sinks: Vec<(String, i64)> = transaction
        .prepare_cached(sql)?
        .query_map(params![upto, below], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    for (sink, count) in &sinks {
        transaction.execute("UPDATE sinks SET shed = shed + ?2 WHERE name = ?1", params![sink, count])?;
    }
    let sql = "DELETE FROM findings WHERE id IN (SELECT id FROM outbox WHERE id <= ?1 AND severity < ?2)";
    let findings = transaction.execute(sql, params![upto, below])?;
    let rows = transaction.execute("DELETE FROM outbox WHERE id <= ?1 AND severity < ?2", params![upto, below])?;
    transaction.commit()?;
    pruned.add("findings", findings);
    pruned.add("outbox", rows);
    for (sink, count) in sinks {
        let count = u64::try_from(count).unwrap_or(0);
        match pruned.shed.iter_mut().find(|(name, _)| *name == sink) {
            Some((_, sum)) => *sum += count,
            None => pruned.shed.push((sink, count)),
        }
    }
    Ok(rows)
}

/// Processes that have ended hold nothing any more.
fn ended(db: &Connection, pruned: &mut Pruned) -> rusqlite::Result<()> {
    let before = Timestamp::now().as_millisecond() - AFTER;
    let sql = "SELECT DISTINCT start_ns, tgid FROM holders WHERE last < ?1 LIMIT ?2";
    let key = |row: &rusqlite::Row<'_>| Ok(ProcessKey::new(row.get::<_, i64>(0)?.cast_unsigned(), row.get(1)?));
    let mut statement = db.prepare_cached(sql)?;
    let holders: Vec<ProcessKey> = statement.query_map(params![before, LOOKED], key)?.collect::<Result<_, _>>()?;
    for holder in holders.into_iter().filter(|holder| !backfill::is_alive(*holder)) {
        let sql = "DELETE FROM holders WHERE tgid = ?1 AND start_ns = ?2 AND last < ?3";
        let gone = params![holder.tgid, holder.start_ns.cast_signed(), before];
        pruned.add("holders", db.prepare_cached(sql)?.execute(gone)?);
    }
    Ok(())
}
