//! `cargo xtask bench storm`: the storms of the end-to-end tests, longer and with their figures shown.

use crate::bench::native::must_be_root;
use crate::cmd;
use crate::place::Place;

/// Tells the test how long a storm lasts.
const SECONDS: &str = "TOKENHOUND_STORM_SECONDS";

pub(super) fn run(place: &Place, seconds: u64) -> anyhow::Result<()> {
    must_be_root()?;
    let agent = crate::build_agent(place)?;
    let mut tests = place.cargo();
    tests.args(["test", "--quiet", "--package", "tokenhound-tests", "--locked", "--test", "storms"]);
    tests.args(["--", "--nocapture", "--test-threads=1"]);
    cmd::run(tests.env("TOKENHOUND_BIN", agent).env(SECONDS, seconds.to_string()))
}
