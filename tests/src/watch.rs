//! `tokenhound watch` around a command.

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
};

use crate::{
    finding::Finding,
    ocsf,
    process::{self, Ended},
    stage::Stage,
};

/// What will be run.
pub struct Watch<'s> {
    stage: &'s Stage,
    command: Command,
    input: Vec<u8>,
    files: [PathBuf; 3],
    capture: PathBuf,
}

/// What came of it.
#[derive(Debug)]
pub struct Watched {
    /// How tokenhound ended, and everything on its standard streams.
    pub ended: Ended,
    /// The findings file.
    pub findings: Vec<Finding>,
    /// The findings file, byte for byte.
    pub lines: String,
    /// The summary file.
    pub summary: String,
    /// What was recorded meanwhile.
    pub capture: PathBuf,
}

impl<'s> Watch<'s> {
    /// With an empty catalogue and policy directory; findings, summary, SARIF and a capture are written to the stage.
    #[must_use]
    pub fn new(stage: &'s Stage) -> Self {
        Self::by(stage, process::tokenhound())
    }

    /// The same from a copy of the agent on the stage, with nothing of where and by whom the test was started.
    #[must_use]
    pub fn of_story(stage: &'s Stage) -> Self {
        let mut watch = Self::by(stage, stage.program("tokenhound", &process::tokenhound()));
        let home = stage.directory("homes/nobody-at-all");
        watch.command.env_clear().env("TOKENHOUND_LOG", "debug").env("PATH", "/usr/bin:/bin").env("HOME", home);
        watch.command.current_dir("/");
        watch
    }

    fn by(stage: &'s Stage, program: PathBuf) -> Self {
        static RUNS: AtomicU32 = AtomicU32::new(0);
        let run = RUNS.fetch_add(1, Ordering::Relaxed);
        let files = ["findings", "summary", "sarif"].map(|kind| stage.path(&format!("out/{kind}-{run}")));
        let capture = stage.path(&format!("out/capture-{run}"));
        let mut command = Command::new(program);
        command.arg("watch").env_remove("SUDO_UID").env("TOKENHOUND_LOG", "debug");
        for (option, file) in ["--findings", "--summary", "--sarif"].iter().zip(&files) {
            command.arg(option).arg(file);
        }
        command.arg("--catalogue").arg(stage.path("catalogue.d")).arg("--policy").arg(stage.path("policy.d"));
        command.arg("--record").arg(&capture);
        Self { stage, command, input: Vec::new(), files, capture }
    }

    /// Another argument.
    #[must_use]
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.command.arg(argument);
        self
    }

    /// A variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Standard input.
    #[must_use]
    pub fn input(mut self, input: &[u8]) -> Self {
        self.input = input.to_vec();
        self
    }

    /// Watches `command`, searches everything written for tokens, checks every finding against the schema, and that a
    /// replay of what was recorded meanwhile gives the same bytes.
    ///
    /// # Panics
    /// When something is wrong with what was written.
    #[must_use]
    pub fn run<S: AsRef<OsStr>>(mut self, command: impl IntoIterator<Item = S>) -> Watched {
        self.command.arg("--").args(command);
        let ended = process::run(&mut self.command, &self.input);
        assert!(!ended.err().contains("panicked"), "{}", ended.err());
        self.stage.search("standard output", &ended.stdout);
        self.stage.search("standard error", &ended.stderr);
        let [findings, summary, sarif] = &self.files;
        let read = |file: &PathBuf| fs::read_to_string(file).unwrap_or_default();
        for file in &self.files {
            self.stage.search(&file.display().to_string(), read(file).as_bytes());
        }
        let list = Finding::all(&read(findings));
        if !list.is_empty() {
            ocsf::check(findings);
            let sarif: serde_json::Value = serde_json::from_str(&read(sarif)).expect("SARIF is JSON");
            let results = sarif.pointer("/runs/0/results").and_then(serde_json::Value::as_array);
            assert_eq!(results.map(Vec::len), Some(list.len()), "{sarif}");
        }
        let lines = read(findings);
        self.stage.search("the capture", &fs::read(&self.capture).expect("a capture"));
        let (replayed, said) = replay(self.stage, &self.capture);
        assert_eq!(replayed, lines, "a replay gives the same lines, latency included: it was recorded\n{said}");
        for trouble in ["missing", "no answer", "not ended in order", "another"] {
            assert!(!said.contains(trouble), "{said}");
        }
        Watched { ended, findings: list, lines, summary: read(summary), capture: self.capture }
    }
}

/// The findings that a replay gives, byte for byte, and what it says.
///
/// # Panics
/// When the capture cannot be replayed.
#[must_use]
pub fn replay(stage: &Stage, capture: &Path) -> (String, String) {
    let findings = capture.with_extension("replayed");
    let mut command = Command::new(process::tokenhound());
    command.arg("replay").arg(capture).arg("--findings").arg(&findings);
    command.arg("--catalogue").arg(stage.path("catalogue.d")).arg("--policy").arg(stage.path("policy.d"));
    let ended = process::run(&mut command, b"");
    assert_eq!(ended.code(), 0, "{}", ended.err());
    (fs::read_to_string(findings).expect("a findings file"), ended.err())
}

impl Watched {
    /// How many reads the summary lists of this store, by this reader, with this verdict, whatever the step.
    #[must_use]
    pub fn reads(&self, store: &str, reader: &str, verdict: &str) -> u64 {
        rows(&self.summary)
            .filter(|row| row[..3] == [store, reader, verdict])
            .filter_map(|row| row[3].parse::<u64>().ok())
            .sum()
    }

    /// Findings of a detector.
    #[must_use]
    pub fn of(&self, detector: &str) -> Vec<&Finding> {
        self.findings.iter().filter(|finding| finding.detector() == detector).collect()
    }

    /// Everything that helps to understand a failed test.
    #[must_use]
    pub fn story(&self) -> String {
        let findings: Vec<String> = self.findings.iter().map(Finding::brief).collect();
        format!("exit code {}\n{}\n{}\n", self.ended.code(), findings.join("\n"), self.summary)
    }
}

/// The rows of the table in a summary: store, reader, verdict, reads, step.
pub fn rows(summary: &str) -> impl Iterator<Item = [String; 5]> {
    let all = summary.lines().filter_map(|line| {
        let cells = line.strip_prefix("| ")?.strip_suffix(" |")?.split(" | ");
        let cells: Vec<String> = cells.map(|cell| plain(cell.trim())).collect();
        cells.try_into().ok()
    });
    // Its head and the line below that.
    all.skip(2)
}

/// What a cell shows: without the tags around it, and with its character references resolved.
fn plain(cell: &str) -> String {
    let cell = cell.strip_prefix("<code>").and_then(|cell| cell.strip_suffix("</code>")).unwrap_or(cell);
    let mut parts = cell.split("&#");
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (code, rest) = part.split_once(';').expect("a whole reference");
        text.push(code.parse().ok().and_then(char::from_u32).expect("a character"));
        text.push_str(rest);
    }
    text
}
