//! `tokenhound load` (hidden): a made-up machine under load, for measuring what a record costs and what is kept of it.

use std::{fs, path::PathBuf, sync::Arc};

use rustix::time::{ClockId, clock_gettime};

use super::{CliError, Exit, print};
use crate::{
    capture::{
        header::Header,
        recorder::{Place, Recorder},
        rules::Rules,
        synthetic::{self, Load, Machine, Step},
    },
    catalogue::Catalogue,
    finding::ocsf::Host,
    ingest::decode::Decoder,
    pipeline::core::{Core, Input, Output},
};

/// Arguments.
#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// Records of short lives.
    #[arg(long, default_value_t = 1_000_000)]
    records: u64,
    /// Processes that stay.
    #[arg(long, default_value_t = 20_000)]
    live: u32,
    /// One short life in so many reads a store; 0 for none.
    #[arg(long, default_value_t = 1_000)]
    hits: u32,
    /// Record it to this new file, for `replay`.
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
}

/// Works on the load as the agent would, from the bytes of records to findings, and says how fast it went.
pub(super) fn execute(options: &Options) -> Result<Exit, CliError> {
    let catalogue = Arc::new(Catalogue::embedded().map_err(CliError::failure)?);
    let setup = synthetic::setup(Arc::clone(&catalogue));
    let recorder = options.record.as_deref().map(|path| {
        let place = Place::create(path).map_err(CliError::usage)?;
        let header = Header::new(&setup, &Host::default(), Rules::default());
        Recorder::start(place, &header).map_err(CliError::failure)
    });
    let mut worker = Worker {
        recorder: recorder.transpose()?,
        core: Core::new(setup),
        decoder: Decoder::new(Core::variables(&catalogue).into_iter().collect()),
        machine: Machine::default(),
        records: 0,
        refused: 0,
        findings: 0,
    };
    let load = Load { records: options.records, live: options.live, hits: options.hits };
    let begin = Cost::now();
    synthetic::run(load, &mut |step| worker.step(step));
    let cost = Cost::now().since(&begin);
    if let Some(recorder) = &mut worker.recorder {
        recorder.finish();
    }
    let Worker { records, refused, findings, core, .. } = &worker;
    print(&format!("{}\n", cost.json(*records, *findings, core.tracked())))?;
    Ok(if *refused == 0 { Exit::Success } else { Exit::Failure })
}

struct Worker {
    recorder: Option<Recorder>,
    core: Core,
    decoder: Decoder,
    machine: Machine,
    records: u64,
    refused: u64,
    findings: u64,
}

impl Worker {
    fn step(&mut self, step: Step<'_>) {
        let Self { recorder, core, decoder, machine, findings, .. } = self;
        let mut out = |output| *findings += u64::from(matches!(output, Output::Finding(_)));
        match step {
            Step::Record(ring, bytes) => {
                self.records += 1;
                let Ok(decoded) = decoder.decode(bytes) else {
                    self.refused += 1;
                    return;
                };
                if let Some(recorder) = recorder {
                    recorder.record(ring, bytes, &decoded);
                }
                core.feed(Input::Record(ring, decoded), machine, &mut out);
            }
            Step::Time(now) => {
                machine.time = now;
                match recorder {
                    Some(recorder) => recorder.feed(core, Input::Time(now), machine, &mut out),
                    None => core.feed(Input::Time(now), machine, &mut out),
                }
            }
        }
    }
}

/// What something took.
pub(super) struct Cost {
    /// Time that passed; of [`Cost::now`], since the system's start.
    pub(super) seconds: f64,
    /// Processor time of all threads.
    pub(super) processor_seconds: f64,
}

impl Cost {
    /// Up to now.
    pub(super) fn now() -> Self {
        let clock = |id| {
            let time = clock_gettime(id);
            time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
        };
        Self { seconds: clock(ClockId::Monotonic), processor_seconds: clock(ClockId::ProcessCPUTime) }
    }

    /// Between then and this.
    pub(super) fn since(&self, then: &Self) -> Self {
        Self {
            seconds: self.seconds - then.seconds,
            processor_seconds: self.processor_seconds - then.processor_seconds,
        }
    }

    /// As `cargo xtask bench replay` reads it.
    pub(super) fn json(&self, records: u64, findings: u64, processes: usize) -> serde_json::Value {
        serde_json::json!({
            "records": records,
            "findings": findings,
            "processes": processes,
            "seconds": self.seconds,
            "processor_seconds": self.processor_seconds,
            "resident_kib": memory("VmRSS:"),
            "peak_kib": memory("VmHWM:"),
        })
    }
}

/// A line of `/proc/self/status` in KiB, 0 where it does not tell.
fn memory(name: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}
