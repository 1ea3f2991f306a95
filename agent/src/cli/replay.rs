//! `tokenhound replay`: the findings of a recording, made again.

use std::{
    fs,
    io::{BufWriter, IsTerminal, Write},
    path::{Path, PathBuf},
};

use super::{CliError, Exit, load::Cost, session::Inputs};
use crate::{
    capture::{
        CaptureError, excerpt,
        reader::Reader,
        recorder::Place,
        replay::{Rules, Summary, replay},
    },
    config::Config,
    finding::{model::Finding, ocsf, text},
    ingest::decode::Decoder,
    pipeline::core::{Core, Output},
};

/// Arguments.
#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// The recording, as `run --record` or `watch --record` makes it.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Write each finding to this file, as one OCSF object a line.
    #[arg(long, value_name = "FILE")]
    findings: Option<PathBuf>,
    /// Directory with further catalogue files [default: /etc/tokenhound/catalogue.d].
    #[arg(long, value_name = "DIR")]
    catalogue: Option<PathBuf>,
    /// Directory with policy files [default: /etc/tokenhound/policy.d].
    #[arg(long, value_name = "DIR")]
    policy: Option<PathBuf>,
    /// Write what concerns the watched command, without the rest of the machine and its name, to this new file instead.
    #[arg(long, value_name = "FILE", conflicts_with = "findings")]
    excerpt: Option<PathBuf>,
    /// Look for secrets in the records as if they came from the kernel. There are none; it is for measuring.
    #[arg(long, hide = true)]
    redact: bool,
    /// Print what it took, as JSON, instead of the findings.
    #[arg(long, hide = true)]
    measure: bool,
}

/// Replays a recording.
pub(super) fn execute(options: &Options) -> Result<Exit, CliError> {
    let mut reader = Reader::open(&options.file).map_err(CliError::usage)?;
    let inputs = Inputs::of(options.catalogue.as_deref(), options.policy.as_deref(), Config::default())?;
    let other = reader.header().rules.difference(&inputs.rules);
    if let Some(what) = other {
        eprintln!("tokenhound: this was recorded with another {what}; findings may differ from those made then");
    }
    if let Some(excerpt) = &options.excerpt {
        let place = Place::create(excerpt).map_err(CliError::usage)?;
        let records = excerpt::excerpt(&options.file, place, inputs.catalogue, inputs.policy);
        let records = records.map_err(CliError::failure)?;
        eprintln!("tokenhound: {} holds {records} records", excerpt.display());
        return Ok(Exit::Success);
    }
    let mut sink = Sink::open(options.findings.as_deref(), reader.header().host())?;
    sink.quiet = options.measure;
    let mut decoder = if options.redact {
        Decoder::new(Core::variables(&inputs.catalogue).into_iter().collect())
    } else {
        Decoder::of_capture()
    };
    let policy = if matches!(other, None | Some("catalogue")) {
        Rules::Then(inputs.policy)
    } else {
        Rules::Instead(inputs.policy)
    };
    let begin = Cost::now();
    let mut summary = Summary::default();
    let outcome = replay(&mut reader, inputs.catalogue, policy, &mut decoder, &mut summary, &mut |output| {
        if let Output::Finding(finding) = output {
            sink.take(&finding);
        }
    });
    let cost = Cost::now().since(&begin);
    let count = sink.finish()?;
    if options.measure {
        super::print(&format!("{}\n", cost.json(summary.records, count, summary.processes)))?;
    } else {
        report(&summary, count, cost.seconds);
    }
    match outcome {
        Ok(()) => Ok(Exit::Success),
        Err(error @ CaptureError::CutOff { .. }) => Err(CliError::failure(error)),
        Err(error) => Err(CliError::failure(format!("{error}; what came before it was replayed"))),
    }
}

/// What is said at the end, on standard error.
fn report(summary: &Summary, findings: u64, seconds: f64) {
    let Summary { records, gaps, unanswered, reloads_ignored, ended, processes } = summary;
    let rate = *records as f64 / seconds.max(1e-9);
    eprintln!(
        "tokenhound: {findings} finding{} of {records} records in {seconds:.3} s ({rate:.0} a second); {processes} \
         processes at the end",
        if findings == 1 { "" } else { "s" },
    );
    if *gaps > 0 {
        eprintln!(
            "tokenhound: {gaps} entries are missing from the recording; findings may differ from those made then"
        );
    }
    if *unanswered > 0 {
        eprintln!("tokenhound: {unanswered} questions about files and processes had no answer in the recording");
    }
    if *reloads_ignored > 0 {
        eprintln!(
            "tokenhound: {reloads_ignored} times the policy was read anew when it was recorded, and not now: another one is \
             tried, or the catalogue does not know its stores"
        );
    }
    if !ended {
        eprintln!("tokenhound: the recording was not ended in order: the agent was killed, or its disk was full");
    }
}

/// Text to standard output, OCSF to a file.
struct Sink {
    style: text::Style,
    /// Nothing to standard output.
    quiet: bool,
    host: ocsf::Host,
    file: Option<(PathBuf, BufWriter<fs::File>)>,
    count: u64,
    failure: Option<CliError>,
}

impl Sink {
    fn open(path: Option<&Path>, host: ocsf::Host) -> Result<Self, CliError> {
        let file = path.map(|path| Ok((path.to_owned(), BufWriter::new(super::ci::create(path)?)))).transpose()?;
        let style = text::Style { colour: std::io::stdout().is_terminal() };
        Ok(Self { style, quiet: false, host, file, count: 0, failure: None })
    }

    fn take(&mut self, finding: &Finding) {
        self.count += 1;
        if self.failure.is_none() {
            self.failure = self.write(finding).err();
        }
    }

    fn write(&mut self, finding: &Finding) -> Result<(), CliError> {
        if !self.quiet {
            super::print(&format!("{}\n", text::render(finding, self.style)))?;
        }
        let Some((path, file)) = &mut self.file else { return Ok(()) };
        writeln!(file, "{}", ocsf::line(finding, &self.host)).map_err(|error| failed(path, &error))
    }

    /// How many there were.
    fn finish(mut self) -> Result<u64, CliError> {
        if let Some((path, file)) = &mut self.file {
            let flushed = file.flush().map_err(|error| failed(path, &error));
            self.failure = self.failure.or(flushed.err());
        }
        self.failure.map_or(Ok(self.count), Err)
    }
}

fn failed(path: &Path, error: &std::io::Error) -> CliError {
    CliError::failure(format!("write the findings file {}: {error}; check the space left there", path.display()))
}
