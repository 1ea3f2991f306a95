//! The tables, and how an older database becomes one of today.

use super::{Database, HistoryError};

/// Each makes a database of version N one of version N + 1. They are never changed once released: a database can be of any
/// age.
const MIGRATIONS: &[&str] = &["
    CREATE TABLE tokens (
        path        TEXT NOT NULL,
        store       TEXT NOT NULL,
        field       TEXT NOT NULL,
        fingerprint TEXT NOT NULL,
        body        TEXT NOT NULL,
        PRIMARY KEY (path, store, field)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX tokens_by_fingerprint ON tokens (fingerprint);
"];

/// The version that this agent writes.
pub(super) const VERSION: u32 = MIGRATIONS.len() as u32;

/// Its version.
fn version(connection: &rusqlite::Connection) -> rusqlite::Result<u32> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

/// Is it one that this agent understands? Returns its version.
pub(super) fn check(database: &Database) -> Result<u32, HistoryError> {
    let found = version(&database.connection).map_err(|source| database.error("read", source))?;
    if found > VERSION {
        return Err(HistoryError::Later { path: database.path.clone(), found, known: VERSION });
    }
    Ok(found)
}

/// Brings the database up to date, all or nothing.
pub(super) fn migrate(database: &mut Database) -> Result<(), HistoryError> {
    if check(database)? == VERSION {
        return Ok(());
    }
    let run = |connection: &mut rusqlite::Connection| {
        let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        // Another process may have been first.
        let found = version(&transaction)? as usize;
        for migration in MIGRATIONS.iter().skip(found) {
            transaction.execute_batch(migration)?;
        }
        transaction.pragma_update(None, "user_version", VERSION)?;
        transaction.commit()
    };
    let outcome = run(&mut database.connection);
    outcome.map_err(|source| database.error("bring up to date", source))
}
