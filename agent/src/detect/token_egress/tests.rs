use super::*;
use crate::{
    detect::{
        access::Namer,
        engine::Engine,
        fixtures::{access_at, expected, process, read_at, store, under_shell, unexpected},
        judge::Judgement,
    },
    lineage::model::{Chain, Process},
};

const FAR: &str = "203.0.113.5";

fn engine() -> Engine {
    Engine::new(Salt::new("h", "b"))
}

fn aws() -> Judgement {
    unexpected(store("aws-credentials", "aws", 1))
}

/// `reader` below a script that nobody types (pid 900) below the shell.
fn in_script(reader: Process) -> Chain {
    let mut chain = under_shell(reader);
    chain.processes.insert(
        1,
        crate::detect::fixtures::with_script(
            process(900, 812, "/usr/bin/bash"),
            "/home/ann/x.sh",
            crate::lineage::model::Writable::Yes,
        ),
    );
    chain
}

fn reads(engine: &mut Engine, seconds: f64, chain: Chain, judgement: Judgement) -> usize {
    engine.access(&read_at(seconds, chain, "/home/ann/.aws/credentials"), &[judgement]).findings.len()
}

fn target(address: &str, port: u16) -> Target {
    let service = Service::Egress { address: address.parse().unwrap(), port, name: None, sent: false };
    Target::Service { stores: Vec::new(), service }
}

fn connects(engine: &mut Engine, seconds: f64, chain: Chain, address: &str, port: u16) -> Vec<Finding> {
    engine
        .egress(&access_at(seconds, chain, target(address, port)))
        .and_then(|egress| egress.finding)
        .into_iter()
        .collect()
}

#[test]
fn the_reader_and_what_it_starts_and_its_neighbour_in_a_pipe_are_its_lineage() {
    let cat = || in_script(process(4242, 900, "/usr/bin/cat"));
    let child = || {
        let mut chain = in_script(process(4300, 4242, "/usr/bin/curl"));
        chain.processes.insert(1, process(4242, 900, "/usr/bin/cat"));
        chain
    };
    let neighbour = || in_script(process(4243, 900, "/usr/bin/curl"));
    for (chain, name) in [(cat(), "itself"), (child(), "its child"), (neighbour(), "its neighbour")] {
        let mut engine = engine();
        assert_eq!(reads(&mut engine, 0.0, cat(), aws()), 1);
        let found = connects(&mut engine, 0.5, chain, FAR, 443);
        let [finding] = &found[..] else { panic!("{name}: {found:?}") };
        assert_eq!((finding.detector, finding.severity), (DetectorId::TokenEgress, Severity::Critical), "{name}");
        let texts: Vec<&str> = finding.evidence.iter().map(|one| one.text.as_str()).collect();
        assert!(texts.contains(&"203.0.113.5:443"), "{texts:?}");
        assert!(texts.iter().any(|text| text.contains("500 ms before")), "{texts:?}");
    }
}

#[test]
fn what_has_nothing_to_do_with_the_read_is_not_told() {
    let mut engine = engine();
    assert_eq!(connects(&mut engine, 0.0, in_script(process(4243, 900, "/usr/bin/curl")), FAR, 443), [], "before it");
    reads(&mut engine, 1.0, in_script(process(4242, 900, "/usr/bin/cat")), aws());
    let elsewhere = under_shell(process(5000, 812, "/usr/bin/curl"));
    assert_eq!(connects(&mut engine, 2.0, elsewhere, FAR, 443), [], "another lineage");
    let late = in_script(process(4243, 900, "/usr/bin/curl"));
    assert_eq!(connects(&mut engine, 700.0, late, FAR, 443), [], "ten minutes later");
}

/// Whoever started the reader got what it read only where its output led there.
#[test]
fn what_was_read_into_a_file_was_handed_to_nobody() {
    for (output, told) in [(Stream::Pipe, 1), (Stream::Socket, 1), (Stream::File, 0), (Stream::Terminal, 0)] {
        let mut engine = engine();
        let cat = process(4242, 900, "/usr/bin/cat");
        engine.started(cat.key, output, KernelTime(1));
        reads(&mut engine, 0.0, in_script(cat.clone()), aws());
        let neighbour = in_script(process(4243, 900, "/usr/bin/curl"));
        assert_eq!(connects(&mut engine, 0.1, neighbour, FAR, 443).len(), told, "{output:?}");
        assert_eq!(connects(&mut engine, 0.2, in_script(cat), FAR, 80).len(), 1, "itself");
    }
}

#[test]
fn an_expected_reader_and_this_machine_itself_are_no_egress() {
    let mut engine = engine();
    let cli = || in_script(process(4242, 900, "/usr/bin/aws"));
    reads(&mut engine, 0.0, cli(), expected(store("aws-credentials", "aws", 1)));
    assert_eq!(connects(&mut engine, 0.1, cli(), FAR, 443), []);
    // The same program below a shell below which another one read what it should not.
    reads(&mut engine, 0.2, in_script(process(4250, 900, "/usr/bin/cat")), aws());
    assert_eq!(connects(&mut engine, 0.3, cli(), FAR, 443), [], "it has its own reason");
    let curl = || in_script(process(4251, 900, "/usr/bin/curl"));
    for (address, port) in [("127.0.0.1", 8080), ("::1", 443), ("0.0.0.0", 80), (FAR, 53), (FAR, 0)] {
        assert_eq!(connects(&mut engine, 0.4, curl(), address, port), [], "{address} {port}");
    }
    assert_eq!(connects(&mut engine, 0.5, curl(), FAR, 443).len(), 1);
}

#[test]
fn one_destination_is_told_once_and_not_more_than_so_many() {
    let mut engine = engine();
    let cat = || in_script(process(4242, 900, "/usr/bin/cat"));
    reads(&mut engine, 0.0, cat(), aws());
    assert_eq!(connects(&mut engine, 0.1, cat(), FAR, 443).len(), 1);
    assert_eq!(connects(&mut engine, 0.2, cat(), FAR, 443).len(), 0);
    let again = engine.egress(&access_at(0.2, cat(), target(FAR, 443))).unwrap();
    assert!(again.finding.is_none() && again.reader == cat().processes[0].key, "it is written down: {again:?}");
    assert_eq!(connects(&mut engine, 0.3, cat(), FAR, 80).len(), 1, "another port");
    let told: usize =
        (0..100).map(|last| connects(&mut engine, 1.0, cat(), &format!("198.51.100.{last}"), 443).len()).sum();
    assert_eq!(told, DESTINATIONS as usize - 2);
    let evicted = engine.evictions().into_iter().find(|(table, _)| *table == "token_egress").unwrap().1;
    assert!(engine.egress(&access_at(1.1, cat(), target("198.51.100.99", 443))).is_none(), "one too many");
    assert_eq!(evicted, 100 - (u64::from(DESTINATIONS) - 2));
}

#[test]
fn what_is_sent_without_a_connection_is_told_as_that_and_names_say_where_they_are_from() {
    let mut engine = engine();
    let cat = || in_script(process(4242, 900, "/usr/bin/cat"));
    reads(&mut engine, 0.0, cat(), aws());
    let service = Service::Egress { address: FAR.parse().unwrap(), port: 9999, name: None, sent: true };
    let target = Target::Service { stores: Vec::new(), service };
    let mut finding = engine.egress(&access_at(0.1, cat(), target)).unwrap().finding.unwrap();
    assert!(finding.headline.contains("sent something to 203.0.113.5:9999"), "{}", finding.headline);
    let called = Called { name: "collector.invalid".into(), by: Namer::Dns };
    named(&mut finding, called.clone(), Some("192.0.2.53:53".parse().unwrap()));
    let texts: Vec<&str> = finding.evidence.iter().map(|one| one.text.as_str()).collect();
    assert!(texts.contains(&"it was asked for as collector.invalid"), "{texts:?}");
    assert!(texts.contains(&"192.0.2.53:53 answered so"), "{texts:?}");
    let model::Target::Service(Service::Egress { name, .. }) = finding.target else { panic!("{:?}", finding.target) };
    assert_eq!(name, Some(called));
}
