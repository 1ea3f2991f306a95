//! The same end-to-end tests, and `tokenhound doctor`, in a guest with another kernel.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, bail};

use crate::cmd;
use crate::place::Place;
use crate::setup::{self, Group};
use crate::test::live::{AGENT, SKIPS};
use crate::test::tally::Tally;
use crate::vm::{self, Machine, Report, Step};

pub(crate) const GUEST_AGENT: &str = "usr/bin/tokenhound";
const GUEST_SKIPS: &str = "/tmp/skips";
/// Tells the tests that this is a guest: no network, slow, few programs.
const IN_GUEST: &str = "TOKENHOUND_GUEST";

pub(super) fn run(place: &Place, series: &str, only: Option<&str>, tally: &mut Tally) {
    if !rustix::process::geteuid().is_root() {
        tally.skip(format!("guest {series}: its file system needs files of several owners, which only root can make"));
        return;
    }
    match boot(place, series, only, tally) {
        Ok((report, steps)) => judge(series, &report, &steps, tally),
        Err(failure) => tally.check(&format!("guest {series}"), Err(failure)),
    }
}

/// Runs one shell command in a guest and ends as it ended.
pub(crate) fn run_command(place: &Place, series: &str, command: &str) -> anyhow::Result<ExitCode> {
    setup::run(place, &[Group::Test])?;
    let programs = vec![(crate::build_agent(place)?, GUEST_AGENT.to_owned())];
    let steps = vec![Step { name: "command".to_owned(), command: command.to_owned() }];
    let report = vm::run(place, series, Machine::Fast, &programs, &steps, |line| println!("{line}"))?;
    let code = report.steps.first().map_or(1, |(_, code)| u8::try_from(*code).unwrap_or(1));
    Ok(ExitCode::from(if report.done { code } else { 1 }))
}

fn boot(place: &Place, series: &str, only: Option<&str>, tally: &mut Tally) -> anyhow::Result<(Report, Vec<Step>)> {
    let mut programs = vec![(crate::build_agent(place)?, GUEST_AGENT.to_owned())];
    let mut steps = vec![Step { name: "doctor".to_owned(), command: format!("/{GUEST_AGENT} doctor") }];
    let built = test_programs(place)?;
    programs.extend(built.helpers);
    for (index, program) in built.tests.into_iter().enumerate() {
        let place = format!("usr/lib/tokenhound/tests-{index}");
        steps.push(test_step(&place, index, only));
        programs.push((program, place));
    }

    let report = vm::run(place, series, Machine::Fast, &programs, &steps, |line| {
        println!("{series}| {line}");
        match line.strip_prefix("SKIPPED ") {
            Some(reason) => tally.turn_into_skip(format!("guest {series}: {reason}")),
            None => tally.read(line),
        }
    })?;
    Ok((report, steps))
}

/// Runs one test program and, at its end, prints what it skipped. Its exit code is the step's.
fn test_step(program: &str, index: usize, only: Option<&str>) -> Step {
    let filter = only.unwrap_or_default();
    let command = format!(
        "{AGENT}=/{GUEST_AGENT} {SKIPS}={GUEST_SKIPS} {IN_GUEST}=1 /{program} --test-threads=1 {filter}; code=$?; \
         while read -r line; do echo \"SKIPPED $line\"; done <{GUEST_SKIPS}; echo >{GUEST_SKIPS}; exit $code"
    );
    Step { name: format!("tests-{index}"), command: format!(": >{GUEST_SKIPS}; {command}") }
}

fn judge(series: &str, report: &Report, steps: &[Step], tally: &mut Tally) {
    if !report.done {
        tally.fail(format!("guest {series}: it did not come to its end (see its serial log)"));
    }
    for step in steps {
        let name = format!("guest {series}: {}", step.name);
        match report.steps.iter().find(|(ended, _)| *ended == step.name) {
            Some((_, 0)) => tally.pass(),
            Some((_, code)) => tally.fail(format!("{name} ended with {code}")),
            None => tally.fail(format!("{name} did not end")),
        }
    }
}

/// What the end-to-end tests are built into.
#[derive(Debug, Default, PartialEq, Eq)]
struct Built {
    /// Programs that are tests.
    tests: Vec<PathBuf>,
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
        if message["profile"]["test"] == true {
            built.tests.push(program);
        } else if let Some(name) = message["target"]["name"].as_str() {
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
        assert_eq!(programs_in(messages).unwrap(), Built { tests: vec![PathBuf::from("/t/live-1")], helpers });
    }

    #[test]
    fn a_guest_that_dies_midway_fails_with_every_step_it_did_not_end() {
        let steps = ["doctor", "tests-0"].map(|name| Step { name: name.to_owned(), command: String::new() });
        let report = Report { steps: vec![("doctor".to_owned(), 0)], done: false };
        let mut tally = Tally::default();
        judge("6.12", &report, &steps, &mut tally);
        assert_eq!(tally.to_string(), "1 passed, 2 failed, 0 skipped");
    }
}
