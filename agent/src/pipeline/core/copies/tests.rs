use std::sync::{Arc, LazyLock};

use tokenhound_common::process::ProcessKey;

use super::*;
use crate::{
    capture::synthetic::{self, Machine},
    catalogue::{Catalogue, model::Kind},
    copies::model::{Git, MOST_WRITERS, PlaceFacts, Writer},
    detect::{
        fixtures::{init, process},
        lifecycle::Look,
    },
    finding::{detector::DetectorId, model::Finding, severity::Severity},
    lineage::model::Process,
    pipeline::core::{Input, Losses},
    policy::Policy,
    token::{fingerprint::Key, model::Facts, scan::Encoding},
};

const GH: &str = "/home/user/.config/gh/hosts.yml";
const AWS: &str = "/home/user/.aws/credentials";
const NETRC: &str = "/home/user/.netrc";

/// Pids of the writers.
const CP: u32 = 4242;
const GH_TOOL: u32 = 4243;
const AWS_TOOL: u32 = 4244;
const CRON_CP: u32 = 4245;
const VIM: u32 = 4246;

fn key(pid: u32) -> ProcessKey {
    ProcessKey::new(u64::from(pid) * 1000, pid)
}

fn fingerprint(of: &str) -> Fingerprint {
    Key::new([1; 32]).fingerprint_of(of.as_bytes())
}

/// A core that knows a token in each of three stores, and a person's processes beside one of cron.
fn core() -> Core {
    static CATALOGUE: LazyLock<Arc<Catalogue>> = LazyLock::new(|| Arc::new(Catalogue::embedded().unwrap()));
    let mut core = Core::new(synthetic::setup(Arc::clone(&CATALOGUE)));
    let on = |process: Process| Process { session: 812, tty: Some((136, 3)), ..process };
    let mut processes = vec![
        init(),
        Process { uid: 0, euid: 0, ..process(800, 1, "/usr/sbin/sshd") },
        on(process(812, 800, "/usr/bin/bash")),
        Process { uid: 0, euid: 0, ..process(900, 1, "/usr/sbin/cron") },
        process(CRON_CP, 900, "/usr/bin/cp"),
    ];
    for (pid, program) in
        [(CP, "/usr/bin/cp"), (GH_TOOL, "/usr/bin/gh"), (AWS_TOOL, "/usr/local/bin/aws"), (VIM, "/usr/bin/vim")]
    {
        processes.push(on(process(pid, 812, program)));
    }
    for process in processes {
        feed(&mut core, Input::Found(Box::new(process)));
    }
    for (store, path) in [("gh-hosts", GH), ("aws-credentials", AWS), ("netrc", NETRC)] {
        learn(&mut core, store, path, Some(path));
    }
    core
}

fn learn(core: &mut Core, store: &str, path: &str, token: Option<&str>) {
    let known = |token| Known {
        fingerprint: fingerprint(token),
        store: store.to_owned(),
        path: path.into(),
        facts: Facts::new(Kind::ApiKey, "token"),
    };
    let look = Look {
        path: path.into(),
        stores: vec![store.to_owned()],
        tokens: token.map(known).into_iter().collect(),
        written: None,
        exposures: Vec::new(),
    };
    feed(core, Input::Looked { time: KernelTime(1), look: Box::new(look) });
}

fn feed(core: &mut Core, input: Input) -> Vec<Output> {
    let mut outputs = Vec::new();
    core.feed(input, &mut Machine::default(), &mut |output| outputs.push(output));
    outputs
}

/// What `pid` has written to `path`, with the tokens of these stores in it.
fn written(path: &str, pid: u32, tokens: &[&str]) -> Scanned {
    let copy = |of: &&str| Copy {
        fingerprint: fingerprint(of),
        encoding: Encoding::Raw,
        times: 1,
        line: Some(2),
        member: None,
    };
    let place = PlaceFacts { size: 100, mode: 0o600, uid: 1000, ..PlaceFacts::default() };
    let looked = Looked { copies: tokens.iter().map(copy).collect(), place, ..Looked::default() };
    let why = Why::Marked { carrier: key(pid) };
    let candidate = Candidate::new(KernelTime(5_000_000), path.into(), None, key(pid), why);
    Scanned { time: KernelTime(9_000_000), candidate, others: Vec::new(), outcome: Outcome::Looked(Box::new(looked)) }
}

fn findings(core: &mut Core, scanned: Scanned) -> Vec<Finding> {
    let finding = |output| match output {
        Output::Finding(finding) => Some(*finding),
        _ => None,
    };
    feed(core, Input::Scanned(Box::new(scanned))).into_iter().filter_map(finding).collect()
}

/// After the second look, if one is asked for.
fn in_the_end(core: &mut Core, scanned: Scanned) -> Vec<Finding> {
    let outputs = feed(core, Input::Scanned(Box::new(scanned.clone())));
    let again = outputs.iter().any(|output| matches!(output, Output::Scan(candidate) if candidate.again));
    if !again {
        let finding = |output| match output {
            Output::Finding(finding) => Some(*finding),
            _ => None,
        };
        return outputs.into_iter().filter_map(finding).collect();
    }
    let candidate = Candidate { again: true, ..scanned.candidate.clone() };
    findings(core, Scanned { candidate, ..scanned })
}

#[test]
fn what_a_tool_prints_into_a_script_is_told_with_everything() {
    let found = findings(&mut core(), written("/home/user/p/deploy.sh", GH_TOOL, &[GH]));
    let [finding] = &found[..] else { panic!("{found:?}") };
    assert_eq!((finding.detector, finding.severity), (DetectorId::TokenCopied, Severity::Medium));
    assert_eq!(finding.headline, "/usr/bin/gh put the token of gh-hosts into /home/user/p/deploy.sh, a script");
    assert_eq!(finding.fingerprint, Some(fingerprint(GH).to_string()));
    assert_eq!((finding.stores[0].id.as_str(), &finding.stores[0].paths[..]), ("gh-hosts", &[GH.to_owned()][..]));
    assert!(finding.chain.as_ref().is_some_and(|chain| chain.processes.len() == 4));
    let evidence = |key: &str| finding.evidence.iter().find(|one| one.key == key).map(|one| one.text.as_str());
    assert!(evidence("copy.token").is_some_and(|text| text.contains(GH) && text.contains("as it is, line 2")));
    assert!(evidence("copy.place").is_some_and(|text| text.starts_with("a script (script), mode 0600")));
    assert!(finding.remediation.steps[0].contains("secrets manager"), "{:?}", finding.remediation);
    assert!(!finding.remediation.commands.is_empty());
}

#[test]
fn it_counts_who_did_it_and_where_it_lies() {
    let severity = |path: &str, pid: u32, change: &dyn Fn(&mut PlaceFacts)| {
        let mut scanned = written(path, pid, &[AWS]);
        if let Outcome::Looked(looked) = &mut scanned.outcome {
            change(&mut looked.place);
        }
        let found = in_the_end(&mut core(), scanned);
        assert_eq!(found.len(), 1, "{path}");
        found[0].severity
    };
    let plain = |_: &mut PlaceFacts| {};
    let tracked = |facts: &mut PlaceFacts| facts.git = Git::Tracked;
    let untracked = |facts: &mut PlaceFacts| facts.git = Git::Untracked;
    let open = |facts: &mut PlaceFacts| facts.mode = 0o644;
    let synced = |facts: &mut PlaceFacts| facts.synced = Some("Dropbox".into());
    use Severity::{High, Informational, Low, Medium};
    for (path, pid, change, expected) in [
        ("/home/user/notes", CP, &plain as &dyn Fn(&mut PlaceFacts), Low),
        ("/home/user/notes", CRON_CP, &plain, Medium),
        ("/home/user/notes", CP, &open, High),
        ("/home/user/p/deploy.sh", CP, &plain, Medium),
        ("/home/user/p/deploy.sh", CP, &tracked, High),
        ("/home/user/p/deploy.sh", CRON_CP, &untracked, High),
        ("/home/user/p/.env", CP, &untracked, Medium),
        ("/home/user/p/.github/workflows/ci.yml", CRON_CP, &plain, High),
        ("/home/user/p/notes", CRON_CP, &untracked, High),
        ("/home/user/d/notes", CRON_CP, &synced, High),
        ("/home/user/.bash_history", CP, &plain, Medium),
        ("/tmp/x", CRON_CP, &plain, Medium),
        ("/home/user/.aws/credentials.bak", VIM, &plain, Informational),
        ("/home/user/.aws/credentials.bak", CRON_CP, &plain, Medium),
    ] {
        assert_eq!(severity(path, pid, &change), expected, "{path} {pid}");
    }
}

/// Each with what makes the difference.
#[test]
fn a_tool_that_writes_its_own_files_is_silent() {
    for (path, pid, token, told) in [
        // A store that its own tool rewrites, another tool's, and a stranger who writes it.
        (GH, GH_TOOL, GH, false),
        (AWS, CP, AWS, false),
        ("/home/user/.aws/cli/cache/a.json", AWS_TOOL, AWS, false),
        ("/home/user/.aws/cli/cache/a.json", CP, AWS, true),
        ("/home/user/.aws/cli/cache/a.json", AWS_TOOL, GH, false),
        ("/home/user/.config/gh/hosts.yml.tmp1", GH_TOOL, GH, false),
        ("/home/user/.config/gh/hosts.yml.tmp1", CP, GH, true),
        ("/home/user/aws.json", AWS_TOOL, AWS, true),
        (NETRC, CP, AWS, true),
    ] {
        let found = in_the_end(&mut core(), written(path, pid, &[token]));
        assert_eq!(!found.is_empty(), told, "{path} by {pid}: {found:?}");
    }
}

#[test]
fn what_takes_a_stores_name_is_looked_at_once_more() {
    let mut core = core();
    let scanned = written("/home/user/.aws/sedQx12Ab", CP, &[AWS]);
    let outputs = feed(&mut core, Input::Scanned(Box::new(scanned.clone())));
    assert!(matches!(&outputs[..], [Output::Scan(again)] if again.again), "{outputs:?}");
    let mut renamed = Scanned { candidate: Candidate { again: true, ..scanned.candidate.clone() }, ..scanned.clone() };
    if let Outcome::Looked(looked) = &mut renamed.outcome {
        looked.moved = Some(AWS.into());
    }
    assert!(findings(&mut core, renamed).is_empty(), "it is the store now");
    let stays = Scanned { candidate: Candidate { again: true, ..scanned.candidate.clone() }, ..scanned };
    assert_eq!(findings(&mut core, stays).len(), 1, "it is still there under its own name");
}

#[test]
fn the_same_copy_is_told_once_and_again_when_it_was_gone() {
    let mut core = core();
    let path = "/home/user/x.sh";
    let mut tell = |tokens: &[&str]| findings(&mut core, written(path, CP, tokens)).len();
    assert_eq!([tell(&[GH]), tell(&[GH]), tell(&[GH, AWS]), tell(&[GH, AWS])], [1, 0, 1, 0]);
    assert_eq!([tell(&[AWS]), tell(&[GH, AWS])], [0, 1], "one of them was gone");
    assert_eq!([tell(&[]), tell(&[AWS])], [0, 1]);
}

#[test]
fn several_tokens_of_a_file_are_one_finding_and_those_that_left_their_store_count() {
    let mut core = core();
    learn(&mut core, "gh-hosts", GH, None);
    let found = findings(&mut core, written("/home/user/home.tar", CRON_CP, &[GH, AWS]));
    let [finding] = &found[..] else { panic!("{found:?}") };
    assert!(finding.headline.contains("2 tokens of aws-credentials and gh-hosts into /home/user/home.tar, an archive"));
    let tokens = finding.evidence.iter().filter(|one| one.key == "copy.token").count();
    assert_eq!(tokens, 2);
}

#[test]
fn a_tool_that_policy_names_is_tolerated() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(
        directory.path().join("p.yaml"),
        "exceptions:\n  - {reason: nightly backup, store: '*', reader: /usr/bin/cp, actor: automation}\n",
    )
    .unwrap();
    let catalogue = Catalogue::embedded().unwrap();
    let policy = Policy::load(directory.path(), &[], &catalogue).unwrap().policy;
    let mut core = core();
    feed(&mut core, Input::Policy(Box::new(policy)));
    assert!(findings(&mut core, written("/srv/backup/home.tar", CRON_CP, &[AWS])).is_empty());
    assert_eq!(findings(&mut core, written("/srv/backup/home.tar", CP, &[AWS])).len(), 1, "a person is not covered");
}

#[test]
fn the_writer_may_be_unknown_and_of_several_the_carrier_is_named() {
    let mut core = core();
    let found = findings(&mut core, written("/home/user/x.sh", 9999, &[AWS]));
    assert!(found[0].headline.starts_with("A process that is not known put") && found[0].chain.is_none());
    assert_eq!(found[0].severity, Severity::High);
    let own = ProcessKey::new(2000, 2);
    feed(&mut core, Input::Found(Box::new(Process { key: own, ..process(2, 1, "/usr/bin/tokenhound") })));
    let mut scanned = written("/home/user/y.sh", 9999, &[AWS]);
    scanned.candidate.writer = own;
    assert!(findings(&mut core, scanned).is_empty(), "we are nobody's thief");
    let mut scanned = written("/home/user/z.sh", CP, &[AWS]);
    scanned.candidate.why = Why::Marked { carrier: key(GH_TOOL) };
    scanned.others = vec![Writer { time: KernelTime(4), key: key(GH_TOOL) }; MOST_WRITERS];
    let found = findings(&mut core, scanned);
    assert!(found[0].headline.starts_with("/usr/bin/gh"), "{}", found[0].headline);
    assert!(found[0].evidence.iter().any(|one| one.key == "copy.writers" && one.text.contains("cp (pid 4242)")));
}

#[test]
fn what_was_not_looked_into_is_named_once_a_minute() {
    let mut core = core();
    let skipped = |path: &str, why| Scanned { outcome: Outcome::Skipped(why), ..written(path, CP, &[]) };
    for number in 0..100 {
        assert!(findings(&mut core, skipped(&format!("/f{number}"), Skipped::QueueFull)).is_empty());
        findings(&mut core, skipped("/gone", Skipped::Gone));
    }
    let mut tick = |seconds: u64| {
        let losses = Losses { time: KernelTime(seconds * 1_000_000_000), ..Losses::default() };
        let finding = |output| match output {
            Output::Finding(finding) => Some(*finding),
            _ => None,
        };
        feed(&mut core, Input::Losses(losses)).into_iter().filter_map(finding).collect::<Vec<_>>()
    };
    let told = tick(10);
    let [finding] = &told[..] else { panic!("{told:?}") };
    assert_eq!(finding.detector, DetectorId::SensorDegraded);
    assert!(finding.headline.starts_with("100 files") && finding.evidence[0].text.contains("/f0, /f1"), "{finding:?}");
    assert!(tick(11).is_empty() && tick(100).is_empty(), "nothing more");
}
