//! Grouping, escalation, notification and bounds, on made-up findings.

mod grouping;
mod life;
mod storm;

use std::{
    sync::LazyLock,
    time::{Duration, SystemTime},
};

use jiff::{SignedDuration, Timestamp};

use super::{
    notice::Notice,
    table::{Incidents, Taken},
};
use crate::{
    catalogue::tests::shipped_catalogue,
    detect::{
        access::Service,
        fixtures::{init, process, store, with_script},
    },
    finding::{
        detector::DetectorId,
        model::{Finding, Remediation, Target},
        ocsf::Host,
        samples,
        severity::Severity,
    },
    lineage::{
        actor::classify,
        model::{Chain, Process, Writable},
    },
};

/// Seconds since 1970 at which everything here begins.
const START: u64 = 1_764_000_000;

fn at(seconds: f64) -> Timestamp {
    Timestamp::from_second(START.cast_signed()).unwrap() + SignedDuration::from_secs_f64(seconds)
}

/// Reader first.
fn chain(mut processes: Vec<Process>) -> Chain {
    if processes.last().is_none_or(|last| last.key.tgid != 1) {
        processes.push(init());
    }
    Chain { processes, incomplete: false }
}

/// A shell with a prompt, in a terminal that sshd opened.
fn prompt(pid: u32) -> Vec<Process> {
    let shell = Process { session: pid, tty: Some((136, pid)), ..process(pid, pid - 1, "/usr/bin/bash") };
    vec![shell, Process { uid: 0, euid: 0, ..process(pid - 1, 1, "/usr/sbin/sshd") }]
}

/// `processes` below that shell.
fn typed(processes: Vec<Process>, shell: u32) -> Chain {
    let mut all = processes;
    for process in &mut all {
        (process.session, process.tty) = (shell, Some((136, shell)));
    }
    all.extend(prompt(shell));
    chain(all)
}

/// npm, running an install script in which `pid` runs.
fn install(pid: u32, npm: u32) -> Vec<Process> {
    let cli = "/usr/lib/node_modules/npm/bin/npm-cli.js";
    vec![
        process(pid, npm + 1, "/usr/bin/cat"),
        process(npm + 1, npm, "/usr/bin/dash"),
        with_script(process(npm, 812, "/usr/bin/node"), cli, Writable::No),
    ]
}

/// A service that systemd has started.
fn service(pid: u32, unit: &str) -> Vec<Process> {
    let unit = Some(unit.to_owned());
    let all = [process(pid, pid + 1, "/usr/bin/cat"), process(pid + 1, 1, "/usr/bin/dash")];
    all.into_iter().map(|process| Process { unit: unit.clone(), session: 0, ..process }).collect()
}

/// What a detector says of `chain`.
fn finding(detector: DetectorId, severity: Severity, chain: &Chain, id: &str, seconds: f64) -> Finding {
    static BASE: LazyLock<Finding> = LazyLock::new(samples::unexpected_reader);
    let catalogue = shipped_catalogue();
    let stores = if id.is_empty() { Vec::new() } else { vec![store(id, id, 1)] };
    Finding {
        uid: format!("{detector} {seconds} {id} {:?}", chain.processes[0].key),
        detector,
        severity,
        wall: SystemTime::UNIX_EPOCH + Duration::from_secs(START) + Duration::from_secs_f64(seconds),
        actor: Some(classify(chain, catalogue.actors(), catalogue.interpreters(), None)),
        chain: Some(chain.clone()),
        remediation: Remediation::of(detector, &stores),
        stores,
        ..BASE.clone()
    }
}

fn read(chain: &Chain, id: &str, seconds: f64) -> Finding {
    finding(DetectorId::UnexpectedReader, Severity::Medium, chain, id, seconds)
}

fn copy(chain: &Chain, id: &str, seconds: f64, to: &str) -> Finding {
    let mut finding = finding(DetectorId::TokenCopied, Severity::Medium, chain, id, seconds);
    if let Target::File { path, .. } = &mut finding.target {
        *path = to.into();
    }
    finding.uid.push_str(to);
    Finding { fingerprint: Some(format!("th1:{id}")), ..finding }
}

fn egress(chain: &Chain, id: &str, seconds: f64) -> Finding {
    let service = Service::Egress { address: [203, 0, 113, 7].into(), port: 443, name: None, sent: false };
    let finding = finding(DetectorId::TokenEgress, Severity::Medium, chain, id, seconds);
    Finding { target: Target::Service(service), ..finding }
}

/// How many incidents these make.
fn incidents<'f>(findings: impl IntoIterator<Item = &'f Finding>) -> usize {
    let mut table = Incidents::default();
    findings.into_iter().for_each(|finding| {
        table.take(finding);
    });
    table.len()
}

/// One after the other, each with what is told at its moment.
fn play(table: &mut Incidents, findings: &[Finding]) -> (Vec<Taken>, Vec<Notice>) {
    let (mut taken, mut notices) = (Vec::new(), Vec::new());
    for finding in findings {
        taken.push(table.take(finding));
        notices.extend(table.batch(Timestamp::try_from(finding.wall).unwrap()).notices);
    }
    (taken, notices)
}

fn host() -> Host {
    Host { hostname: Some("workbench".to_owned()), ..Host::default() }
}

/// Writes the objects where a validator that is not ours takes them.
fn keep(lines: &[String]) {
    if let Some(path) = std::env::var_os("TOKENHOUND_OCSF_INCIDENTS") {
        std::fs::write(path, lines.join("\n") + "\n").unwrap();
    }
}
