//! Entries into rows. Everything here runs inside of one transaction for a batch.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};

use super::{
    egress, left, mark,
    model::{Accessed, Checked, Copied, Entry, FileMark, TOKENS},
    tokens,
    writer::Times,
};
use crate::{
    detect::lifecycle::{Change, Tracked},
    finding::{
        model::{Finding, Target},
        ocsf::{self, Host},
        severity::Severity,
        visible,
    },
    incident::table::Incidents,
    sink::Kind,
    state::path,
};

/// A token has left a place where it lay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Left {
    pub(super) fingerprint: String,
    pub(super) store: String,
    pub(super) path: String,
    pub(super) since: i64,
}

/// What a batch did that somebody else wants to know.
#[derive(Debug, Default)]
pub(super) struct Done {
    pub(super) left: Vec<Left>,
    /// Copies may be others now.
    pub(super) copies: bool,
    /// Tokens that are not recognised any more after a restart, as there were too many.
    pub(super) needles: u64,
    /// Something may have been put into the outbox.
    pub(super) outgoing: bool,
    /// If so, the last position.
    pub(super) last: Option<i64>,
}

pub(super) fn milliseconds(at: Timestamp) -> i64 {
    at.as_millisecond()
}

/// One entry, that many times.
pub(super) fn entry(
    db: &Connection,
    (host, incidents): (&Host, &mut Incidents),
    entry: &Entry,
    times: Times,
    done: &mut Done,
) -> rusqlite::Result<()> {
    match entry {
        Entry::Token(change) => {
            tokens::write(db, change)?;
            place(db, change, done)
        }
        Entry::Finding(of) => {
            // One that is there already stays as it was: its number was given.
            if db.prepare_cached("SELECT 1 FROM findings WHERE uid = ?1")?.exists([&of.uid])? {
                return Ok(());
            }
            let taken = incidents.take(of);
            // One of many that look the same is counted in its incident.
            if !taken.whole {
                return Ok(());
            }
            done.outgoing = true;
            finding(db, host, of, &taken.incident)
        }
        Entry::Access(of) => access(db, of, times),
        Entry::Copy(of) => {
            done.copies = true;
            copy(db, of)
        }
        Entry::Sent(of) => egress::write(db, of),
        Entry::Standing(of) => {
            done.copies = true;
            standing(db, of)
        }
        Entry::Left(change) => left::left(db, change),
        Entry::Needles(of) => {
            done.needles += left::needles(db, of)?;
            Ok(())
        }
    }
}

/// Keeps where the token lies, and that it is gone from there once it is.
fn place(db: &Connection, change: &Change, done: &mut Done) -> rusqlite::Result<()> {
    match change {
        Change::Is(token) => {
            let known = &token.known;
            let (file, field) = (path::text(&known.path), &known.facts.field);
            let fingerprint = known.fingerprint.to_string();
            leave(db, (&file, &known.store, field), Some(&fingerprint), milliseconds(token.since), done)?;
            lies(db, token, &file, &fingerprint)
        }
        Change::Gone((file, store, field)) => {
            // The entry has no time of its own: it is written down right after.
            let now = milliseconds(Timestamp::now());
            leave(db, (&path::text(file), store, field), None, now, done)
        }
        Change::Exposed(file, ways) => left::exposed(db, file, ways),
    }
}

/// Whatever lay there and is not `stays` is gone.
fn leave(
    db: &Connection,
    (file, store, field): (&str, &str, &str),
    stays: Option<&str>,
    now: i64,
    done: &mut Done,
) -> rusqlite::Result<()> {
    let mut statement = db.prepare_cached(
        "UPDATE places SET gone = max(?4, since) WHERE path = ?1 AND store = ?2 AND field = ?3 AND gone IS NULL
         AND fingerprint IS NOT ?5 RETURNING fingerprint, since",
    )?;
    let left = statement.query_map(params![file, store, field, now, stays], |row| {
        Ok(Left { fingerprint: row.get(0)?, store: store.to_owned(), path: file.to_owned(), since: row.get(1)? })
    })?;
    for left in left {
        done.left.push(left?);
    }
    Ok(())
}

fn lies(db: &Connection, token: &Tracked, file: &str, fingerprint: &str) -> rusqlite::Result<()> {
    let facts = &token.known.facts;
    let words = serde_json::to_string(facts).map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
    let sql = "INSERT INTO places (fingerprint, store, path, field, facts, expires, since, gone)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, NULL)
               ON CONFLICT DO UPDATE SET facts = excluded.facts, expires = excluded.expires, gone = NULL";
    let expires = facts.expires.map(milliseconds);
    let values = params![fingerprint, token.known.store, file, facts.field, words, expires, milliseconds(token.since)];
    db.prepare_cached(sql)?.execute(values).map(drop)
}

/// What an entry of the outbox says of itself.
pub(super) struct Outgoing<'a> {
    pub(super) kind: Kind,
    pub(super) uid: &'a str,
    pub(super) time: Timestamp,
    pub(super) severity: Severity,
    pub(super) detector: &'a str,
    /// One line for people.
    pub(super) title: &'a str,
    /// The OCSF object on one line; `None` for a finding: the row in `findings` with the same id has it.
    pub(super) body: Option<&'a str>,
}

/// Puts an entry at the end of the outbox and returns its position. It goes out once the transaction that this is part of is
/// committed, so it is there if and only if what it tells of is: a notification of an incident is put in where the incident
/// is written, after the finding that made it (`finding` in this file), on the same connection. The sinks are woken by the
/// writer; nothing else is to be done.
pub(super) fn outgoing(db: &Connection, of: &Outgoing<'_>) -> rusqlite::Result<i64> {
    let sql = "INSERT INTO outbox (kind, uid, time, severity, detector, title, body)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) RETURNING id";
    let (kind, severity) = (of.kind as i64, of.severity as i64);
    let values = params![kind, of.uid, milliseconds(of.time), severity, of.detector, of.title, of.body];
    db.prepare_cached(sql)?.query_row(values, |row| row.get(0))
}

/// It goes out by itself, and belongs to that incident.
fn finding(db: &Connection, host: &Host, of: &Finding, incident: &str) -> rusqlite::Result<()> {
    let at = Timestamp::try_from(of.wall).unwrap_or(Timestamp::UNIX_EPOCH);
    let file = match &of.target {
        Target::File { path: file, known_as, .. } => Some(path::text(known_as.as_ref().unwrap_or(file)).into_owned()),
        Target::Process { .. } | Target::Service(_) | Target::Sensor => None,
    };
    let store = of.stores.first().map(|store| store.id.as_str());
    let access = match of.reader() {
        Some(reader) => holder(db, reader.key.start_ns, reader.key.tgid)?,
        None => None,
    };
    let entry = Outgoing {
        kind: Kind::Finding,
        uid: &of.uid,
        time: at,
        severity: of.severity,
        detector: of.detector.name(),
        title: &visible::text(&of.headline),
        body: None,
    };
    let id = outgoing(db, &entry)?;
    let sql = "INSERT INTO findings (id, uid, time, detector, severity, store, path, fingerprint, access, incident,
                                     body)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";
    let severity = of.severity as i64;
    let values = params![
        id,
        of.uid,
        milliseconds(at),
        of.detector.name(),
        severity,
        store,
        file,
        of.fingerprint,
        access,
        incident,
        ocsf::line_in(of, host, incident)
    ];
    db.prepare_cached(sql)?.execute(values)?;
    let mut about = db.prepare_cached("INSERT OR IGNORE INTO findings_about (about, finding) VALUES (?1, ?2)")?;
    let name = match &of.target {
        Target::File { path: file, .. } => Some(path::text(file).into_owned()),
        Target::Process { .. } | Target::Service(_) | Target::Sensor => None,
    };
    let stores = of.stores.iter().map(|store| store.id.clone());
    for subject in stores.chain(file).chain(name).chain(of.fingerprint.clone()) {
        about.execute(params![subject, id])?;
    }
    Ok(())
}

/// As what a process last got at a token.
fn holder(db: &Connection, start_ns: u64, tgid: u32) -> rusqlite::Result<Option<i64>> {
    let sql = "SELECT access FROM holders WHERE tgid = ?1 AND start_ns = ?2 ORDER BY last DESC LIMIT 1";
    db.prepare_cached(sql)?.query_row(params![tgid, start_ns.cast_signed()], |row| row.get(0)).optional()
}

/// What makes two accesses the same row.
pub(super) fn same(of: &Accessed) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new_derive_key("tokenhound 2026 history access");
    let (what, program) = (path::text(&of.what), path::text(&of.program));
    let uid = of.uid.to_string();
    let parts = [of.way.name(), &of.store, &what, of.verdict.name(), of.actor.name(), &uid, &program];
    let optional = [of.script.as_deref(), of.container.as_deref()].map(Option::unwrap_or_default);
    for part in parts.into_iter().chain(optional) {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part.as_bytes());
    }
    let mut key = [0; 16];
    key.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    key
}

fn access(db: &Connection, of: &Accessed, times: Times) -> rusqlite::Result<()> {
    let (at, last) = (milliseconds(of.time), milliseconds(times.last.unwrap_or(of.time)));
    let lineage =
        serde_json::to_string(&of.lineage).map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
    let sql = "INSERT INTO accesses (same, way, store, what, verdict, actor, uid, user, program, script, container,
                                     lineage, pid, first, last, count)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?16, ?15)
               ON CONFLICT DO UPDATE SET last = max(last, excluded.last), first = min(first, excluded.first),
                   count = count + excluded.count, lineage = excluded.lineage, pid = excluded.pid
               RETURNING id";
    let values = params![
        same(of),
        of.way.name(),
        of.store,
        path::text(&of.what),
        of.verdict.name(),
        of.actor.name(),
        of.uid,
        of.user,
        path::text(&of.program),
        of.script,
        of.container,
        lineage,
        of.process.tgid,
        at,
        times.count,
        last
    ];
    let id: i64 = db.prepare_cached(sql)?.query_row(values, |row| row.get(0))?;
    let mut tokens =
        db.prepare_cached("INSERT OR IGNORE INTO accessed_tokens (fingerprint, access) VALUES (?1, ?2)")?;
    for fingerprint in of.tokens.iter().take(TOKENS) {
        tokens.execute(params![fingerprint.to_string(), id])?;
    }
    let sql = "INSERT INTO holders (start_ns, tgid, access, last) VALUES (?1, ?2, ?3, ?4)
               ON CONFLICT DO UPDATE SET last = max(last, excluded.last)";
    let holder = params![of.process.start_ns.cast_signed(), of.process.tgid, id, last];
    db.prepare_cached(sql)?.execute(holder).map(drop)
}

fn copy(db: &Connection, of: &Copied) -> rusqlite::Result<()> {
    let access = holder(db, of.carrier.start_ns, of.carrier.tgid)?;
    let at = milliseconds(of.time);
    let mark = of.file.or_else(|| mark::confirmed(of));
    let of_mark = |value: fn(FileMark) -> i64| mark.map(value);
    let sql =
        "INSERT INTO copies (fingerprint, path, store, class, encoding, device, inode, size, changed_s, changed_ns,
                                   writer, start_ns, tgid, access, first, seen, state)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?15, 'present')
               ON CONFLICT DO UPDATE SET store = excluded.store, class = excluded.class, encoding = excluded.encoding,
                   device = excluded.device, inode = excluded.inode, size = excluded.size,
                   changed_s = excluded.changed_s, changed_ns = excluded.changed_ns, writer = excluded.writer,
                   start_ns = excluded.start_ns, tgid = excluded.tgid, access = coalesce(excluded.access, access),
                   seen = excluded.seen, state = 'present'";
    let values = params![
        of.fingerprint.to_string(),
        path::text(&of.path),
        of.store,
        of.class,
        of.encoding,
        of_mark(|mark| mark.device.cast_signed()),
        of_mark(|mark| mark.inode.cast_signed()),
        of_mark(|mark| mark.size.cast_signed()),
        of_mark(|mark| mark.changed.0),
        of_mark(|mark| i64::from(mark.changed.1)),
        visible::text(&of.writer),
        of.carrier.start_ns.cast_signed(),
        of.carrier.tgid,
        access,
        at
    ];
    db.prepare_cached(sql)?.execute(values).map(drop)
}

fn standing(db: &Connection, of: &Checked) -> rusqlite::Result<()> {
    let tokens: Vec<String> = of.tokens.iter().map(ToString::to_string).collect();
    let sql = "UPDATE copies SET state = ?2, seen = ?3
               WHERE path = ?1 AND state <> 'gone' AND (?4 = '' OR instr(?4, fingerprint) > 0)";
    let values = params![path::text(&of.path), of.state.name(), milliseconds(of.at), tokens.join(" ")];
    db.prepare_cached(sql)?.execute(values).map(drop)
}
