//! Adds up what passed, failed and was skipped, over cargo's tests, guests and our own checks.

use std::fmt;
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use crate::cmd;
use crate::test::complaint::Complaints;

/// Counts over a whole run.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    passed: u64,
    failed: u64,
    skipped: u64,
    failures: Vec<String>,
    complaints: Complaints,
    skips: Vec<String>,
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped)
    }
}

impl Tally {
    /// A run in which nothing passed has tested nothing, which is no success.
    pub(crate) fn is_good(&self) -> bool {
        self.failed == 0 && self.passed > 0
    }

    pub(crate) fn failures(&self) -> &[String] {
        &self.failures
    }

    /// What a failed test said: who reads the end of a long log sees why, not only that.
    pub(crate) fn complaint(&self, failure: &str) -> &[String] {
        self.complaints.of(failure)
    }

    pub(crate) fn skips(&self) -> &[String] {
        &self.skips
    }

    pub(crate) fn pass(&mut self) {
        self.passed += 1;
    }

    pub(crate) fn fail(&mut self, name: impl Into<String>) {
        self.failed += 1;
        self.failures.push(name.into());
    }

    pub(crate) fn skip(&mut self, reason: impl Into<String>) {
        self.skipped += 1;
        self.skips.push(reason.into());
    }

    /// A test that ran, found that this machine lacks what it needs, said so and passed: it is a skip.
    pub(crate) fn turn_into_skip(&mut self, reason: impl Into<String>) {
        self.passed = self.passed.saturating_sub(1);
        self.skip(reason);
    }

    /// One check of ours that ends well or not.
    pub(crate) fn check(&mut self, name: &str, result: anyhow::Result<()>) {
        match result {
            Ok(()) => self.pass(),
            Err(failure) => {
                println!("{name}: {failure:#}");
                self.complaints.add(name, format!("{failure:#}"));
                self.fail(name);
            }
        }
    }

    /// Takes in a line that a test program of Rust's own harness printed.
    pub(crate) fn read(&mut self, line: &str) {
        self.complaints.read(line);
        if let Some(name) = line.strip_prefix("test ").and_then(|rest| rest.strip_suffix(" ... FAILED")) {
            self.failures.push(name.to_owned());
        }
        let Some(counts) = line.strip_prefix("test result: ") else { return };
        // `ok. 5 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s`
        for part in counts.split(['.', ';']) {
            let mut words = part.split_whitespace();
            let (Some(count), Some(what)) = (words.next().and_then(|word| word.parse::<u64>().ok()), words.next())
            else {
                continue;
            };
            match what {
                "passed" => self.passed += count,
                "failed" => self.failed += count,
                "ignored" => self.skipped += count,
                _ => {}
            }
        }
    }

    /// Runs tests, passing on what they print, also to `line`. One that ends badly without a failed test (it did not build, it was
    /// killed) counts as a failure by itself.
    pub(crate) fn run(&mut self, name: &str, command: &mut Command, line: impl FnMut(&str)) {
        let before = self.failed;
        if let Err(failure) = self.stream(command, line)
            && self.failed == before
        {
            println!("{name}: {failure:#}");
            self.complaints.add(name, format!("{failure:#}"));
            self.fail(name);
        }
    }

    fn stream(&mut self, command: &mut Command, mut heard: impl FnMut(&str)) -> anyhow::Result<()> {
        println!("$ {}", cmd::show(command));
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        if let Some(output) = child.stdout.take() {
            for line in BufReader::new(output).lines() {
                let line = line?;
                println!("{line}");
                heard(&line);
                self.read(&line);
            }
        }
        let status = child.wait()?;
        if !status.success() {
            anyhow::bail!("{status}");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(lines: &[&str]) -> Tally {
        let mut tally = Tally::default();
        lines.iter().for_each(|line| tally.read(line));
        tally
    }

    #[test]
    fn adds_up_several_test_programs() {
        let tally = tally(&[
            "test a ... ok",
            "test result: ok. 5 passed; 0 failed; 1 ignored; 0 measured; 7 filtered out; finished in 0.01s",
            "test b::c ... FAILED",
            "test result: FAILED. 2 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.20s",
        ]);
        assert_eq!(tally.to_string(), "7 passed, 1 failed, 1 skipped");
        assert_eq!(tally.failures(), ["b::c"]);
        assert!(!tally.is_good());
    }

    #[test]
    fn a_test_that_could_not_test_is_a_skip() {
        let mut tally = tally(&["test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out"]);
        tally.turn_into_skip("gh is not here");
        assert_eq!(tally.to_string(), "1 passed, 0 failed, 1 skipped");
    }

    #[test]
    fn nothing_tested_is_no_success() {
        assert!(!Tally::default().is_good());
    }

    #[test]
    fn a_run_that_ends_badly_before_any_test_is_a_failure() {
        let mut tally = Tally::default();
        tally.run("broken", &mut Command::new("false"), |_| {});
        assert_eq!(tally.to_string(), "0 passed, 1 failed, 0 skipped");
    }
}
