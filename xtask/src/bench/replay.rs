//! `cargo xtask bench replay`: what a record costs from its bytes to findings, and what is kept of the processes that it
//! tells of. Needs no rights: the records are made up (`agent/src/capture/synthetic.rs`).

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, bail};
use serde_json::{Value, json};

use crate::bench::native::{host, results};
use crate::bench::table::median;
use crate::cmd;
use crate::place::Place;

/// Records of short lives, and processes that stay.
const RECORDS: &str = "1000000";
const LIVE: &str = "20000";

/// The agent's own promises: records for each second of one processor, and resident memory with [`LIVE`] processes.
const LEAST_RATE: f64 = 1e6;
const MOST_MIB: f64 = 50.0;

/// One way to measure, with its rounds.
struct Row {
    name: &'static str,
    rounds: Vec<Value>,
}

pub(super) fn run(place: &Place, rounds: u32) -> anyhow::Result<()> {
    let agent = crate::build_agent(place)?;
    let dir = results(place)?;
    let scratch = tempfile::tempdir_in(&dir).context("cannot create a directory for the run")?;
    let (still, busy) = (scratch.path().join("still"), scratch.path().join("busy"));
    measure(&agent, &["load", "--live", LIVE, "--records", "0", "--record"], Some(&still))?;
    measure(&agent, &["load", "--live", LIVE, "--records", RECORDS, "--record"], Some(&busy))?;

    let mut rows = [
        ("replay", &["replay", "--measure"][..], Some(&busy)),
        ("replay, looking for secrets as live", &["replay", "--measure", "--redact"], Some(&busy)),
        ("replay, 20,000 processes start and stay", &["replay", "--measure"], Some(&still)),
        ("without a capture, bytes made on the way", &["load", "--live", LIVE, "--records", RECORDS], None),
    ]
    .map(|(name, arguments, file)| (Row { name, rounds: Vec::new() }, arguments, file));
    for round in 1..=rounds {
        for (row, arguments, file) in &mut rows {
            eprintln!("bench: round {round} of {rounds}: {}", row.name);
            row.rounds.push(measure(&agent, arguments, file.map(|file| file.as_path()))?);
        }
    }
    let rows = rows.map(|(row, ..)| row);
    println!("\n{}, {rounds} rounds\n{}", host(), table(&rows)?);
    let file = dir.join("replay.json");
    let all: Vec<Value> = rows.iter().map(|row| json!({ "name": row.name, "rounds": row.rounds })).collect();
    fs::write(&file, serde_json::to_string_pretty(&all)?)
        .with_context(|| format!("cannot write {}", file.display()))?;
    println!("Every figure: {}", file.display());
    judge(&rows)
}

/// What the agent says of one run.
fn measure(agent: &Path, arguments: &[&str], file: Option<&Path>) -> anyhow::Result<Value> {
    let printed = cmd::output(Command::new(agent).args(arguments).args(file))?;
    serde_json::from_str(&printed).with_context(|| format!("the agent said {printed:?}"))
}

impl Row {
    fn all(&self, figure: impl Fn(&Value) -> Option<f64>) -> anyhow::Result<Vec<f64>> {
        let all: Option<Vec<f64>> = self.rounds.iter().map(figure).collect();
        all.filter(|all| !all.is_empty()).context("the agent did not say what it took")
    }

    /// Records a second: the middle one and the best.
    fn rate(&self, seconds: &str) -> anyhow::Result<(f64, f64)> {
        let rates = self.all(|round| Some(round.get("records")?.as_f64()? / round.get(seconds)?.as_f64()?))?;
        Ok((median(&rates).unwrap_or_default(), rates.into_iter().fold(0.0, f64::max)))
    }

    /// The most in any round.
    fn mib(&self, name: &str) -> anyhow::Result<f64> {
        let all = self.all(|round| round.get(name)?.as_f64())?;
        Ok(all.into_iter().fold(0.0, f64::max) / 1024.0)
    }
}

fn table(rows: &[Row]) -> anyhow::Result<String> {
    let mut lines = vec![
        String::from(
            "| | records for a second of processor time | best | in a second | resident at the end | at most |",
        ),
        String::from("| --- | --- | --- | --- | --- | --- |"),
    ];
    for row in rows {
        let ((middle, best), (wall, _)) = (row.rate("processor_seconds")?, row.rate("seconds")?);
        lines.push(format!(
            "| {} | {middle:.0} | {best:.0} | {wall:.0} | {:.1} MiB | {:.1} MiB |",
            row.name,
            row.mib("resident_kib")?,
            row.mib("peak_kib")?
        ));
    }
    Ok(lines.join("\n"))
}

fn judge(rows: &[Row; 4]) -> anyhow::Result<()> {
    let [replay, _, still, _] = rows;
    let (rate, _) = replay.rate("processor_seconds")?;
    let resident = still.mib("peak_kib")?;
    let word = |kept: bool| if kept { "kept" } else { "broken" };
    println!(
        "Budget: {rate:.0} records for a second of processor time, at least {LEAST_RATE:.0}: {}",
        word(rate >= LEAST_RATE)
    );
    println!("Budget: {resident:.1} MiB with {LIVE} processes, at most {MOST_MIB}: {}", word(resident <= MOST_MIB));
    if rate >= LEAST_RATE && resident <= MOST_MIB { Ok(()) } else { bail!("the agent is over its budget") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(figures: &[(f64, f64)]) -> Row {
        let round = |(seconds, peak): &(f64, f64)| json!({ "records": 3_000_000, "processor_seconds": seconds, "peak_kib": peak * 1024.0 });
        Row { name: "x", rounds: figures.iter().map(round).collect() }
    }

    #[test]
    fn the_middle_round_is_held_against_the_budget_and_the_largest_memory() {
        let rows = |seconds, peak| {
            let figures = [(1.0, 20.0), (seconds, peak), (9.0, 20.0)];
            [row(&figures), row(&figures), row(&figures), row(&figures)]
        };
        assert!(judge(&rows(2.9, 49.0)).is_ok());
        assert!(judge(&rows(3.1, 49.0)).is_err());
        assert!(judge(&rows(2.9, 51.0)).is_err());
        assert!(row(&[]).rate("processor_seconds").is_err(), "nothing was measured");
    }
}
