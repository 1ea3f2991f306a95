//! Format, lints, and every test that needs neither root nor a special kernel.

use crate::cmd;
use crate::place::Place;
use crate::test::tally::Tally;

/// The kernel programs have a target of their own, the end-to-end tests need root: neither is part of this.
const APART: [&str; 4] = ["--exclude", "tokenhound-ebpf", "--exclude", "tokenhound-tests"];

pub(super) fn run(place: &Place, only: Option<&str>, tally: &mut Tally) {
    if only.is_none() {
        tally.check("format", cmd::run(place.cargo().args(["fmt", "--all", "--check"])));
        let mut clippy = place.cargo();
        clippy.args(["clippy", "--quiet", "--workspace", "--exclude", "tokenhound-ebpf", "--all-targets", "--locked"]);
        tally.check("lints", cmd::run(clippy.args(["--", "-D", "warnings"])));
    }
    let mut tests = place.cargo();
    tests.args(["test", "--workspace", "--no-fail-fast", "--locked"]).args(APART).args(only);
    tally.run("unit tests", &mut tests, |_| {});
}
