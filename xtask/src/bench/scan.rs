//! `cargo xtask bench scan`: how fast tokens are looked for, beside other programs that look for secrets, and whether
//! anything is found that is not there.

use std::fs::{self, File};
use std::io::{BufWriter, Read, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};
use serde_json::{Value, json};

use crate::bench::native::{host, results};
use crate::bench::table::median;
use crate::cmd;
use crate::place::Place;

/// Tokens to look for, and what takes their place where another program is given as many patterns as we have needles.
const TOKENS: usize = 1_000;
const NEEDLES: usize = 16_000;

/// Tokens that are in the real files: every program that looks for them must find so many.
const PLANTED: usize = 100;

const MIB: u64 = 1 << 20;
const LARGE: u64 = 256 * MIB;
/// What programs in Python are given: they take a thousand times as long.
const SMALL: u64 = 2 * MIB;

/// The agent's own promise: bytes for each second of one processor, start and reading included, when nothing disturbs it.
const LEAST_RATE: f64 = 1e9;

/// Scanners for secrets from PyPI.
const PYTHON: [&str; 2] = ["detect-secrets==1.5.0", "trufflehog3==3.0.10"];

/// One program on one input.
struct Row {
    name: &'static str,
    input: &'static str,
    bytes: u64,
    command: Vec<String>,
    /// How it ends when it has found something.
    found_is_failure: bool,
    /// Processor time of each round in seconds.
    rounds: Vec<f64>,
    found: Option<u64>,
    trouble: Option<String>,
}

pub(super) fn run(place: &Place, rounds: u32, seconds: u64) -> anyhow::Result<()> {
    let agent = crate::build_agent(place)?;
    let dir = results(place)?;
    let scratch = tempfile::tempdir_in(&dir).context("cannot create a directory for the run")?;
    let inputs = Inputs::make(scratch.path())?;
    let venv = python(&dir);
    let mut rows = inputs.rows(&agent, venv.as_deref().map_err(|error| format!("{error:#}")));
    for round in 1..=rounds {
        for row in rows.iter_mut().filter(|row| row.trouble.is_none()) {
            // Those of minutes are measured once.
            if round > 1 && row.rounds.first().is_some_and(|first| *first > 5.0) {
                continue;
            }
            eprintln!("bench: round {round} of {rounds}: {}, {}", row.name, row.input);
            if let Err(failure) = row.measure() {
                row.trouble = Some(format!("{failure:#}"));
            }
        }
    }
    println!("\n{}, {rounds} rounds, {TOKENS} tokens\n{}", host(), table(&rows));
    let said = said(Command::new(&agent).args(soak(&inputs, seconds)))?;
    let file = dir.join("scan.json");
    let all: Vec<Value> = rows.iter().map(Row::json).collect();
    fs::write(&file, serde_json::to_string_pretty(&json!({ "rows": all, "random": said }))?)
        .with_context(|| format!("cannot write {}", file.display()))?;
    println!("Every figure: {}", file.display());
    judge(&rows, &said)
}

fn soak(inputs: &Inputs, seconds: u64) -> Vec<String> {
    let words = ["scan", "--tokens", &inputs.tokens, "--random", &seconds.to_string()];
    words.map(str::to_owned).to_vec()
}

/// What the agent says of one run.
fn said(command: &mut Command) -> anyhow::Result<Value> {
    let printed = cmd::output(command)?;
    serde_json::from_str(&printed).with_context(|| format!("the agent said {printed:?}"))
}

/// What is looked for, and in what.
struct Inputs {
    tokens: String,
    needles: String,
    random: (String, u64),
    files: (String, u64),
    small: (String, u64),
}

impl Inputs {
    fn make(dir: &Path) -> anyhow::Result<Self> {
        let at = |name: &str| dir.join(name).display().to_string();
        let made = Self {
            tokens: at("tokens"),
            needles: at("needles"),
            random: (at("random"), LARGE),
            files: (at("files"), 0),
            small: (at("small"), 0),
        };
        let tokens = words(NEEDLES)?;
        fs::write(&made.tokens, tokens[..TOKENS].join("\n") + "\n").context("cannot write tokens")?;
        fs::write(&made.needles, tokens.join("\n") + "\n").context("cannot write patterns")?;
        let random = File::open("/dev/urandom").context("cannot read random bytes")?;
        let mut to = File::create(&made.random.0).context("cannot write random bytes")?;
        std::io::copy(&mut random.take(LARGE), &mut to).context("cannot write random bytes")?;

        let mut paths = Vec::new();
        files(Path::new("/usr"), &mut paths);
        let bytes = join(&paths, &made.files.0, &tokens[..PLANTED]).context("cannot write real files")?;
        fs::create_dir(&made.small.0).context("cannot make a directory")?;
        let python = paths.iter().filter(|path| path.extension().is_some_and(|extension| extension == "py"));
        let small = copy(python, Path::new(&made.small.0)).context("cannot copy real files")?;
        Ok(Self { files: (made.files.0, bytes), small: (made.small.0, small), ..made })
    }

    fn rows(&self, agent: &Path, venv: Result<&Path, String>) -> Vec<Row> {
        let row = |name, (path, bytes): &(String, u64), input, command: &[&str], found_is_failure| Row {
            name,
            input,
            bytes: *bytes,
            command: command.iter().map(|word| (*word).to_owned()).chain([path.clone()]).collect(),
            found_is_failure,
            rounds: Vec::new(),
            found: None,
            trouble: None,
        };
        let agent = agent.display().to_string();
        let ours: &[&str] = &[&agent, "scan", "--tokens", &self.tokens];
        let rg = |patterns| ["rg", "-uuu", "-a", "-j1", "-I", "--count-matches", "-F", "-f", patterns];
        let mut rows = Vec::new();
        for (input, data) in [("random bytes", &self.random), ("files of /usr", &self.files)] {
            rows.push(row("tokenhound, every encoding", data, input, ours, false));
            rows.push(row("ripgrep -F, 1,000 tokens as they are", data, input, &rg(&self.tokens), true));
            rows.push(row("ripgrep -F, 16,000 patterns", data, input, &rg(&self.needles), true));
        }
        rows.push(row("tokenhound, every encoding", &self.small, "Python source", ours, false));
        for name in ["detect-secrets", "trufflehog3"] {
            let program = venv
                .as_ref()
                .map_or_else(|_| name.to_owned(), |venv| venv.join("bin").join(name).display().to_string());
            let words: &[&str] = match name {
                "detect-secrets" => &[&program, "scan", "--all-files"],
                _ => &[&program, "--no-history", "-z", "--format", "json"],
            };
            let mut row = row(name, &self.small, "Python source", words, true);
            row.trouble = venv.as_ref().err().cloned();
            rows.push(row);
        }
        rows
    }
}

/// Words that no file has.
fn words(count: usize) -> anyhow::Result<Vec<String>> {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let mut random = vec![0; 40 * count];
    File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut random)).context("cannot read random bytes")?;
    let letter = |byte: &u8| char::from(LETTERS[usize::from(*byte) % LETTERS.len()]);
    Ok(random.chunks(40).map(|word| word.iter().map(letter).collect()).collect())
}

/// Regular files below a directory, in the order of their names.
pub(super) fn files(dir: &Path, to: &mut Vec<PathBuf>) {
    let mut entries: Vec<PathBuf> =
        fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    entries.sort();
    for path in entries {
        match path.symlink_metadata() {
            Ok(facts) if facts.is_dir() => files(&path, to),
            Ok(facts) if facts.is_file() => to.push(path),
            _ => {}
        }
    }
}

/// One file of every so manieth file, up to a size, with a token after some.
fn join(paths: &[PathBuf], to: &str, tokens: &[String]) -> anyhow::Result<u64> {
    let size = |path: &PathBuf| path.metadata().map_or(0, |facts| facts.len());
    let all: u64 = paths.iter().map(size).sum();
    let every = (all / LARGE).max(1) as usize;
    let mut to = BufWriter::new(File::create(to)?);
    let (mut bytes, mut tokens) = (0, tokens.iter());
    for path in paths.iter().step_by(every) {
        let Ok(content) = fs::read(path) else { continue };
        to.write_all(&content)?;
        bytes += content.len() as u64;
        if let Some(token) = tokens.next() {
            writeln!(to, "\n{token}")?;
            bytes += token.len() as u64 + 2;
        }
        if bytes > LARGE {
            break;
        }
    }
    to.flush()?;
    Ok(bytes)
}

pub(super) fn copy<'p>(paths: impl Iterator<Item = &'p PathBuf>, to: &Path) -> anyhow::Result<u64> {
    let mut bytes = 0;
    for (number, path) in paths.enumerate() {
        bytes += fs::copy(path, to.join(format!("{number}.py")))?;
        if bytes > SMALL {
            break;
        }
    }
    Ok(bytes)
}

/// An environment with the scanners that come from PyPI.
pub(super) fn python(dir: &Path) -> anyhow::Result<PathBuf> {
    let venv = dir.join("scanners");
    if !venv.join("bin/trufflehog3").exists() {
        cmd::run(Command::new("python3").args(["-m", "venv"]).arg(&venv))?;
        cmd::run(Command::new(venv.join("bin/pip")).args(["install", "--quiet"]).args(PYTHON))?;
    }
    Ok(venv)
}

/// Processor time in seconds of a program with all its children, and what it printed.
pub(super) fn timed(command: &[String], found_is_failure: bool) -> anyhow::Result<(f64, String)> {
    // The shell's `time` counts the children as well.
    let script = "TIMEFORMAT='time %U %S'; time \"$@\"";
    let output = Command::new("bash")
        .args(["-c", script, "bash"])
        .args(command)
        .stdin(std::process::Stdio::null())
        .output()
        .context("cannot start bash")?;
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let well = match output.status.code() {
        Some(0) => true,
        Some(1 | 2) => found_is_failure,
        _ => false,
    };
    if !well {
        bail!("{}: {}", output.status, err.lines().last().unwrap_or_default());
    }
    let time = err.lines().rev().find_map(|line| line.strip_prefix("time ")).context("bash told no time")?;
    let parts: Vec<f64> = time.split(' ').filter_map(|part| part.parse().ok()).collect();
    Ok((parts.iter().sum(), out.into_owned()))
}

impl Row {
    fn measure(&mut self) -> anyhow::Result<()> {
        let (seconds, out) = timed(&self.command, self.found_is_failure)?;
        self.rounds.push(seconds);
        self.found = match serde_json::from_str::<Value>(&out) {
            Ok(Value::Number(count)) => count.as_u64(),
            Ok(said) => said.get("hits").and_then(Value::as_u64),
            Err(_) => Some(out.lines().filter_map(|line| line.parse::<u64>().ok()).sum()),
        };
        Ok(())
    }

    /// Bytes for a second of processor time: the middle round, and the best.
    fn rate(&self) -> Option<(f64, f64)> {
        let rates: Vec<f64> = self.rounds.iter().map(|seconds| self.bytes as f64 / seconds.max(1e-3)).collect();
        Some((median(&rates)?, rates.into_iter().reduce(f64::max)?))
    }

    fn json(&self) -> Value {
        json!({
            "name": self.name, "input": self.input, "bytes": self.bytes, "processor_seconds": self.rounds,
            "found": self.found, "trouble": self.trouble,
        })
    }
}

fn table(rows: &[Row]) -> String {
    let mut lines = vec![
        String::from("| in | | MB for a second of processor time | best | of ours | found |"),
        String::from("| --- | --- | --- | --- | --- | --- |"),
    ];
    let mut ours = None;
    for row in rows {
        let Some((middle, best)) = row.rate().filter(|_| row.trouble.is_none()) else {
            lines.push(format!("| {} | {} | {} | | | |", row.input, row.name, row.trouble.as_deref().unwrap_or("-")));
            continue;
        };
        if row.is_ours() {
            ours = Some(middle);
        }
        let part = ours.map_or(0.0, |ours| middle / ours);
        let found = row.found.map_or_else(|| "-".to_owned(), |found| found.to_string());
        lines.push(format!(
            "| {}, {} MiB | {} | {:.3} | {:.3} | x{part:.4} | {found} |",
            row.input,
            row.bytes / MIB,
            row.name,
            middle / 1e6,
            best / 1e6
        ));
    }
    lines.join("\n")
}

impl Row {
    fn is_ours(&self) -> bool {
        self.name.starts_with("tokenhound")
    }
}

fn judge(rows: &[Row], said: &Value) -> anyhow::Result<()> {
    let word = |kept: bool| if kept { "kept" } else { "broken" };
    let mut all = true;
    for row in rows.iter().filter(|row| row.is_ours() && row.bytes >= LARGE) {
        let rate = row.rate().map_or(0.0, |(_, best)| best);
        let planted = if row.input.starts_with("files") { PLANTED as u64 } else { 0 };
        let (fast, right) = (rate >= LEAST_RATE, row.found == Some(planted));
        all &= fast && right;
        println!(
            "Budget: {}: {:.0} MB a second, at least {:.0}: {}",
            row.input,
            rate / 1e6,
            LEAST_RATE / 1e6,
            word(fast)
        );
        println!("Budget: {}: {planted} tokens are in it, {:?} were found: {}", row.input, row.found, word(right));
    }
    let figure = |name: &str| said.get(name).and_then(Value::as_f64);
    let (Some(bytes), Some(hits)) = (figure("bytes"), figure("hits")) else {
        bail!("the agent did not say what it found")
    };
    all &= hits == 0.0;
    println!("Budget: no token in {:.1} GB of random bytes, {hits} found: {}", bytes / 1e9, word(hits == 0.0));
    if all { Ok(()) } else { bail!("the agent is over its budget") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(seconds: f64, found: u64) -> Row {
        Row {
            name: "tokenhound",
            input: "files of /usr",
            bytes: LARGE,
            command: Vec::new(),
            found_is_failure: false,
            rounds: vec![seconds],
            found: Some(found),
            trouble: None,
        }
    }

    #[test]
    fn it_must_be_fast_find_what_is_there_and_nothing_else() {
        let said = |hits: u64| json!({ "bytes": 1, "hits": hits });
        assert!(judge(&[row(0.2, 100)], &said(0)).is_ok());
        assert!(judge(&[row(0.3, 100)], &said(0)).is_err(), "too slow");
        assert!(judge(&[row(0.2, 99)], &said(0)).is_err(), "one was missed");
        assert!(judge(&[row(0.2, 100)], &said(1)).is_err(), "one is not there");
        assert!(judge(&[row(0.2, 100)], &json!({})).is_err(), "it did not say");
    }

    #[test]
    fn a_program_is_timed_with_what_it_prints() {
        let mut row = row(1.0, 0);
        row.command = ["sh", "-c", "echo 7; exit 1"].map(str::to_owned).to_vec();
        assert!(row.measure().is_err());
        row.found_is_failure = true;
        row.measure().unwrap();
        assert_eq!((row.found, row.rounds.len()), (Some(7), 2));
    }
}
