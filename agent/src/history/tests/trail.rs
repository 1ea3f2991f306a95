//! Where a token went.

use tokenhound_common::process::ProcessKey;

use super::{super::*, survival::finding, token};
use crate::{
    detect::{judge::Verdict, lifecycle::Change},
    finding::{
        model::{Finding, Target},
        severity::Severity,
    },
    history::{
        model::{Accessed, Ancestor, Checked, Copied, FileMark, Standing, Way},
        trail::{MOST, Subject},
    },
    ingest::observation::Way as Opened,
    lineage::actor::Class,
    token::fingerprint::{Fingerprint, Key},
};

pub(crate) const PATH: &str = "/home/ann/.aws/credentials";

fn fingerprint(secret: &str) -> Fingerprint {
    Key::new([1; 32]).fingerprint_of(secret.as_bytes())
}

fn at(seconds: i64) -> jiff::Timestamp {
    jiff::Timestamp::from_second(1_764_000_000 + seconds).unwrap()
}

pub(crate) fn accessed(pid: u32, program: &str) -> Accessed {
    Accessed {
        way: Way::Read,
        store: "aws-credentials".into(),
        what: PATH.into(),
        verdict: Verdict::Unexpected,
        actor: Class::PackageScript,
        uid: 1000,
        user: Some("ann".into()),
        program: program.into(),
        script: None,
        container: None,
        lineage: vec![Ancestor { pid: 800, program: "/usr/bin/bash".into() }],
        process: ProcessKey::new(u64::from(pid) * 1000, pid),
        time: at(10),
        tokens: vec![fingerprint("one")],
    }
}

pub(crate) fn copied(path: &str) -> Copied {
    Copied {
        fingerprint: fingerprint("one"),
        store: "aws-credentials".into(),
        path: path.into(),
        class: "script".into(),
        encoding: "raw".into(),
        size: 100,
        file: Some(FileMark { device: 5, inode: u64::MAX, size: 100, changed: (7, 8) }),
        writer: "dash".into(),
        carrier: ProcessKey::new(7_000, 7),
        time: at(20),
    }
}

fn told(number: u32, path: &str, wall: i64) -> Finding {
    let target = Target::File { path: path.into(), known_as: None, way: Opened::Open, path_in_root: None };
    Finding { target, wall: at(wall).into(), severity: Severity::High, ..finding(number) }
}

pub(crate) fn played(entries: Vec<Entry>) -> (tempfile::TempDir, Database) {
    let state = tempfile::tempdir().unwrap();
    let mut database = Database::open(state.path()).unwrap();
    database.write(&entries, &Host::default(), &mut super::whole()).unwrap();
    (state, database)
}

fn story() -> Vec<Entry> {
    vec![
        Entry::Token(Change::Is(Box::new(token(PATH, "one")))),
        Entry::Token(Change::Is(Box::new(token("/home/bob/.aws/credentials", "other")))),
        Entry::Access(Box::new(accessed(7, "/usr/bin/cat"))),
        Entry::Access(Box::new(Accessed { time: at(30), ..accessed(8, "/usr/bin/cat") })),
        Entry::Access(Box::new(Accessed { verdict: Verdict::Expected, ..accessed(9, "/usr/bin/aws") })),
        Entry::Finding(Box::new(told(1, PATH, 10))),
        Entry::Finding(Box::new(told(2, "/home/bob/.aws/credentials", 10))),
        Entry::Copy(Box::new(copied("/home/ann/deploy.sh"))),
        Entry::Finding(Box::new(told(3, "/home/ann/deploy.sh", 20))),
        // Before the token lay there.
        Entry::Finding(Box::new(told(4, PATH, -5_000))),
    ]
}

#[test]
fn a_tokens_way_is_told_by_token_store_and_file() {
    let (_state, database) = played(story());
    for subject in
        [Subject::Token(fingerprint("one")), Subject::File(PATH.into()), Subject::File("/home/ann/deploy.sh".into())]
    {
        let trail = database.trail(&subject).unwrap();
        assert_eq!((trail.places.len(), trail.copies.len(), trail.accesses.len()), (1, 1, 2), "{subject:?} {trail:?}");
        let cat = &trail.accesses[0];
        assert_eq!((cat.count, cat.first, cat.last), (2, at(10), at(30)), "{subject:?}");
        assert_eq!(trail.copies[0].access, Some(cat.id), "who wrote it had read the store: {trail:?}");
        let said: Vec<_> = trail.findings.iter().map(|told| told.uid.trim_start_matches('0')).collect();
        match subject {
            Subject::File(file) if file == Path::new(PATH) => assert_eq!(said, ["1", "3", "4"]),
            _ => assert_eq!(said, ["1", "3"]),
        }
    }
    let all = database.trail(&Subject::Store("aws-credentials".into())).unwrap();
    assert_eq!((all.places.len(), all.findings.len()), (2, 4), "{all:?}");
    assert!(database.trail(&Subject::Store("gh-hosts".into())).unwrap().is_empty());
}

#[test]
fn a_token_that_has_left_is_still_known_and_was_exposed_for_so_long() {
    let (_state, mut database) = played(story());
    let field = token(PATH, "one").known.facts.field;
    let replaced = Tracked { since: at(110), ..token(PATH, "two") };
    let done =
        database.write(&[Entry::Token(Change::Is(Box::new(replaced)))], &Host::default(), &mut super::whole()).unwrap();
    let [left] = &done.left[..] else { panic!("{done:?}") };
    assert_eq!(left.fingerprint, fingerprint("one").to_string());
    // The first finding was ten seconds in, and this is 110.
    let (first, gone) = database.exposed_since(left).unwrap().unwrap();
    assert_eq!(gone - first, 100_000);
    let trail = database.trail(&Subject::Token(fingerprint("one"))).unwrap();
    assert_eq!(trail.places[0].gone, Some(at(110)));
    let gone = Change::Gone((PATH.into(), "aws-credentials".into(), field));
    let done = database.write(&[Entry::Token(gone)], &Host::default(), &mut super::whole()).unwrap();
    assert_eq!(done.left.len(), 1);
    // Of the second one findings were made before it lay there.
    assert_eq!(database.exposed_since(&done.left[0]).unwrap(), None);
}

#[test]
fn a_copy_changes_and_goes() {
    let (_state, mut database) = played(story());
    assert_eq!(database.copies_by_store().unwrap(), [("aws-credentials".to_owned(), 1)]);
    let known = database.copies().unwrap()[0].known().unwrap();
    assert_eq!(known, copied("/home/ann/deploy.sh"), "it comes back as it was");
    for (state, left) in [(Standing::Changed, 1), (Standing::Gone, 0)] {
        let path = "/home/ann/deploy.sh".into();
        let standing = Checked { path, tokens: Vec::new(), state, at: at(50) };
        database.write(&[Entry::Standing(Box::new(standing))], &Host::default(), &mut super::whole()).unwrap();
        assert_eq!(database.copies().unwrap().len(), left);
    }
    database
        .write(&[Entry::Copy(Box::new(copied("/home/ann/deploy.sh")))], &Host::default(), &mut super::whole())
        .unwrap();
    assert_eq!(database.copies().unwrap().len(), 1, "again");
    assert_eq!(database.copies().unwrap()[0].first, at(20));
}

#[test]
fn what_is_kept_holds_no_name_that_cannot_be_text() {
    use std::os::unix::ffi::OsStringExt;
    let awkward: PathBuf = std::ffi::OsString::from_vec(b"/home/\xff/creds".to_vec()).into();
    let access = Accessed { what: awkward.clone(), ..accessed(7, "/usr/bin/cat") };
    let (_state, database) = played(vec![Entry::Access(Box::new(access))]);
    let trail = database.trail(&Subject::File(awkward.clone())).unwrap();
    assert_eq!(trail.accesses[0].what, awkward);
}

#[test]
fn what_is_still_there_comes_before_what_is_gone() {
    let mut entries = vec![
        Entry::Token(Change::Is(Box::new(token("/home/bob/.aws/credentials", "one")))),
        Entry::Copy(Box::new(Copied { time: at(-1000), ..copied("/home/bob/deploy.sh") })),
    ];
    for number in 0..=MOST {
        let mut later = token(&format!("/gone/{number}"), "one");
        later.since = at(10_000);
        let place = (later.known.path.clone(), later.known.store.clone(), later.known.facts.field.clone());
        entries.extend([Entry::Token(Change::Is(Box::new(later))), Entry::Token(Change::Gone(place))]);
        let path = format!("/copies/{number}");
        entries.push(Entry::Copy(Box::new(copied(&path))));
        let (path, tokens) = (path.into(), vec![fingerprint("one")]);
        entries.push(Entry::Standing(Box::new(Checked { path, tokens, state: Standing::Gone, at: at(30) })));
    }
    let (_state, database) = played(entries);
    let trail = database.trail(&Subject::Token(fingerprint("one"))).unwrap();
    assert!(trail.places.iter().any(|place| place.gone.is_none()), "the place where it lies");
    assert!(trail.copies.iter().any(|copy| copy.state == Standing::Present), "the copy that is there");
    assert!(trail.left_out > 0);
}
