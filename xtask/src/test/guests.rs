//! The same end-to-end tests, and `tokenhound doctor`, in guests with other kernels.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, bail};

use crate::cmd;
use crate::place::Place;
use crate::setup::{self, Group};
use crate::test::live::{AGENT, SKIPS};
use crate::test::matrix::Matrix;
use crate::test::tally::Tally;
use crate::vm::{self, Boot, Machine, Report, Security, Step};

pub(crate) const GUEST_AGENT: &str = "usr/bin/tokenhound";
const GUEST_SKIPS: &str = "/tmp/skips";
/// Where the guest mounts its disk, if it can, and the variable by which tests find it.
const GUEST_DISK: &str = "/disk";
const PLACE: &str = "TOKENHOUND_EVASION_DIR";
/// Tells the tests that this is a guest: no network, slow, few programs.
const IN_GUEST: &str = "TOKENHOUND_GUEST";

/// The kernels of a test run that says nothing else.
const USUAL: [&str; 3] = ["5.10", vm::DEFAULT_SERIES, "7.2"];
/// All that are supported.
const ALL: [&str; 4] = ["5.10", "6.1", vm::DEFAULT_SERIES, "7.2"];
/// The test program that every guest runs.
const EVASION: &str = "evasion";

/// One guest.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Visit {
    series: String,
    security: Security,
    /// All end-to-end tests, not only the evasion program.
    everything: bool,
}

/// The guests to boot: those of these kernels; without any the usual ones, and with `all` each kernel with and without
/// `bpf` among its security modules.
pub(super) fn visits(kernels: &[String], all: bool) -> Vec<Visit> {
    let visit = |series: &str, security, everything| Visit { series: series.to_owned(), security, everything };
    if all {
        let named: Vec<&str> = kernels.iter().map(String::as_str).collect();
        let both = |series: &&str| {
            let (with, without) = (Security::With, Security::Without);
            [visit(series, with, true), visit(series, without, false)]
        };
        return if named.is_empty() { &ALL[..] } else { &named }.iter().flat_map(both).collect();
    }
    if kernels.is_empty() {
        let usual = |series: &&str| visit(series, Security::Default, false);
        return USUAL.iter().map(usual).collect();
    }
    kernels.iter().map(|series| visit(series, Security::Default, true)).collect()
}

impl Visit {
    /// `6.12`, `6.12-bpf`.
    pub(super) fn name(&self) -> String {
        format!("{}{}", self.series, self.security.suffix())
    }
}

pub(super) fn run(place: &Place, visit: &Visit, only: Option<&str>, tally: &mut Tally, matrix: &mut Matrix) {
    let name = visit.name();
    if !rustix::process::geteuid().is_root() {
        tally.skip(format!("guest {name}: its file system needs files of several owners, which only root can make"));
        return;
    }
    match boot(place, visit, only, tally, matrix) {
        Ok((report, steps)) => judge(&name, &report, steps.iter().map(|step| step.name.as_str()), tally),
        Err(failure) => tally.check(&format!("guest {name}"), Err(failure)),
    }
}

/// Runs one shell command in a guest and ends as it ended.
pub(crate) fn run_command(place: &Place, series: &str, command: &str) -> anyhow::Result<ExitCode> {
    setup::run(place, &[Group::Test])?;
    let mut programs = vec![(crate::build_agent(place)?, GUEST_AGENT.to_owned())];
    programs.extend(test_programs(place)?.helpers);
    let steps = vec![Step { name: "command".to_owned(), command: command.to_owned() }];
    let report = vm::run(place, series, Machine::Fast, &programs, &steps, |line| println!("{line}"))?;
    let code = report.steps.first().map_or(1, |(_, code)| u8::try_from(*code).unwrap_or(1));
    Ok(ExitCode::from(if report.done { code } else { 1 }))
}

fn boot(
    place: &Place,
    visit: &Visit,
    only: Option<&str>,
    tally: &mut Tally,
    matrix: &mut Matrix,
) -> anyhow::Result<(Report, Vec<Step>)> {
    let mut programs = vec![(crate::build_agent(place)?, GUEST_AGENT.to_owned())];
    let mut steps = vec![Step { name: "doctor".to_owned(), command: format!("/{GUEST_AGENT} doctor") }];
    let built = test_programs(place)?;
    programs.extend(built.helpers);
    for (name, program) in built.tests.into_iter().filter(|(name, _)| visit.everything || name == EVASION) {
        let place = format!("usr/lib/tokenhound/tests-{name}");
        steps.push(test_step(&place, &name, only));
        programs.push((program, place));
    }

    let name = visit.name();
    let boot = Boot { series: &visit.series, machine: Machine::Fast, security: visit.security };
    let report = vm::boot(place, boot, &programs, &steps, |line| {
        println!("{name}| {line}");
        matrix.read(&name, line);
        match line.strip_prefix("SKIPPED ") {
            Some(reason) => tally.turn_into_skip(format!("guest {name}: {reason}")),
            None => tally.read(line),
        }
    })?;
    Ok((report, steps))
}

/// Runs one test program and, at its end, prints what it skipped. Its exit code is the step's.
fn test_step(program: &str, name: &str, only: Option<&str>) -> Step {
    let filter = only.unwrap_or_default();
    let disk = format!("[ -d {GUEST_DISK} ] && export {PLACE}={GUEST_DISK}");
    let command = format!(
        "{AGENT}=/{GUEST_AGENT} {SKIPS}={GUEST_SKIPS} {IN_GUEST}=1 /{program} --test-threads=1 {filter}; code=$?; \
         while read -r line; do echo \"SKIPPED $line\"; done <{GUEST_SKIPS}; echo >{GUEST_SKIPS}; exit $code"
    );
    Step { name: format!("tests-{name}"), command: format!("{disk}; : >{GUEST_SKIPS}; {command}") }
}

/// One that did not come to its end has failed, and so has each of the steps that did not.
pub(super) fn judge<'step>(guest: &str, report: &Report, steps: impl Iterator<Item = &'step str>, tally: &mut Tally) {
    if !report.done {
        tally.fail(format!("guest {guest}: it did not come to its end (see its serial log)"));
    }
    for step in steps {
        let name = format!("guest {guest}: {step}");
        match report.steps.iter().find(|(ended, _)| ended == step) {
            Some((_, 0)) => tally.pass(),
            Some((_, code)) => tally.fail(format!("{name} ended with {code}")),
            None => tally.fail(format!("{name} did not end")),
        }
    }
}

/// What the end-to-end tests are built into.
#[derive(Debug, Default, PartialEq, Eq)]
struct Built {
    /// Programs that are tests, with the names of their targets.
    tests: Vec<(String, PathBuf)>,
    /// Programs that tests start, from here to there: they look for them in their own directory.
    helpers: Vec<(PathBuf, String)>,
}

/// The end-to-end tests' programs, built but not run.
fn test_programs(place: &Place) -> anyhow::Result<Built> {
    let mut build = place.cargo();
    build.args([
        "test",
        "--package",
        "tokenhound-tests",
        "--no-run",
        "--locked",
        "--message-format=json-render-diagnostics",
    ]);
    let messages = cmd::output(&mut build)?;
    let built = programs_in(&messages)?;
    if built.tests.is_empty() {
        bail!("the end-to-end tests have no program");
    }
    Ok(built)
}

/// The programs that cargo's messages name.
fn programs_in(messages: &str) -> anyhow::Result<Built> {
    let mut built = Built::default();
    for line in messages.lines().filter(|line| line.starts_with('{')) {
        let message: serde_json::Value = serde_json::from_str(line).context("cargo's message is no JSON")?;
        let Some(program) = message["executable"].as_str().map(PathBuf::from) else { continue };
        let Some(name) = message["target"]["name"].as_str() else { continue };
        if message["profile"]["test"] == true {
            built.tests.push((name.to_owned(), program));
        } else {
            built.helpers.push((program, format!("usr/lib/tokenhound/{name}")));
        }
    }
    Ok(built)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_tests_and_what_they_start() {
        let messages = r#"{"reason":"compiler-artifact","profile":{"test":false},"target":{"name":"libc"},"executable":null}
{"reason":"compiler-artifact","profile":{"test":false},"target":{"name":"actor"},"executable":"/t/actor"}
{"reason":"compiler-artifact","profile":{"test":true},"target":{"name":"live"},"executable":"/t/live-1"}
{"reason":"build-finished","success":true}"#;
        let helpers = vec![(PathBuf::from("/t/actor"), "usr/lib/tokenhound/actor".to_owned())];
        assert_eq!(
            programs_in(messages).unwrap(),
            Built { tests: vec![("live".to_owned(), PathBuf::from("/t/live-1"))], helpers }
        );
    }

    #[test]
    fn guests_by_what_was_asked_for() {
        let names = |kernels: &[&str], all| {
            let kernels: Vec<String> = kernels.iter().map(|series| (*series).to_owned()).collect();
            let visits = visits(&kernels, all);
            visits.iter().map(|visit| (visit.name(), visit.everything)).collect::<Vec<_>>()
        };
        let named =
            |list: &[(&str, bool)]| list.iter().map(|(name, all)| ((*name).to_owned(), *all)).collect::<Vec<_>>();
        assert_eq!(names(&[], false), named(&[("5.10", false), ("6.12", false), ("7.2", false)]));
        assert_eq!(names(&["6.1"], false), named(&[("6.1", true)]));
        assert_eq!(names(&["6.1"], true), named(&[("6.1+bpf", true), ("6.1-bpf", false)]));
        assert_eq!(names(&[], true).len(), 8);
    }

    #[test]
    fn a_guest_that_dies_midway_fails_with_every_step_it_did_not_end() {
        let report = Report { steps: vec![("doctor".to_owned(), 0)], done: false };
        let mut tally = Tally::default();
        judge("6.12", &report, ["doctor", "tests-0"].into_iter(), &mut tally);
        assert_eq!(tally.to_string(), "1 passed, 2 failed, 0 skipped");
    }
}
