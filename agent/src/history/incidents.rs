//! Incidents in the history: what is open goes on after a restart, what was told is an entry of the outbox, and what somebody
//! orders on the command line is found by the agent that runs.

use jiff::Timestamp;
use rusqlite::{Connection, Row, params};

use super::{
    Database, HistoryError,
    write::{Outgoing, milliseconds, outgoing},
};
use crate::{
    finding::ocsf::Host,
    incident::{
        model::{Incident, Over},
        ocsf,
        suppress::{LIMIT, Suppression},
        table::{Batch, Incidents, OPEN},
        text,
    },
    sink::Kind,
};

/// Most incidents that are over and kept. Beyond, the oldest go.
const KEPT: i64 = 10_000;

/// Most findings that are listed of one incident.
const LISTED: i64 = 64;

/// Those that were open when the agent ended. A row that cannot be understood is left out, and closed.
pub(super) fn open(db: &Connection) -> rusqlite::Result<Vec<Incident>> {
    let mut statement = db.prepare("SELECT body FROM incidents WHERE closed IS NULL ORDER BY last DESC LIMIT ?1")?;
    let bodies = statement.query_map([OPEN as i64], |row| row.get::<_, String>(0))?;
    let read = |body: rusqlite::Result<String>| body.map(|body| serde_json::from_str(&body).ok()).transpose();
    bodies.filter_map(read).collect()
}

/// Takes in what was ordered since.
pub(super) fn obey(db: &Connection, incidents: &mut Incidents, now: Timestamp) -> rusqlite::Result<()> {
    incidents.suppress(suppressions(db, now)?);
    let mut statement = db.prepare_cached("DELETE FROM incident_orders RETURNING uid")?;
    let orders: Vec<String> = statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    for uid in orders {
        incidents.close(&uid, now, Over::Ordered);
    }
    Ok(())
}

/// Whether something was ordered.
pub(super) fn is_ordered(db: &Connection) -> rusqlite::Result<bool> {
    db.prepare_cached("SELECT 1 FROM incident_orders")?.exists([])
}

/// Writes down what has changed, and puts what is to be told into the outbox. True where that is something.
pub(super) fn write(db: &Connection, host: &Host, batch: &Batch) -> rusqlite::Result<bool> {
    for incident in &batch.changed {
        row(db, incident)?;
    }
    if batch.changed.iter().any(|incident| !incident.is_open()) {
        let sql = "DELETE FROM incidents WHERE uid IN
                   (SELECT uid FROM incidents WHERE closed IS NOT NULL ORDER BY closed DESC LIMIT -1 OFFSET ?1)";
        db.prepare_cached(sql)?.execute([KEPT])?;
    }
    for notice in &batch.notices {
        let incident = &notice.incident;
        let entry = Outgoing {
            kind: Kind::Incident,
            uid: &incident.uid,
            time: notice.time,
            severity: incident.severity,
            detector: &incident.worst.detector,
            title: &text::message(notice),
            body: Some(&ocsf::line(notice, host)),
        };
        outgoing(db, &entry)?;
    }
    Ok(!batch.notices.is_empty())
}

fn row(db: &Connection, incident: &Incident) -> rusqlite::Result<()> {
    let sql = "INSERT INTO incidents (uid, opened, last, closed, severity, findings, title, body)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
               ON CONFLICT DO UPDATE SET opened = excluded.opened, last = excluded.last, closed = excluded.closed,
                   severity = excluded.severity, findings = excluded.findings, title = excluded.title,
                   body = excluded.body";
    let body =
        serde_json::to_string(incident).map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
    let values = params![
        incident.uid,
        milliseconds(incident.opened),
        milliseconds(incident.last),
        incident.closed.map(|(at, _)| milliseconds(at)),
        incident.severity as i64,
        incident.findings.cast_signed(),
        text::title(incident),
        body
    ];
    db.prepare_cached(sql)?.execute(values).map(drop)
}

/// Takes out what was over before that moment, and suppressions that have ended. Returns how many incidents went.
pub(super) fn prune(db: &Connection, before: i64, most: i64) -> rusqlite::Result<usize> {
    db.prepare_cached("DELETE FROM suppressions WHERE until < ?1")?.execute([before])?;
    let sql =
        "DELETE FROM incidents WHERE uid IN (SELECT uid FROM incidents WHERE closed < ?1 ORDER BY closed LIMIT ?2)";
    db.prepare_cached(sql)?.execute(params![before, most])
}

fn suppressions(db: &Connection, now: Timestamp) -> rusqlite::Result<Vec<Suppression>> {
    let sql = "SELECT id, detector, store, reader, incident, reason, who, until FROM suppressions WHERE until > ?1
               ORDER BY until LIMIT ?2";
    let one = |row: &Row<'_>| {
        Ok(Suppression {
            id: row.get(0)?,
            detector: row.get(1)?,
            store: row.get(2)?,
            reader: row.get(3)?,
            incident: row.get(4)?,
            reason: row.get(5)?,
            by: row.get(6)?,
            until: Timestamp::from_millisecond(row.get(7)?).unwrap_or(Timestamp::MIN),
        })
    };
    db.prepare_cached(sql)?.query_map(params![milliseconds(now), LIMIT as i64], one)?.collect()
}

/// Why nothing was ordered.
#[derive(Debug, thiserror::Error)]
pub enum OrderError {
    /// The database could not be used.
    #[error(transparent)]
    History(#[from] HistoryError),
    /// Too many hold already.
    #[error(
        "{LIMIT} suppressions hold already; write policy exceptions (docs/policy.md) for what is in order for good"
    )]
    TooMany,
}

impl Database {
    /// Incidents, those that are open first, then the latest; at most `most`.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn incidents(&self, closed: bool, most: usize) -> Result<Vec<Incident>, HistoryError> {
        self.ask(|db| {
            let sql = "SELECT body FROM incidents WHERE closed IS NULL OR ?1
                       ORDER BY closed IS NOT NULL, severity DESC, last DESC LIMIT ?2";
            bodies(db, sql, params![closed, i64::try_from(most).unwrap_or(i64::MAX)])
        })
    }

    /// Incidents whose ids begin so; at most `most`.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn incidents_with(&self, uid: &str, most: usize) -> Result<Vec<Incident>, HistoryError> {
        self.ask(|db| {
            let sql = "SELECT body FROM incidents WHERE uid >= ?1 AND uid < ?1 || 'g' ORDER BY uid LIMIT ?2";
            bodies(db, sql, params![uid, i64::try_from(most).unwrap_or(i64::MAX)])
        })
    }

    /// Bodies of the findings of an incident that are stored, oldest first, at most 64; and how many there are.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn findings_of(&self, incident: &str) -> Result<(Vec<String>, u64), HistoryError> {
        self.ask(|db| {
            let count: i64 =
                db.query_row("SELECT count(*) FROM findings WHERE incident = ?1", [incident], |row| row.get(0))?;
            let sql = "SELECT body FROM findings WHERE incident = ?1 ORDER BY id LIMIT ?2";
            let mut statement = db.prepare(sql)?;
            let found = statement.query_map(params![incident, LISTED], |row| row.get(0))?;
            Ok((found.collect::<Result<_, _>>()?, count.cast_unsigned()))
        })
    }

    /// What nobody is told of at that moment.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn suppressions(&self, now: Timestamp) -> Result<Vec<Suppression>, HistoryError> {
        self.ask(|db| suppressions(db, now))
    }

    /// From now on nobody is told of that. Its `id` is given here, and returned.
    ///
    /// # Errors
    /// When there are too many, or the database cannot be written.
    pub fn suppress(&mut self, of: &Suppression, now: Timestamp) -> Result<i64, OrderError> {
        if self.suppressions(now)?.len() >= LIMIT {
            return Err(OrderError::TooMany);
        }
        let sql = "INSERT INTO suppressions (detector, store, reader, incident, reason, who, until, made)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) RETURNING id";
        let until = milliseconds(of.until);
        let values = params![of.detector, of.store, of.reader, of.incident, of.reason, of.by, until, milliseconds(now)];
        let made = self.connection.query_row(sql, values, |row| row.get(0));
        made.map_err(|source| self.error("write a suppression into", source).into())
    }

    /// Ends a suppression; false where there is none of that number.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn unsuppress(&mut self, id: i64) -> Result<bool, HistoryError> {
        let done = self.connection.execute("DELETE FROM suppressions WHERE id = ?1", [id]);
        done.map(|rows| rows > 0).map_err(|source| self.error("take a suppression out of", source))
    }

    /// The agent that runs, or the next one, closes that incident.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn order_close(&mut self, uid: &str) -> Result<(), HistoryError> {
        let sql = "INSERT OR IGNORE INTO incident_orders (uid) VALUES (?1)";
        let done = self.connection.execute(sql, [uid]);
        done.map(drop).map_err(|source| self.error("write an order into", source))
    }
}

/// A row that cannot be understood is left out.
fn bodies(db: &Connection, sql: &str, values: impl rusqlite::Params) -> rusqlite::Result<Vec<Incident>> {
    let mut statement = db.prepare(sql)?;
    let bodies = statement.query_map(values, |row| row.get::<_, String>(0))?;
    bodies.filter_map(|body| body.map(|body| serde_json::from_str(&body).ok()).transpose()).collect()
}
