//! `cargo xtask bench`: what the agent costs, beside other programs that watch files.

mod audit;
mod counted;
mod http;
mod idle;
mod native;
mod outbox;
mod peers;
mod replay;
mod scan;
mod storm;
mod study;
mod table;
mod tree;
mod worker;
mod workload;

use anyhow::bail;
use clap::{Args, ValueEnum};

use crate::place::Place;
use crate::setup::{self, Group};

/// What to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum What {
    /// Opens of an unwatched file, reads and unrelated system calls.
    Open,
    /// Reads of an unwatched file.
    Read,
    /// Starting a program, with the agent on the same CPU.
    Exec,
    /// `git status`, `tar` and `cargo build` in large trees.
    Workload,
    /// Memory and processor time of the agent, idle and under load.
    Idle,
    /// Whether anything is lost in a storm of opens, forks and hits.
    Storm,
    /// Records a second through ingest and engine, and memory with 20,000 processes.
    Replay,
    /// A million findings through the outbox: rate, latency, memory.
    Outbox,
    /// How fast known tokens are looked for, beside other scanners.
    Scan,
    /// Files a second through an audit, beside other programs that look for secrets in files.
    Audit,
}

/// What to measure, and how.
#[derive(Args)]
pub(crate) struct Options {
    /// Without it: says what there is.
    #[arg(value_enum)]
    what: Option<What>,
    /// How often each configuration is measured.
    #[arg(long, default_value_t = 9)]
    rounds: u32,
    /// Count instructions in a guest with this kernel instead of taking time here; may be given more than once. Without
    /// WHAT: all operations.
    #[arg(long = "guest", value_name = "SERIES")]
    guests: Vec<String>,
    /// The agent's tier instead of the best one; may be given more than once for guests.
    #[arg(long = "tier", value_name = "TIER")]
    tiers: Vec<String>,
    /// How long each part of `idle` and `storm` takes, and how long `scan` looks into random bytes.
    #[arg(long, default_value_t = 30)]
    seconds: u64,
}

const LIST: &str = "\
What can be measured, and how long it takes:
  cargo xtask bench open              opens, reads, unrelated system calls, beside other programs     5 min
  cargo xtask bench read              reads of an unwatched file                                      3 min
  cargo xtask bench exec              starting a program, with the agent on the same CPU              5 min
  cargo xtask bench workload          git status, tar, cargo build                                   20 min
  cargo xtask bench idle              memory and processor time, idle, loaded, 20,000 processes       7 min
  cargo xtask bench storm             opens, forks and hits as fast as they come: is anything lost?   2 min
  cargo xtask bench replay            a made-up capture: records a second, memory                     2 min
  cargo xtask bench outbox            a million findings through the outbox: rate, latency, memory    2 min
  cargo xtask bench scan              known tokens in random bytes and files, beside other scanners   5 min
  cargo xtask bench audit             files a second, beside other programs that look for secrets     5 min
  cargo xtask bench --guest 6.12      instructions of every operation, on the tiers lsm and fentry    5 min
Options: --rounds N, --tier TIER, --seconds N, --guest SERIES (with open, read or exec: only those operations).";

/// Measures, prints a table with the budgets, and keeps every figure under `target/bench`.
///
/// # Errors
/// What kept it from measuring the agent, or that the agent is over its budget.
pub(crate) fn run(place: &Place, options: &Options) -> anyhow::Result<()> {
    let rounds = options.rounds.max(1);
    if options.guests.is_empty() {
        let Some(what) = options.what else {
            println!("{LIST}");
            return Ok(());
        };
        setup::run(
            place,
            &[match what {
                What::Storm => Group::Test,
                What::Replay | What::Outbox | What::Scan | What::Audit => Group::Build,
                _ => Group::Bench,
            }],
        )?;
        let tier = options.tiers.first().map(String::as_str);
        return match what {
            What::Open => native::run(place, &study::OPEN, rounds, tier),
            What::Read => native::run(place, &study::READ, rounds, tier),
            What::Exec => native::run(place, &study::EXEC, rounds, tier),
            What::Workload => workload::run(place, rounds, tier),
            What::Idle => idle::run(place, options.seconds, tier),
            What::Storm => storm::run(place, options.seconds),
            What::Replay => replay::run(place, rounds),
            What::Outbox => outbox::run(place),
            What::Scan => scan::run(place, rounds, options.seconds),
            What::Audit => audit::run(place, rounds),
        };
    }
    setup::run(place, &[Group::Test])?;
    let study = match options.what {
        None => &study::ALL,
        Some(What::Open) => &study::OPEN,
        Some(What::Read) => &study::READ,
        Some(What::Exec) => &study::EXEC,
        Some(other) => bail!("{other:?} cannot be measured in a guest: only open, read and exec can, or all of them"),
    };
    let mut over = Vec::new();
    for series in &options.guests {
        if let Err(failure) = counted::run(place, study, series, rounds, &options.tiers) {
            println!("{series}: {failure:#}");
            over.push(series.as_str());
        }
    }
    if over.is_empty() { Ok(()) } else { bail!("not as it should be on: {}", over.join(", ")) }
}
