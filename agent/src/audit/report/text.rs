//! A report for a terminal: short, what to do first at the beginning.

use std::fmt::Write;

use super::{File, age_days, by_file, counted, tally, tokens};
use crate::{
    audit::model::{KeyKind, Report, StoreFile},
    finding::{severity::Severity, visible},
    token::model::{Lifetime, Protection},
};

/// Most files that are written out.
const SHOWN: usize = 30;
/// Most findings of one file that are.
const SHOWN_OF_FILE: usize = 8;

/// How it looks.
#[derive(Clone, Copy, Debug, Default)]
pub struct Style {
    /// Colours of a terminal.
    pub colour: bool,
}

/// The report as text.
#[must_use]
pub fn render(report: &Report, style: Style) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = head(&mut out, report);
    let _ = findings(&mut out, report, style);
    let _ = stores(&mut out, report);
    let _ = tail(&mut out, report);
    // Names of files are in it: none may become a command of a CI system.
    visible::inert(&out)
}

fn head(out: &mut String, report: &Report) -> std::fmt::Result {
    let time = report.time.strftime("%Y-%m-%d %H:%M UTC");
    let root = report.root.as_ref().map(|root| format!(" in {}", visible::path(root))).unwrap_or_default();
    writeln!(out, "Audit of {}{root}, {time}\n", visible::text(&report.scope))?;
    let stores = counted(report.stores.len() as u64, "file of a store", "files of stores");
    writeln!(out, "{stores}, {}. Findings: {}.", counted(tokens(report), "token", "tokens"), tally(report))
}

fn findings(out: &mut String, report: &Report, style: Style) -> std::fmt::Result {
    if report.findings.is_empty() {
        return writeln!(out, "Nothing to do.");
    }
    writeln!(out, "\nWhat to do first\n")?;
    let files = by_file(report);
    for (number, file) in files.iter().take(SHOWN).enumerate() {
        one(out, number + 1, file, style)?;
    }
    let rest = files.iter().skip(SHOWN);
    if let Some(worst) = rest.clone().map(File::severity).max() {
        let files = counted(rest.count() as u64, "more file", "more files");
        writeln!(out, "and {files}, none above {worst}: --format json has all of them")?;
    }
    Ok(())
}

fn one(out: &mut String, number: usize, file: &File<'_>, style: Style) -> std::fmt::Result {
    let severity = format!("{:<13}", file.severity().name());
    let severity = if style.colour { format!("\x1b[{}m{severity}\x1b[0m", colour(file.severity())) } else { severity };
    let stores = file.stores().iter().map(|store| format!(" ({store})")).collect::<String>();
    writeln!(out, "{number:>3}. {severity} {}{stores}", visible::path(file.path))?;
    for finding in file.findings.iter().take(SHOWN_OF_FILE) {
        let line = finding.line.map(|line| format!("line {line}: ")).unwrap_or_default();
        let facts = finding.evidence.iter().map(|fact| format!("; {fact}")).collect::<String>();
        writeln!(out, "     - {line}{}{facts} [{}]", finding.headline, finding.id())?;
    }
    if let Some(more) = file.findings.len().checked_sub(SHOWN_OF_FILE).filter(|more| *more > 0) {
        writeln!(out, "     - and {more} more")?;
    }
    for step in file.steps() {
        writeln!(out, "     > {}", visible::text(step))?;
    }
    Ok(())
}

const fn colour(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical => "1;31",
        Severity::High => "31",
        Severity::Medium => "33",
        Severity::Low => "36",
        Severity::Informational => "2",
    }
}

fn stores(out: &mut String, report: &Report) -> std::fmt::Result {
    if report.stores.is_empty() {
        return Ok(());
    }
    writeln!(out, "\nStores\n")?;
    let width = report.stores.iter().map(|store| store.store.len()).max().unwrap_or(0).min(32);
    for store in &report.stores {
        let path = visible::path(&store.facts.path);
        writeln!(out, "  {:<width$}  {path}\n  {:<width$}    {}", store.store, "", contents(store, report))?;
    }
    Ok(())
}

pub(super) fn contents(store: &StoreFile, report: &Report) -> String {
    let mut parts = vec![counted(store.tokens.len() as u64, "token", "tokens")];
    let mut kinds: Vec<&str> = store.tokens.iter().map(|token| token.facts.kind.name()).collect();
    kinds.sort_unstable();
    kinds.dedup();
    parts.extend(kinds.iter().map(|kind| kind.replace('_', " ")));
    let all = |test: fn(&crate::token::model::Facts) -> bool| {
        !store.tokens.is_empty() && store.tokens.iter().all(|token| test(&token.facts))
    };
    parts.extend(all(|facts| facts.protection == Protection::Encrypted).then(|| "encrypted".to_owned()));
    parts.extend(all(|facts| facts.lifetime == Lifetime::LongLived).then(|| "long-lived".to_owned()));
    parts.extend(age_days(store, report.time).map(|days| format!("{days} days old")));
    if !store.references.is_empty() {
        parts.push(counted(store.references.len() as u64, "token kept elsewhere", "tokens kept elsewhere"));
    }
    parts.extend(store.problems.iter().map(|problem| visible::text(problem)));
    parts.join(", ")
}

fn tail(out: &mut String, report: &Report) -> std::fmt::Result {
    let counts = &report.counts;
    let (files, bytes) = (counts.files, counts.bytes as f64 / 1e6);
    let names = counted(counts.names, "name", "names");
    writeln!(
        out,
        "\nLooked at {names} and into {} ({bytes:.1} MB) beside the stores.",
        counted(files, "file", "files")
    )?;
    if report.not_searched > 0 {
        let tokens = counted(report.not_searched, "token was", "tokens were");
        writeln!(out, "  {tokens} not looked for in other files: too short, or made of words")?;
    }
    for (why, count) in &counts.skipped {
        writeln!(out, "  {count} {}", why.words())?;
    }
    if report.key == KeyKind::Ephemeral {
        writeln!(
            out,
            "Fingerprints hold for this report only: the machine's key is root's. Run it as root to compare them."
        )?;
    }
    Ok(())
}
