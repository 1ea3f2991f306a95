//! `cargo xtask bench audit`: how fast an audit goes through a tree, beside other programs that look for secrets in files.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use serde_json::{Value, json};

use crate::bench::native::{host, results};
use crate::bench::scan::{copy, files, python, timed};
use crate::bench::table::median;
use crate::place::Place;

/// The tree: what packages bring that is text for the most part.
const TREE: &str = "/usr/share";

/// The agent's own promise: names for each second of one processor.
const LEAST_NAMES: f64 = 100_000.0;

/// What ripgrep is given: the shapes that are met most, as they are in the agent's tables.
const PATTERNS: &[&str] = &[
    r"gh[pousr]_[A-Za-z0-9]{36}",
    r"github_pat_[A-Za-z0-9_]{82}",
    r"glpat-[A-Za-z0-9_-]{20}",
    r"(AKIA|ASIA)[A-Z2-7]{16}",
    r"AIza[A-Za-z0-9_-]{35}",
    r"ya29\.[A-Za-z0-9_-]{30,}",
    r"sk-ant-[a-z0-9]+-[A-Za-z0-9_-]{80,}",
    r"sk-(proj-)?[A-Za-z0-9_-]{40,}",
    r"xox[abpors]-[A-Za-z0-9-]{20,}",
    r"npm_[A-Za-z0-9]{36}",
    r"pypi-[A-Za-z0-9_-]{80,}",
    r"hv[sb]\.[A-Za-z0-9_-]{24,}",
    r"dop_v1_[a-f0-9]{64}",
    r"SG\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43}",
    r"[rs]k_live_[A-Za-z0-9]{24,}",
    r"eyJ[A-Za-z0-9_-]+\.eyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+",
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----",
];

/// One program on one tree.
struct Row {
    name: &'static str,
    tree: Tree,
    command: Vec<String>,
    found_is_failure: bool,
    /// Processor seconds.
    rounds: Vec<f64>,
    found: Option<usize>,
    trouble: Option<String>,
}

/// A tree of files.
#[derive(Clone)]
struct Tree {
    words: String,
    path: PathBuf,
    files: usize,
    bytes: u64,
}

impl Tree {
    fn at(path: &Path, words: &str) -> Self {
        let mut all = Vec::new();
        files(path, &mut all);
        let bytes = all.iter().filter_map(|file| file.symlink_metadata().ok()).map(|facts| facts.len()).sum();
        let words = format!("{words}: {} files, {} MB", all.len(), bytes / 1_000_000);
        Self { words, path: path.to_owned(), files: all.len(), bytes }
    }
}

pub(super) fn run(place: &Place, rounds: u32) -> anyhow::Result<()> {
    let agent = crate::build_agent(place)?;
    let dir = results(place)?;
    let scratch = tempfile::tempdir_in(&dir).context("cannot create a directory for the run")?;
    let mut rows = rows(&agent, scratch.path(), python(&dir))?;
    for round in 1..=rounds {
        for row in rows.iter_mut().filter(|row| row.trouble.is_none()) {
            // Those of minutes are measured once.
            if round > 1 && row.rounds.first().is_some_and(|first| *first > 60.0) {
                continue;
            }
            eprintln!("bench: round {round} of {rounds}: {}, {}", row.name, row.tree.words);
            if let Err(failure) = row.measure() {
                row.trouble = Some(format!("{failure:#}"));
            }
        }
    }
    println!("\n{}, {rounds} rounds, files in the page cache\n{}", host(), table(&rows));
    let file = dir.join("audit.json");
    let all: Vec<Value> = rows.iter().map(Row::json).collect();
    fs::write(&file, serde_json::to_string_pretty(&all)?)
        .with_context(|| format!("cannot write {}", file.display()))?;
    println!("Every figure: {}", file.display());
    judge(&rows)
}

fn rows(agent: &Path, scratch: &Path, venv: anyhow::Result<PathBuf>) -> anyhow::Result<Vec<Row>> {
    let patterns = scratch.join("patterns");
    fs::write(&patterns, PATTERNS.join("\n") + "\n").context("cannot write patterns")?;
    let small = scratch.join("small");
    fs::create_dir(&small).context("cannot make a directory")?;
    let mut sources = Vec::new();
    files(Path::new("/usr/lib"), &mut sources);
    copy(sources.iter().filter(|path| path.extension().is_some_and(|end| end == "py")), &small)
        .context("cannot copy real files")?;
    let (large, small) = (Tree::at(Path::new(TREE), TREE), Tree::at(&small, "Python source"));
    let (state, patterns) = (scratch.join("state").display().to_string(), patterns.display().to_string());
    let agent = agent.display().to_string();
    let row = |name, tree: &Tree, command: &[&str], found_is_failure| Row {
        name,
        tree: tree.clone(),
        command: command.iter().map(|word| word.replace("TREE", &tree.path.display().to_string())).collect(),
        found_is_failure,
        rounds: Vec::new(),
        found: None,
        trouble: None,
    };
    let audit = [&agent, "audit", "--root", "TREE", "--state-dir", &state, "--format", "json"];
    let rg = ["rg", "-uuu", "--no-messages", "-I", "-o", "-f", &patterns, "TREE"];
    let mut rows = vec![
        row(NAMES, &large, &[&audit[..], &["--stores-only"]].concat(), false),
        row("rg --files", &large, &["rg", "-uuu", "--files", "TREE"], false),
        row("tokenhound audit", &large, &audit, false),
        row("ripgrep, 17 patterns", &large, &rg, true),
        row("tokenhound audit", &small, &audit, false),
        row("ripgrep, 17 patterns", &small, &rg, true),
    ];
    let bin = venv.as_ref().map(|venv| venv.join("bin").display().to_string()).unwrap_or_default();
    let [secrets, hog] = ["detect-secrets", "trufflehog3"].map(|name| format!("{bin}/{name}"));
    rows.push(row("detect-secrets", &small, &[&secrets, "scan", "--all-files", "TREE"], true));
    rows.push(row("trufflehog3", &small, &[&hog, "--no-history", "-z", "--format", "json", "TREE"], true));
    if let Err(error) = venv {
        rows.iter_mut().rev().take(2).for_each(|row| row.trouble = Some(format!("{error:#}")));
    }
    Ok(rows)
}

/// The row that is held against the promise.
const NAMES: &str = "tokenhound audit --stores-only (names)";

impl Row {
    fn measure(&mut self) -> anyhow::Result<()> {
        let (seconds, out) = timed(&self.command, self.found_is_failure)?;
        self.rounds.push(seconds);
        self.found = match serde_json::from_str::<Value>(&out) {
            Ok(Value::Array(all)) => Some(all.len()),
            Ok(said) if said.get("findings").is_some() => said["findings"]
                .as_array()
                .map(|all| all.iter().filter(|one| one["detector"] == "token-copied").count()),
            Ok(said) => {
                let files = said.get("results").and_then(Value::as_object);
                files.map(|files| files.values().filter_map(Value::as_array).map(Vec::len).sum())
            }
            Err(_) => Some(out.lines().count()),
        };
        Ok(())
    }

    /// Processor seconds of the middle round.
    fn seconds(&self) -> Option<f64> {
        median(&self.rounds).filter(|_| self.trouble.is_none())
    }

    fn json(&self) -> Value {
        json!({
            "name": self.name, "tree": self.tree.words, "files": self.tree.files, "bytes": self.tree.bytes,
            "processor_seconds": self.rounds, "found": self.found, "trouble": self.trouble,
        })
    }
}

fn table(rows: &[Row]) -> String {
    let mut lines = vec![
        String::from("| tree | | processor s | files a second | MB a second | found |"),
        String::from("| --- | --- | --- | --- | --- | --- |"),
    ];
    for row in rows {
        let Some(seconds) = row.seconds() else {
            lines.push(format!(
                "| {} | {} | {} | | | |",
                row.tree.words,
                row.name,
                row.trouble.as_deref().unwrap_or("-")
            ));
            continue;
        };
        let (files, megabytes) = (row.tree.files as f64 / seconds, row.tree.bytes as f64 / 1e6 / seconds);
        let found = row.found.map_or_else(|| "-".to_owned(), |found| found.to_string());
        lines.push(format!(
            "| {} | {} | {seconds:.2} | {files:.0} | {megabytes:.1} | {found} |",
            row.tree.words, row.name
        ));
    }
    lines.join("\n")
}

fn judge(rows: &[Row]) -> anyhow::Result<()> {
    let Some((row, seconds)) = rows.iter().find(|row| row.name == NAMES).and_then(|row| Some((row, row.seconds()?)))
    else {
        bail!("the agent could not be measured")
    };
    let rate = row.tree.files as f64 / seconds.max(1e-3);
    let kept = rate >= LEAST_NAMES;
    let word = if kept { "kept" } else { "broken" };
    println!("Budget: {rate:.0} names a second of processor time, at least {LEAST_NAMES:.0}: {word}");
    if kept { Ok(()) } else { bail!("the agent is over its budget") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_must_be_fast() {
        let tree = Tree { words: String::new(), path: PathBuf::new(), files: 1_000_000, bytes: 1 };
        let row = |seconds: f64| Row {
            name: NAMES,
            tree: tree.clone(),
            command: Vec::new(),
            found_is_failure: false,
            rounds: vec![seconds],
            found: None,
            trouble: None,
        };
        assert!(judge(&[row(5.0)]).is_ok());
        assert!(judge(&[row(11.0)]).is_err());
        assert!(judge(&[]).is_err());
    }
}
