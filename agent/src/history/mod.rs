//! The history: what is known of tokens, kept over restarts in an SQLite database in the state directory. It holds
//! fingerprints, paths and names, and no token.
//!
//! A thread of its own writes, so that no disk ever holds up the rings. What it is given within a moment is one transaction.

mod schema;
mod tokens;

use std::{
    fs, io,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::mpsc,
    thread,
    time::Duration,
};

use rusqlite::{Connection, OpenFlags};

use crate::detect::lifecycle::{Change, Tracked};

/// Name of the file in the state directory.
pub const FILE: &str = "history.db";

/// Most changes that wait for the disk. Beyond, they are lost, which is counted.
const QUEUE: usize = 16_384;

/// Most changes in one transaction.
const BATCH: usize = 512;

/// How long another process may hold the database.
const BUSY: Duration = Duration::from_secs(5);

/// Why the history cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// The file could not be made.
    #[error("make the history {}: {source}", path.display())]
    Make {
        /// Where it is.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// `SQLite` refused something.
    #[error("{what} the history {}: {source}; if it is damaged, move it away, and it is begun anew", path.display())]
    Database {
        /// What was tried.
        what: &'static str,
        /// Where it is.
        path: PathBuf,
        /// Why.
        source: rusqlite::Error,
    },
    /// A later version has written it.
    #[error(
        "the history {} has version {found}, this agent knows up to {known}; run the later agent, or move the file away",
        path.display()
    )]
    Later {
        /// Where it is.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// The latest that is known.
        known: u32,
    },
}

/// The database, opened.
pub struct Database {
    connection: Connection,
    path: PathBuf,
}

impl Database {
    /// Opens the database in that state directory; makes it where there is none, and brings an older one up to date.
    ///
    /// # Errors
    /// See [`HistoryError`].
    pub fn open(state: &Path) -> Result<Self, HistoryError> {
        let path = state.join(FILE);
        make(state, &path).map_err(|source| HistoryError::Make { path: path.clone(), source })?;
        let connection = Connection::open(&path);
        let connection =
            connection.map_err(|source| HistoryError::Database { what: "open", path: path.clone(), source })?;
        let mut database = Self { connection, path };
        database.set_up().map_err(|source| database.error("set up", source))?;
        schema::migrate(&mut database)?;
        Ok(database)
    }

    /// The database in that state directory, to be read only; `None` where there is none. An agent may be writing it.
    ///
    /// # Errors
    /// See [`HistoryError`].
    pub fn look(state: &Path) -> Result<Option<Self>, HistoryError> {
        let path = state.join(FILE);
        if !path.exists() {
            return Ok(None);
        }
        let open = || {
            let connection = Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
            connection.busy_timeout(BUSY)?;
            Ok(connection)
        };
        match open() {
            Ok(connection) => {
                let database = Self { connection, path };
                schema::check(&database)?;
                Ok(Some(database))
            }
            Err(source) => Err(HistoryError::Database { what: "open", path, source }),
        }
    }

    /// What survives the end of the process at any moment: a write-ahead log, synchronised at its checkpoints.
    fn set_up(&self) -> rusqlite::Result<()> {
        self.connection.busy_timeout(BUSY)?;
        self.connection.pragma_update(None, "journal_mode", "wal")?;
        self.connection.pragma_update(None, "synchronous", "normal")?;
        self.connection.pragma_update(None, "trusted_schema", false)
    }

    /// Every token that was known. A row that cannot be understood is left out.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn tokens(&self) -> Result<Vec<Tracked>, HistoryError> {
        tokens::all(&self.connection).map_err(|source| self.error("read", source))
    }

    /// Writes changes down, all or none.
    ///
    /// # Errors
    /// When the database refuses.
    pub fn write(&mut self, changes: &[Change]) -> Result<(), HistoryError> {
        let write = |connection: &mut Connection| {
            let transaction = connection.transaction()?;
            changes.iter().try_for_each(|change| tokens::write(&transaction, change))?;
            transaction.commit()
        };
        write(&mut self.connection).map_err(|source| self.error("write", source))
    }

    fn error(&self, what: &'static str, source: rusqlite::Error) -> HistoryError {
        HistoryError::Database { what, path: self.path.clone(), source }
    }
}

/// For its owner only, from the first moment on. The journals that `SQLite` makes beside it get the same mode.
fn make(state: &Path, path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().mode(0o700).recursive(true).create(state)?;
    fs::OpenOptions::new().create(true).append(true).mode(0o600).open(path).map(drop)
}

/// Writes changes to the history, on a thread of its own.
pub struct Writer {
    changes: Option<mpsc::SyncSender<Change>>,
    thread: Option<thread::JoinHandle<()>>,
    lost: u64,
}

impl Writer {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(mut database: Database) -> io::Result<Self> {
        let (changes, receive) = mpsc::sync_channel(QUEUE);
        let thread = thread::Builder::new().name("history".into()).spawn(move || write_all(&mut database, &receive))?;
        Ok(Self { changes: Some(changes), thread: Some(thread), lost: 0 })
    }

    /// Hands over a change. A full queue loses it, which is counted: the next change of that token says the same again.
    pub fn send(&mut self, change: Change) {
        let sent = self.changes.as_ref().is_some_and(|changes| changes.try_send(change).is_ok());
        self.lost += u64::from(!sent);
    }

    /// Changes that were lost since the last call.
    pub fn take_lost(&mut self) -> u64 {
        std::mem::take(&mut self.lost)
    }
}

impl Drop for Writer {
    /// Waits until everything is written.
    fn drop(&mut self) {
        self.changes = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn write_all(database: &mut Database, changes: &mpsc::Receiver<Change>) {
    while let Ok(first) = changes.recv() {
        let mut batch = vec![first];
        batch.extend(changes.try_iter().take(BATCH - 1));
        if let Err(error) = database.write(&batch) {
            tracing::warn!(%error, changes = batch.len(), "what became of tokens is not remembered");
        }
    }
}

#[cfg(test)]
mod tests;
