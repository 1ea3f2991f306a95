//! Single operations on this machine, with and without each peer.
//!
//! Rounds are interleaved: bare, then a peer, then bare again, then the next peer, and so on. Each figure is held
//! against the bare one just before it, so a machine that slows down slows both.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, bail};

use crate::bench::peers::{Peer, Scene, unaudited};
use crate::bench::study::Study;
use crate::bench::table::{self, Row};
use crate::bench::worker::{Pinned, Sample, Worker, Workplace};
use crate::place::Place;

/// What the kernel still has to take down after a peer has ended.
const SETTLE: Duration = Duration::from_millis(300);

pub(super) fn run(place: &Place, study: &Study, rounds: u32, tier: Option<&str>) -> anyhow::Result<()> {
    must_be_root()?;
    let agent = crate::build_agent(place)?;
    let workplace = Workplace::prepare(place)?;
    let dir = results(place)?;
    let scratch = tempfile::tempdir_in(&dir).context("cannot create a directory for the run")?;
    let scene = Scene::set(agent, tier, scratch.path())?;

    let mut bare = unaudited(|| workplace.start(study.operations))?;
    let rows = interleave(&Peer::ALL, rounds, |peer| {
        let before = unaudited(|| bare.measure())?;
        let sample = with_peer(peer, study, &scene, &workplace, &mut bare)?;
        Ok((before, sample))
    });
    let machine = format!("{}, CPU {}, {rounds} rounds, file {}", host(), workplace.cpu(), workplace.file());
    println!("\n{machine}\n{}", table::wide("ns", study.operations, &rows));
    keep(&dir.join(format!("{}.json", study.name)), &machine, "ns", &rows)?;
    let (agent, floor) = (rows.first().context("nothing was measured")?, rows.get(1));
    if let Some(trouble) = &agent.trouble {
        bail!("the agent could not be measured: {trouble}");
    }
    let (text, kept) = table::verdicts(study.budgets, agent, floor);
    println!("{text}");
    if kept { Ok(()) } else { bail!("the agent is over its budget") }
}

/// Measures each peer in turn, round after round. One that fails is not measured again, and says why.
pub(super) fn interleave(
    peers: &[Peer],
    rounds: u32,
    mut measure: impl FnMut(Peer) -> anyhow::Result<(Sample, Sample)>,
) -> Vec<Row> {
    let mut rows = BTreeMap::new();
    for round in 1..=rounds {
        for (index, peer) in peers.iter().enumerate() {
            let row = rows.entry(index).or_insert_with(|| Row::new(peer.name(), peer.what()));
            if row.trouble.is_some() {
                continue;
            }
            eprintln!("bench: round {round} of {rounds}: {}", peer.name());
            std::thread::sleep(SETTLE);
            match measure(*peer) {
                Ok((bare, with)) => row.add(bare, with),
                Err(failure) => row.trouble = Some(format!("{failure:#}")),
            }
        }
    }
    rows.into_values().collect()
}

fn with_peer(
    peer: Peer,
    study: &Study,
    scene: &Scene,
    workplace: &Workplace,
    bare: &mut Worker,
) -> anyhow::Result<Sample> {
    let pinned = study.same_cpu.then(|| Pinned::to(workplace.cpu())).transpose()?;
    let running = peer.start(scene)?;
    drop(pinned);
    let sample = if peer.wants_new_processes() {
        workplace.start(study.operations)?.measure()
    } else {
        unaudited(|| bare.measure())
    };
    drop(running);
    sample
}

/// Only root may do what the agent and its peers do.
pub(super) fn must_be_root() -> anyhow::Result<()> {
    if !rustix::process::geteuid().is_root() {
        bail!("only root may load kernel programs and set audit rules: run this as root");
    }
    Ok(())
}

/// The directory with all figures.
pub(super) fn results(place: &Place) -> anyhow::Result<PathBuf> {
    let dir = place.target.join("bench");
    fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
    Ok(dir)
}

/// Keeps every figure.
pub(super) fn keep(file: &Path, machine: &str, unit: &str, rows: &[Row]) -> anyhow::Result<()> {
    let text = serde_json::to_string_pretty(&serde_json::json!({
        "measured_on": machine,
        "unix_time": SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs()),
        "unit": unit,
        "rows": rows.iter().map(Row::json).collect::<Vec<_>>(),
    }))?;
    fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))?;
    println!("Every figure: {}", file.display());
    Ok(())
}

/// Kernel, processor and how many of them.
pub(super) fn host() -> String {
    let kernel = rustix::system::uname().release().to_string_lossy().into_owned();
    let processors = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = processors.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    let count = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    format!("Linux {kernel}, {} x {count}", model.trim_start_matches(['\t', ' ', ':']))
}
