//! Everything that a command or a job touched: kept while it runs, told when it is over.

use std::{collections::BTreeMap, fmt::Write};

use super::{model::Finding, severity::Severity, text::wrap, visible};
use crate::{
    detect::judge::Verdict,
    lineage::ci::{Ci, Fact},
};

/// Most findings kept; of others only how many and how bad.
const FINDINGS: usize = 5000;

/// Most different reads kept; others are counted.
const READS: usize = 4096;

/// Most findings and reads in a summary: GitHub refuses one above 1 MiB.
const SHOWN: usize = 200;

/// Most characters of one text in a summary.
const TEXT: usize = 300;

/// Reads of one store by one reader in one step.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Read {
    store: String,
    reader: String,
    verdict: Verdict,
    step: String,
}

/// What was touched.
#[derive(Debug, Default)]
pub struct Touched {
    findings: Vec<Finding>,
    more_findings: u64,
    worst: Option<Severity>,
    reads: BTreeMap<Read, u64>,
    more_reads: u64,
    /// Of the first reader that ran in one.
    job: Option<Ci>,
}

impl Touched {
    /// Takes in a finding.
    pub fn finding(&mut self, finding: Finding) {
        self.worst = self.worst.max(Some(finding.severity));
        if let (None, Some(ci)) = (&self.job, finding.ci()) {
            self.job = Some(ci.clone());
        }
        if self.findings.len() < FINDINGS {
            self.findings.push(finding);
        } else {
            self.more_findings += 1;
        }
    }

    /// Takes in a read of a store.
    pub fn read(&mut self, store: String, verdict: Verdict, reader: String, ci: Option<&Ci>) {
        if let (None, Some(ci)) = (&self.job, ci) {
            self.job = Some(ci.clone());
        }
        let key = Read { store, reader, verdict, step: ci.map(step).unwrap_or_default() };
        let room = self.reads.len() < READS;
        match self.reads.get_mut(&key) {
            Some(count) => *count += 1,
            None if room => drop(self.reads.insert(key, 1)),
            None => self.more_reads += 1,
        }
    }

    /// The job that the first of the readers which were in one ran in.
    #[must_use]
    pub fn job(&self) -> Option<&Ci> {
        self.job.as_ref()
    }

    /// The findings, in the order they came.
    #[must_use]
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// Whether a finding was at or above this level.
    #[must_use]
    pub fn reached(&self, level: Severity) -> bool {
        self.worst.is_some_and(|worst| worst >= level)
    }

    /// One line: how many findings, how many reads.
    #[must_use]
    pub fn line(&self) -> String {
        let findings = self.findings.len() as u64 + self.more_findings;
        let expected = self.reads.iter().filter(|(read, _)| read.verdict != Verdict::Unexpected);
        let expected: u64 = expected.map(|(_, count)| count).sum();
        format!(
            "{findings} finding{}; {expected} expected read{} of credential stores",
            if findings == 1 { "" } else { "s" },
            if expected == 1 { "" } else { "s" },
        )
    }

    /// Every store that was touched, one line each, also when all was expected.
    #[must_use]
    pub fn table(&self) -> String {
        let mut out = String::from("stores that were touched:\n");
        if self.reads.is_empty() {
            out.push_str("  none\n");
        }
        for (read, count) in &self.reads {
            let Read { store, reader, verdict, step } = read;
            let place = if step.is_empty() { String::new() } else { format!(" in {step}") };
            let times = if *count == 1 { "once".to_owned() } else { format!("{count} times") };
            let line = visible::text(&format!("{store}: {} {times}, by {reader}{place}", verdict.name()));
            for (index, part) in wrap(&line, super::text::WIDTH - 4).into_iter().enumerate() {
                let _ = writeln!(out, "{}{part}", if index == 0 { "  " } else { "    " });
            }
        }
        if self.more_reads > 0 {
            let _ = writeln!(out, "  and {} reads more", self.more_reads);
        }
        visible::inert(&out)
    }

    /// All of it as Markdown, for the summary of a step. Whatever names processes chose, it stays text.
    #[must_use]
    pub fn markdown(&self) -> String {
        let mut out = String::from("## tokenhound\n\n");
        if let Some(job) = &self.job {
            self.place(job, &mut out);
        }
        if self.findings.is_empty() {
            out.push_str("No findings.\n");
        }
        let mut worst_first: Vec<&Finding> = self.findings.iter().collect();
        worst_first.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
        for finding in worst_first.iter().take(SHOWN) {
            about(finding, &mut out);
        }
        let hidden = self.findings.len().saturating_sub(SHOWN) as u64 + self.more_findings;
        if hidden > 0 {
            let _ = writeln!(out, "- and {hidden} findings more");
        }
        if !self.reads.is_empty() {
            out.push_str("\n| store | reader | verdict | reads | step |\n| --- | --- | --- | --- | --- |\n");
        }
        for (Read { store, reader, verdict, step }, count) in self.reads.iter().take(SHOWN) {
            let (store, reader, step) = (escaped(store), code(reader), escaped(step));
            let _ = writeln!(out, "| {store} | {reader} | {} | {count} | {step} |", verdict.name());
        }
        let hidden = self.reads.len().saturating_sub(SHOWN);
        if hidden > 0 || self.more_reads > 0 {
            let _ = writeln!(out, "\nand {hidden} lines, {} reads more", self.more_reads);
        }
        out
    }

    fn place(&self, job: &Ci, out: &mut String) {
        let facts = [Fact::Repository, Fact::Workflow, Fact::Job].map(|fact| job.fact(fact)).into_iter().flatten();
        let mut words: Vec<String> = facts.map(escaped).collect();
        let run = job.fact(Fact::Run).map(|run| format!("run {}", escaped(run)));
        words.extend(match job.fact(Fact::Url).filter(|url| is_plain_link(url)) {
            Some(url) => Some(format!("[{}]({url})", run.as_deref().unwrap_or("run"))),
            None => run,
        });
        let _ = writeln!(out, "{}\n", words.join(" · "));
    }
}

/// `build / test`, or as much of it as is known.
fn step(ci: &Ci) -> String {
    let facts: Vec<&str> = [Fact::Job, Fact::Step].into_iter().filter_map(|fact| ci.fact(fact)).collect();
    if facts.is_empty() { ci.system.clone() } else { facts.join(" / ") }
}

fn about(finding: &Finding, out: &mut String) {
    let step = finding.ci().map(|ci| format!(" (in {})", escaped(&step(ci)))).unwrap_or_default();
    let headline = escaped(&finding.headline);
    let _ = writeln!(out, "- **{}** `{}`: {headline}{step}", finding.severity, finding.detector.name());
    for reason in &finding.reasons {
        let _ = writeln!(out, "  - {}", escaped(reason));
    }
    for command in &finding.remediation.commands {
        let _ = writeln!(out, "  - to make the token worthless: {}", code(command));
    }
}

fn code(text: &str) -> String {
    format!("<code>{}</code>", escaped(text))
}

/// Text that is nothing but text in Markdown, tables and HTML: a character reference never has a meaning of its own.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in visible::text(text).chars().take(TEXT) {
        match character {
            ' ' | '/' | '.' | ',' | '-' => out.push(character),
            _ if character.is_alphanumeric() => out.push(character),
            other => drop(write!(out, "&#{};", u32::from(other))),
        }
    }
    out
}

/// An address that cannot end the link it is in.
fn is_plain_link(url: &str) -> bool {
    let plain = |character: char| character.is_ascii_alphanumeric() || "-._~:/?#=&%+@".contains(character);
    (url.starts_with("https://") || url.starts_with("http://")) && url.chars().all(plain)
}

#[cfg(test)]
mod tests;
