//! The table of tokens: one row for each token in its place.

use rusqlite::{Connection, ToSql, params};

use crate::{
    detect::lifecycle::{Change, Tracked},
    state::path,
};

pub(super) fn write(connection: &Connection, change: &Change) -> rusqlite::Result<()> {
    match change {
        Change::Is(token) => {
            let body =
                serde_json::to_string(token).map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
            let known = &token.known;
            let values: [&dyn ToSql; 5] =
                [&path::text(&known.path), &known.store, &known.facts.field, &known.fingerprint.to_string(), &body];
            let sql =
                "INSERT OR REPLACE INTO tokens (path, store, field, fingerprint, body) VALUES (?1, ?2, ?3, ?4, ?5)";
            connection.prepare_cached(sql)?.execute(values).map(drop)
        }
        Change::Gone((file, store, field)) => {
            let sql = "DELETE FROM tokens WHERE path = ?1 AND store = ?2 AND field = ?3";
            connection.prepare_cached(sql)?.execute(params![path::text(file), store, field]).map(drop)
        }
        Change::Exposed(..) => Ok(()),
    }
}

pub(super) fn all(connection: &Connection) -> rusqlite::Result<Vec<Tracked>> {
    let mut statement = connection.prepare("SELECT body FROM tokens ORDER BY path, store, field")?;
    let bodies = statement.query_map([], |row| row.get::<_, String>(0))?;
    let mut tokens = Vec::new();
    for body in bodies {
        match serde_json::from_str(&body?) {
            Ok(token) => tokens.push(token),
            // It is looked at anew anyway; only its story is lost.
            Err(error) => tracing::warn!(%error, "a token in the history cannot be understood"),
        }
    }
    Ok(tokens)
}
