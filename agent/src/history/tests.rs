use std::os::unix::fs::PermissionsExt;

use jiff::Timestamp;
use tokenhound_common::process::ProcessKey;

use super::{trail::Subject, *};
use crate::{
    catalogue::model::Kind,
    detect::lifecycle::Change,
    detect::lifecycle::{Origin, Session, Told, Use},
    lineage::actor::Class,
    telemetry::metrics::Metrics,
    token::{
        fingerprint::Key,
        model::{Facts, Known},
    },
};

pub(crate) fn token(path: &str, secret: &str) -> Tracked {
    let now = Timestamp::from_second(1_764_000_000).unwrap();
    let session = Session { leader: ProcessKey::new(u64::MAX, 812), program: "bash".into(), tty: Some((136, 3)) };
    let origin = Origin {
        at: now,
        uid: 1000,
        user: Some("ann".into()),
        program: "/usr/bin/aws".into(),
        actor: Class::Interactive,
        session: Some(session),
        seen: true,
    };
    let uses = vec![Use { actor: Class::Automation, program: "/usr/bin/aws".into(), first: now, last: now }];
    Tracked {
        known: Known {
            fingerprint: Key::new([1; 32]).fingerprint_of(secret.as_bytes()),
            store: "aws-credentials".into(),
            path: path.into(),
            facts: Facts::new(Kind::ApiKey, "[default]/aws_secret_access_key"),
        },
        since: now,
        written: now,
        origin: Some(origin),
        session_over: Some(now),
        uses,
        told: Told { outlived: true, stale: false },
    }
}

/// No incidents yet, and every finding goes out by itself, however many look the same.
fn whole() -> Incidents {
    Incidents::restored([], u64::MAX)
}

pub(in crate::history) fn setup() -> Setup {
    Setup {
        host: Host::default(),
        bounds: Bounds { alike: u64::MAX, ..Bounds::default() },
        metrics: Metrics::new().0,
        bell: bell::Bell::default(),
    }
}

#[test]
fn what_is_written_is_there_again_after_a_restart() {
    let state = tempfile::tempdir().unwrap();
    let state = state.path().join("state");
    assert!(Database::look(&state).unwrap().is_none());
    let awkward = {
        use std::os::unix::ffi::OsStringExt;
        let mut token = token("", "two");
        token.known.path = std::ffi::OsString::from_vec(b"/home/\xff/.aws/credentials".to_vec()).into();
        token
    };
    let one = token("/home/ann/.aws/credentials", "one");
    let mut writer = Writer::start(Database::open(&state).unwrap(), setup()).unwrap();
    for token in [&one, &awkward, &token("/gone", "three")] {
        writer.send(Entry::Token(Change::Is(Box::new(token.clone()))));
    }
    let gone = Change::Gone(("/gone".into(), "aws-credentials".into(), one.known.facts.field.clone()));
    writer.send(Entry::Token(gone));
    drop(writer);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&state), mode(&state.join(FILE))), (0o700, 0o600));
    assert_eq!(Database::look(&state).unwrap().unwrap().tokens().unwrap().len(), 2);
    let mut found = Database::open(&state).unwrap().tokens().unwrap();
    found.sort_by_key(|token| token.known.path != one.known.path);
    assert_eq!(found, [one, awkward]);
}

#[test]
fn a_damaged_history_and_one_of_a_later_version_are_named() {
    let state = tempfile::tempdir().unwrap();
    fs::write(state.path().join(FILE), "this is no database at all, and long enough to look like one".repeat(20))
        .unwrap();
    let error = Database::open(state.path()).err().unwrap().to_string();
    assert!(error.contains(FILE) && error.contains("move it away"), "{error}");
    let state = tempfile::tempdir().unwrap();
    let database = Database::open(state.path()).unwrap();
    database.connection.pragma_update(None, "user_version", 999).unwrap();
    drop(database);
    assert!(Database::look(state.path()).is_err());
    let error = Database::open(state.path()).err().unwrap().to_string();
    assert!(error.contains("version 999") && error.contains("later agent"), "{error}");
}

#[test]
fn an_old_database_is_brought_up_to_date() {
    let state = tempfile::tempdir().unwrap();
    let path = state.path().join(FILE);
    let old = Connection::open(&path).unwrap();
    old.execute_batch(schema::FIRST).unwrap();
    old.pragma_update(None, "user_version", 1).unwrap();
    let one = token("/home/ann/.aws/credentials", "one");
    let sql = "INSERT INTO tokens (path, store, field, fingerprint, body) VALUES (?1, ?2, ?3, ?4, ?5)";
    let (known, body) = (&one.known, serde_json::to_string(&one).unwrap());
    let fingerprint = known.fingerprint.to_string();
    let file = known.path.to_str().unwrap();
    old.execute(sql, (file, &known.store, &known.facts.field, &fingerprint, &body)).unwrap();
    old.execute(sql, ("/damaged", "s", "f", "th1:", "no JSON")).unwrap();
    drop(old);
    let database = Database::open(state.path()).unwrap();
    let version = database.connection.pragma_query_value(None, "user_version", |row| row.get::<_, u32>(0)).unwrap();
    assert_eq!(version, schema::VERSION);
    assert_eq!(database.tokens().unwrap(), std::slice::from_ref(&one));
    let trail = database.trail(&Subject::Token(one.known.fingerprint)).unwrap();
    assert_eq!(trail.places.len(), 1, "{trail:?}");
    assert_eq!((trail.places[0].since, &trail.places[0].facts), (one.since, &Some(one.known.facts.clone())));
}

mod egress;
mod incidents;
mod left;
mod survival;
mod trail;

pub(crate) use self::{
    survival::finding,
    trail::{accessed, copied, played},
};

#[test]
fn its_own_files_are_known() {
    let state = Path::new("/var/lib/tokenhound");
    for (path, own) in [
        ("/var/lib/tokenhound/history.db", true),
        ("/var/lib/tokenhound/history.db-wal", true),
        ("/var/lib/tokenhound/kept", false),
        ("/home/ann/history.db", false),
        ("/var/lib/tokenhound/deeper/history.db", false),
    ] {
        assert_eq!(is_own(state, Path::new(path)), own, "{path}");
    }
}
