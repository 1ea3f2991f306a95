//! What the history says: of a token's way, of findings, of itself.

use std::path::PathBuf;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::Serialize;
use tokenhound_common::process::ProcessKey;

use super::{
    Database, HistoryError,
    model::{Ancestor, Copied, FileMark, Standing},
    prune,
    write::Left,
};
use crate::{
    finding::{detector::DetectorId, severity::Severity},
    state::path,
    token::{fingerprint::Fingerprint, model::Facts},
};

/// A token in a place where it lay.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Place {
    /// Which token.
    pub fingerprint: String,
    /// Its store.
    pub store: String,
    /// The file.
    #[serde(serialize_with = "shown")]
    pub path: PathBuf,
    /// Which of the store's tokens.
    pub field: String,
    /// What it tells.
    pub facts: Option<Facts>,
    /// When it was first seen there.
    pub since: Timestamp,
    /// When it was gone from there.
    pub gone: Option<Timestamp>,
}

/// What one program did with a store, over all of its processes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Access {
    /// Its number in the history.
    pub id: i64,
    /// How: `read`, `printed`, `carried`, `connected`.
    pub way: String,
    /// The store.
    pub store: String,
    /// The file, command, place or address.
    #[serde(serialize_with = "shown")]
    pub what: PathBuf,
    /// What the engine said.
    pub verdict: String,
    /// On whose behalf.
    pub actor: String,
    /// User id.
    pub uid: u32,
    /// The user's name.
    pub user: Option<String>,
    /// The program.
    #[serde(serialize_with = "shown")]
    pub program: PathBuf,
    /// What it interprets.
    pub script: Option<String>,
    /// Container, with its runtime.
    pub container: Option<String>,
    /// What was above it the last time, nearest first.
    pub lineage: Vec<Ancestor>,
    /// Its pid the last time.
    pub pid: u32,
    /// When first.
    pub first: Timestamp,
    /// When last.
    pub last: Timestamp,
    /// How often.
    pub count: i64,
    /// Fingerprints of the tokens that lay there.
    pub tokens: Vec<String>,
}

/// A token outside of its store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Copy {
    /// Which token.
    pub fingerprint: String,
    /// Where.
    #[serde(serialize_with = "shown")]
    pub path: PathBuf,
    /// Its store.
    pub store: String,
    /// What kind of place that is.
    pub class: String,
    /// How it is written there.
    pub encoding: String,
    /// Which file it was when the token was found in it.
    #[serde(skip)]
    pub mark: Option<FileMark>,
    /// Who wrote it.
    pub writer: String,
    /// The process that had read the store.
    #[serde(skip)]
    pub carrier: ProcessKey,
    /// As what that process had got at the token: [`Access::id`].
    pub access: Option<i64>,
    /// When it was found first.
    pub first: Timestamp,
    /// When it was looked at last.
    pub seen: Timestamp,
    /// What became of it.
    pub state: Standing,
}

/// A finding, in short.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Told {
    /// Its number in the history.
    pub id: i64,
    /// Its id.
    pub uid: String,
    /// When.
    pub time: Timestamp,
    /// Which detector.
    pub detector: String,
    /// How much it matters.
    pub severity: Severity,
    /// The first store.
    pub store: Option<String>,
    /// The file.
    pub path: Option<String>,
    /// The token.
    pub fingerprint: Option<String>,
    /// As what its reader had got at a token: [`Access::id`].
    pub access: Option<i64>,
    /// What it says.
    pub message: String,
}

/// A process that got at a token and may still run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Which.
    pub process: ProcessKey,
    /// As what: [`Access::id`].
    pub access: i64,
    /// When last.
    pub last: Timestamp,
}

/// How much the history holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extent {
    /// Bytes in use.
    pub bytes: u64,
    /// Rows of each table.
    pub rows: Vec<(&'static str, i64)>,
    /// When the oldest entry is from.
    pub oldest: Option<Timestamp>,
}

pub(super) fn shown<S: serde::Serializer>(of: &std::path::Path, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&crate::finding::visible::lossless(of))
}

pub(super) fn moment(milliseconds: i64) -> Timestamp {
    Timestamp::from_millisecond(milliseconds).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// A number that was written as another type of the same size, or does not fit.
pub(super) fn pid(row: &Row<'_>, at: &str) -> rusqlite::Result<u32> {
    Ok(u32::try_from(row.get::<_, i64>(at)?).unwrap_or(0))
}

impl Place {
    pub(super) const COLUMNS: &'static str = "p.fingerprint, p.store, p.path, p.field, p.facts, p.since, p.gone";

    pub(super) fn of(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            fingerprint: row.get("fingerprint")?,
            store: row.get("store")?,
            path: path::of_text(&row.get::<_, String>("path")?),
            field: row.get("field")?,
            facts: serde_json::from_str(&row.get::<_, String>("facts")?).ok(),
            since: moment(row.get("since")?),
            gone: row.get::<_, Option<i64>>("gone")?.map(moment),
        })
    }
}

impl Access {
    pub(super) const COLUMNS: &'static str = "a.id, a.way, a.store, a.what, a.verdict, a.actor, a.uid, a.user, \
         a.program, a.script, a.container, a.lineage, a.pid, a.first, a.last, a.count, \
         (SELECT group_concat(fingerprint, ' ') FROM accessed_tokens WHERE access = a.id) AS tokens";

    pub(super) fn of(row: &Row<'_>) -> rusqlite::Result<Self> {
        let tokens: Option<String> = row.get("tokens")?;
        Ok(Self {
            id: row.get("id")?,
            way: row.get("way")?,
            store: row.get("store")?,
            what: path::of_text(&row.get::<_, String>("what")?),
            verdict: row.get("verdict")?,
            actor: row.get("actor")?,
            uid: pid(row, "uid")?,
            user: row.get("user")?,
            program: path::of_text(&row.get::<_, String>("program")?),
            script: row.get("script")?,
            container: row.get("container")?,
            lineage: serde_json::from_str(&row.get::<_, String>("lineage")?).unwrap_or_default(),
            pid: pid(row, "pid")?,
            first: moment(row.get("first")?),
            last: moment(row.get("last")?),
            count: row.get("count")?,
            tokens: tokens.iter().flat_map(|all| all.split(' ')).map(str::to_owned).collect(),
        })
    }
}

impl Copy {
    pub(super) const COLUMNS: &'static str = "c.fingerprint, c.path, c.store, c.class, c.encoding, c.device, c.inode, \
         c.size, c.changed_s, c.changed_ns, c.writer, c.start_ns, c.tgid, c.access, c.first, c.seen, c.state";

    pub(super) fn of(row: &Row<'_>) -> rusqlite::Result<Self> {
        let state: String = row.get("state")?;
        Ok(Self {
            fingerprint: row.get("fingerprint")?,
            path: path::of_text(&row.get::<_, String>("path")?),
            store: row.get("store")?,
            class: row.get("class")?,
            encoding: row.get("encoding")?,
            mark: mark(row)?,
            writer: row.get("writer")?,
            carrier: ProcessKey::new(row.get::<_, i64>("start_ns")?.cast_unsigned(), pid(row, "tgid")?),
            access: row.get("access")?,
            first: moment(row.get("first")?),
            seen: moment(row.get("seen")?),
            state: Standing::of(&state).unwrap_or(Standing::Changed),
        })
    }

    /// As the core knows it; `None` for one that cannot be understood.
    #[must_use]
    pub fn known(&self) -> Option<Copied> {
        Some(Copied {
            fingerprint: self.fingerprint.parse().ok()?,
            store: self.store.clone(),
            path: self.path.clone(),
            class: self.class.clone(),
            encoding: self.encoding.clone(),
            size: self.mark.map_or(0, |mark| mark.size),
            file: self.mark,
            writer: self.writer.clone(),
            carrier: self.carrier,
            time: self.seen,
        })
    }
}

fn mark(row: &Row<'_>) -> rusqlite::Result<Option<FileMark>> {
    let number = |name: &str| row.get::<_, Option<i64>>(name);
    let (Some(device), Some(inode), Some(size)) = (number("device")?, number("inode")?, number("size")?) else {
        return Ok(None);
    };
    let changed = (number("changed_s")?.unwrap_or(0), u32::try_from(number("changed_ns")?.unwrap_or(0)).unwrap_or(0));
    Ok(Some(FileMark {
        device: device.cast_unsigned(),
        inode: inode.cast_unsigned(),
        size: size.cast_unsigned(),
        changed,
    }))
}

impl Told {
    pub(super) const COLUMNS: &'static str = "f.id, f.uid, f.time, f.detector, f.severity, f.store, f.path, \
         f.fingerprint, f.access, json_extract(f.body, '$.message') AS message";

    pub(super) fn of(row: &Row<'_>) -> rusqlite::Result<Self> {
        let severity = usize::try_from(row.get::<_, i64>("severity")?).unwrap_or(0);
        Ok(Self {
            id: row.get("id")?,
            uid: row.get("uid")?,
            time: moment(row.get("time")?),
            detector: row.get("detector")?,
            severity: Severity::ALL.get(severity).copied().unwrap_or(Severity::Informational),
            store: row.get("store")?,
            path: row.get("path")?,
            fingerprint: row.get("fingerprint")?,
            access: row.get("access")?,
            message: row.get::<_, Option<String>>("message")?.unwrap_or_default(),
        })
    }
}

/// Findings that say nothing of who may have the token.
const NO_EXPOSURE: [DetectorId; 4] = [
    DetectorId::StaleToken,
    DetectorId::TokenOutlivedSession,
    DetectorId::RevocationIncomplete,
    DetectorId::SensorDegraded,
];

impl Database {
    /// What a question to the database gives.
    pub(super) fn ask<T>(&self, ask: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, HistoryError> {
        ask(&self.connection).map_err(|source| self.error("read", source))
    }

    /// Bodies of the findings whose ids begin so, oldest first; at most `most`.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn findings_with(&self, uid: &str, most: usize) -> Result<Vec<String>, HistoryError> {
        self.ask(|db| {
            let sql = "SELECT body FROM findings WHERE uid >= ?1 AND uid < ?1 || 'g' ORDER BY id LIMIT ?2";
            let mut statement = db.prepare(sql)?;
            statement.query_map(params![uid, most as i64], |row| row.get(0))?.collect()
        })
    }

    /// Copies that are not known to be gone.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn copies(&self) -> Result<Vec<Copy>, HistoryError> {
        self.ask(|db| {
            let sql = format!("SELECT {} FROM copies c WHERE state <> 'gone' ORDER BY first", Copy::COLUMNS);
            db.prepare(&sql)?.query_map([], Copy::of)?.collect()
        })
    }

    /// Everywhere where a token of this store lies or lay, without a bound but that of the history: what remains of them must
    /// not be told by a part.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn places_of(&self, store: &str) -> Result<Vec<Place>, HistoryError> {
        self.ask(|db| {
            let sql = format!("SELECT {} FROM places p WHERE store = ?1 ORDER BY since, path, field", Place::COLUMNS);
            db.prepare(&sql)?.query_map([store], Place::of)?.collect()
        })
    }

    /// Copies of these tokens that are not known to be gone.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn copies_of(&self, tokens: &[Fingerprint]) -> Result<Vec<Copy>, HistoryError> {
        self.ask(|db| {
            let sql = format!("SELECT {} FROM copies c WHERE fingerprint = ?1 AND state <> 'gone'", Copy::COLUMNS);
            let mut statement = db.prepare(&sql)?;
            let mut copies = Vec::new();
            for token in tokens {
                for copy in statement.query_map([token.to_string()], Copy::of)? {
                    copies.push(copy?);
                }
            }
            Ok(copies)
        })
    }

    /// How much there is.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn extent(&self) -> Result<Extent, HistoryError> {
        self.ask(|db| {
            let mut extent = Extent { bytes: prune::used(db)?, ..Extent::default() };
            let tables =
                ["tokens", "places", "accesses", "holders", "copies", "egress", "findings", "revocations", "needles"];
            for table in tables {
                let count = db.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0))?;
                extent.rows.push((table, count));
            }
            let sql = "SELECT min(at) FROM (SELECT min(time) AS at FROM findings UNION ALL
                       SELECT min(last) FROM accesses UNION ALL SELECT min(since) FROM places)";
            extent.oldest = db.query_row(sql, [], |row| row.get::<_, Option<i64>>(0))?.map(moment);
            Ok(extent)
        })
    }

    /// Copies of each store's tokens that are not known to be gone.
    pub(super) fn copies_by_store(&self) -> Result<Vec<(String, i64)>, HistoryError> {
        self.ask(|db| {
            let sql = "SELECT store, count(*) FROM copies WHERE state <> 'gone' GROUP BY store ORDER BY store";
            db.prepare_cached(sql)?.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
        })
    }

    /// When the first finding was about a token that has left its place, and when it left. `None` where there was none, or
    /// the token lies elsewhere still.
    pub(super) fn exposed_since(&self, left: &Left) -> Result<Option<(i64, i64)>, HistoryError> {
        self.ask(|db| {
            let sql = "SELECT max(gone), max(gone IS NULL) FROM places WHERE fingerprint = ?1";
            let (gone, stays): (Option<i64>, bool) =
                db.prepare_cached(sql)?.query_row([&left.fingerprint], |row| Ok((row.get(0)?, row.get(1)?)))?;
            let (Some(gone), false) = (gone, stays) else { return Ok(None) };
            let [one, two, three, four] = NO_EXPOSURE.map(DetectorId::name);
            let sql = "SELECT min(time) FROM findings f JOIN findings_about b ON b.finding = f.id
                       WHERE (b.about = ?1 OR (b.about = ?2 AND f.time >= ?3)) AND f.severity > 0
                       AND f.detector NOT IN (?4, ?5, ?6, ?7)";
            let values = params![left.fingerprint, left.path, left.since, one, two, three, four];
            let first: Option<i64> = db.prepare_cached(sql)?.query_row(values, |row| row.get(0)).optional()?.flatten();
            Ok(first.map(|first| (first, gone)))
        })
    }
}
