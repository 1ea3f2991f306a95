//! The tables, and how an older database becomes one of today.

use super::{Database, HistoryError};

/// Each makes a database of version N one of version N + 1. They are never changed once released: a database can be of any
/// age.
const MIGRATIONS: &[&str] = &[
    "
    CREATE TABLE tokens (
        path        TEXT NOT NULL,
        store       TEXT NOT NULL,
        field       TEXT NOT NULL,
        fingerprint TEXT NOT NULL,
        body        TEXT NOT NULL,
        PRIMARY KEY (path, store, field)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX tokens_by_fingerprint ON tokens (fingerprint);
",
    "
    -- Where a token lay, also when it is not there any more. Times are milliseconds since 1970.
    CREATE TABLE places (
        fingerprint TEXT NOT NULL,
        store       TEXT NOT NULL,
        path        TEXT NOT NULL,
        field       TEXT NOT NULL,
        facts       TEXT NOT NULL,
        expires     INTEGER,
        since       INTEGER NOT NULL,
        gone        INTEGER,
        PRIMARY KEY (fingerprint, path, store, field)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX places_by_store ON places (store);
    CREATE INDEX places_by_path ON places (path);

    -- The body goes out as it stands. `id` never goes down and is never given twice: a sink keeps the last one it sent.
    CREATE TABLE findings (
        id          INTEGER PRIMARY KEY AUTOINCREMENT,
        uid         TEXT NOT NULL UNIQUE,
        time        INTEGER NOT NULL,
        detector    TEXT NOT NULL,
        severity    INTEGER NOT NULL,
        store       TEXT,
        path        TEXT,
        fingerprint TEXT,
        access      INTEGER,
        body        TEXT NOT NULL
    ) STRICT;
    CREATE INDEX findings_by_time ON findings (time);
    -- Every store, path and fingerprint that a finding is about.
    CREATE TABLE findings_about (
        about   TEXT NOT NULL,
        finding INTEGER NOT NULL REFERENCES findings (id) ON DELETE CASCADE,
        PRIMARY KEY (about, finding)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX findings_about_by_finding ON findings_about (finding);

    CREATE TABLE accesses (
        id        INTEGER PRIMARY KEY,
        same      BLOB NOT NULL UNIQUE,
        way       TEXT NOT NULL,
        store     TEXT NOT NULL,
        what      TEXT NOT NULL,
        verdict   TEXT NOT NULL,
        actor     TEXT NOT NULL,
        uid       INTEGER NOT NULL,
        user      TEXT,
        program   TEXT NOT NULL,
        script    TEXT,
        container TEXT,
        lineage   TEXT NOT NULL,
        pid       INTEGER NOT NULL,
        first     INTEGER NOT NULL,
        last      INTEGER NOT NULL,
        count     INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX accesses_by_store ON accesses (store);
    CREATE INDEX accesses_by_what ON accesses (what);
    CREATE INDEX accesses_by_last ON accesses (last);
    CREATE TABLE accessed_tokens (
        fingerprint TEXT NOT NULL,
        access      INTEGER NOT NULL REFERENCES accesses (id) ON DELETE CASCADE,
        PRIMARY KEY (fingerprint, access)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX accessed_tokens_by_access ON accessed_tokens (access);
    -- Processes that got at a token and may still run.
    CREATE TABLE holders (
        start_ns INTEGER NOT NULL,
        tgid     INTEGER NOT NULL,
        access   INTEGER NOT NULL REFERENCES accesses (id) ON DELETE CASCADE,
        last     INTEGER NOT NULL,
        PRIMARY KEY (tgid, start_ns, access)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX holders_by_access ON holders (access);

    CREATE TABLE copies (
        fingerprint TEXT NOT NULL,
        path        TEXT NOT NULL,
        store       TEXT NOT NULL,
        class       TEXT NOT NULL,
        encoding    TEXT NOT NULL,
        device      INTEGER,
        inode       INTEGER,
        size        INTEGER,
        changed_s   INTEGER,
        changed_ns  INTEGER,
        writer      TEXT NOT NULL,
        start_ns    INTEGER NOT NULL,
        tgid        INTEGER NOT NULL,
        access      INTEGER,
        first       INTEGER NOT NULL,
        seen        INTEGER NOT NULL,
        state       TEXT NOT NULL,
        PRIMARY KEY (fingerprint, path)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX copies_by_path ON copies (path);
    CREATE INDEX copies_by_store ON copies (store);
    INSERT INTO places (fingerprint, store, path, field, facts, expires, since, gone)
        SELECT fingerprint, store, path, field, json_extract(body, '$.known.facts'),
               unixepoch(json_extract(body, '$.known.facts.expires')) * 1000,
               coalesce(unixepoch(json_extract(body, '$.since')), unixepoch()) * 1000, NULL
        FROM tokens WHERE json_valid(body) AND json_extract(body, '$.known.facts') IS NOT NULL
        ON CONFLICT DO NOTHING;
",
    "
    -- What goes out, until every sink has it. `id` never goes down and is never given twice. A finding has the same id in
    -- `findings`, and its body there; a notification of an incident has its body here. Kinds: 0 finding, 1 incident.
    CREATE TABLE outbox (
        id       INTEGER PRIMARY KEY AUTOINCREMENT,
        kind     INTEGER NOT NULL,
        uid      TEXT NOT NULL,
        time     INTEGER NOT NULL,
        severity INTEGER NOT NULL,
        detector TEXT NOT NULL,
        title    TEXT NOT NULL,
        body     TEXT
    ) STRICT;
    INSERT INTO sqlite_sequence (name, seq) SELECT 'outbox', seq FROM sqlite_sequence WHERE name = 'findings';

    -- `cursor` is the last id that the sink has. It takes kinds from the first to the last, from that severity on; `removed` is
    -- since when it is no longer configured, `shed` counts what it did not get, as it had to go; `failing` is the error that
    -- it has now, since `since`.
    CREATE TABLE sinks (
        name         TEXT PRIMARY KEY,
        cursor       INTEGER NOT NULL,
        min_severity INTEGER NOT NULL,
        first_kind   INTEGER NOT NULL,
        last_kind    INTEGER NOT NULL,
        removed      INTEGER,
        shed         INTEGER NOT NULL DEFAULT 0,
        failing      TEXT,
        since        INTEGER
    ) STRICT, WITHOUT ROWID;

    -- What a receiver refused for good.
    CREATE TABLE set_aside (
        id       INTEGER PRIMARY KEY,
        sink     TEXT NOT NULL REFERENCES sinks (name) ON DELETE CASCADE,
        item     INTEGER NOT NULL,
        kind     INTEGER NOT NULL,
        uid      TEXT NOT NULL,
        severity INTEGER NOT NULL,
        title    TEXT NOT NULL,
        why      TEXT NOT NULL,
        at       INTEGER NOT NULL,
        UNIQUE (sink, item)
    ) STRICT;
    -- Which go first when there is too much.
    CREATE INDEX findings_minor ON findings (id) WHERE severity < 3;
    CREATE INDEX outbox_minor ON outbox (id) WHERE severity < 4;
",
    "
    -- What belongs together (`docs/incidents.md`). The body is all that is known of one; the rest is for lists.
    CREATE TABLE incidents (
        uid      TEXT PRIMARY KEY,
        opened   INTEGER NOT NULL,
        last     INTEGER NOT NULL,
        closed   INTEGER,
        severity INTEGER NOT NULL,
        findings INTEGER NOT NULL,
        title    TEXT NOT NULL,
        body     TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX incidents_by_closed ON incidents (closed);
    ALTER TABLE findings ADD COLUMN incident TEXT;
    CREATE INDEX findings_by_incident ON findings (incident);

    -- What nobody is told of, and incidents that the agent is to close.
    CREATE TABLE suppressions (
        id       INTEGER PRIMARY KEY AUTOINCREMENT,
        detector TEXT,
        store    TEXT,
        reader   TEXT,
        incident TEXT,
        reason   TEXT NOT NULL,
        who      TEXT NOT NULL,
        until    INTEGER NOT NULL,
        made     INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE incident_orders (uid TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;
",
    "
    -- Where those connected to who carried a token, or may have. `access` is as what the reader had got at it.
    CREATE TABLE egress (
        id          INTEGER PRIMARY KEY,
        same        BLOB NOT NULL UNIQUE,
        store       TEXT NOT NULL,
        fingerprint TEXT,
        access      INTEGER REFERENCES accesses (id) ON DELETE CASCADE,
        address     TEXT NOT NULL,
        port        INTEGER NOT NULL,
        name        TEXT,
        name_from   TEXT,
        uid         INTEGER NOT NULL,
        user        TEXT,
        program     TEXT NOT NULL,
        script      TEXT,
        container   TEXT,
        pid         INTEGER NOT NULL,
        finding     TEXT,
        first       INTEGER NOT NULL,
        last        INTEGER NOT NULL,
        count       INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX egress_by_store ON egress (store);
    CREATE INDEX egress_by_fingerprint ON egress (fingerprint);
    CREATE INDEX egress_by_access ON egress (access);
    CREATE INDEX egress_by_last ON egress (last);
",
    "
    -- Tokens that have left their stores, as long as it is asked what remains of them. The body is what is known, and what
    -- was told.
    CREATE TABLE revocations (
        fingerprint TEXT PRIMARY KEY,
        at          INTEGER NOT NULL,
        body        TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;
    -- How tokens are recognised in files, sealed with a key made of the fingerprint key.
    CREATE TABLE needles (
        fingerprint TEXT PRIMARY KEY,
        at          INTEGER NOT NULL,
        sealed      BLOB NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX needles_by_at ON needles (at);
    -- How others can get at a file, as it was told.
    CREATE TABLE exposures (path TEXT PRIMARY KEY, ways TEXT NOT NULL) STRICT, WITHOUT ROWID;
",
    "
    -- Where the next agent begins, if that is before the cursor: a receiver that gives no answers may not have read what lies
    -- between.
    ALTER TABLE sinks ADD COLUMN again INTEGER;
",
];

/// The version that this agent writes.
pub(super) const VERSION: u32 = MIGRATIONS.len() as u32;

/// What the first version was.
#[cfg(test)]
pub(super) const FIRST: &str = MIGRATIONS[0];

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
