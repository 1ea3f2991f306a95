//! What came of each entry, and the table that is kept of it.

use std::{fmt::Write, fs, path::PathBuf};

use tokenhound_tests::finding::Finding;

use crate::entry::{Context, Entry};

/// A shell's codes for a program that could not be started.
const NOT_STARTED: [i32; 2] = [126, 127];

/// One entry, with what came of it in each context.
#[derive(Debug)]
pub(crate) struct Row {
    entry: Entry,
    outcomes: Vec<(Context, Option<i32>, Vec<Finding>)>,
}

impl Row {
    pub(crate) fn new(entry: &Entry) -> Self {
        Self { entry: *entry, outcomes: Vec::new() }
    }

    pub(crate) fn add(&mut self, context: Context, code: Option<i32>, findings: Vec<Finding>) {
        self.outcomes.push((context, code, findings));
    }

    /// What is not as it should be.
    pub(crate) fn wrong(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        for (context, code, findings) in &self.outcomes {
            let mut note = |what: String| wrong.push(format!("{} ({context}): {what}", self.entry.name));
            match code {
                None => note("it did not end".to_owned()),
                Some(code) if NOT_STARTED.contains(code) => note(format!("it ended with {code}")),
                Some(_) => {}
            }
            match self.entry.attack {
                None => loud(findings).for_each(|finding| note(format!("found: {}", finding.brief()))),
                Some(attack) => {
                    if !loud(findings).any(|finding| finding.detector() == attack.detector) {
                        let others: Vec<String> = findings.iter().map(Finding::brief).collect();
                        note(format!("ended with {code:?} without {}; {others:?}", attack.detector));
                    }
                }
            }
        }
        wrong
    }

    /// In a cell: the gravest of what was found, or nothing.
    fn cell(&self, context: Context) -> String {
        let Some((.., findings)) = self.outcomes.iter().find(|(of, ..)| *of == context) else { return "-".into() };
        let wanted = |finding: &&Finding| self.entry.attack.is_none_or(|attack| finding.detector() == attack.detector);
        let gravest = findings.iter().filter(wanted).max_by_key(|finding| rank(finding));
        gravest.map_or("silent".into(), |finding| finding.severity().to_lowercase())
    }
}

fn loud(findings: &[Finding]) -> impl Iterator<Item = &Finding> {
    findings.iter().filter(|finding| rank(finding) > 0)
}

fn rank(finding: &Finding) -> usize {
    let levels = ["Informational", "Low", "Medium", "High", "Critical"];
    levels.iter().position(|level| *level == finding.severity()).unwrap_or(levels.len())
}

/// Compares with what is kept, or keeps it.
pub(crate) fn compare(rows: &[Row]) {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/corpus.md");
    let text = text(rows);
    if std::env::var_os("TOKENHOUND_BLESS").is_some() {
        fs::write(&file, text).expect("write docs/corpus.md");
        return;
    }
    let kept = fs::read_to_string(&file).expect("read docs/corpus.md");
    let differs = |(is, was): &(&str, &str)| is != was;
    let first = text.lines().zip(kept.lines()).find(differs);
    assert!(text == kept, "docs/corpus.md is not what came of it (`cargo xtask bless corpus`); first: {first:?}");
}

fn text(rows: &[Row]) -> String {
    let (attacks, everyday): (Vec<&Row>, Vec<&Row>) = rows.iter().partition(|row| row.entry.attack.is_some());
    let mut text = format!(
        "# The corpus\n\n<!-- Made by `cargo xtask bless corpus`. Do not edit. -->\n\n\
         {} everyday commands and {} attacks, with real programs, each in a home full of stores with made-up tokens, beside one agent \
         with nothing but what is built in. `interactive` is typed by a person at a terminal, `job` is a step below a stand-in for \
         GitHub's runner, `cron` is below a stand-in for cron. Programs that call somebody find nobody there.\n\n\
         ## Everyday\n\nNo finding above `informational` may come of these.\n\n\
         | command | interactive | job | cron |\n| --- | --- | --- | --- |\n",
        everyday.len(),
        attacks.len(),
    );
    for row in &everyday {
        let cells = Context::ALL.map(|context| row.cell(context)).join(" | ");
        writeln!(text, "| `{}` | {cells} |", row.entry.script.replace('|', "\\|")).expect("text takes text");
    }
    text.push_str("\n## Attacks\n\nEach must be a finding of this detector, above `informational`.\n\n");
    text.push_str("| attack | technique | detector | severity |\n| --- | --- | --- | --- |\n");
    for row in &attacks {
        let Some(attack) = row.entry.attack else { continue };
        let context = row.entry.contexts.first().copied().unwrap_or(Context::Job);
        writeln!(text, "| {} | {} | `{}` | {} |", attack.about, attack.technique, attack.detector, row.cell(context))
            .expect("text takes text");
    }
    text
}
