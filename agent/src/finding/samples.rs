//! Findings for tests of the forms they are shown in, one or more of each detector, made by the engine itself.

use std::time::{Duration, SystemTime};

use tokenhound_common::loss::Reason;

use super::model::{Finding, Salt};
use crate::{
    copies::{
        model::{Copy, Git, PlaceFacts, Why},
        place::Place,
    },
    detect::{
        access::{Called, Carrying, Copied, Namer, Service, Target, Tier},
        engine::Engine,
        fixtures::{access_at, process, read_at, store, under_shell, unexpected, with_args, with_script},
        judge::StoreFacts,
        sensor_degraded::Degradation,
    },
    ingest::observation::{Inspection, KernelTime, Stream},
    lineage::{
        model::{Container, Process, Writable},
        package::{Integrity, Owner, Owners},
    },
    token::scan::Encoding,
};

fn aws() -> StoreFacts {
    StoreFacts {
        title: "AWS shared credentials file".to_owned(),
        vendor: "Amazon Web Services".to_owned(),
        revoke: Some("aws iam delete-access-key --access-key-id <ID>".to_owned()),
        ..store("aws-credentials", "aws", 1)
    }
}

fn engine() -> Engine {
    Engine::new(Salt::new("sample host", "sample boot"))
}

/// `cat`, started by an install script.
pub(crate) fn unexpected_reader() -> Finding {
    let mut chain = under_shell(process(4242, 4200, "/usr/bin/cat"));
    chain.processes.insert(1, process(4200, 4100, "/usr/bin/dash"));
    chain.processes.insert(
        2,
        with_script(process(4100, 812, "/usr/bin/node"), "/usr/lib/node_modules/npm/bin/npm-cli.js", Writable::No),
    );
    let executable = Owner::Package { name: "coreutils".to_owned(), integrity: Integrity::Intact };
    chain.processes[0].owners = Some(Box::new(Owners { executable, script: None }));
    let access = read_at(0.25, chain, "/home/ann/.aws/credentials");
    engine().access(&access, &[unexpected(aws())]).findings.remove(0)
}

/// `cat`, in a step of a job of a CI system whose names are as awkward as names can be.
pub(crate) fn in_ci() -> Finding {
    let text = "/usr/bin/cat < /usr/bin/bash $GITHUB_JOB=build $GITHUB_ACTION=x::error::|\u{202e}<b> $GITHUB_RUN_ID=77 \
                $GITHUB_REPOSITORY=o/r $GITHUB_SERVER_URL=https://github.com < RUNNER";
    let access = read_at(0.0, crate::lineage::actor::tests::lineage(text), "/home/ann/.aws/credentials");
    engine().access(&access, &[unexpected(aws())]).findings.remove(0)
}

/// As [`unexpected_reader`], with everything that can be awkward: hidden characters, a container, a hard link, a lineage that is cut.
pub(crate) fn awkward() -> Finding {
    let mut reader = with_script(process(4242, 4200, "/tmp/\x1b[31mpython3"), "/tmp/\u{202e}yp.x", Writable::Yes);
    reader.executable.writable = Writable::Yes;
    reader.container = Some(Container::new("0123456789abcdef".repeat(4), "docker"));
    reader.euid = 0;
    let mut chain = under_shell(with_args(reader, "python3 x.py --token ***"));
    for pid in 0..20 {
        chain.processes.insert(1, process(3000 + pid, 2999 + pid, "/usr/bin/dash"));
    }
    chain.incomplete = true;
    let mut access = read_at(0.0, chain, &format!("/home/ann/{}/credentials", "very-long-name".repeat(12)));
    if let Target::Store { file, known_as, .. } = &mut access.target {
        file.links = 2;
        *known_as = Some("/home/ann/.aws/credentials".into());
    }
    engine().access(&access, &[unexpected(aws())]).findings.remove(0)
}

/// Three files by three processes.
pub(crate) fn credential_sweep() -> Finding {
    let mut engine = engine();
    let mut findings = Vec::new();
    for (index, (store, path)) in [
        (store("ssh-keys", "ssh", 1), "/home/ann/.ssh/id_ed25519"),
        (store("npmrc", "npm", 2), "/home/ann/.npmrc"),
        (aws(), "/home/ann/.aws/credentials"),
    ]
    .into_iter()
    .enumerate()
    {
        let mut chain = under_shell(process(4242 + index as u32, 4200, "/usr/bin/cp"));
        chain.processes.insert(1, process(4200, 812, "/usr/bin/find"));
        findings = engine.access(&read_at(index as f64, chain, path), &[unexpected(store)]).findings;
    }
    findings.remove(1)
}

/// A decoy, by a stealer.
pub(crate) fn decoy_read() -> Finding {
    let chain = under_shell(with_script(process(4242, 812, "/usr/bin/python3"), "/tmp/x.py", Writable::Yes));
    let title = "decoy of an AWS credentials file".to_owned();
    let decoy = StoreFacts { decoy: true, title, ..store("decoy-aws-1", "aws", 1) };
    let access = read_at(0.0, chain, "/home/ann/old-laptop/.aws/credentials");
    engine().access(&access, &[unexpected(decoy)]).findings.remove(0)
}

/// A token, printed for an install script.
pub(crate) fn token_printed() -> Finding {
    let mut chain = under_shell(with_args(process(4242, 4200, "/usr/bin/gh"), "gh auth token"));
    chain.processes.insert(1, with_script(process(4200, 812, "/usr/bin/node"), "/tmp/x/install.js", Writable::Yes));
    let service = Service::Print { command: "gh auth token".to_owned(), output: Stream::Pipe };
    let target = Target::Service { stores: vec!["gh-hosts".to_owned()], service };
    let judgement = unexpected(store("gh-hosts", "github", 1));
    engine().access(&access_at(0.5, chain, target), &[judgement]).findings.remove(0)
}

/// A token on the command line of `curl`.
pub(crate) fn secret_in_arguments() -> Finding {
    let fingerprint = crate::token::fingerprint::Key::new([1; 32]).fingerprint_of(b"made-up");
    let place = crate::ingest::carried::Place::Argument(2);
    let service = Service::Start { place, token: Carrying::Known(fingerprint), inherited: None };
    let target = Target::Service { stores: vec!["gh-hosts".to_owned()], service };
    let chain = under_shell(with_args(process(4242, 812, "/usr/bin/curl"), "curl -H <redacted>"));
    engine().access(&access_at(0.25, chain, target), &[unexpected(store("gh-hosts", "github", 1))]).findings.remove(0)
}

/// A token that `gh` has printed into a script.
pub(crate) fn token_copied() -> Finding {
    let fingerprint = crate::token::fingerprint::Key::new([1; 32]).fingerprint_of(b"made-up");
    let copy = Copy { fingerprint, encoding: Encoding::Raw, times: 1, line: Some(3), member: None };
    let gh = "/home/ann/.config/gh/hosts.yml";
    let copied = Copied {
        path: "/home/ann/p/deploy.sh".into(),
        place: Place::Script,
        facts: PlaceFacts { mode: 0o755, git: Git::Untracked, ..PlaceFacts::default() },
        copies: vec![(copy, vec![gh.into()])],
        more: 0,
        along: false,
        beside: false,
        why: Why::Marked { carrier: tokenhound_common::process::ProcessKey::new(4_242_000, 4242) },
        carrier: None,
        others: Vec::new(),
    };
    let target = Target::Copy { stores: vec!["gh-hosts".to_owned()], copied: Box::new(copied) };
    let chain = under_shell(with_args(process(4242, 812, "/usr/bin/gh"), "gh auth token"));
    let store = StoreFacts { paths: vec![gh.to_owned()], ..store("gh-hosts", "github", 1) };
    engine().access(&access_at(0.35, chain, target), &[unexpected(store)]).findings.remove(0)
}

/// A metadata address, by `curl`.
pub(crate) fn agent_socket_access() -> Finding {
    let service = Service::Address { address: [169, 254, 169, 254].into(), port: 80 };
    let target = Target::Service { stores: vec!["instance-metadata".to_owned()], service };
    let judgement = unexpected(store("instance-metadata", "instance-metadata", 1));
    let chain = under_shell(with_args(process(4242, 812, "/usr/bin/curl"), "curl http://169.254.169.254/"));
    engine().access(&access_at(0.75, chain, target), &[judgement]).findings.remove(0)
}

/// A connection after a read.
pub(crate) fn token_egress() -> Finding {
    let chain = || under_shell(with_args(process(4242, 812, "/usr/bin/python3"), "python3 -c <code>"));
    let mut engine = engine();
    let access = read_at(0.0, chain(), "/home/ann/.aws/credentials");
    engine.access(&access, &[unexpected(store("aws-credentials", "aws", 1))]);
    let service = Service::Egress { address: [203, 0, 113, 5].into(), port: 443, name: None, sent: false };
    let target = Target::Service { stores: Vec::new(), service };
    let mut finding = engine.egress(&access_at(0.5, chain(), target)).unwrap().finding.unwrap();
    crate::detect::token_egress::named(
        &mut finding,
        Called { name: "collector.invalid".to_owned(), by: Namer::Hosts },
        None,
    );
    finding
}

/// `ps auxe`.
pub(crate) fn process_inspection() -> Finding {
    let chain = under_shell(with_args(process(4242, 812, "/usr/bin/ps"), "ps auxe"));
    let target = Process { uid: 0, ..process(900, 1, "/usr/bin/node") };
    engine()
        .access(&access_at(0.0, chain, Target::Process(Inspection::Environ, Some(Box::new(target)), None)), &[])
        .findings
        .remove(0)
}

/// Memory of a process that could not be resolved.
pub(crate) fn unresolved() -> Finding {
    let chain = under_shell(process(4242, 812, "/usr/bin/dd"));
    engine().access(&access_at(0.0, chain, Target::Process(Inspection::Mem, None, None)), &[]).findings.remove(0)
}

/// Lost records.
pub(crate) fn lost() -> Option<Finding> {
    let wall = SystemTime::UNIX_EPOCH + Duration::from_secs(1_764_000_000);
    engine().degraded(&Degradation::kernel(Reason::HITS_RING_FULL, 17), KernelTime(5), wall)
}

/// Findings that a sink will not get.
pub(crate) fn undelivered() -> Option<Finding> {
    let wall = SystemTime::UNIX_EPOCH + Duration::from_secs(1_764_000_000);
    engine().degraded(&Degradation::Undelivered { sink: "soc".to_owned(), total: 512 }, KernelTime(5), wall)
}

/// A probe that does not deliver.
pub(crate) fn silent_probe() -> Option<Finding> {
    let wall = SystemTime::UNIX_EPOCH + Duration::from_secs(1_764_000_000);
    let why = "attached, but the canary's record did not arrive".to_owned();
    engine().degraded(&Degradation::Probe { probe: "file_open".to_owned(), tier: Tier::Lsm, why }, KernelTime(5), wall)
}

/// All of them, as the edge hands them on.
pub(crate) fn all() -> Vec<Finding> {
    let mut all = vec![unexpected_reader(), awkward(), credential_sweep(), process_inspection(), unresolved()];
    all.push(decoy_read());
    all.push(token_printed());
    all.push(agent_socket_access());
    all.push(secret_in_arguments());
    all.push(token_egress());
    all.push(token_copied());
    all.extend(crate::detect::lifecycle::tests::findings());
    all.extend(crate::detect::revocation_incomplete::tests::findings());
    all.extend(lost());
    all.extend(undelivered());
    all.extend(silent_probe());
    all[0].latency = Some(Duration::from_micros(1500));
    all[1].fingerprint = Some("th1:mzxw6ytboi".to_owned());
    all
}
