//! Where carriers of tokens connected to.

use jiff::Timestamp;
use tokenhound_common::process::ProcessKey;

use super::{
    super::*,
    survival::finding,
    token,
    trail::{PATH, accessed, played},
};
use crate::{
    detect::{
        access::{Called, Namer},
        judge::Verdict,
        lifecycle::Change,
    },
    finding::model::Finding,
    history::{
        model::{Accessed, Sent},
        trail::Subject,
    },
    token::fingerprint::{Fingerprint, Key},
};

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_764_000_000 + seconds).unwrap()
}

fn fingerprint(secret: &str) -> Fingerprint {
    Key::new([1; 32]).fingerprint_of(secret.as_bytes())
}

/// By `curl`, after process 7 had read.
pub(crate) fn sent(last: u8, seconds: i64) -> Sent {
    Sent {
        store: "aws-credentials".into(),
        fingerprint: None,
        reader: ProcessKey::new(7_000, 7),
        peer: ([203, 0, 113, last], 443).into(),
        called: Some(Called { name: "collector.invalid".into(), by: Namer::Hosts }),
        uid: 1000,
        user: Some("ann".into()),
        program: "/usr/bin/curl".into(),
        script: None,
        container: None,
        process: ProcessKey::new(9_000, 9),
        finding: Some(format!("{last:032x}")),
        time: at(seconds),
    }
}

fn story() -> Vec<Entry> {
    let gh = Accessed {
        store: "gh-hosts".into(),
        what: "/home/ann/.config/gh/hosts.yml".into(),
        tokens: vec![fingerprint("gh")],
        ..accessed(7, "/usr/bin/cat")
    };
    let own =
        Accessed { verdict: Verdict::Expected, store: "npm".into(), tokens: vec![], ..accessed(7, "/usr/bin/cat") };
    vec![
        Entry::Token(Change::Is(Box::new(token(PATH, "one")))),
        Entry::Access(Box::new(accessed(7, "/usr/bin/cat"))),
        Entry::Access(Box::new(gh)),
        Entry::Access(Box::new(own)),
        Entry::Finding(Box::new(Finding { stores: Vec::new(), ..finding(5) })),
        Entry::Sent(Box::new(sent(5, 30))),
        Entry::Sent(Box::new(Sent { finding: None, called: None, ..sent(5, 40) })),
        // Nobody of whom an access is known.
        Entry::Sent(Box::new(Sent { reader: ProcessKey::new(1, 1), ..sent(6, 50) })),
    ]
}

#[test]
fn where_a_carrier_connected_to_is_of_all_that_its_reader_had_read() {
    let (_state, database) = played(story());
    let trail = |subject: Subject| database.trail(&subject).unwrap();
    for subject in [Subject::Token(fingerprint("one")), Subject::File(PATH.into())] {
        let trail = trail(subject.clone());
        let [egress] = &trail.egress[..] else { panic!("{subject:?}: {trail:?}") };
        assert_eq!((egress.peer, egress.count), (sent(5, 0).peer, 2));
        assert_eq!((egress.first, egress.last), (at(30), at(40)));
        assert_eq!((&egress.called, &egress.finding), (&sent(5, 0).called, &sent(5, 0).finding), "it stays");
        assert_eq!(egress.access, Some(trail.accesses[0].id));
        assert!(trail.findings.iter().any(|told| Some(&told.uid) == egress.finding.as_ref()), "{trail:?}");
    }
    let peers = |store: &str| -> Vec<_> {
        trail(Subject::Store(store.into())).egress.iter().map(|egress| egress.peer.to_string()).collect()
    };
    assert_eq!(peers("aws-credentials"), ["203.0.113.5:443", "203.0.113.6:443"]);
    assert_eq!(peers("gh-hosts"), ["203.0.113.5:443"], "it was read by the same process");
    assert_eq!(peers("npm"), [""; 0], "that one it may read");
    let late = Entry::Sent(Box::new(sent(7, 700)));
    let (_state, database) = played(story().into_iter().chain([late]).collect());
    let trail = database.trail(&Subject::Token(fingerprint("one"))).unwrap();
    assert_eq!(trail.egress.len(), 1, "ten minutes later it is not followed any more");
}

#[test]
fn it_goes_when_it_is_old_and_with_the_access_that_led_there() {
    let (_state, mut database) = played(story());
    let left = |database: &Database| {
        let rows = database.extent().unwrap().rows;
        rows.into_iter().find(|(table, _)| *table == "egress").unwrap().1
    };
    assert_eq!(left(&database), 3);
    database.connection.execute("DELETE FROM accesses WHERE store = 'gh-hosts'", []).unwrap();
    assert_eq!(left(&database), 2);
    let pruned = prune::prune(&mut database, Bounds { max_age: 1, ..Bounds::default() }).unwrap();
    assert!(pruned.rows.iter().any(|(table, _)| *table == "accesses"), "{pruned:?}");
    assert_eq!(left(&database), 0);
}
