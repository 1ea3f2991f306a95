//! `cargo xtask bench open`: an open and close of an unwatched file, a one-byte read and an unrelated system call, with
//! and without each peer.
//!
//! Rounds are interleaved: bare, then a peer, then bare again, then the next peer, and so on. Each figure is held
//! against the bare one just before it, so a machine that slows down slows both.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, bail};

use crate::bench::peers::{Peer, Running, Scene, unaudited};
use crate::bench::table::{self, Budget, Column, Row};
use crate::bench::worker::{Sample, Worker, Workplace};
use crate::place::Place;

/// What the kernel still has to take down after a peer has ended.
const SETTLE: Duration = Duration::from_millis(300);

/// The agent's own promise.
const BUDGETS: &[Budget] =
    &[Budget { operation: "open+close", most: 1.10 }, Budget { operation: "getppid", most: 1.25 }];

pub(super) fn run(place: &Place, rounds: u32) -> anyhow::Result<()> {
    if !rustix::process::geteuid().is_root() {
        bail!("only root may load kernel programs and set audit rules: run this as root");
    }
    let agent = crate::build_agent(place)?;
    let workplace = Workplace::prepare(place)?;
    let dir = place.target.join("bench");
    fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
    let scratch = tempfile::tempdir_in(&dir).context("cannot create a directory for the run")?;
    let scene = scene(agent, scratch.path())?;

    let mut rows = BTreeMap::new();
    let mut bare = unaudited(|| workplace.start())?;
    for round in 1..=rounds {
        for (index, peer) in Peer::ALL.into_iter().enumerate() {
            let row = rows.entry(index).or_insert_with(|| Row::new(peer.name(), peer.what()));
            if row.trouble.is_some() {
                continue;
            }
            eprintln!("bench: round {round} of {rounds}: {}", peer.name());
            std::thread::sleep(SETTLE);
            let before = bare.measure()?;
            match with_peer(peer, &scene, &workplace, &mut bare) {
                Ok(sample) => row.add(before, sample),
                Err(failure) => row.trouble = Some(format!("{failure:#}")),
            }
        }
    }
    let rows: Vec<Row> = rows.into_values().collect();
    report(&dir, &workplace, &rows, rounds)
}

fn scene(agent: std::path::PathBuf, scratch: &Path) -> anyhow::Result<Scene> {
    let home = scratch.join(".aws");
    fs::create_dir_all(&home)?;
    let watched = home.join("credentials");
    fs::write(&watched, "[default]\naws_access_key_id = AKIAMADEUPFORTHEBENCH\n")?;
    Ok(Scene { agent, watched, scratch: scratch.to_path_buf() })
}

fn with_peer(peer: Peer, scene: &Scene, workplace: &Workplace, bare: &mut Worker) -> anyhow::Result<Sample> {
    let running: Running = peer.start(scene)?;
    let sample = if peer.wants_new_worker() { workplace.start()?.measure() } else { bare.measure() };
    drop(running);
    sample
}

fn report(dir: &Path, workplace: &Workplace, rows: &[Row], rounds: u32) -> anyhow::Result<()> {
    let machine = format!(
        "{}, CPU {} of {}, {rounds} rounds, file {}",
        host(),
        workplace.cpu(),
        std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        workplace.file()
    );
    conclude(&dir.join("open.json"), &machine, "ns", rows)
}

/// Prints the table, keeps every figure, and holds the first row, the agent's, against its budget.
pub(super) fn conclude(file: &Path, machine: &str, unit: &str, rows: &[Row]) -> anyhow::Result<()> {
    let columns: Vec<Column> = ["open+close", "pread 1 B", "getppid"].into_iter().map(Column::new).collect();
    println!("\n{machine}\n{}", table::print(unit, &columns, rows));
    let text = serde_json::to_string_pretty(&serde_json::json!({
        "measured_on": machine,
        "unix_time": SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs()),
        "unit": unit,
        "rows": rows.iter().map(Row::json).collect::<Vec<_>>(),
    }))?;
    fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))?;
    println!("Every figure: {}", file.display());
    let agent = rows.first().context("nothing was measured")?;
    if let Some(trouble) = &agent.trouble {
        bail!("the agent could not be measured: {trouble}");
    }
    let (text, kept) = table::verdicts(BUDGETS, agent, rows.get(1));
    println!("{text}");
    if !kept {
        bail!("the agent is over its budget");
    }
    Ok(())
}

fn host() -> String {
    let kernel = rustix::system::uname().release().to_string_lossy().into_owned();
    let processors = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = processors.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    format!("Linux {kernel}, {}", model.trim_start_matches(['\t', ' ', ':']))
}
