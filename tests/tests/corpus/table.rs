//! What came of each entry, and the table that is kept of it.

use std::{fs, path::PathBuf};

use tokenhound_tests::finding::Finding;

use crate::entry::{Attack, Context, Entry, Kind, Shown};

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
            let others = || findings.iter().map(Finding::brief).collect::<Vec<String>>();
            match self.entry.kind {
                Kind::Everyday | Kind::Trick(_, None) => {
                    loud(findings).for_each(|finding| note(format!("found: {}", finding.brief())));
                }
                _ if self.has(findings) => {}
                Kind::Attack(attack) => {
                    note(format!("ended with {code:?} without {}; {:?}", attack.detector, others()));
                }
                Kind::Trick(_, Some(shown)) => note(format!("ended with {code:?} without {shown:?}; {:?}", others())),
            }
        }
        wrong
    }

    /// Whether all is found that must be.
    pub(crate) fn is_told(&self) -> bool {
        self.outcomes.iter().all(|(.., findings)| self.has(findings))
    }

    /// Whether what must be found is among these.
    fn has(&self, findings: &[Finding]) -> bool {
        match self.entry.kind {
            Kind::Everyday | Kind::Trick(_, None) => true,
            Kind::Attack(attack) => loud(findings).any(|finding| finding.detector() == attack.detector),
            Kind::Trick(_, Some(shown)) => loud(findings).any(|finding| names(finding, &shown)),
        }
    }

    /// The cell of an entry that is played in one context.
    fn first_cell(&self) -> String {
        self.cell(self.entry.contexts.first().copied().unwrap_or(Context::Job))
    }

    /// In a cell: the gravest of what was found, or nothing.
    fn cell(&self, context: Context) -> String {
        let Some((.., findings)) = self.outcomes.iter().find(|(of, ..)| *of == context) else { return "-".into() };
        let wanted = |finding: &&Finding| match self.entry.kind {
            Kind::Everyday | Kind::Trick(_, None) => true,
            Kind::Attack(attack) => finding.detector() == attack.detector,
            Kind::Trick(_, Some(shown)) => names(finding, &shown),
        };
        let gravest = findings.iter().filter(wanted).max_by_key(|finding| rank(finding));
        gravest.map_or("silent".into(), |finding| finding.severity().to_lowercase())
    }
}

/// Whether a finding says that this one reads.
fn names(finding: &Finding, shown: &Shown) -> bool {
    let plain = |path: &str| path.trim_end_matches(" (deleted)").to_owned();
    finding.detector() == "unexpected-reader"
        && plain(finding.reader()).ends_with(shown.reader)
        && finding.script().ends_with(shown.script)
        && finding.script().is_empty() == shown.script.is_empty()
        && finding.actor() == shown.actor
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
    let of = |wanted: fn(&Row) -> bool| rows.iter().filter(|row| wanted(row)).collect::<Vec<_>>();
    let everyday = of(|row| row.entry.is_everyday());
    let attacks = of(|row| matches!(row.entry.kind, Kind::Attack(_)));
    let tricks = of(|row| row.entry.is_trick());
    let mut text = format!(
        "# The corpus\n\n<!-- Made by `cargo xtask bless corpus`. Do not edit. -->\n\n\
         {} everyday commands, {} attacks and {} tricks, with real programs, each in a home full of stores with made-up tokens, beside \
         one agent with nothing but what is built in. `interactive` is typed by a person at a terminal, `job` is a step below a \
         stand-in for GitHub's runner, `cron` is below a stand-in for cron. Programs that call somebody find nobody there.\n\n",
        everyday.len(),
        attacks.len(),
        tricks.len(),
    );
    text.push_str("## Everyday\n\nNo finding above `informational` may come of these.\n\n");
    text.push_str("| command | interactive | job | cron |\n| --- | --- | --- | --- |\n");
    for row in &everyday {
        let cells = Context::ALL.map(|context| row.cell(context)).join(" | ");
        text.push_str(&format!("| `{}` | {cells} |\n", row.entry.script.replace('|', "\\|")));
    }
    text.push_str("\n## Attacks\n\nEach must be a finding of this detector, above `informational`.\n\n");
    text.push_str("| attack | technique | detector | severity |\n| --- | --- | --- | --- |\n");
    for row in &attacks {
        let Kind::Attack(Attack { technique, detector, about }) = row.entry.kind else { continue };
        text.push_str(&format!("| {about} | {technique} | `{detector}` | {} |\n", row.first_cell()));
    }
    text.push_str("\n## Tricks\n\nWho reads must be named by file and script, and on whose behalf by lineage.\n\n");
    text.push_str("| trick | reader | script | actor | severity |\n| --- | --- | --- | --- | --- |\n");
    for row in &tricks {
        let Kind::Trick(about, shown) = row.entry.kind else { continue };
        let code = |text: &str| if text.is_empty() { "-".to_owned() } else { format!("`{text}`") };
        let shown = shown.map_or(["-".to_owned(), "-".to_owned(), "-".to_owned()], |shown| {
            [code(shown.reader), code(shown.script), code(shown.actor)]
        });
        text.push_str(&format!("| {about} | {} | {} |\n", shown.join(" | "), row.first_cell()));
    }
    text
}
