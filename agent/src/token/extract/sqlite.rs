//! SQLite databases, from memory: the user's own file is never opened by SQLite.

use rusqlite::{Connection, config::DbConfig, limits::Limit, types::ValueRef};
use zeroize::Zeroizing;

use super::{
    Bytes,
    limits::{MAX_BYTES, MAX_HITS},
    sources::Found,
    wal,
};
use crate::token::selector::Column;

/// Steps of SQLite's machine between two looks at how many it took.
const STEPS: i32 = 10_000;
/// Most such looks for one database: twenty million steps.
const MAX_LOOKS: u32 = 2000;

/// A database in memory.
pub(super) struct Database(Connection);

impl Database {
    /// The database with its log.
    ///
    /// Nothing of it is run: no views, no triggers, no functions with side effects in its schema.
    ///
    /// # Errors
    /// It is none, in words.
    pub(super) fn open(database: &[u8], log: Option<&[u8]>) -> Result<Self, String> {
        let image = wal::whole(database, log).ok_or("is no SQLite database")?;
        Self::connect(&image).map(Self).map_err(|_| "cannot be opened as a SQLite database".to_owned())
    }

    fn connect(image: &[u8]) -> rusqlite::Result<Connection> {
        let mut connection = Connection::open_in_memory()?;
        connection.deserialize_read_exact(rusqlite::MAIN_DB, image, image.len(), true)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_VIEW, false)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false)?;
        connection.set_limit(Limit::SQLITE_LIMIT_LENGTH, i32::try_from(MAX_BYTES).unwrap_or(i32::MAX))?;
        let mut looks = 0;
        let stop = move || {
            looks += 1;
            looks > MAX_LOOKS
        };
        connection.progress_handler(STEPS, Some(stop))?;
        Ok(connection)
    }

    /// The values of a column. A table that is not there has none: a tool's databases share a name.
    ///
    /// # Errors
    /// The database is damaged, or the table has no such column; in words.
    pub(super) fn values(&self, column: &Column) -> Result<Vec<Found>, String> {
        let damaged = |_| "is a damaged SQLite database".to_owned();
        // A table of its own pages: no view, no virtual table.
        let sql = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = ?1 AND rootpage > 0";
        let tables: i64 = self.0.query_row(sql, [&column.table], |row| row.get(0)).map_err(damaged)?;
        if tables == 0 {
            return Ok(Vec::new());
        }
        let Column { table, column: name, only, by } = column;
        let by = by.as_ref().unwrap_or(name);
        let filter = only.as_ref().map(|(column, _)| format!(" WHERE [{column}] GLOB ?1")).unwrap_or_default();
        // Names are letters, digits and underscores: the selector's parser sees to that.
        let sql = format!("SELECT rowid, [{name}], [{by}] FROM [{table}]{filter} LIMIT {MAX_HITS}");
        let missing = |_| format!("is a SQLite database whose table {table} is not as the catalogue says");
        let mut statement = self.0.prepare(&sql).map_err(missing)?;
        let globs: Vec<&String> = only.iter().map(|(_, glob)| glob).collect();
        let mut rows = statement.query(rusqlite::params_from_iter(globs)).map_err(damaged)?;
        let mut all = Vec::new();
        while let Some(row) = rows.next().map_err(damaged)? {
            let id: i64 = row.get(0).map_err(damaged)?;
            let Some(bytes) = bytes(row.get_ref(1).map_err(damaged)?) else { continue };
            let mut label = format!("{table}.{name}");
            if column.by.is_some()
                && let Some(by) = bytes_of_name(row.get_ref(2).map_err(damaged)?)
            {
                label = format!("{label} {by}");
            }
            all.push(Found { path: vec![table.clone(), id.to_string(), name.clone()], label, bytes });
        }
        Ok(all)
    }
}

fn bytes(value: ValueRef<'_>) -> Option<Bytes> {
    match value {
        ValueRef::Null => None,
        ValueRef::Integer(number) => Some(Zeroizing::new(number.to_string().into_bytes())),
        ValueRef::Real(number) => Some(Zeroizing::new(number.to_string().into_bytes())),
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Some(Zeroizing::new(bytes.to_vec())),
    }
}

fn bytes_of_name(value: ValueRef<'_>) -> Option<String> {
    bytes(value).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests;
