//! The process that does the measured work.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, ChildStdout, Command, Stdio};

use anyhow::Context as _;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::cmd::{self, Background};
use crate::place::Place;
use crate::setup;

/// Nanoseconds per operation of each run, by operation.
pub(super) type Sample = BTreeMap<String, Vec<f64>>;

/// How to start a worker.
pub(super) struct Workplace {
    program: PathBuf,
    /// A file that nothing watches.
    file: &'static str,
    /// A program without shared libraries.
    busybox: PathBuf,
    cpu: usize,
}

impl Workplace {
    pub(super) fn prepare(place: &Place) -> anyhow::Result<Self> {
        cmd::run(place.cargo().args(["build", "--quiet", "--release", "--package", "xtask", "--bin", "bench_worker"]))?;
        let file =
            ["/etc/hostname", "/etc/hosts"].into_iter().find(|file| std::fs::read(file).is_ok_and(|b| !b.is_empty()));
        // The last one: the first takes most of a machine's interrupts.
        let cpu = std::thread::available_parallelism().map_or(0, |count| count.get() - 1);
        Ok(Self {
            program: place.target.join("release/bench_worker"),
            file: file.context("neither /etc/hostname nor /etc/hosts can be read")?,
            busybox: setup::static_busybox().context("a static busybox is missing: run `cargo xtask setup`")?,
            cpu,
        })
    }

    pub(super) fn program(&self) -> &Path {
        &self.program
    }

    pub(super) fn file(&self) -> &str {
        self.file
    }

    pub(super) fn busybox(&self) -> &Path {
        &self.busybox
    }

    pub(super) fn cpu(&self) -> usize {
        self.cpu
    }

    /// Starts one that has done these operations once already: the first time pays for page faults and a cold cache.
    pub(super) fn start(&self, operations: &[&str]) -> anyhow::Result<Worker> {
        let mut command = Command::new(&self.program);
        command.arg("measure").arg(self.file).arg(self.cpu.to_string()).arg(&self.busybox);
        let mut process = Background::start(command.stdin(Stdio::piped()).stdout(Stdio::piped()))?;
        let orders = process.stdin().context("the worker takes no input")?;
        let results = BufReader::new(process.stdout().context("the worker has no output")?);
        let mut worker = Worker { orders, results, order: operations.join(","), _process: process };
        worker.measure()?;
        Ok(worker)
    }
}

pub(super) struct Worker {
    orders: ChildStdin,
    results: BufReader<ChildStdout>,
    order: String,
    _process: Background,
}

impl Worker {
    /// Does every operation once over.
    pub(super) fn measure(&mut self) -> anyhow::Result<Sample> {
        writeln!(self.orders, "{}", self.order).context("the worker is gone")?;
        let mut line = String::new();
        self.results.read_line(&mut line).context("the worker is gone")?;
        parse(&line).context("the worker ended early")
    }
}

/// Reads the worker's line.
pub(super) fn parse(line: &str) -> anyhow::Result<Sample> {
    let value: serde_json::Value = serde_json::from_str(line).context("this is no JSON")?;
    let operations = value.as_object().context("this is no object")?;
    let runs =
        |runs: &serde_json::Value| runs.as_array().into_iter().flatten().filter_map(|run| run.as_f64()).collect();
    Ok(operations.iter().map(|(name, values)| (name.clone(), runs(values))).collect())
}

/// While it is held, what this thread starts runs on one CPU only.
pub(super) struct Pinned {
    before: CpuSet,
}

impl Pinned {
    pub(super) fn to(cpu: usize) -> anyhow::Result<Self> {
        let before = sched_getaffinity(None).context("cannot ask on which CPUs we may run")?;
        let mut set = CpuSet::new();
        set.set(cpu);
        sched_setaffinity(None, &set).with_context(|| format!("cannot run on CPU {cpu}"))?;
        Ok(Self { before })
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        if sched_setaffinity(None, &self.before).is_err() {
            eprintln!("bench: this process stays on one CPU; do not believe what follows");
        }
    }
}
