use std::time::SystemTime;

use super::*;
use crate::{
    catalogue::tests::shipped_catalogue,
    detect::{
        access::{Access, Target},
        fixtures::{access_at, init, process, read_at, under_shell, with_script},
    },
    ingest::observation::Inspection,
    lineage::{
        actor::Class,
        model::{Chain, Process, Script, Writable},
    },
    policy::{Kind, Policy, Source},
};

/// The shipped policy below an operator's own.
fn with(own: &str) -> Policy {
    let source = Source { file: "own.yaml".into(), text: own.to_owned() };
    let loaded = Policy::of_sources(vec![source], shipped_catalogue(), SystemTime::UNIX_EPOCH);
    loaded.unwrap_or_else(|problems| panic!("{problems}")).policy
}

/// Run by cron as root.
fn cron(mut above: Vec<Process>) -> Chain {
    above.push(process(700, 1, "/usr/sbin/cron"));
    above.push(init());
    for process in &mut above {
        (process.uid, process.euid, process.tty) = (0, 0, None);
    }
    Chain { processes: above, incomplete: false }
}

fn read(chain: Chain, path: &str, store: &str) -> Access {
    let mut access = read_at(0.0, chain, path);
    if let Target::Store { stores, .. } = &mut access.target {
        stores.push(store.to_owned());
    }
    let root = access.chain.processes[0].uid == 0;
    access.user_name = Some(if root { "root" } else { "ann" }.to_owned());
    access
}

fn aws(chain: Chain) -> Access {
    read(chain, "/home/ann/.aws/credentials", "aws-credentials")
}

#[test]
fn an_audit_by_root_is_no_theft() {
    let policy = with("");
    let tolerated = |access: &Access| policy.tolerates(access).is_some();
    let audit = || process(4000, 700, "/usr/bin/tokenhound");
    assert!(tolerated(&aws(cron(vec![audit()]))));
    // A user, or a package's script, can make it load what they like.
    assert!(!tolerated(&aws(under_shell(audit()))));
    let npm =
        with_script(process(3000, 700, "/usr/bin/node"), "/usr/lib/node_modules/npm/bin/npm-cli.js", Writable::No);
    assert!(!tolerated(&aws(cron(vec![audit(), process(3900, 700, "/usr/bin/dash"), npm]))));
    assert!(!tolerated(&aws(cron(vec![process(4000, 700, "/home/ann/bin/tokenhound")]))));
}

#[test]
fn it_is_right_and_each_rule_says_where_its_fact_comes_from() {
    let rules = rules().unwrap_or_else(|problems| panic!("{problems}"));
    assert!(rules.len() > 20 && rules.iter().all(|rule| rule.shipped));
    // Read as somebody's own, so that it is checked: nothing in it is too broad, contradictory or never reached.
    let own = format!("shipped: false\n{TEXT}");
    let source = Source { file: NAME.into(), text: own };
    let loaded = Policy::of_sources(vec![source], shipped_catalogue(), SystemTime::UNIX_EPOCH).unwrap();
    assert_eq!(loaded.notes, crate::yaml::Problems::new());
    assert_eq!(loaded.policy.rules().len(), rules.len());
    for rule in &rules {
        assert!(rule.reason.contains("; "), "{}: no source", rule.reason);
        assert!(!rule.allow_writable, "{}", rule.reason);
        let service = !rule.user.is_empty() && !rule.user.iter().any(|user| user == "*");
        let unattended = rule.actor.iter().all(|actor| actor == "automation") && !rule.actor.is_empty();
        if rule.kind == Kind::Exception && rule.store.is_empty() {
            assert!(service && unattended, "{}: whoever is a user could ride it", rule.reason);
        }
    }
}

#[test]
fn backup_is_tolerated_unattended_and_as_root_and_nobody_can_ride_it() {
    let policy = with("");
    let tolerated = |access: &Access| policy.tolerates(access).is_some();
    let restic = || process(4000, 700, "/usr/bin/restic");
    let shell = || Process { script: Some(Script::Inline), ..process(3900, 700, "/usr/bin/dash") };
    assert_eq!(aws(cron(vec![restic()])).actor.class(), Class::Automation);
    assert!(tolerated(&aws(cron(vec![restic()]))));
    assert!(tolerated(&aws(cron(vec![restic(), shell()]))));
    let borg = with_script(process(4000, 700, "/usr/bin/python3.11"), "/usr/bin/borg", Writable::No);
    assert!(tolerated(&aws(cron(vec![borg]))));
    // By a person, as themselves or as root.
    assert!(!tolerated(&aws(under_shell(restic()))));
    let mut person = under_shell(restic());
    (person.processes[0].uid, person.processes[0].euid) = (0, 0);
    assert!(!tolerated(&aws(person)));
    // By a timer of a user's own.
    let timer = Process { unit: Some("own.service".into()), tty: None, ..restic() };
    assert!(!tolerated(&aws(Chain { processes: vec![timer, init()], incomplete: false })));
    // By a package's script that a job of root runs.
    let npm =
        with_script(process(3000, 700, "/usr/bin/node"), "/usr/lib/node_modules/npm/bin/npm-cli.js", Writable::No);
    assert!(!tolerated(&aws(cron(vec![restic(), shell(), npm]))));
    // Another program in its place, and what copies for anybody.
    let mut replaced = restic();
    replaced.executable.writable = Writable::Yes;
    assert!(!tolerated(&aws(cron(vec![replaced]))));
    for tool in ["/usr/bin/tar", "/usr/bin/rsync", "/usr/bin/cp", "/usr/bin/rclone", "/usr/bin/cat"] {
        assert!(!tolerated(&aws(cron(vec![process(4000, 700, tool), shell()]))), "{tool}");
    }
    let rsnapshot = with_script(process(3000, 700, "/usr/bin/perl"), "/usr/bin/rsnapshot", Writable::No);
    assert!(tolerated(&aws(cron(vec![process(4000, 700, "/usr/bin/rsync"), rsnapshot]))));
    // None of them may look into other processes.
    let memory = access_at(0.0, cron(vec![restic()]), Target::Process(Inspection::Mem, None, None));
    assert!(!tolerated(&memory));
}

#[test]
fn programs_of_an_sdk_are_expected_at_their_store_only() {
    let policy = with("");
    let s3fs = || under_shell(process(4000, 812, "/usr/bin/s3fs"));
    let expects = |access: &Access, store: &str| policy.expects(access, store).is_some();
    assert!(expects(&aws(s3fs()), "aws-credentials"));
    assert!(!expects(&read(s3fs(), "/home/ann/.config/gh/hosts.yml", "gh-hosts"), "gh-hosts"));
    assert!(!expects(&aws(under_shell(process(4000, 812, "/opt/s3fs"))), "aws-credentials"));
    let mut own = s3fs();
    own.processes[0].executable.writable = Writable::Yes;
    assert!(!expects(&aws(own), "aws-credentials"));
    let certbot = |chain: fn(Vec<Process>) -> Chain| {
        chain(vec![with_script(process(4000, 700, "/usr/bin/python3.11"), "/usr/bin/certbot", Writable::No)])
    };
    assert!(expects(&aws(certbot(cron)), "aws-credentials"));
    let by_ann = under_shell(certbot(cron).processes.remove(0));
    let by_ann = Process { uid: 1000, ..by_ann.processes[0].clone() };
    assert!(!expects(&aws(under_shell(by_ann)), "aws-credentials"));
}

#[test]
fn services_on_procfs_and_indexers_are_kept_to_what_they_do() {
    let policy = with("");
    let tolerated = |access: &Access| policy.tolerates(access).is_some();
    let look = |chain: Chain, how| {
        let user = if chain.processes[0].uid == 0 { "root" } else { "ann" };
        let access = access_at(0.0, chain, Target::Process(how, None, None));
        Access { user_name: Some(user.to_owned()), ..access }
    };
    let falco = || process(4000, 1, "/usr/bin/falco");
    assert!(tolerated(&look(cron(vec![falco()]), Inspection::Environ)));
    assert!(!tolerated(&look(cron(vec![falco()]), Inspection::Mem)));
    assert!(!tolerated(&look(under_shell(falco()), Inspection::Environ)));
    let criu = |by: &str| cron(vec![process(4000, 3000, "/usr/sbin/criu"), process(3000, 700, by)]);
    assert!(tolerated(&look(criu("/usr/bin/podman"), Inspection::Mem)));
    assert!(!tolerated(&look(criu("/usr/bin/bash"), Inspection::Mem)));
    let tracker = |args: &[&str]| {
        let args = args.iter().map(|arg| (*arg).to_owned()).collect();
        under_shell(Process { args, tty: None, ..process(4000, 812, "/usr/libexec/tracker-extract-3") })
    };
    let service = &["/usr/libexec/tracker-extract-3"][..];
    assert!(tolerated(&read(tracker(service), "/home/ann/Documents/x.kdbx", "keepass")));
    assert!(!tolerated(&read(tracker(service), "/home/ann/Documents/x.keyx", "keepass")));
    assert!(!tolerated(&aws(tracker(service))));
    let by_hand = &["/usr/libexec/tracker-extract-3", "--file", "/home/ann/Documents/x.kdbx"];
    assert!(!tolerated(&read(tracker(by_hand), "/home/ann/Documents/x.kdbx", "keepass")));
}

#[test]
fn the_operator_has_the_last_word() {
    let access = aws(cron(vec![process(4000, 700, "/usr/bin/restic")]));
    assert!(with("").tolerates(&access).is_some_and(|rule| rule.shipped));
    let restriction = "restrictions:\n  - {reason: not even backup, store: aws-credentials, reader: /usr/bin/restic}\n";
    assert!(with(restriction).tolerates(&access).is_none());
    let other = restriction.replace("aws-credentials", "netrc");
    assert!(with(&other).tolerates(&access).is_some());
    let own = "exceptions:\n  - {reason: but ours, store: aws-credentials, reader: /usr/bin/restic, user: root}\n";
    assert!(with(&format!("{restriction}{own}")).tolerates(&access).is_some_and(|rule| !rule.shipped));
    assert!(with("shipped: false\n").rules().is_empty());
    assert!(!with("shipped: true\n").rules().is_empty());
}
