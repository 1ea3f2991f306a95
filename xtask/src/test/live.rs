//! The end-to-end tests on this machine's own kernel.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::place::Place;
use crate::test::matrix::Matrix;
use crate::test::tally::Tally;

/// The agent under test.
pub(super) const AGENT: &str = "TOKENHOUND_BIN";
/// A file to which a test that cannot test here adds one line with its name and the reason.
pub(super) const SKIPS: &str = "TOKENHOUND_SKIPS";
/// The Python environment with programs that the tests run.
const VENV: &str = "TOKENHOUND_VENV";

pub(super) fn run(place: &Place, only: Option<&str>, tally: &mut Tally, matrix: &mut Matrix) {
    if !rustix::process::geteuid().is_root() {
        tally.skip("live tests: only root may load kernel programs");
        return;
    }
    let prepared = crate::build_agent(place).and_then(|agent| Ok((agent, fresh_skips(place)?)));
    let (agent, skips) = match prepared {
        Ok(prepared) => prepared,
        Err(failure) => return tally.check("build for live tests", Err(failure)),
    };
    let mut tests = place.cargo();
    tests.args(["test", "--package", "tokenhound-tests", "--no-fail-fast", "--locked"]).args(only);
    tests.env(AGENT, agent).env(SKIPS, &skips).env(VENV, place.venv());
    tally.run("live tests", &mut tests, |line| matrix.read("here", line));
    for reason in fs::read_to_string(&skips).unwrap_or_default().lines() {
        tally.turn_into_skip(reason);
    }
}

fn fresh_skips(place: &Place) -> anyhow::Result<PathBuf> {
    let file = place.target.join("live-skips");
    write(&file, "")?;
    Ok(file)
}

fn write(file: &Path, text: &str) -> anyhow::Result<()> {
    fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))
}
