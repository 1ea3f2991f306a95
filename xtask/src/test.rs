//! `cargo xtask test`: everything that can be checked, in three parts, with one closing line over all of them.

mod guests;
mod live;
mod tally;
#[cfg(test)]
mod tidy;
mod unit;
#[cfg(test)]
mod walls;

use std::process::ExitCode;
use std::time::Instant;

use clap::ValueEnum;

use crate::place::Place;
use crate::setup::{self, Group};
use tally::Tally;

pub(crate) use guests::{GUEST_AGENT, run_command as in_guest};

/// What to test.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// Format, lints and every test that needs neither root nor a special kernel.
    Unit,
    /// The agent on this kernel, as root.
    Live,
    /// The agent on other kernels, in guests.
    Vm,
    /// All of them.
    All,
}

/// Runs the part to its end, also past failures, and prints the closing line.
pub(crate) fn run(place: &Place, part: Part, kernels: &[String], only: Option<&str>) -> anyhow::Result<ExitCode> {
    let group = if part == Part::Unit { Group::Build } else { Group::Test };
    setup::run(place, &[group])?;
    let mut tally = Tally::default();
    let wants = |one: Part| part == one || part == Part::All;
    if wants(Part::Unit) {
        timed("unit", || unit::run(place, only, &mut tally));
    }
    if wants(Part::Live) {
        timed("live", || live::run(place, only, &mut tally));
    }
    if wants(Part::Vm) {
        for series in kernels {
            timed(&format!("vm {series}"), || guests::run(place, series, only, &mut tally));
        }
    }
    for name in tally.failures() {
        println!("failed: {name}");
    }
    for reason in tally.skips() {
        println!("skipped: {reason}");
    }
    println!("{tally}");
    Ok(if tally.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn timed(name: &str, part: impl FnOnce()) {
    println!("== {name}");
    let start = Instant::now();
    part();
    println!("== {name} took {} s", start.elapsed().as_secs());
}
