mod actors;
mod rules;

use tokenhound_common::record::FileFacts;

use super::*;
use crate::{
    catalogue::{expect::tests::program, tests::shipped_catalogue},
    detect::access::{Target, Tier},
    ingest::observation::{Inspection, KernelTime, OpenMode, Way},
    lineage::{
        model::{Chain, Process, Script, Writable},
        package::{Integrity, Owner, Owners},
    },
};

fn access(stores: &[&str], processes: Vec<Process>) -> Access {
    Access {
        runner: None,
        time: KernelTime(1),
        wall: now(),
        target: Target::Store {
            stores: stores.iter().map(|id| (*id).to_owned()).collect(),
            path: "/home/ann/.aws/credentials".into(),
            known_as: None,
            file: FileFacts::default(),
            mode: OpenMode::default(),
            way: Way::Open,
            path_in_root: None,
        },
        chain: Chain { processes, incomplete: false },
        actor: crate::lineage::actor::Actor::default(),
        user_name: Some("ann".into()),
        home: Some("/home/ann".into()),
        loaded: Vec::new(),
        reader_change: None,
        tier: Tier::Tracepoint,
    }
}

/// 2026-11-30, a Monday, 12:00 UTC.
fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_796_040_000)
}

fn outcome(text: &str) -> Outcome {
    let file = tempfile::Builder::new().suffix(".yaml").tempfile().unwrap();
    std::fs::write(file.path(), text).unwrap();
    let outcome = Policy::check(file.path(), shipped_catalogue(), now());
    let name = file.path().display().to_string();
    Outcome { text: outcome.text.replace(&name, "p.yaml"), ..outcome }
}

fn policy(exception: &str) -> Policy {
    let file = tempfile::Builder::new().suffix(".yaml").tempfile().unwrap();
    std::fs::write(file.path(), format!("exceptions:\n  - {{reason: it is right, {exception}}}\n")).unwrap();
    Policy::read(&[file.path().to_owned()], Guard::Looked, shipped_catalogue(), now())
        .unwrap_or_else(|problems| panic!("{problems}"))
        .policy
}

fn tolerated(exception: &str, access: &Access) -> bool {
    policy(exception).tolerates(access).is_some()
}

#[test]
fn every_selector_must_hold() {
    let backup = access(
        &["aws-credentials"],
        vec![program("/usr/bin/restic", Writable::No), program("/usr/lib/systemd/systemd", Writable::No)],
    );
    for (exception, expected) in [
        ("store: aws-credentials", true),
        ("store: 'aws-*'", true),
        ("store: [netrc, aws-credentials]", true),
        ("store: netrc", false),
        ("reader: /usr/bin/restic", true),
        ("reader: /usr/bin/*", true),
        ("reader: /usr/*", false),
        ("reader: /usr/**/x", false),
        ("reader: /usr/bin/borg", false),
        ("user: ann", true),
        ("user: 1000", true),
        ("user: bob", false),
        ("ancestor: /usr/lib/systemd/systemd", true),
        ("ancestor: /usr/bin/restic", false),
        ("script: /usr/bin/restic", false),
        ("store: aws-credentials, reader: /usr/bin/restic, user: ann", true),
        ("store: aws-credentials, reader: /usr/bin/restic, user: bob", false),
        ("store: netrc, reader: /usr/bin/restic, user: ann", false),
    ] {
        assert_eq!(tolerated(exception, &backup), expected, "{exception}");
    }
}

#[test]
fn a_program_that_its_user_can_write_is_not_the_listed_one() {
    for writable in [Writable::Yes, Writable::Unknown] {
        let copy = access(&["aws-credentials"], vec![program("/home/ann/bin/backup", writable)]);
        assert!(!tolerated("reader: /home/ann/bin/backup", &copy));
        assert!(tolerated("reader: /home/ann/bin/backup, allow_writable: true, user: ann", &copy));
        assert!(tolerated("reader: ~/bin/backup, allow_writable: true, user: ann", &copy));
    }
}

#[test]
fn a_script_counts_with_its_interpreter() {
    let script = |interpreter: Writable, writable: Writable| {
        let script = Some(Script::File { path: "/opt/backup.py".into(), writable });
        access(&["netrc"], vec![Process { script, ..program("/usr/bin/python3.11", interpreter) }])
    };
    assert!(tolerated("script: /opt/backup.py", &script(Writable::No, Writable::No)));
    assert!(!tolerated("script: /opt/backup.py", &script(Writable::No, Writable::Yes)));
    assert!(!tolerated("script: /opt/backup.py", &script(Writable::Yes, Writable::No)));
}

#[test]
fn other_processes_must_be_named_to_be_covered() {
    let mut inspection = access(&[], vec![program("/usr/bin/py-spy", Writable::No)]);
    inspection.target = Target::Process(Inspection::Mem, None, None);
    assert!(!tolerated("reader: /usr/bin/py-spy", &inspection));
    assert!(tolerated("reader: /usr/bin/py-spy, store: proc-mem", &inspection));
    assert!(!tolerated("reader: /usr/bin/py-spy, store: proc-environ", &inspection));
}

#[test]
fn mistakes_are_explained() {
    for (text, said) in [
        ("exceptions:\n  - store: netrc\n", "p.yaml:2:5: error: \"reason\" is missing"),
        ("exceptions:\n  - {reason: x, store: netrc}\n", "\"reason\" must say why"),
        ("exceptions:\n  - {reason: fine now, stroe: netrc}\n", "unknown key \"stroe\"; did you mean \"store\"?"),
        (
            "exceptions:\n  - {reason: fine now, store: netrcc}\n",
            "no store \"netrcc\" in the catalogue; did you mean \"netrc\"?",
        ),
        ("exceptions:\n  - {reason: fine now, store: 'zz*'}\n", "no store \"zz*\""),
        ("exceptions:\n  - {reason: fine now, reader: bin/x}\n", "must start with \"/\""),
        ("exceptions:\n  - {reason: fine now, reader: '**/x'}\n", "must be an absolute path"),
        ("exceptions:\n  - {reason: fine now, reader: '/**'}\n", "\"/**\" selects every program"),
        ("exceptions:\n  - {reason: fine now, user: '*'}\n", "tolerates every access"),
        ("exceptions:\n  - {reason: fine now}\n", "tolerates every access"),
        ("exceptions:\n  - {reason: fine now, store: '*', user: '*'}\n", "tolerates every access"),
        ("exceptions:\n  - {reason: fine now, store: []}\n", "an empty list selects nothing"),
        ("exceptions:\n  - {reason: fine now, user: -1}\n", "-1 is no user id"),
        ("exeptions: []\n", "unknown key \"exeptions\"; did you mean \"exceptions\"?"),
    ] {
        let outcome = outcome(text);
        assert!(!outcome.passed, "{text}");
        assert!(outcome.text.contains(said), "{text}: {}", outcome.text);
    }
}

#[test]
fn dubious_exceptions_are_warned_of() {
    for (text, said) in [
        ("  - {reason: fine now, store: netrc}\n", "tolerates every program of every user at this store"),
        ("  - {reason: fine now, user: ann}\n", "tolerates every program of this user"),
        ("  - {reason: fine now, store: netrc, reader: /usr/bin/cat}\n", "what any thief would use"),
        ("  - {reason: fine now, reader: /opt/x, allow_writable: true}\n", "lets every user put a program there"),
        (
            "  - {reason: fine now, reader: /opt/x}\n  - {reason: fine now, reader: /opt/x}\n",
            "p.yaml:3:5: warning: says the same as the exception at p.yaml:2",
        ),
        (
            "  - {reason: fine now, reader: /opt/x}\n  - {reason: fine now, reader: /opt/x, user: ann}\n",
            "is never reached: the exception at p.yaml:2 covers all of it",
        ),
    ] {
        let outcome = outcome(&format!("exceptions:\n{text}"));
        assert!(outcome.passed, "{text}: {}", outcome.text);
        assert!(outcome.text.contains(said), "{text}: {}", outcome.text);
    }
}

#[test]
fn files_of_a_directory_are_checked_together() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(directory.path().join(name), text).unwrap();
    write("a.yaml", "restrictions:\n  - {reason: nobody may, store: netrc, reader: /opt/x}\n");
    write("b.yaml", "exceptions:\n  - {reason: but it may, store: netrc, reader: /opt/x}\n");
    write("c.txt", "no policy");
    let outcome = Policy::check(directory.path(), shipped_catalogue(), now());
    assert!(outcome.passed && outcome.warnings == 1, "{}", outcome.text);
    assert!(outcome.text.contains("b.yaml:2:5: warning: contradicts the restriction at"), "{}", outcome.text);
    assert!(outcome.text.ends_with("usable, 1 exception, 1 restriction, 1 warning"), "{}", outcome.text);
}

#[test]
fn a_right_policy_passes_in_silence() {
    let text = "
exceptions:
  - reason: nightly backup of all homes
    store: ['aws-*', ssh-private-keys]
    reader: /usr/bin/restic
    user: backup
  - reason: the deploy script reads the registry login
    store: docker-config
    script: /opt/deploy/login.py
";
    assert_eq!(outcome(text), Outcome { text: "p.yaml: right, 2 exceptions".into(), passed: true, warnings: 0 });
    assert!(outcome("# nothing yet\n").passed);
    assert!(
        Policy::load(Path::new("/nonexistent"), &[], shipped_catalogue())
            .unwrap()
            .policy
            .rules()
            .iter()
            .all(|rule| rule.shipped)
    );
}

#[test]
fn a_package_is_believed_where_it_was_not_changed_and_its_user_cannot_write() {
    let owned = |writable, executable: &Owner, script: Option<&Owner>| {
        let owners = Owners { executable: executable.clone(), script: script.cloned() };
        let script = script.map(|_| Script::File { path: "/usr/bin/borgmatic".into(), writable });
        let reader = Process { owners: Some(Box::new(owners)), script, ..program("/usr/bin/x", writable) };
        access(&["aws-credentials"], vec![reader])
    };
    let package = |name: &str, integrity| Owner::Package { name: name.to_owned(), integrity };
    let (restic, python) = (package("restic", Integrity::Intact), package("python3", Integrity::Intact));
    for (exception, access, expected) in [
        ("package: restic", owned(Writable::No, &restic, None), true),
        ("package: [borg, restic]", owned(Writable::No, &restic, None), true),
        ("package: borg", owned(Writable::No, &restic, None), false),
        ("package: 'rest*'", owned(Writable::No, &restic, None), false),
        ("package: restic", owned(Writable::No, &package("restic", Integrity::Changed), None), false),
        ("package: restic", owned(Writable::Yes, &restic, None), false),
        ("package: restic", owned(Writable::No, &Owner::Unknown, None), false),
        ("package: restic", owned(Writable::No, &python, Some(&restic)), true),
        ("package: python3", owned(Writable::No, &python, Some(&restic)), false),
        ("package: restic", owned(Writable::Yes, &python, Some(&restic)), false),
        ("package: restic, user: bob", owned(Writable::No, &restic, None), false),
    ] {
        assert_eq!(tolerated(exception, &access), expected, "{exception} {:?}", access.chain.processes[0].owners);
        assert!(policy(exception).names_packages());
    }
    assert!(!policy("reader: /usr/bin/restic").names_packages());
    assert!(!tolerated("package: restic", &access(&["aws-credentials"], vec![program("/usr/bin/x", Writable::No)])));
}
