//! What is asked of others than a file: a tool that prints, an agent, an address.

use super::*;

// token-printed

fn printed(text: &str, output: Stream, judgement: Judgement) -> Vec<(DetectorId, Severity)> {
    use crate::lineage::actor::tests::lineage;
    let service = Service::Print { command: "gh auth token".to_owned(), output };
    let target = Target::Service { stores: vec!["gh-hosts".to_owned()], service };
    let outcome = engine().access(&access_at(0.0, lineage(text), target), &[judgement]);
    assert!(outcome.verdicts.is_empty(), "nothing was read");
    outcome.findings.iter().map(|found| (found.detector, found.severity)).collect()
}

#[test]
fn who_has_a_token_printed_and_where_it_goes() {
    let gh = || unexpected(store("gh-hosts", "github", 1));
    let is = |severity| vec![(DetectorId::TokenPrinted, severity)];
    for (text, output, wanted) in [
        // A person reads it at their prompt, or hands it on.
        ("/usr/bin/gh < SSH", Stream::Terminal, vec![]),
        ("/usr/bin/gh < SSH", Stream::Pipe, is(Severity::Informational)),
        ("/usr/bin/gh < SSH", Stream::File, is(Severity::Medium)),
        ("/usr/bin/gh < /usr/bin/bash ! < SSH", Stream::Pipe, is(Severity::Medium)),
        ("/usr/bin/gh < /usr/bin/sh ! < NPM < SSH", Stream::Pipe, is(Severity::High)),
        ("/usr/bin/gh < /usr/bin/sh ! < NPM < SSH", Stream::Terminal, is(Severity::High)),
        ("/usr/bin/gh < /usr/bin/bash ! < CLAUDE < SSH", Stream::Pipe, is(Severity::High)),
        ("/usr/bin/gh < /usr/bin/sh ! < CRON", Stream::File, is(Severity::Medium)),
        ("/usr/bin/gh < /usr/share/code/code", Stream::Pipe, is(Severity::Low)),
        // It goes nowhere, or to somebody who may ask.
        ("/usr/bin/gh < /usr/bin/sh ! < NPM < SSH", Stream::Nowhere, vec![]),
    ] {
        assert_eq!(printed(text, output, gh()), wanted, "{text} {output:?}");
    }
    for known in [expected(store("gh-hosts", "github", 1)), tolerated(store("gh-hosts", "github", 1))] {
        assert!(printed("/usr/bin/gh < /usr/bin/sh ! < NPM < SSH", Stream::Pipe, known).is_empty());
    }
}

// agent-socket-access

fn connected(text: &str, service: Service, judgement: Judgement) -> Vec<(DetectorId, Severity)> {
    use crate::lineage::actor::tests::lineage;
    let target = Target::Service { stores: vec![judgement.store.id.clone()], service };
    let outcome = engine().access(&access_at(0.0, lineage(text), target), &[judgement]);
    outcome.findings.iter().map(|found| (found.detector, found.severity)).collect()
}

#[test]
fn who_asks_an_agent_or_an_address() {
    let socket = || Service::Socket { path: "/run/user/1000/gnupg/S.gpg-agent".into(), known_as: None };
    let address = || Service::Address { address: [169, 254, 169, 254].into(), port: 80 };
    let narrow = store("gpg-agent-socket", "gnupg", 1);
    let broad = StoreFacts { broad: true, ..store("ssh-agent-socket", "ssh", 1) };
    let weakly = |store: StoreFacts| {
        let why = vec!["as a generic program".to_owned()];
        Judgement { store, expectation: Expectation::Unexpected { why, weak: true } }
    };
    let is = |severity| vec![(DetectorId::AgentSocketAccess, severity)];
    for (text, service, judgement, wanted) in [
        ("/usr/bin/socat", socket(), unexpected(narrow.clone()), is(Severity::High)),
        ("/usr/bin/socat", socket(), unexpected(broad.clone()), is(Severity::Medium)),
        ("/usr/bin/python3", socket(), weakly(broad.clone()), is(Severity::Low)),
        ("/usr/bin/socat < SSH", socket(), unexpected(broad.clone()), is(Severity::Low)),
        ("/usr/bin/curl", address(), unexpected(broad.clone()), is(Severity::Medium)),
        ("/usr/bin/curl < /usr/bin/sh ! < NPM < SSH", address(), unexpected(broad.clone()), is(Severity::High)),
        ("/usr/bin/python3 < /usr/bin/bash ! < CLAUDE < SSH", socket(), weakly(broad.clone()), is(Severity::High)),
        // Their own, and what policy lets pass.
        ("/usr/bin/gpg", socket(), expected(narrow.clone()), vec![]),
        ("/usr/bin/socat", socket(), tolerated(narrow), vec![]),
    ] {
        assert_eq!(connected(text, service, judgement), wanted, "{text}");
    }
}

#[test]
fn a_connection_is_told_once_a_minute_for_each_process() {
    let mut engine = engine();
    let mut connect = |second: f64, pid: u32| {
        let service = Service::Address { address: [169, 254, 169, 254].into(), port: 80 };
        let target = Target::Service { stores: vec!["instance-metadata".to_owned()], service };
        let judgement = unexpected(store("instance-metadata", "instance-metadata", 1));
        detectors(&engine.access(&access_at(second, under_shell(cat(pid)), target), &[judgement])).len()
    };
    assert_eq!([connect(0.0, 1001), connect(1.0, 1001), connect(2.0, 1002), connect(90.0, 1001)], [1, 0, 1, 1]);
}
