use std::{fs, os::unix::fs::MetadataExt, path::Path};

use tokenhound_common::process::ProcessKey;

use super::*;
use crate::{
    catalogue::tests::shipped_catalogue,
    detect::lifecycle::Change,
    history::{
        model::{Copied, Entry, FileMark},
        read, tests,
        trail::MOST,
    },
    token::model::Facts,
    trace::tests::egress as sent,
};

const STORE: &str = "aws-credentials";
const CONTENT: &str = "[default]\naws_access_key_id = AKIAQ7XM4TZ2LWVK6RJD\naws_secret_access_key = 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\n";

fn key() -> Key {
    Key::new([1; 32])
}

fn place(path: &Path, secret: &str, gone: bool) -> Place {
    Place {
        fingerprint: key().fingerprint_of(secret.as_bytes()).to_string(),
        store: STORE.into(),
        path: path.into(),
        field: "[default]/aws_secret_access_key".into(),
        facts: Some(Facts::new(crate::catalogue::model::Kind::ApiKey, "x")),
        since: Timestamp::UNIX_EPOCH,
        gone: gone.then_some(Timestamp::UNIX_EPOCH),
    }
}

fn copied(path: &Path, secret: &str, mark: Option<FileMark>) -> Copy {
    Copy {
        fingerprint: key().fingerprint_of(secret.as_bytes()).to_string(),
        path: path.into(),
        store: STORE.into(),
        class: "script".into(),
        encoding: "raw".into(),
        mark,
        writer: "dash (pid 7)".into(),
        carrier: ProcessKey::new(1, 2),
        access: None,
        first: Timestamp::UNIX_EPOCH,
        seen: Timestamp::UNIX_EPOCH,
        state: Standing::Present,
    }
}

const SECRET: &str = "qZ8vXw3nLk5Rt7Yp2Bm9Jc4Hd6Gf1Sa0EuWiOxTr";

#[test]
fn what_remains_is_what_lies_in_the_store_and_in_copies() {
    let directory = tempfile::tempdir().unwrap();
    let (store, script) = (directory.path().join("credentials"), directory.path().join("deploy.sh"));
    fs::write(&store, CONTENT).unwrap();
    fs::write(&script, "made up").unwrap();
    let device = fs::metadata(&script).unwrap().dev();
    let mark = Some(FileMark { device, inode: 0, size: 7, changed: (0, 0) });
    let known = Known {
        places: vec![place(&store, SECRET, false)],
        copies: vec![copied(&script, SECRET, mark), copied(&script, "of another store's token", mark)],
        ..Known::default()
    };
    let catalogue = shipped_catalogue();
    let plan = |key: Option<Key>| Plan::of(&Sources { store: catalogue.store(STORE).unwrap(), key }, &known);
    for sources in [Some(key()), None] {
        let plan = plan(sources);
        assert_eq!((plan.here.len(), plan.copies.len(), plan.remains()), (1, 1, 2), "{plan:?}");
        let text = text(&plan, Style::default());
        for part in ["tokens in the store", "deploy.sh (script), changed since", "remove it from", "1. at its issuer"] {
            assert!(text.contains(part), "{part}\n{text}");
        }
        assert!(!text.contains(SECRET));
    }
    // A logout: the agent may not have seen it, a look does.
    fs::write(&store, "[default]\nregion = eu-central-1\n").unwrap();
    assert_eq!(plan(None).here.len(), 1);
    let after = plan(Some(key()));
    assert_eq!((after.here.len(), after.left.len(), after.remains()), (0, 1, 1), "{after:?}");
    fs::remove_file(&script).unwrap();
    let done = plan(Some(key()));
    assert_eq!((done.remains(), done.missing), (0, 1));
    assert!(outcome(&done, Style::default()).starts_with("Nothing remains"));
    assert_eq!(json(&done, Some(0))["remains"], 0);
}

#[test]
fn a_process_that_got_at_a_token_counts_as_long_as_it_lives() {
    let own = procfs_key();
    let access = read::Access {
        id: 1,
        way: "read".into(),
        store: STORE.into(),
        what: "/x".into(),
        verdict: "unexpected".into(),
        actor: "interactive".into(),
        uid: 0,
        user: None,
        program: "/usr/bin/node".into(),
        script: None,
        container: Some("docker 0123456789abcdef".into()),
        lineage: Vec::new(),
        pid: own.tgid,
        first: Timestamp::UNIX_EPOCH,
        last: Timestamp::UNIX_EPOCH,
        count: 1,
        tokens: vec![key().fingerprint_of(b"one").to_string()],
    };
    let holder = |process| Holder { process, access: 1, last: Timestamp::UNIX_EPOCH };
    let known = Known {
        places: vec![place(Path::new("/x"), "one", true)],
        copies: Vec::new(),
        accesses: vec![access],
        egress: vec![sent(1, Some(1)), sent(2, Some(9)), sent(3, None)],
        holders: vec![holder(own), holder(ProcessKey::new(5, own.tgid))],
    };
    let catalogue = shipped_catalogue();
    let sources = Sources { store: catalogue.store(STORE).unwrap(), key: None };
    let plan = Plan::of(&sources, &known);
    assert_eq!(plan.holders.len(), 1, "the other one had its pid before");
    assert_eq!(plan.remains(), 0, "processes end by themselves");
    let text = text(&plan, Style::default());
    let carried = "203.0.113.1:443 (collector.invalid, as /etc/hosts has it) by /usr/bin/curl (pid 4300), ann,";
    assert!(text.contains(carried) && text.contains("ask its issuer what the token was used for"), "{text}");
    assert!(!text.contains("203.0.113.2:443"), "of a token that is not concerned: {text}");
    assert!(
        text.contains(&format!("pid {}: /usr/bin/node", own.tgid)) && text.contains("docker 0123456789ab"),
        "{text}"
    );
}

/// Our own process.
fn procfs_key() -> ProcessKey {
    let stat = procfs::process::Process::myself().unwrap().stat().unwrap();
    ProcessKey::new(stat.starttime * backfill::tick_ns(), u32::try_from(stat.pid).unwrap())
}

/// A tool that logs in every hour leaves thousands of tokens behind; the one copy that is left is of the first of them.
#[test]
fn what_remains_is_not_lost_among_what_is_gone() {
    let directory = tempfile::tempdir().unwrap();
    let script = directory.path().join("deploy.sh");
    fs::write(&script, "made up").unwrap();
    let mut entries = Vec::new();
    for number in 0..=MOST + 1 {
        let mut one = tests::token("/nowhere/credentials", &format!("made up {number}"));
        one.since = Timestamp::from_second(1_764_000_000 + i64::try_from(number).unwrap()).unwrap();
        one.known.store = STORE.into();
        if number == 0 {
            let of =
                Copied { fingerprint: one.known.fingerprint, path: script.clone(), file: None, ..tests::copied("/x") };
            entries.push(Entry::Copy(Box::new(of)));
        }
        entries.push(Entry::Token(Change::Is(Box::new(one))));
    }
    let (_state, database) = tests::played(entries);
    let catalogue = shipped_catalogue();
    let sources = Sources { store: catalogue.store(STORE).unwrap(), key: Some(key()) };
    let plan = Plan::read(&sources, &database).unwrap();
    assert_eq!((plan.here.len(), plan.left.len(), plan.remains()), (0, MOST + 2, 1));
}
