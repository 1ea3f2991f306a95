//! The history: what is known of tokens, kept over restarts in an SQLite database in the state directory. It holds
//! fingerprints, paths and names, and no token.
//!
//! It also holds where each token went: who got at it, where it was found outside of its store, and the findings as they
//! went out (`docs/design/history.md`).

pub mod bell;
pub mod egress;
pub mod incidents;
mod left;
pub mod mark;
pub mod model;
pub mod outbox;
mod prune;
mod queue;
pub mod read;
mod schema;
mod tokens;
pub mod trail;
mod write;
mod writer;

use std::{
    fs, io,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use jiff::Timestamp;
use rusqlite::{Connection, OpenFlags};

use self::{model::Entry, write::Done};
pub use self::{
    prune::Bounds,
    writer::{Setup, Writer},
};
use crate::{detect::lifecycle::Tracked, finding::ocsf::Host, incident::table::Incidents};

/// Name of the file in the state directory.
pub const FILE: &str = "history.db";

/// Is this file the database in that state directory, or a journal of it? Nobody in this process but `SQLite` may open and
/// close one: that takes away its locks (see [`make`]).
#[must_use]
pub fn is_own(state: &Path, path: &Path) -> bool {
    let name = path.file_name().map(std::ffi::OsStr::as_encoded_bytes);
    path.parent() == Some(state) && name.is_some_and(|name| name.starts_with(FILE.as_bytes()))
}

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
        self.connection.pragma_update(None, "foreign_keys", true)?;
        // The log is cut back to this after a checkpoint: a burst must not leave a large file behind.
        self.connection.pragma_update(None, "journal_size_limit", 8 << 20)?;
        self.connection.pragma_update(None, "trusted_schema", false)
    }

    /// Every token that was known. A row that cannot be understood is left out.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn tokens(&self) -> Result<Vec<Tracked>, HistoryError> {
        tokens::all(&self.connection).map_err(|source| self.error("read", source))
    }

    /// The incidents that were open when the agent ended.
    fn open_incidents(&self, bounds: Bounds) -> Result<Incidents, HistoryError> {
        let restored = |open| Incidents::restored(open, bounds.alike);
        incidents::open(&self.connection).map(restored).map_err(|source| self.error("read", source))
    }

    /// Was something ordered of incidents?
    fn is_ordered(&self) -> Result<bool, HistoryError> {
        incidents::is_ordered(&self.connection).map_err(|source| self.error("read", source))
    }

    /// Writes entries down, with what becomes of incidents by them and by the time that has passed: all or none. Where it
    /// fails, `open` is of no use any more.
    fn write(&mut self, entries: &[Entry], host: &Host, open: &mut Incidents) -> Result<Done, HistoryError> {
        let now = Timestamp::now();
        let mut write = |connection: &mut Connection| {
            let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
            let mut done = Done::default();
            incidents::obey(&transaction, open, now)?;
            for (entry, count) in writer::gathered(entries) {
                write::entry(&transaction, (host, open), entry, count, &mut done)?;
            }
            open.tick(now);
            done.outgoing |= incidents::write(&transaction, host, &open.batch(now))?;
            if done.outgoing {
                outbox::trim(&transaction)?;
                done.last = Some(outbox::last(&transaction)?);
            }
            transaction.commit()?;
            Ok(done)
        };
        write(&mut self.connection).map_err(|source| self.error("write", source))
    }

    fn error(&self, what: &'static str, source: rusqlite::Error) -> HistoryError {
        HistoryError::Database { what, path: self.path.clone(), source }
    }
}

/// For its owner only, from the first moment on. The journals that `SQLite` makes beside it get the same mode.
///
/// One that is there is not opened: whoever closes it would take away the locks that this process holds on it through other
/// descriptors (fcntl(2), "advisory record locking"), and the next program to look would remove the log under the agent.
fn make(state: &Path, path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().mode(0o700).recursive(true).create(state)?;
    match fs::OpenOptions::new().create_new(true).write(true).mode(0o600).open(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
pub(crate) mod tests;
