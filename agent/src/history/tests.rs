use std::os::unix::fs::PermissionsExt;

use jiff::Timestamp;
use tokenhound_common::process::ProcessKey;

use super::*;
use crate::{
    catalogue::model::Kind,
    detect::lifecycle::{Origin, Session, Told, Use},
    lineage::actor::Class,
    token::{
        fingerprint::Key,
        model::{Facts, Known},
    },
};

fn token(path: &str, secret: &str) -> Tracked {
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
    let mut writer = Writer::start(Database::open(&state).unwrap()).unwrap();
    for token in [&one, &awkward, &token("/gone", "three")] {
        writer.send(Change::Is(Box::new(token.clone())));
    }
    writer.send(Change::Gone(("/gone".into(), "aws-credentials".into(), one.known.facts.field.clone())));
    assert_eq!(writer.take_lost(), 0);
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
    assert_eq!(old.pragma_query_value(None, "user_version", |row| row.get::<_, u32>(0)).unwrap(), 0);
    drop(old);
    let database = Database::open(state.path()).unwrap();
    let version = database.connection.pragma_query_value(None, "user_version", |row| row.get::<_, u32>(0)).unwrap();
    assert_eq!(version, schema::VERSION);
    assert_eq!(database.tokens().unwrap(), []);
}
