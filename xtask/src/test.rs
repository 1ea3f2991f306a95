//! `cargo xtask test`: everything that can be checked, in three parts, with one closing line over all of them.

mod complaint;
mod guests;
mod live;
mod matrix;
mod packages;
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
use matrix::Matrix;
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
    /// The packages: made, installed, started, upgraded and removed in a throw-away root. Not among all: what makes them is built first.
    Packages,
    /// All of them but the packages.
    All,
}

/// What is asked for beside the part.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// unit: everything without root; live: on this kernel; vm: on other kernels, in guests; packages: the packages.
    #[arg(value_enum, default_value = "all")]
    part: Part,
    /// Guest kernel series, with all end-to-end tests; may be given more than once. Without it the usual ones are
    /// booted, and run the evasion program alone.
    #[arg(long = "kernel", value_name = "SERIES")]
    kernels: Vec<String>,
    /// Guests of every supported kernel (or those of --kernel), each with and without `bpf` among its security modules.
    #[arg(long)]
    all: bool,
    /// Only tests whose name contains this.
    #[arg(long)]
    only: Option<String>,
}

/// Runs the part to its end, also past failures, and prints the closing line.
pub(crate) fn run(place: &Place, options: &Options) -> anyhow::Result<ExitCode> {
    let groups: &[Group] = match options.part {
        Part::Unit => &[Group::Build],
        Part::Packages => &[Group::Test, Group::Package, Group::Image],
        Part::Live | Part::Vm | Part::All => &[Group::Test],
    };
    setup::run(place, groups)?;
    let (mut tally, mut matrix) = (Tally::default(), Matrix::default());
    let wants = |one: Part| options.part == one || options.part == Part::All;
    let only = options.only.as_deref();
    if wants(Part::Unit) {
        timed("unit", || unit::run(place, only, &mut tally));
    }
    if wants(Part::Live) {
        timed("live", || live::run(place, only, &mut tally, &mut matrix));
    }
    if wants(Part::Vm) {
        for visit in guests::visits(&options.kernels, options.all) {
            timed(&format!("vm {}", visit.name()), || guests::run(place, &visit, only, &mut tally, &mut matrix));
        }
    }
    if options.part == Part::Packages {
        timed("packages", || packages::run(place, only, &mut tally));
    }
    matrix.publish(&place.target.join("evasion.txt"))?;
    for name in tally.failures() {
        println!("failed: {name}");
        for line in tally.complaint(name) {
            println!("    {line}");
        }
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
