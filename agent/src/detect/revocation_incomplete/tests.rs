use super::*;
use crate::{
    catalogue::model::Kind,
    detect::{fixtures::store, lifecycle::Told},
    finding::severity::Severity,
    token::{
        fingerprint::Key,
        model::{Facts, Known},
    },
};

const SECOND: u64 = 1_000_000_000;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_764_000_000 + seconds).unwrap()
}

fn token() -> Tracked {
    Tracked {
        known: Known {
            fingerprint: Key::new([1; 32]).fingerprint_of(b"one"),
            store: "aws-credentials".into(),
            path: "/home/ann/.aws/credentials".into(),
            facts: Facts::new(Kind::ApiKey, "[default]/aws_secret_access_key"),
        },
        since: at(0),
        written: at(0),
        origin: None,
        session_over: None,
        uses: Vec::new(),
        told: Told::default(),
    }
}

fn copy(path: &str, state: Standing) -> Remaining {
    Remaining { path: path.into(), class: "script".into(), state }
}

/// One of each kind: told, and closed.
pub(crate) fn findings() -> Vec<Finding> {
    let mut detector = RevocationIncomplete::default();
    detector.left(token(), false, KernelTime(0), at(0));
    let told = tell(&mut detector, vec![copy("/home/ann/deploy.sh", Standing::Present)]);
    told.into_iter().chain(tell(&mut detector, Vec::new())).collect()
}

fn tell(detector: &mut RevocationIncomplete, remaining: Vec<Remaining>) -> Option<Finding> {
    let salt = Salt::new("sample host", "sample boot");
    let moment = Moment { time: KernelTime(9), wall: at(9).into() };
    let holders = ["/usr/bin/node (pid 7)".to_owned()];
    let store = store("aws-credentials", "aws", 1);
    detector.remains(&salt, token().known.fingerprint, remaining, &holders, &store, moment)
}

fn due(detector: &mut RevocationIncomplete, seconds: u64) -> usize {
    detector.due(KernelTime(seconds * SECOND), at(i64::try_from(seconds).unwrap())).len()
}

#[test]
fn a_copy_that_survives_a_logout_is_told_until_it_is_gone() {
    let mut detector = RevocationIncomplete::default();
    detector.left(token(), false, KernelTime(0), at(0));
    assert_eq!(due(&mut detector, 1), 0, "the tool may be writing its store anew");
    assert_eq!(due(&mut detector, 5), 1);
    assert_eq!(due(&mut detector, 6), 0, "it was asked already");
    let script = || copy("/home/ann/deploy.sh", Standing::Present);
    let finding = tell(&mut detector, vec![script(), copy("/tmp/x", Standing::Gone)]).unwrap();
    assert_eq!((finding.detector, finding.severity), (DetectorId::RevocationIncomplete, Severity::High));
    assert!(finding.headline.contains("was taken out of /home/ann/.aws/credentials"), "{}", finding.headline);
    assert!(finding.headline.ends_with("/home/ann/deploy.sh"), "{}", finding.headline);
    assert!(finding.evidence.iter().any(|one| one.text.contains("node (pid 7) got at it")), "{finding:?}");
    assert_eq!(tell(&mut detector, vec![script()]), None, "as before");
    assert_eq!(due(&mut detector, 65), 1);
    let changed = tell(&mut detector, vec![copy("/home/ann/deploy.sh", Standing::Changed)]).unwrap();
    assert!(changed.evidence.iter().any(|one| one.text.contains("was changed since")), "{changed:?}");
    let closed = tell(&mut detector, Vec::new()).unwrap();
    assert_eq!(closed.severity, Severity::Informational);
    assert!(closed.headline.starts_with("Nothing is left"), "{}", closed.headline);
    assert_eq!(tell(&mut detector, Vec::new()), None);
    assert_eq!(due(&mut detector, 200), 0);
}

#[test]
fn without_a_copy_nothing_is_told() {
    let mut detector = RevocationIncomplete::default();
    detector.left(token(), false, KernelTime(0), at(0));
    assert_eq!(due(&mut detector, 5), 1);
    assert_eq!(tell(&mut detector, vec![copy("/tmp/x", Standing::Gone)]), None);
    assert_eq!(due(&mut detector, 100), 0, "it is followed no more");
}

#[test]
fn a_token_that_comes_back_was_not_revoked() {
    let mut detector = RevocationIncomplete::default();
    detector.left(token(), true, KernelTime(0), at(0));
    detector.back(token().known.fingerprint);
    assert_eq!(due(&mut detector, 5), 0);
    assert_eq!(tell(&mut detector, vec![copy("/x", Standing::Present)]), None);
}

#[test]
fn rotation_of_what_ends_by_itself_is_no_revocation_and_a_logout_is() {
    let followed = |replaced: bool, change: fn(&mut Facts)| {
        let mut detector = RevocationIncomplete::default();
        let mut token = token();
        change(&mut token.known.facts);
        detector.left(token, replaced, KernelTime(0), at(0));
        due(&mut detector, 5)
    };
    let hourly: fn(&mut Facts) = |facts| facts.expires = Some(at(3600));
    assert_eq!(followed(true, hourly), 0, "aws sso refreshes it every hour");
    assert_eq!(followed(false, hourly), 1, "logged out, and good for an hour still");
    assert_eq!(followed(true, |facts| facts.lifetime = Lifetime::Ephemeral), 0);
    assert_eq!(followed(true, |facts| facts.expires = Some(at(90 * 86_400))), 1, "a key of three months");
    assert_eq!(followed(true, |_| ()), 1, "a key without an end");
    for replaced in [true, false] {
        assert_eq!(followed(replaced, |facts| facts.expires = Some(at(1))), 0, "it has ended");
    }
}

#[test]
fn a_look_into_the_file_asks_anew() {
    let mut detector = RevocationIncomplete::default();
    detector.left(token(), false, KernelTime(0), at(0));
    assert_eq!(due(&mut detector, 5), 1);
    tell(&mut detector, vec![copy("/home/ann/deploy.sh", Standing::Present)]);
    detector.looked(Path::new("/home/ann/other.sh"));
    assert_eq!(due(&mut detector, 7), 0);
    detector.looked(Path::new("/home/ann/deploy.sh"));
    assert_eq!(due(&mut detector, 7), 1);
}

#[test]
fn too_many_are_counted_and_the_first_goes() {
    let mut detector = RevocationIncomplete::default();
    let of = |number: u32| {
        let mut token = token();
        token.known.fingerprint = Key::new([1; 32]).fingerprint_of(&number.to_le_bytes());
        token
    };
    for number in 0..=u32::try_from(MOST).unwrap() {
        detector.left(of(number), false, KernelTime(u64::from(number)), at(0));
    }
    assert_eq!(detector.evicted(), 1);
    assert!(detector.token(of(0).known.fingerprint).is_none() && detector.token(of(1).known.fingerprint).is_some());
}

#[test]
fn what_was_told_before_a_restart_is_not_told_again_and_closed_when_it_is_gone() {
    let mut before = RevocationIncomplete::default();
    before.left(token(), false, KernelTime(0), at(0));
    let script = || copy("/home/ann/deploy.sh", Standing::Present);
    assert!(tell(&mut before, vec![script()]).is_some());
    let changes = before.take_changes();
    let [Change::Is(first), Change::Is(told)] = &changes[..] else { panic!("{changes:?}") };
    assert_eq!((first.told.len(), told.told.len()), (0, 1));

    let mut detector = RevocationIncomplete::default();
    detector.restore(KernelTime(100 * SECOND), vec![(**told).clone()]);
    assert_eq!(due(&mut detector, 104), 0, "its store may be written anew at this moment");
    assert_eq!(due(&mut detector, 105), 1);
    assert_eq!(tell(&mut detector, vec![script()]), None, "that was told");
    // The agent was killed before it was written down that the token is not in its store.
    detector.left(token(), false, KernelTime(106 * SECOND), at(106));
    assert_eq!(tell(&mut detector, vec![script()]), None, "and so was that");
    assert!(tell(&mut detector, vec![script(), copy("/tmp/x", Standing::Present)]).is_some(), "this was not");
    detector.take_changes();
    let closed = tell(&mut detector, Vec::new()).unwrap();
    assert!(closed.headline.starts_with("Nothing is left"), "{}", closed.headline);
    assert_eq!(detector.take_changes(), [Change::Gone(token().known.fingerprint)]);

    detector.restore(KernelTime(200 * SECOND), vec![(**told).clone()]);
    detector.back(token().known.fingerprint);
    assert_eq!(detector.take_changes(), [Change::Gone(token().known.fingerprint)], "it lies in its store again");
}
