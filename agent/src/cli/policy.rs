//! `tokenhound policy`.

mod learn;
mod trial;

use std::{
    path::{Path, PathBuf},
    time::SystemTime,
};

use super::{CliError, Exit};
use crate::{
    capture::{CaptureError, reader::Reader, replay},
    catalogue::{self, Catalogue},
    finding::model::Finding,
    ingest::decode::Decoder,
    pipeline::core::Output,
    policy::{Policy, shipped},
};

/// What to do with it.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Subcommands {
    /// Explain what is wrong with a policy file, or with the files of a directory together.
    Check {
        /// The file, or the directory.
        file: PathBuf,
        /// Refuse the file for warnings, too: too broad, never reached, contradictory, expired.
        #[arg(long)]
        strict: bool,
        /// Directory with further catalogue files [default: /etc/tokenhound/catalogue.d].
        #[arg(long, value_name = "DIR")]
        catalogue: Option<PathBuf>,
    },
    /// Print the policy that is shipped with the agent, with the source of each fact.
    Show,
    /// Say which findings of captures a policy file makes vanish, leaves and adds.
    Test(trial::Options),
    /// Watch for a time and propose exceptions, with counts and evidence, to review.
    Learn(learn::Options),
}

pub(super) fn execute(command: Subcommands) -> Result<Exit, CliError> {
    match command {
        Subcommands::Check { file, strict, catalogue: directory } => {
            let mut outcome = Policy::check(&file, &catalogue(directory.as_deref())?, SystemTime::now());
            outcome.passed &= !strict || outcome.warnings == 0;
            super::outcome(&outcome)
        }
        Subcommands::Show => super::print(shipped::TEXT).map(|()| Exit::Success),
        Subcommands::Test(options) => trial::execute(&options),
        Subcommands::Learn(options) => learn::execute(options),
    }
}

pub(super) fn catalogue(directory: Option<&Path>) -> Result<Catalogue, CliError> {
    let directory = directory.unwrap_or(catalogue::DIRECTORY.as_ref());
    Catalogue::load(directory).map(|loaded| loaded.catalogue).map_err(CliError::usage)
}

/// The captures that these paths name: files as they are, of directories those that end with `.capture`.
fn captures(paths: &[PathBuf]) -> Result<Vec<PathBuf>, CliError> {
    let mut found = Vec::new();
    for path in paths {
        if !path.is_dir() {
            found.push(path.clone());
            continue;
        }
        let failed = |error: std::io::Error| CliError::usage(format!("list {}: {error}", path.display()));
        let mut inside = Vec::new();
        for entry in path.read_dir().map_err(failed)? {
            let entry = entry.map_err(failed)?.path();
            if entry.extension().is_some_and(|ending| ending == "capture") {
                inside.push(entry);
            }
        }
        if inside.is_empty() {
            return Err(CliError::usage(format!("{} holds no file that ends with .capture", path.display())));
        }
        inside.sort();
        found.append(&mut inside);
    }
    Ok(found)
}

/// Every finding of a capture under this policy from start to end; the name of the machine it was made on.
fn findings(
    path: &Path,
    catalogue: &std::sync::Arc<Catalogue>,
    policy: Policy,
    take: &mut dyn FnMut(&Finding),
) -> Result<String, CliError> {
    let mut reader = Reader::open(path).map_err(CliError::usage)?;
    let host = reader.header().host().hostname.unwrap_or_default();
    let mut summary = replay::Summary::default();
    let mut out = |output| {
        if let Output::Finding(finding) = output {
            take(&finding);
        }
    };
    let rules = replay::Rules::Instead(policy);
    let decoder = &mut Decoder::of_capture();
    match replay::replay(&mut reader, std::sync::Arc::clone(catalogue), rules, decoder, &mut summary, &mut out) {
        // What came before the cut counts.
        Ok(()) | Err(CaptureError::CutOff { .. }) => {}
        Err(error) => return Err(CliError::failure(error)),
    }
    if summary.unanswered + summary.gaps > 0 || !summary.ended {
        eprintln!(
            "tokenhound: {} is not whole, or was made under rules that asked less: {} questions have no answer, {} entries \
             are missing",
            path.display(),
            summary.unanswered,
            summary.gaps
        );
    }
    Ok(host)
}
