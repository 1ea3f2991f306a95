//! What rules cover: times, machines, conditions, and the three kinds.

use super::*;
use crate::policy::rule::Kind;

fn one(list: &str, rule: &str) -> Policy {
    let file = tempfile::Builder::new().suffix(".yaml").tempfile().unwrap();
    std::fs::write(file.path(), format!("{list}:\n  - {{reason: it is right, {rule}}}\n")).unwrap();
    let loaded = Policy::read(&[file.path().to_owned()], Guard::Looked, shipped_catalogue(), now());
    loaded.unwrap_or_else(|problems| panic!("{problems}")).policy.on_host("build-7")
}

fn restic() -> Access {
    let mut reader = program("/usr/bin/restic", Writable::No);
    reader.args = vec!["restic".into(), "--repo".into(), "/srv/backup".into()];
    reader.uid = 1000;
    let cron = Process {
        script: Some(Script::File { path: "/etc/cron.daily/backup".into(), writable: Writable::No }),
        ..program("/usr/bin/dash", Writable::No)
    };
    access(&["aws-credentials", "netrc"], vec![reader, cron])
}

#[test]
fn time_host_and_expiry_are_selectors() {
    for (rule, expected) in [
        ("time: mon", true),
        ("time: 'tue'", false),
        ("time: ['tue', '11:00-13:00']", true),
        ("time: '13:00-11:00'", false),
        ("expires: 2026-11-30", true),
        ("expires: 2026-11-29", false),
        ("expires: '2026-11-30T12:00:00Z'", false),
        ("host: build-7", true),
        ("host: ['ci-*', 'build-*']", true),
        ("host: 'ci-*'", false),
        ("except: [aws-credentials, netrc]", false),
        ("except: netrc", true),
    ] {
        let policy = one("exceptions", &format!("reader: /usr/bin/restic, {rule}"));
        assert_eq!(policy.tolerates(&restic()).is_some(), expected, "{rule}");
    }
}

#[test]
fn a_condition_sees_the_access() {
    for (when, expected) in [
        ("'aws-credentials' in stores && size(stores) == 2", true),
        ("path.endsWith('/.aws/credentials') && inspects == ''", true),
        ("reader == '/usr/bin/restic' && script == '' && !inline", true),
        ("trusted", true),
        ("args.exists(a, a == '--repo')", true),
        ("args.all(a, a.startsWith('-'))", false),
        ("'/etc/cron.daily/backup' in ancestors && '/usr/bin/dash' in ancestors", true),
        ("user == 'ann' && uid == 1000 && uid < 2000", true),
        ("actor == 'unknown' && actor_id == '' && size(behalf_of) == 0", true),
        ("terminal || container != '' || unit != ''", false),
        ("host.startsWith('build-')", true),
        ("hour == 12 && weekday in ['mon', 'tue']", true),
        ("hour > 12 ? true : cwd.contains('srv')", false),
        ("brought_by == ''", true),
    ] {
        let policy = one("exceptions", &format!("reader: /usr/bin/restic, when: \"{when}\""));
        assert_eq!(policy.tolerates(&restic()).is_some(), expected, "{when}");
    }
    assert!(one("exceptions", "store: netrc, when: brought_by == 'restic'").names_packages());
}

#[test]
fn every_variable_has_the_type_that_it_is_said_to_have() {
    for (name, ..) in condition::VARIABLES {
        // True whatever it is; where it had another type the condition would fail, and permit nothing.
        let when = format!("{name} == {name}");
        let policy = one("exceptions", &format!("store: netrc, when: {when}"));
        assert!(policy.tolerates(&restic()).is_some(), "{name}");
    }
    let page = include_str!("../../../../docs/policy.md");
    for (name, _, says) in condition::VARIABLES {
        assert!(
            page.contains(&format!("| `{name}` |")) && page.contains(says),
            "{name} is not in docs/policy.md: {says}"
        );
    }
}

#[test]
fn an_expectation_is_for_one_store_and_a_restriction_covers_on_suspicion() {
    let expects = |rule: &str, access: &Access, store: &str| one("expectations", rule).expects(access, store).is_some();
    assert!(expects("store: netrc, reader: /usr/bin/restic", &restic(), "netrc"));
    assert!(!expects("store: netrc, reader: /usr/bin/restic", &restic(), "aws-credentials"));
    let restricts = |rule: &str, access: &Access| one("restrictions", rule).restricts(access, "netrc").is_some();
    let copy = access(&["netrc"], vec![program("/home/ann/bin/backup", Writable::Yes)]);
    assert!(!expects("store: netrc, reader: /home/ann/bin/backup", &copy, "netrc"));
    assert!(restricts("store: netrc, reader: /home/ann/bin/backup", &copy));
    assert!(restricts("store: netrc, when: '!trusted'", &copy));
    assert!(!restricts("store: netrc, when: '!trusted'", &restic()));
    assert_eq!(one("restrictions", "store: netrc, reader: /usr/bin/x").of(Kind::Restriction).count(), 1);
}

#[test]
fn mistakes_in_new_selectors_have_their_place() {
    for (rule, said) in [
        ("{reason: fine now, store: netrc, time: never}", "p.yaml:2:44: error: \"never\" is no day"),
        ("{reason: fine now, store: netrc, expires: soon}", "p.yaml:2:47: error: \"soon\" is no date"),
        (
            "{reason: fine now, store: netrc, when: redaer == ''}",
            "p.yaml:2:44: error: the condition is wrong at character 1: no variable \"redaer\"",
        ),
    ] {
        let outcome = outcome(&format!("exceptions:\n  - {rule}\n"));
        assert!(!outcome.passed && outcome.text.contains(said), "{rule}: {}", outcome.text);
    }
    for (text, said) in [
        ("expectations:\n  - {reason: fine now, store: netrc}\n", "must say whose the store is"),
        ("expectations:\n  - {reason: fine now, reader: /opt/x}\n", "\"store\" is missing"),
        ("expectations:\n  - {reason: fine now, store: proc-mem, reader: /opt/x}\n", "write an exception"),
        (
            "restrictions:\n  - {reason: fine now, store: netrc, allow_writable: true}\n",
            "unknown key \"allow_writable\"",
        ),
        ("exceptions: {}\n", "must be a list, this is a map"),
    ] {
        let outcome = outcome(text);
        assert!(!outcome.passed && outcome.text.contains(said), "{text}: {}", outcome.text);
    }
}

#[test]
fn what_rules_undo_is_found() {
    let restriction = "restrictions:\n  - {reason: nobody may, store: 'aws-*', reader: /opt/x}\n";
    for (text, said) in [
        (
            format!("{restriction}exceptions:\n  - {{reason: but it may, store: '*', reader: /opt/x}}\n"),
            "p.yaml:4:5: warning: contradicts the restriction at p.yaml:2: it tolerates all",
        ),
        (
            format!("{restriction}expectations:\n  - {{reason: its own, store: aws-credentials, reader: /opt/x}}\n"),
            "p.yaml:4:5: warning: contradicts the restriction at p.yaml:2, which takes all of it back",
        ),
        (
            "expectations:\n  - {reason: its own, store: netrc, reader: /opt/x}\nexceptions:\n  - {reason: also fine, \
             store: netrc, reader: /opt/x, user: ann}\n"
                .to_owned(),
            "p.yaml:4:5: warning: is never reached: the expectation at p.yaml:2 covers all of it",
        ),
        (
            "exceptions:\n  - {reason: fine now, store: [netrc], except: ['net*'], reader: /opt/x}\n".to_owned(),
            "never holds: \"except\" leaves out every store",
        ),
        (
            "exceptions:\n  - {reason: fine now, store: netrc, reader: /opt/x, when: 1 > 2}\n".to_owned(),
            "never holds: \"when\" asks nothing and is false",
        ),
        (
            "exceptions:\n  - {reason: fine now, store: netrc, reader: /opt/x, script: /opt/y}\n".to_owned(),
            "never holds: /opt/x runs no scripts",
        ),
        (
            "exceptions:\n  - {reason: fine now, store: netrc, reader: /opt/x, expires: 2026-11-01}\n".to_owned(),
            "has expired at 2026-11-02T00:00:00Z and holds no longer; remove it",
        ),
        (
            "exceptions:\n  - {reason: fine now, store: gh-hosts, reader: /usr/bin/gh}\n".to_owned(),
            "is not needed: the catalogue expects /usr/bin/gh there already",
        ),
        (
            "exceptions:\n  - {reason: fine now, store: netrc, reader: '/opt/bin/*'}\n".to_owned(),
            "\"/opt/bin/*\" selects whatever is there",
        ),
        (
            "exceptions:\n  - {reason: fine now, store: netrc, package: coreutils}\n".to_owned(),
            "brings programs that any thief would use",
        ),
        (
            "exceptions:\n  - {reason: fine now, store: netrc, when: reader == '/opt/x'}\n".to_owned(),
            "\"when\" proves nothing about who the reader is",
        ),
    ] {
        let outcome = outcome(&text);
        assert!(outcome.passed && outcome.text.contains(said), "{text}: {}", outcome.text);
    }
}

/// The innocent twins: the same with the one thing changed.
#[test]
fn rules_beside_each_other_are_not_accused() {
    let restriction = "restrictions:\n  - {reason: nobody may, store: 'aws-*', reader: /opt/x}\n";
    for text in [
        format!("{restriction}exceptions:\n  - {{reason: but it may, store: aws-credentials, reader: /opt/x}}\n"),
        format!("{restriction}expectations:\n  - {{reason: its own, store: netrc, reader: /opt/x}}\n"),
        "exceptions:\n  - {reason: fine now, store: ['net*', gh-hosts], except: netrc, reader: /opt/x}\n".to_owned(),
        "exceptions:\n  - {reason: fine now, store: netrc, script: /opt/y, reader: /usr/bin/python3}\n".to_owned(),
        "exceptions:\n  - {reason: fine now, store: netrc, reader: /opt/x, expires: 2026-12-01}\n".to_owned(),
        "exceptions:\n  - {reason: fine now, store: gh-hosts, reader: /opt/backup}\n".to_owned(),
        "exceptions:\n  - {reason: fine now, store: netrc, package: restic}\n".to_owned(),
    ] {
        let outcome = outcome(&text);
        assert!(outcome.text.contains("right, "), "{text}: {}", outcome.text);
    }
}
