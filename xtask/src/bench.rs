//! `cargo xtask bench`: what the agent costs, beside other programs that watch files.

mod counted;
mod open;
mod peers;
mod table;
mod worker;

use clap::ValueEnum;

use crate::place::Place;
use crate::setup::{self, Group};

/// What to measure.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum What {
    /// What an open and close of an unwatched file, a read and an unrelated system call cost.
    Open,
}

/// Measures, prints a table, and keeps every figure under `target/bench`.
///
/// # Errors
/// What kept it from measuring the agent, or that the agent is over its budget.
pub(crate) fn run(place: &Place, what: What, rounds: u32, guest: Option<&str>) -> anyhow::Result<()> {
    setup::run(place, &[if guest.is_some() { Group::Test } else { Group::Bench }])?;
    match (what, guest) {
        (What::Open, None) => open::run(place, rounds.max(1)),
        (What::Open, Some(series)) => counted::run(place, series, rounds.max(1)),
    }
}
