//! `tokenhound policy test`: what a policy file would have made of what was captured.

use std::{
    collections::BTreeMap,
    fmt::Write,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::super::{CliError, Exit, print};
use crate::{catalogue::Catalogue, finding::severity::Severity, policy::Policy};

/// Arguments.
#[derive(Debug, clap::Args)]
pub(in super::super) struct Options {
    /// The policy file.
    file: PathBuf,
    /// Captures, or directories of them (`*.capture`).
    #[arg(long, value_name = "PATH", num_args = 1.., required = true)]
    captures: Vec<PathBuf>,
    /// Directory with policy files that hold with FILE and without it [default: none].
    #[arg(long, value_name = "DIR")]
    policy: Option<PathBuf>,
    /// Directory with further catalogue files [default: /etc/tokenhound/catalogue.d].
    #[arg(long, value_name = "DIR")]
    catalogue: Option<PathBuf>,
    /// Exit with 3 if a finding vanishes: for captures of thefts.
    #[arg(long)]
    none_vanish: bool,
    /// Exit with 3 if a finding above informational is left: for captures of a normal day.
    #[arg(long)]
    none_left: bool,
}

/// One finding: detector and headline, which have no time in them.
type Told = (String, String);

/// Findings of one capture, with and without the file.
#[derive(Debug, Default, PartialEq, Eq)]
struct Comparison {
    vanish: Vec<(Told, Severity)>,
    come: Vec<(Told, Severity)>,
    stay: Vec<(Told, Severity)>,
}

pub(super) fn execute(options: &Options) -> Result<Exit, CliError> {
    let catalogue = Arc::new(super::catalogue(options.catalogue.as_deref())?);
    let read =
        |file: Option<&Path>| Policy::trial(options.policy.as_deref(), file, &catalogue).map_err(CliError::usage);
    let (without, with) = (read(None)?, read(Some(&options.file))?);
    let (mut vanish, mut come, mut left, mut stay) = (0, 0, 0, 0);
    for path in super::captures(&options.captures)? {
        let told = |policy: &Policy| told(&path, &catalogue, policy.clone());
        let comparison = compare(told(&without)?, told(&with)?);
        vanish += comparison.vanish.len();
        come += comparison.come.len();
        stay += comparison.stay.len();
        let above =
            |list: &[(Told, Severity)]| list.iter().filter(|(_, level)| *level > Severity::Informational).count();
        left += above(&comparison.come) + above(&comparison.stay);
        print(&shown(&path, &comparison))?;
    }
    print(&format!("{vanish} vanish, {come} come, {stay} stay\n"))?;
    let failed = come > 0 || (options.none_vanish && vanish > 0) || (options.none_left && left > 0);
    Ok(if failed { Exit::Findings } else { Exit::Success })
}

fn told(path: &Path, catalogue: &Arc<Catalogue>, policy: Policy) -> Result<Vec<(Told, Severity)>, CliError> {
    let mut told = Vec::new();
    super::findings(path, catalogue, policy, &mut |finding| {
        told.push(((finding.detector.meta().name.to_owned(), finding.headline.clone()), finding.severity));
    })?;
    Ok(told)
}

/// The same finding may be there several times.
fn compare(without: Vec<(Told, Severity)>, with: Vec<(Told, Severity)>) -> Comparison {
    let mut open: BTreeMap<Told, Vec<Severity>> = BTreeMap::new();
    for (told, severity) in without {
        open.entry(told).or_default().push(severity);
    }
    let mut comparison = Comparison::default();
    for (told, severity) in with {
        let before = open.get_mut(&told).and_then(Vec::pop);
        let list = if before.is_some() { &mut comparison.stay } else { &mut comparison.come };
        list.push((told, severity));
    }
    let gone = open.into_iter().flat_map(|(told, list)| list.into_iter().map(move |severity| (told.clone(), severity)));
    comparison.vanish = gone.collect();
    comparison
}

fn shown(path: &Path, comparison: &Comparison) -> String {
    let mut text = format!("{}\n", path.display());
    let lists = [("vanishes", &comparison.vanish), ("comes", &comparison.come), ("stays", &comparison.stay)];
    for (what, list) in lists {
        for ((detector, headline), severity) in list {
            // Writing to a text does not fail.
            let _ = writeln!(text, "  {what:<8}  {:<13}  {detector}: {headline}", severity.name());
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_finding_is_compared_once() {
        let told = |text: &str, severity| (("unexpected-reader".to_owned(), text.to_owned()), severity);
        let high = |text: &str| told(text, Severity::High);
        let comparison = compare(vec![high("a"), high("a"), high("b")], vec![high("c"), high("a")]);
        assert_eq!(comparison.vanish, [high("a"), high("b")]);
        assert_eq!(comparison.come, [high("c")]);
        assert_eq!(comparison.stay, [high("a")]);
    }
}
