//! Tables of what has to be known after a restart: tokens that have left their stores, how they are recognised, and how others
//! can get at files.

use rusqlite::{Connection, params};
use tokenhound_common::process::ProcessKey;

use super::{
    Database, HistoryError,
    model::{Before, Holding, MOST_LEFT, Sealed},
    read::{Place, moment},
    write::milliseconds,
};
use crate::{
    detect::{
        lifecycle::{Exposed, Exposures},
        revocation_incomplete::{Change, Departed},
    },
    state::path,
    token::{fingerprint::Fingerprint, model::Known},
};

/// Most processes that are remembered to have got at tokens that have left.
const HOLDERS: i64 = 1024;

/// No copy of the token of that row is known that is not gone.
const NO_COPIES: &str =
    "NOT EXISTS (SELECT 1 FROM copies c WHERE c.fingerprint = of.fingerprint AND c.state <> 'gone')";

pub(super) fn left(db: &Connection, change: &Change) -> rusqlite::Result<()> {
    match change {
        Change::Is(of) => {
            let sql = "INSERT OR REPLACE INTO revocations (fingerprint, at, body) VALUES (?1, ?2, ?3)";
            let fingerprint = of.token.known.fingerprint.to_string();
            db.prepare_cached(sql)?.execute(params![fingerprint, milliseconds(of.at), json(of)?]).map(drop)
        }
        Change::Gone(fingerprint) => {
            let sql = "DELETE FROM revocations WHERE fingerprint = ?1";
            db.prepare_cached(sql)?.execute([fingerprint.to_string()]).map(drop)
        }
    }
}

/// Returns how many had to go for it.
pub(super) fn needles(db: &Connection, of: &Sealed) -> rusqlite::Result<u64> {
    let sql = "INSERT OR REPLACE INTO needles (fingerprint, at, sealed) VALUES (?1, ?2, ?3)";
    db.prepare_cached(sql)?.execute(params![of.fingerprint.to_string(), milliseconds(of.at), of.needles])?;
    let sql = "DELETE FROM needles WHERE fingerprint IN
               (SELECT fingerprint FROM needles ORDER BY at DESC, fingerprint LIMIT -1 OFFSET ?1)";
    Ok(db.prepare_cached(sql)?.execute([MOST_LEFT as i64])? as u64)
}

pub(super) fn exposed(db: &Connection, file: &std::path::Path, ways: &[Exposed]) -> rusqlite::Result<()> {
    if ways.is_empty() {
        return db.prepare_cached("DELETE FROM exposures WHERE path = ?1")?.execute([path::text(file)]).map(drop);
    }
    let sql = "INSERT OR REPLACE INTO exposures (path, ways) VALUES (?1, ?2)";
    db.prepare_cached(sql)?.execute(params![path::text(file), json(ways)?]).map(drop)
}

fn json<T: serde::Serialize + ?Sized>(of: &T) -> rusqlite::Result<String> {
    serde_json::to_string(of).map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))
}

/// Takes out what is older and has no copies; rows by table.
pub(super) fn by_age(db: &Connection, before: i64, most: i64) -> rusqlite::Result<[(&'static str, usize); 3]> {
    let old = |table: &str| {
        let sql = format!(
            "DELETE FROM {table} WHERE fingerprint IN
             (SELECT fingerprint FROM {table} of WHERE at < ?1 AND {NO_COPIES} LIMIT ?2)"
        );
        db.prepare_cached(&sql)?.execute(params![before, most])
    };
    let files = "DELETE FROM exposures WHERE path IN
                 (SELECT path FROM exposures WHERE path NOT IN (SELECT path FROM tokens) LIMIT ?1)";
    let files = db.prepare_cached(files)?.execute([most])?;
    Ok([("revocations", old("revocations")?), ("needles", old("needles")?), ("exposures", files)])
}

/// Takes out the oldest of what has no copies; rows by table.
pub(super) fn oldest(db: &Connection, most: i64) -> rusqlite::Result<[(&'static str, usize); 2]> {
    let oldest = |table: &str| {
        let sql = format!(
            "DELETE FROM {table} WHERE fingerprint IN
             (SELECT fingerprint FROM {table} of WHERE {NO_COPIES} ORDER BY at LIMIT ?1)"
        );
        db.prepare_cached(&sql)?.execute([most])
    };
    Ok([("revocations", oldest("revocations")?), ("needles", oldest("needles")?)])
}

impl Database {
    /// How tokens were recognised before, the longest ago first; at most [`MOST_LEFT`].
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn needles(&self) -> Result<Vec<Sealed>, HistoryError> {
        self.ask(|db| {
            let mut statement = db.prepare("SELECT fingerprint, at, sealed FROM needles ORDER BY at, fingerprint")?;
            let row = |row: &rusqlite::Row<'_>| Ok((row.get::<_, String>(0)?, row.get(1)?, row.get(2)?));
            let mut all = Vec::new();
            for row in statement.query_map([], row)? {
                let (fingerprint, at, needles) = row?;
                let Ok(fingerprint) = fingerprint.parse() else { continue };
                all.push(Sealed { fingerprint, needles, at: moment(at) });
            }
            Ok(all.split_off(all.len().saturating_sub(MOST_LEFT)))
        })
    }

    /// These are of no use (any more).
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn forget_needles(&mut self, tokens: &[Fingerprint]) -> Result<(), HistoryError> {
        let run = |db: &mut Connection| {
            let transaction = db.transaction()?;
            for token in tokens {
                transaction
                    .prepare_cached("DELETE FROM needles WHERE fingerprint = ?1")?
                    .execute([token.to_string()])?;
            }
            transaction.commit()
        };
        run(&mut self.connection).map_err(|source| self.error("write", source))
    }

    /// What was known before, beside tokens in their stores and copies. A row that cannot be understood is left out.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn before(&self) -> Result<Before, HistoryError> {
        self.ask(|db| {
            Ok(Before { known: known(db)?, left: departed(db)?, holders: holders(db)?, exposures: exposures(db)? })
        })
    }
}

/// Where tokens lay that are still recognised.
fn known(db: &Connection) -> rusqlite::Result<Vec<Known>> {
    let sql = format!(
        "SELECT {} FROM places p WHERE fingerprint IN (SELECT fingerprint FROM needles) ORDER BY since, path, field",
        Place::COLUMNS
    );
    let mut statement = db.prepare(&sql)?;
    let mut known = Vec::new();
    for place in statement.query_map([], Place::of)? {
        let Place { fingerprint, store, path, facts, .. } = place?;
        if let (Ok(fingerprint), Some(facts)) = (fingerprint.parse(), facts) {
            known.push(Known { fingerprint, store, path, facts });
        }
    }
    Ok(known)
}

fn departed(db: &Connection) -> rusqlite::Result<Vec<Departed>> {
    understood(db, "SELECT body FROM revocations ORDER BY at, fingerprint")
}

fn understood<T: serde::de::DeserializeOwned>(db: &Connection, sql: &str) -> rusqlite::Result<Vec<T>> {
    let mut statement = db.prepare(sql)?;
    let mut all = Vec::new();
    for body in statement.query_map([], |row| row.get::<_, String>(0))? {
        match serde_json::from_str(&body?) {
            Ok(one) => all.push(one),
            Err(error) => tracing::warn!(%error, "a token that has left its store cannot be understood in the history"),
        }
    }
    Ok(all)
}

fn holders(db: &Connection) -> rusqlite::Result<Vec<Holding>> {
    let sql = "SELECT t.fingerprint, h.start_ns, h.tgid, a.program FROM revocations r
               JOIN accessed_tokens t ON t.fingerprint = r.fingerprint JOIN accesses a ON a.id = t.access
               JOIN holders h ON h.access = a.id ORDER BY h.last DESC LIMIT ?1";
    let mut statement = db.prepare(sql)?;
    let row = |row: &rusqlite::Row<'_>| {
        let process = ProcessKey::new(row.get::<_, i64>(1)?.cast_unsigned(), row.get(2)?);
        Ok((row.get::<_, String>(0)?, process, path::of_text(&row.get::<_, String>(3)?)))
    };
    let mut holders = Vec::new();
    for row in statement.query_map([HOLDERS], row)? {
        let (fingerprint, process, program) = row?;
        let Ok(fingerprint) = fingerprint.parse() else { continue };
        let name = format!("{} (pid {})", program.display(), process.tgid);
        holders.push(Holding { fingerprint, process, name });
    }
    Ok(holders)
}

fn exposures(db: &Connection) -> rusqlite::Result<Vec<Exposures>> {
    let mut statement = db.prepare("SELECT path, ways FROM exposures ORDER BY path")?;
    let mut all = Vec::new();
    for row in statement.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)))? {
        let (file, ways) = row?;
        if let Ok(ways) = serde_json::from_str(&ways) {
            all.push(Exposures { path: path::of_text(&file), ways });
        }
    }
    Ok(all)
}
