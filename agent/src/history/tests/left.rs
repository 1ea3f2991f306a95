//! What is known after a restart of tokens that have left their stores.

use super::{
    super::*,
    token,
    trail::{PATH, accessed, copied, played},
};
use crate::{
    detect::{
        lifecycle::{Change, Exposed, Exposures},
        revocation_incomplete::{self, Departed, Remaining},
    },
    finding::severity::Severity,
    history::model::{MOST_LEFT, Sealed, Standing},
    token::fingerprint::{Fingerprint, Key},
};

fn sealed(number: usize) -> Sealed {
    let fingerprint = Key::new([1; 32]).fingerprint_of(&number.to_le_bytes());
    let at = Timestamp::from_second(1_764_000_000 + number as i64).unwrap();
    Sealed { fingerprint, needles: vec![7; 100], at }
}

fn departed(path: &str, secret: &str) -> Departed {
    let told = vec![Remaining { path: "/x".into(), class: "script".into(), state: Standing::Present }];
    Departed { token: token(path, secret), replaced: false, at: Timestamp::from_second(1_764_000_000).unwrap(), told }
}

fn is(departed: &Departed) -> Entry {
    Entry::Left(revocation_incomplete::Change::Is(Box::new(departed.clone())))
}

fn prune(database: &mut Database, bounds: Bounds) {
    prune::prune(database, bounds).unwrap();
}

#[test]
fn a_token_that_has_left_is_known_again_with_what_was_told_and_who_has_it() {
    let (one, two) = (departed(PATH, "one"), departed("/home/bob/.aws/credentials", "two"));
    let of_one = Sealed { fingerprint: one.token.known.fingerprint, ..sealed(0) };
    let way = Exposed { way: "readable".into(), text: "t".into(), severity: Severity::High, remedy: "r".into() };
    let field = one.token.known.facts.field.clone();
    let (state, _database) = played(vec![
        Entry::Token(Change::Is(Box::new(one.token.clone()))),
        Entry::Access(Box::new(accessed(7, "/usr/bin/cat"))),
        is(&one),
        is(&two),
        Entry::Token(Change::Gone((PATH.into(), "aws-credentials".into(), field))),
        Entry::Needles(Box::new(of_one.clone())),
        Entry::Left(revocation_incomplete::Change::Gone(two.token.known.fingerprint)),
        Entry::Token(Change::Exposed(PATH.into(), vec![way.clone()])),
        Entry::Token(Change::Exposed("/closed".into(), vec![way.clone()])),
        Entry::Token(Change::Exposed("/closed".into(), Vec::new())),
    ]);
    let mut database = Database::open(state.path()).unwrap();
    let before = database.before().unwrap();
    assert_eq!(before.left, std::slice::from_ref(&one));
    assert_eq!(
        before.known,
        std::slice::from_ref(&one.token.known),
        "where it lay is known, though it is there no more"
    );
    assert_eq!(before.exposures, [Exposures { path: PATH.into(), ways: vec![way] }]);
    let [holder] = &before.holders[..] else { panic!("{before:?}") };
    assert_eq!((holder.name.as_str(), holder.process.tgid), ("/usr/bin/cat (pid 7)", 7));
    assert_eq!(database.needles().unwrap(), std::slice::from_ref(&of_one));
    database.forget_needles(&[of_one.fingerprint]).unwrap();
    assert!(database.needles().unwrap().is_empty() && database.before().unwrap().known.is_empty());
}

#[test]
fn the_oldest_needles_go_first_and_what_still_has_copies_outlives_the_bounds() {
    let (_state, mut database) = played(Vec::new());
    let all: Vec<Entry> = (0..MOST_LEFT + 3).map(|number| Entry::Needles(Box::new(sealed(number)))).collect();
    let done = database.write(&all, &Host::default(), &mut super::whole()).unwrap();
    assert_eq!(done.needles, 3);
    let left = database.needles().unwrap();
    assert_eq!((left.len(), left[0].fingerprint), (MOST_LEFT, sealed(3).fingerprint));

    let held = departed(PATH, "one");
    let fingerprint: Fingerprint = held.token.known.fingerprint;
    let entries = [
        is(&held),
        is(&departed("/y", "two")),
        Entry::Needles(Box::new(Sealed { fingerprint, ..sealed(5000) })),
        Entry::Copy(Box::new(copied("/home/ann/deploy.sh"))),
    ];
    database.write(&entries, &Host::default(), &mut super::whole()).unwrap();
    prune(&mut database, Bounds { max_age: 1, ..Bounds::default() });
    let kept: Vec<_> = database.needles().unwrap().into_iter().map(|sealed| sealed.fingerprint).collect();
    assert_eq!(kept, [fingerprint], "a copy of it is there");
    assert_eq!(database.before().unwrap().left, [held]);
    prune(&mut database, Bounds { max_bytes: 0, ..Bounds::default() });
    assert!(database.needles().unwrap().is_empty() && database.before().unwrap().left.is_empty());
}
