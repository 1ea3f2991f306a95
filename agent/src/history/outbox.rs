//! The outbox as a sink's thread and `doctor` see it: entries from a cursor on, the cursor itself, what was set aside.
//!
//! Each sink has its own connection and its own row; the writer deletes what all of them have (`trim`).

use std::path::Path;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{Database, HistoryError, write::milliseconds};
use crate::{
    finding::severity::Severity,
    sink::{
        Item, Kind,
        config::{SinkConfig, Take},
    },
};

/// How long the cursor of a sink that is no longer configured is kept, in milliseconds: seven days.
const KEPT: i64 = 7 * 86_400_000;

/// Most entries that are kept as set aside for one sink; then the oldest is forgotten.
const ASIDE: i64 = 1024;

/// Most of them that are listed.
const LISTED: i64 = 5;

/// Most bytes of bodies that are read in one go.
const BYTES: usize = 4 << 20;

/// Longest text of an error that is kept, in characters.
const WHY: usize = 300;

/// Kinds that a sink takes, as the first and the last number.
fn kinds(take: Take) -> (i64, i64) {
    let (finding, incident) = (Kind::Finding as i64, Kind::Incident as i64);
    match take {
        Take::Findings => (finding, finding),
        Take::Incidents => (incident, incident),
        Take::Both => (finding, incident),
    }
}

fn moment(at: i64) -> Timestamp {
    Timestamp::from_millisecond(at).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// The last position that was given.
pub(super) fn last(db: &Connection) -> rusqlite::Result<i64> {
    let sql = "SELECT seq FROM sqlite_sequence WHERE name = 'outbox'";
    Ok(db.prepare_cached(sql)?.query_row([], |row| row.get(0)).optional()?.unwrap_or(0))
}

/// The last position that every sink has for sure.
pub(super) fn floor(db: &Connection) -> rusqlite::Result<i64> {
    let sql = "SELECT min(min(cursor, coalesce(again, cursor))) FROM sinks";
    let floor: Option<i64> = db.prepare_cached(sql)?.query_row([], |row| row.get(0))?;
    Ok(floor.unwrap_or(i64::MAX))
}

/// Takes out what every sink has.
pub(super) fn trim(db: &Connection) -> rusqlite::Result<()> {
    db.prepare_cached("DELETE FROM outbox WHERE id <= ?1")?.execute([floor(db)?]).map(drop)
}

/// Forgets the cursors of sinks that have not been configured for long, and what all others have.
pub(super) fn expire(db: &Connection) -> rusqlite::Result<()> {
    let before = milliseconds(Timestamp::now()) - KEPT;
    let mut statement = db.prepare_cached("DELETE FROM sinks WHERE removed < ?1 RETURNING name")?;
    for name in statement.query_map([before], |row| row.get::<_, String>(0))? {
        tracing::info!(sink = name?, "the cursor of a sink that is no longer configured is forgotten");
    }
    trim(db)
}

impl Database {
    /// Notes which sinks there are. A new one begins at the end of the outbox; one that is no longer configured keeps its
    /// place for seven days, and one that comes back within them goes on where it was.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn configure_sinks(&mut self, sinks: &[SinkConfig]) -> Result<(), HistoryError> {
        let configure = |db: &mut Connection| {
            let transaction = db.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
            let end = last(&transaction)?;
            let now = milliseconds(Timestamp::now());
            transaction.execute("UPDATE sinks SET removed = ?1 WHERE removed IS NULL", [now])?;
            for sink in sinks {
                let (first, last) = kinds(sink.take);
                let sql = "INSERT INTO sinks (name, cursor, min_severity, first_kind, last_kind)
                           VALUES (?1, ?2, ?3, ?4, ?5)
                           ON CONFLICT DO UPDATE SET removed = NULL, min_severity = excluded.min_severity,
                               first_kind = excluded.first_kind, last_kind = excluded.last_kind";
                transaction.execute(sql, params![sink.name, end, sink.min_severity as i64, first, last])?;
            }
            expire(&transaction)?;
            transaction.commit()
        };
        configure(&mut self.connection).map_err(|source| self.error("note the sinks in", source))
    }

    /// The last position of the outbox.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn last_position(&self) -> Result<i64, HistoryError> {
        last(&self.connection).map_err(|source| self.error("read", source))
    }

    /// How many entries wait for a sink.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn waiting(&self) -> Result<i64, HistoryError> {
        let count = self.connection.query_row("SELECT count(*) FROM outbox", [], |row| row.get(0));
        count.map_err(|source| self.error("read the outbox in", source))
    }

    /// What is known of each sink, by name.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn sinks(&self) -> Result<Vec<SinkState>, HistoryError> {
        let read = |db: &Connection| {
            // `doctor` may look before an agent of this version has brought the database up to date.
            if !db.table_exists(None, "sinks")? {
                return Ok(Vec::new());
            }
            let last = last(db)?;
            let sql = "SELECT name, cursor, removed, shed, failing, since,
                              (SELECT count(*) FROM set_aside WHERE sink = name) FROM sinks ORDER BY name";
            let mut statement = db.prepare(sql)?;
            let states = statement.query_map([], |row| state(row, last))?;
            states
                .map(|found| found.and_then(|found| Ok(SinkState { aside: aside(db, &found.name)?, ..found })))
                .collect()
        };
        read(&self.connection).map_err(|source| self.error("read the sinks in", source))
    }
}

#[cfg(test)]
impl Database {
    /// As if the agent had ended before the cursor was written.
    pub(crate) fn rewind(&self, sink: &str, to: i64) {
        self.connection.execute("UPDATE sinks SET cursor = ?2 WHERE name = ?1", params![sink, to]).unwrap();
    }

    /// Prunes to that size and age, in bytes and seconds; returns what sinks will not get.
    pub(crate) fn prune_to(&mut self, max_bytes: u64, max_age: i64) -> Vec<(String, u64)> {
        super::prune::prune(self, super::Bounds { max_age, max_bytes, ..super::Bounds::default() }).unwrap().shed
    }

    /// Bytes in use.
    pub(crate) fn size(&self) -> u64 {
        super::prune::used(&self.connection).unwrap()
    }
}

fn state(row: &Row<'_>, last: i64) -> rusqlite::Result<SinkState> {
    let since: Option<i64> = row.get(5)?;
    Ok(SinkState {
        name: row.get(0)?,
        behind: last - row.get::<_, i64>(1)?,
        removed: row.get::<_, Option<i64>>(2)?.map(moment),
        shed: row.get(3)?,
        failing: row.get::<_, Option<String>>(4)?.map(|why| (why, moment(since.unwrap_or_default()))),
        set_aside: row.get(6)?,
        aside: Vec::new(),
    })
}

fn aside(db: &Connection, sink: &str) -> rusqlite::Result<Vec<SetAside>> {
    let sql = "SELECT uid, title, why, at FROM set_aside WHERE sink = ?1 ORDER BY id DESC LIMIT ?2";
    let one = |row: &Row<'_>| {
        Ok(SetAside { uid: row.get(0)?, title: row.get(1)?, why: row.get(2)?, at: moment(row.get(3)?) })
    };
    db.prepare_cached(sql)?.query_map(params![sink, LISTED], one)?.collect()
}

/// How it stands with a sink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SinkState {
    /// Its name.
    pub name: String,
    /// Entries of the outbox that it has not been past yet.
    pub behind: i64,
    /// Since when it is no longer configured.
    pub removed: Option<Timestamp>,
    /// Entries that it did not get, because they had to go.
    pub shed: i64,
    /// The error that it has now, and since when.
    pub failing: Option<(String, Timestamp)>,
    /// How many entries were refused for good.
    pub set_aside: i64,
    /// The latest of them, at most five.
    pub aside: Vec<SetAside>,
}

/// An entry that a receiver refused for good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetAside {
    /// Uid of the finding or incident.
    pub uid: String,
    /// One line.
    pub title: String,
    /// Why it was refused.
    pub why: String,
    /// When.
    pub at: Timestamp,
}

/// What comes next for a sink.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Next {
    /// Entries that are for it.
    pub items: Vec<Item>,
    /// Up to there, nothing else is.
    pub through: i64,
}

/// A sink's place in the outbox.
pub struct Cursor {
    database: Database,
    sink: String,
    min_severity: Severity,
    kinds: (i64, i64),
}

impl Cursor {
    /// Of that sink, which has been noted by [`Database::configure_sinks`].
    ///
    /// # Errors
    /// When the database in `state` cannot be used.
    pub fn open(state: &Path, sink: &SinkConfig) -> Result<Self, HistoryError> {
        let database = Database::open(state)?;
        // There is one for each sink, and each reads a little, once.
        let small = database.connection.pragma_update(None, "cache_size", -256);
        small.map_err(|source| database.error("set up", source))?;
        Ok(Self { database, sink: sink.name.clone(), min_severity: sink.min_severity, kinds: kinds(sink.take) })
    }

    /// The last position that the sink has for sure, as it is written down.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn at(&self) -> Result<i64, HistoryError> {
        let sql = "SELECT min(cursor, coalesce(again, cursor)) FROM sinks WHERE name = ?1";
        let found = self.database.connection.query_row(sql, [&self.sink], |row| row.get(0));
        found.map_err(|source| self.database.error("read the cursor in", source))
    }

    /// What comes after that position: at most so many, and at least one, up to 4 MiB.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn next(&self, after: i64, most: usize) -> Result<Next, HistoryError> {
        self.read(after, most).map_err(|source| self.database.error("read the outbox in", source))
    }

    fn read(&self, after: i64, most: usize) -> rusqlite::Result<Next> {
        // One moment: what is committed between the two questions must not be skipped.
        let moment = self.database.connection.unchecked_transaction()?;
        let mut next = Next { items: Vec::new(), through: last(&moment)?.max(after) };
        let sql = "SELECT o.id, o.kind, o.uid, o.time, o.severity, o.detector, o.title, coalesce(o.body, f.body)
                   FROM outbox o LEFT JOIN findings f ON o.kind = 0 AND f.id = o.id
                   WHERE o.id > ?1 AND o.severity >= ?2 AND o.kind BETWEEN ?3 AND ?4 ORDER BY o.id LIMIT ?5";
        let mut statement = moment.prepare_cached(sql)?;
        let limit = i64::try_from(most).unwrap_or(i64::MAX);
        let mut rows = statement.query(params![after, self.min_severity as i64, self.kinds.0, self.kinds.1, limit])?;
        let mut bytes = 0;
        while let Some(row) = rows.next()? {
            // The two are deleted together; an entry without a body is one that somebody else has taken out.
            let Some(item) = item(row)? else { continue };
            bytes += item.body.len();
            next.items.push(item);
            if bytes > BYTES {
                break;
            }
        }
        if let Some(item) = next.items.last()
            && (next.items.len() >= most || bytes > BYTES)
        {
            next.through = item.id;
        }
        Ok(next)
    }

    /// The sink was given everything up to there; if it ends now, the next begins after `again`.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn advance(&mut self, to: i64, again: i64) -> Result<(), HistoryError> {
        let sql = "UPDATE sinks SET cursor = max(cursor, ?2), again = ?3 WHERE name = ?1";
        let values = params![self.sink, to, again];
        let done = self.database.connection.prepare_cached(sql).and_then(|mut sql| sql.execute(values));
        done.map(drop).map_err(|source| self.database.error("write the cursor in", source))
    }

    /// The receiver refuses that entry for good: it is noted, and passed.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn set_aside(&mut self, item: &Item, why: &str) -> Result<(), HistoryError> {
        let set = |db: &mut Connection| {
            let transaction = db.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
            let sql = "INSERT OR IGNORE INTO set_aside (sink, item, kind, uid, severity, title, why, at)
                       VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
            let (kind, severity) = (item.kind as i64, item.severity as i64);
            let now = milliseconds(Timestamp::now());
            let values = params![self.sink, item.id, kind, item.uid, severity, item.title, short(why), now];
            transaction.execute(sql, values)?;
            let sql = "DELETE FROM set_aside WHERE sink = ?1 AND id <=
                       (SELECT id FROM set_aside WHERE sink = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)";
            transaction.execute(sql, params![self.sink, ASIDE])?;
            transaction
                .execute("UPDATE sinks SET cursor = max(cursor, ?2) WHERE name = ?1", params![self.sink, item.id])?;
            transaction.commit()
        };
        set(&mut self.database.connection).map_err(|source| self.database.error("set an entry aside in", source))
    }

    /// The sink fails with that, or no longer. `doctor` tells it.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn failing(&mut self, why: Option<&str>) -> Result<(), HistoryError> {
        let sql = "UPDATE sinks SET failing = ?2, since = iif(?2 IS NULL, NULL, coalesce(since, ?3)) WHERE name = ?1";
        let values = params![self.sink, why.map(short), milliseconds(Timestamp::now())];
        let done = self.database.connection.execute(sql, values);
        done.map(drop).map_err(|source| self.database.error("write in", source))
    }
}

fn short(why: &str) -> String {
    crate::finding::visible::text(&why.chars().take(WHY).collect::<String>())
}

fn item(row: &Row<'_>) -> rusqlite::Result<Option<Item>> {
    let Some(body) = row.get::<_, Option<String>>(7)? else { return Ok(None) };
    let kind = if row.get::<_, i64>(1)? == Kind::Incident as i64 { Kind::Incident } else { Kind::Finding };
    let severity: u32 = row.get(4)?;
    Ok(Some(Item {
        id: row.get(0)?,
        kind,
        uid: row.get(2)?,
        time: moment(row.get(3)?),
        severity: Severity::ALL.get(severity as usize).copied().unwrap_or(Severity::Critical),
        detector: row.get(5)?,
        title: row.get(6)?,
        body,
    }))
}
