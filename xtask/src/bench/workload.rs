//! `cargo xtask bench workload`: what people do all day, with and without each peer: `git status` in a large tree, `tar`
//! of it, and a `cargo build`.
//!
//! Wall time, because that is what one waits for. Interleaved like single operations; each work is done several times
//! in each turn, and what is compared is the middle of each turn with that of the bare turn just before it. The row
//! *nothing* is bare against bare: differences of its size mean nothing.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, bail};

use crate::bench::native::{host, interleave, keep, must_be_root, results};
use crate::bench::peers::{Peer, Scene, unaudited};
use crate::bench::table::{self, Budget, Figure, Most, Row};
use crate::bench::tree;
use crate::bench::worker::Sample;
use crate::cmd;
use crate::place::Place;

const GIT: &str = "git status";
const TAR: &str = "tar";
const CARGO: &str = "cargo build";
const WORKS: [&str; 3] = [GIT, TAR, CARGO];
const MOST: f64 = 1.03;

/// How often each is done in a turn.
const TIMES: [(&str, u32); 3] = [(GIT, 7), (TAR, 3), (CARGO, 2)];

pub(super) fn run(place: &Place, rounds: u32, tier: Option<&str>) -> anyhow::Result<()> {
    must_be_root()?;
    let agent = crate::build_agent(place)?;
    let dir = results(place)?;
    let scratch = tempfile::tempdir_in(&dir).context("cannot create a directory for the run")?;
    let scene = Scene::set(agent, tier, scratch.path())?;
    let work =
        Work { cargo: place.cargo().get_program().into(), tree: tree::files(&dir)?, package: tree::package(&dir)? };
    // The first time reads everything from disk.
    unaudited(|| work.measure())?;

    let rows = interleave(&Peer::REAL, rounds, |peer| {
        let bare = unaudited(|| work.measure())?;
        let running = peer.start(&scene)?;
        let with = if peer.wants_new_processes() { work.measure() } else { unaudited(|| work.measure()) };
        drop(running);
        Ok((bare, with?))
    });
    let machine = format!("{}, {rounds} rounds, {} files", host(), tree::FILES);
    println!("\n{machine}\n{}", table::wide("ms", &WORKS, &rows));
    keep(&dir.join("workload.json"), &machine, "ms", &rows)?;
    judge(&rows)
}

fn judge(rows: &[Row]) -> anyhow::Result<()> {
    let agent = rows.first().context("nothing was measured")?;
    if let Some(trouble) = &agent.trouble {
        bail!("the agent could not be measured: {trouble}");
    }
    let budgets = WORKS.map(|operation| Budget { operation, figure: Figure::Median, most: Most::Ratio(MOST) });
    let (text, kept) = table::verdicts(&budgets, agent, None);
    println!("{text}");
    let rivals: Vec<&Row> =
        Peer::REAL.iter().zip(rows).filter(|(peer, _)| peer.is_rival()).map(|(_, row)| row).collect();
    let (text, cheapest) = table::cheapest(&WORKS, agent, &rivals);
    println!("Less than every peer:\n{text}");
    match (kept, cheapest) {
        (true, true) => Ok(()),
        (false, _) => bail!("the agent is over its budget"),
        (true, false) => bail!("a peer is cheaper than the agent"),
    }
}

struct Work {
    cargo: PathBuf,
    /// A git repository with many files.
    tree: PathBuf,
    /// A package without dependencies.
    package: PathBuf,
}

impl Work {
    /// Milliseconds of each.
    fn measure(&self) -> anyhow::Result<Sample> {
        let mut sample = Sample::new();
        for (name, times) in TIMES {
            let runs: anyhow::Result<Vec<f64>> = (0..times).map(|_| self.once(name)).collect();
            sample.insert(name.to_owned(), runs?);
        }
        Ok(sample)
    }

    fn once(&self, name: &str) -> anyhow::Result<f64> {
        match name {
            GIT => timed(Command::new("git").args(["status", "--porcelain"]).current_dir(&self.tree)),
            // To a pipe: tar does not read at all what goes to /dev/null.
            TAR => timed(Command::new("sh").args(["-c", "tar -c --exclude=.git . | wc -c"]).current_dir(&self.tree)),
            _ => {
                let built = self.package.join("target");
                if built.exists() {
                    fs::remove_dir_all(&built).with_context(|| format!("cannot empty {}", built.display()))?;
                }
                timed(
                    Command::new(&self.cargo)
                        .args(["build", "--quiet", "--offline"])
                        .current_dir(&self.package)
                        .env("CARGO_TARGET_DIR", &built),
                )
            }
        }
    }
}

fn timed(command: &mut Command) -> anyhow::Result<f64> {
    command.stdin(Stdio::null()).stdout(Stdio::null());
    let start = Instant::now();
    cmd::run(command)?;
    Ok(start.elapsed().as_secs_f64() * 1e3)
}
