//! `tokenhound run` beside the test.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use crate::{
    finding::Finding,
    http, ocsf,
    process::{self, Background, Ended, patience},
    stage::Stage,
};

/// Held by the agent that runs: there can be one.
const LOCK: &str = "/run/tokenhound/agent.lock";

static ONE: Mutex<()> = Mutex::new(());

/// The running agent. Tests that need one wait for each other.
pub struct Agent<'s> {
    stage: &'s Stage,
    /// The process.
    pub process: Background,
    /// Where it listens.
    pub port: u16,
    findings: PathBuf,
    _one: MutexGuard<'static, ()>,
}

/// Waits until no agent runs here and keeps others from starting while the result is held.
pub fn alone() -> MutexGuard<'static, ()> {
    let one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    wait_for_others();
    one
}

impl<'s> Agent<'s> {
    /// Starts it and waits until it is ready.
    ///
    /// # Panics
    /// When it does not become ready in time.
    #[must_use]
    pub fn start(stage: &'s Stage) -> Self {
        Self::start_with(stage, |_| {})
    }

    /// The same on a tier.
    ///
    /// # Panics
    /// When it does not become ready in time.
    #[must_use]
    pub fn start_on(stage: &'s Stage, tier: &str) -> Self {
        Self::start_with(stage, |command| {
            command.args(["--tier", tier]);
        })
    }

    /// Starts it with other arguments or variables, and waits until it is ready.
    ///
    /// # Panics
    /// When it does not become ready in time.
    #[must_use]
    pub fn start_with(stage: &'s Stage, change: impl FnOnce(&mut Command)) -> Self {
        let one = alone();
        let (port, findings) = (http::free_port(), stage.path("out/agent-findings"));
        let mut command = command(stage, port);
        change(command.arg("--findings").arg(&findings));
        if !command.get_args().any(|argument| argument == "--config") {
            // All that tests do has one root: each finding is looked at by itself, however many look the same.
            command.arg("--config").arg(stage.file("whole.yaml", "history: {alike: 1000000}\n"));
        }
        let mut process = Background::start(&mut command);
        process.until("readiness", || http::get(port, "/readyz").filter(|(status, _)| *status == 200));
        Self { stage, process, port, findings, _one: one }
    }

    /// Its findings so far that mention `text`. It watches the whole machine, others' doings included.
    #[must_use]
    pub fn findings(&self, text: &str) -> Vec<Finding> {
        written(&self.findings, text)
    }

    /// Waits for a finding that mentions `text`.
    ///
    /// # Panics
    /// When none comes in time.
    pub fn finding(&mut self, text: &str) -> Finding {
        self.provoke(text, || {})
    }

    /// Does something again and again until a finding mentions `text`: for what is watched soon, not at once.
    ///
    /// # Panics
    /// When none comes in time.
    pub fn provoke(&mut self, text: &str, mut act: impl FnMut()) -> Finding {
        let file = self.findings.clone();
        let found = || {
            act();
            written(&file, text).into_iter().next()
        };
        self.process.until_or(&format!("finding about {text}"), found, || titles(&file))
    }

    /// Waits until its findings are `enough`.
    ///
    /// # Panics
    /// When they are not in time.
    pub fn until(&mut self, what: &str, enough: impl Fn(&[Finding]) -> bool) {
        let file = self.findings.clone();
        self.process.until_or(what, || enough(&written(&file, "")).then_some(()), || titles(&file));
    }

    /// Its metrics now.
    ///
    /// # Panics
    /// When it does not answer.
    #[must_use]
    pub fn metrics(&self) -> String {
        let (status, text) = http::get(self.port, "/metrics").expect("an answer");
        assert_eq!(status, 200);
        self.stage.search("metrics", text.as_bytes());
        text
    }

    /// Kills it, as the kernel does when there is no memory left. Returns what it had found; a line that was being written
    /// is taken away.
    ///
    /// # Panics
    /// When it had ended before.
    #[must_use]
    pub fn kill(mut self) -> String {
        self.process.child.kill().expect("it runs");
        self.process.child.wait().expect("it ends");
        let all = fs::read_to_string(&self.findings).expect("a findings file");
        let whole = all.rfind('\n').map_or(0, |end| end + 1);
        fs::write(&self.findings, &all[..whole]).expect("write a file");
        all[..whole].to_owned()
    }

    /// Ends it, searches all it wrote for tokens, and checks its findings against the schema.
    ///
    /// # Panics
    /// When something is wrong with any of that.
    pub fn stop(mut self) -> Ended {
        let _ = self.metrics();
        let ended = self.process.stop();
        assert_eq!(ended.code(), 0, "{}{}", ended.out(), ended.err());
        assert!(!ended.err().contains("panicked"), "{}", ended.err());
        self.stage.search("standard output", &ended.stdout);
        self.stage.search("standard error", &ended.stderr);
        let findings = fs::read(&self.findings).unwrap_or_default();
        self.stage.search("the findings file", &findings);
        if !findings.is_empty() {
            ocsf::check(&self.findings);
        }
        ended
    }
}

/// Most titles that are told where another finding was waited for.
const TITLES: usize = 25;

/// The latest of what was found instead.
fn titles(file: &Path) -> String {
    let all = written(file, "");
    let title = |finding: &Finding| format!("\n  {}: {}", finding.detector(), finding.title());
    let latest: String = all.iter().skip(all.len().saturating_sub(TITLES)).map(title).collect();
    format!("; {} others:{latest}", all.len())
}

/// The findings that mention `text` in a file that is being written: its last line may be half there.
fn written(file: &Path, text: &str) -> Vec<Finding> {
    let all = fs::read_to_string(file).unwrap_or_default();
    let whole = all.rsplit_once('\n').map_or("", |(whole, _)| whole);
    // There may be tens of thousands; only those that may be meant are taken apart.
    let maybe: Vec<&str> = whole.lines().filter(|line| line.contains(text)).collect();
    Finding::all(&maybe.join("\n"))
}

/// `tokenhound run` on this port, with nothing but what is built in.
#[must_use]
pub fn command(stage: &Stage, port: u16) -> Command {
    let mut command = Command::new(process::tokenhound());
    command.arg("run").arg("--listen").arg(format!("127.0.0.1:{port}"));
    command.arg("--catalogue").arg(stage.path("catalogue.d")).arg("--policy").arg(stage.path("policy.d"));
    command.arg("--state-dir").arg(stage.path("state"));
    command.env("TOKENHOUND_LOG", "debug");
    command
}

/// Waits until no other agent runs here, such as one of another test program.
fn wait_for_others() {
    let deadline = Instant::now() + patience();
    let Ok(lock) = File::open(LOCK) else { return };
    while lock.try_lock().is_err() {
        assert!(Instant::now() < deadline, "an agent that is not ours holds {LOCK}");
        std::thread::yield_now();
    }
}
