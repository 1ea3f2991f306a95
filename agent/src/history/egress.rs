//! Where carriers of tokens connected to: how it is written down, and read again.

// From `core`, where there are addresses and no way to use them.
use core::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use jiff::Timestamp;
use rusqlite::{Connection, Row, params};
use serde::Serialize;

use super::{
    model::Sent,
    read::{moment, pid, shown},
    write::milliseconds,
};
use crate::{
    detect::access::{Called, Namer},
    state::path,
};

/// Most accesses of one reader that a connection of its lineage is noted for.
const ACCESSES: usize = 16;

/// How long after an access a connection is its, in milliseconds: as long as the kernel follows carriers.
const AFTER: i64 = 10 * 60 * 1000;

/// Where somebody who carried a token connected to, over all of a program's processes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Egress {
    /// Its number in the history.
    pub id: i64,
    /// The store that had been read.
    pub store: String,
    /// The token, where the finding about the read names it.
    pub fingerprint: Option<String>,
    /// As what the reader had got at the token: [`super::read::Access::id`].
    pub access: Option<i64>,
    /// The address and the port.
    #[serde(flatten, serialize_with = "parts")]
    pub peer: SocketAddr,
    /// What it is called, where that is known.
    #[serde(flatten, serialize_with = "called")]
    pub called: Option<Called>,
    /// User id of who connected.
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
    /// Its pid the last time.
    pub pid: u32,
    /// Id of the finding, where there is one.
    pub finding: Option<String>,
    /// When first.
    pub first: Timestamp,
    /// When last.
    pub last: Timestamp,
    /// How often.
    pub count: i64,
}

fn parts<S: serde::Serializer>(of: &SocketAddr, to: S) -> Result<S::Ok, S::Error> {
    (serde_json::json!({"address": of.ip().to_string(), "port": of.port()})).serialize(to)
}

fn called<S: serde::Serializer>(of: &Option<Called>, to: S) -> Result<S::Ok, S::Error> {
    let name = of.as_ref().map(|called| called.name.as_str());
    let by = of.as_ref().map(|called| called.by.name());
    (serde_json::json!({"name": name, "name_from": by})).serialize(to)
}

impl Egress {
    pub(super) const COLUMNS: &'static str = "e.id, e.store, e.fingerprint, e.access, e.address, e.port, e.name, \
         e.name_from, e.uid, e.user, e.program, e.script, e.container, e.pid, e.finding, e.first, e.last, e.count";

    pub(super) fn of(row: &Row<'_>) -> rusqlite::Result<Self> {
        let by = row.get::<_, Option<String>>("name_from")?.and_then(|by| Namer::of(&by));
        let name: Option<String> = row.get("name")?;
        let address: String = row.get("address")?;
        Ok(Self {
            id: row.get("id")?,
            store: row.get("store")?,
            fingerprint: row.get("fingerprint")?,
            access: row.get("access")?,
            peer: SocketAddr::new(
                address.parse().unwrap_or(IpAddr::from([0, 0, 0, 0])),
                u16::try_from(row.get::<_, i64>("port")?).unwrap_or(0),
            ),
            called: name.zip(by).map(|(name, by)| Called { name, by }),
            uid: pid(row, "uid")?,
            user: row.get("user")?,
            program: path::of_text(&row.get::<_, String>("program")?),
            script: row.get("script")?,
            container: row.get("container")?,
            pid: pid(row, "pid")?,
            finding: row.get("finding")?,
            first: moment(row.get("first")?),
            last: moment(row.get("last")?),
            count: row.get("count")?,
        })
    }
}

/// What makes two connections the same row.
fn same(of: &Sent, (access, store): (Option<i64>, &str)) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new_derive_key("tokenhound 2026 history egress");
    let (access, peer) = (access.unwrap_or(0).to_string(), of.peer.to_string());
    let (uid, program) = (of.uid.to_string(), path::text(&of.program));
    let optional = [of.script.as_deref(), of.container.as_deref()].map(Option::unwrap_or_default);
    for part in [store, &access, &peer, &uid, &program].into_iter().chain(optional) {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part.as_bytes());
    }
    let mut key = [0; 16];
    key.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    key
}

/// A row for each access by which the reader may have what was sent: it may have read several stores.
pub(super) fn write(db: &Connection, of: &Sent) -> rusqlite::Result<()> {
    let at = milliseconds(of.time);
    let sql = "SELECT a.id, a.store FROM holders h JOIN accesses a ON a.id = h.access
               WHERE h.tgid = ?1 AND h.start_ns = ?2 AND h.last BETWEEN ?3 - ?4 AND ?3
               AND (a.store = ?5 OR a.verdict = 'unexpected') ORDER BY h.last DESC LIMIT ?6";
    let values = params![of.reader.tgid, of.reader.start_ns.cast_signed(), at, AFTER, of.store, ACCESSES as i64];
    let row = |row: &Row<'_>| Ok((Some(row.get::<_, i64>(0)?), row.get::<_, String>(1)?));
    let mut accesses: Vec<(Option<i64>, String)> =
        db.prepare_cached(sql)?.query_map(values, row)?.collect::<Result<_, _>>()?;
    if accesses.is_empty() {
        accesses.push((None, of.store.clone()));
    }
    let sql =
        "INSERT INTO egress (same, store, fingerprint, access, address, port, name, name_from, uid, user, program,
                                   script, container, pid, finding, first, last, count)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?16, 1)
               ON CONFLICT DO UPDATE SET last = max(last, excluded.last), count = count + 1, pid = excluded.pid,
                   name = coalesce(excluded.name, name), name_from = coalesce(excluded.name_from, name_from),
                   finding = coalesce(excluded.finding, finding)";
    let mut statement = db.prepare_cached(sql)?;
    for (access, store) in accesses {
        statement.execute(params![
            same(of, (access, &store)),
            store,
            of.fingerprint.map(|fingerprint| fingerprint.to_string()).filter(|_| store == of.store),
            access,
            of.peer.ip().to_string(),
            of.peer.port(),
            of.called.as_ref().map(|called| called.name.as_str()),
            of.called.as_ref().map(|called| called.by.name()),
            of.uid,
            of.user,
            path::text(&of.program),
            of.script,
            of.container,
            of.process.tgid,
            of.finding,
            at
        ])?;
    }
    Ok(())
}
