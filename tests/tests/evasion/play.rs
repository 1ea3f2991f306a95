//! Plays one technique, and listens to it.

use std::{
    io::{BufRead, BufReader, Read, Write},
    os::unix::process::{CommandExt, ExitStatusExt},
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process_group};
use tokenhound_tests::{agent::Agent, evasion::Declared, finding::Finding, process::patience};

use crate::{theatre::Theatre, told::Told};

/// A technique that is being played.
pub(crate) struct Play {
    declared: Declared,
    child: Child,
    lines: Receiver<String>,
    complaints: thread::JoinHandle<String>,
    told: Told,
}

/// One that was played.
pub(crate) struct Played {
    pub(crate) declared: Declared,
    /// The process that all of it descends from.
    pub(crate) root: u64,
    /// Exit code; `None` if it did not come to an end.
    pub(crate) code: Option<i32>,
    pub(crate) told: Told,
    pub(crate) complaint: String,
    /// What the agent says of it.
    pub(crate) findings: Vec<Finding>,
}

impl Play {
    pub(crate) fn start(theatre: &Theatre, declared: Declared) -> Self {
        let mut command = Command::new(crate::program());
        command.args(["run", &declared.name, "--store"]).arg(&theatre.store);
        command.arg("--dir").arg(theatre.room(&declared.name)).env("HOME", &theatre.home).current_dir("/");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        let mut child = command.spawn().expect("start the evasion program");
        let (sender, lines) = channel();
        let output = BufReader::new(child.stdout.take().unwrap());
        thread::spawn(move || output.lines().map_while(Result::ok).all(|line| sender.send(line).is_ok()));
        let mut errors = child.stderr.take().unwrap();
        let complaints = thread::spawn(move || {
            let mut text = Vec::new();
            let _ = errors.read_to_end(&mut text);
            String::from_utf8_lossy(&text).into_owned()
        });
        Self { declared, child, lines, complaints, told: Told::default() }
    }

    /// Listens until `enough`, or until it says nothing more. Whether it came to that in time.
    fn listen(&mut self, enough: impl Fn(&Told) -> bool) -> bool {
        let deadline = Instant::now() + patience() / 3;
        while !enough(&self.told) {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => self.told.hear(&line),
                Err(RecvTimeoutError::Disconnected) => return true,
                Err(RecvTimeoutError::Timeout) => return false,
            }
        }
        true
    }

    /// Waits until somebody holds the store open.
    pub(crate) fn until_held(mut self) -> Self {
        self.listen(|told| told.held.is_some());
        self
    }

    /// Waits until the agent has told of the holder, and watches reads if that still runs. If it does not, the technique will
    /// be unseen, which is judged later.
    pub(crate) fn wait_for_word_of_holder(&self, agent: &Agent<'_>) {
        let deadline = Instant::now() + patience() / 9;
        let Some(holder) = self.told.held else { return };
        let until = |enough: &dyn Fn() -> bool| {
            while Instant::now() < deadline && !enough() {
                thread::sleep(Duration::from_millis(20));
            }
        };
        until(&|| agent.findings("").iter().any(|finding| finding.pid() == Some(holder)));
        let runs = || std::path::Path::new(&format!("/proc/{holder}")).exists();
        until(&|| !runs() || agent.metrics().contains("tokenhound_reads_watched 1"));
    }

    /// Lets it go on, if it waits.
    pub(crate) fn let_go(mut self) -> Self {
        // It may have ended.
        let _ = self.child.stdin.take().map(|mut input| input.write_all(b"\n"));
        self
    }

    /// Waits for its end.
    pub(crate) fn finish(mut self) -> Played {
        let in_time = self.listen(|_| false);
        if !in_time {
            let _ = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
        }
        let status = self.child.wait().expect("wait for the evasion program");
        let code = status.code().or(status.signal().map(|signal| -signal)).filter(|_| in_time);
        Played {
            root: self.child.id().into(),
            declared: self.declared,
            code,
            told: self.told,
            complaint: self.complaints.join().unwrap_or_default(),
            findings: Vec::new(),
        }
    }
}
