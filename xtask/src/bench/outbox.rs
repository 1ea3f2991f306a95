//! `cargo xtask bench outbox`: a million findings through the outbox of a release build, in order: rate, latency, memory and
//! size on disk. The agent's own test program does it (`agent/src/outbox/tests/million.rs`); needs no rights.

use crate::bench::native::host;
use crate::cmd;
use crate::place::Place;

const TEST: &str = "outbox::tests::million::a_million_findings";

pub(super) fn run(place: &Place) -> anyhow::Result<()> {
    let mut cargo = place.cargo();
    cargo.args(["test", "--release", "--locked", "-p", "tokenhound", "--lib", "--", TEST]);
    cargo.args(["--exact", "--ignored", "--nocapture"]);
    println!("{}", host());
    cmd::run(&mut cargo)
}
