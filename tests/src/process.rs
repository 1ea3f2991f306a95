//! Runs programs with a deadline, without ever sleeping.

use std::{
    env,
    io::{Read, Write},
    os::unix::process::ExitStatusExt,
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, PidfdFlags, Signal, pidfd_open},
};

use crate::skip;

/// The program under test.
///
/// # Panics
/// When `TOKENHOUND_BIN` does not name it.
#[must_use]
pub fn tokenhound() -> PathBuf {
    let file = env::var_os("TOKENHOUND_BIN").map(PathBuf::from);
    let file = file.expect("TOKENHOUND_BIN names the program under test: use `cargo xtask test live`");
    assert!(rustix::process::geteuid().is_root(), "only root may load kernel programs");
    file
}

/// How long anything may take. Generous: a busy machine is no failure, only a program that hangs is.
#[must_use]
pub fn patience() -> Duration {
    Duration::from_secs(if skip::in_guest() { 400 } else { 180 })
}

/// How a program ended, and what it wrote.
#[derive(Debug)]
pub struct Ended {
    /// How.
    pub status: ExitStatus,
    /// All of its standard output.
    pub stdout: Vec<u8>,
    /// All of its standard error.
    pub stderr: Vec<u8>,
}

impl Ended {
    /// Exit code; `-N` for signal N.
    #[must_use]
    pub fn code(&self) -> i32 {
        self.status.code().or_else(|| self.status.signal().map(|signal| -signal)).unwrap_or(-1)
    }

    /// Standard output as text.
    #[must_use]
    pub fn out(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Standard error as text.
    #[must_use]
    pub fn err(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }
}

/// Runs a program to its end, with `input` as its standard input.
///
/// # Panics
/// When it cannot be started or takes too long.
pub fn run(command: &mut Command, input: &[u8]) -> Ended {
    let mut background = Background::start(command);
    let mut stdin = background.child.stdin.take().expect("a pipe");
    let input = input.to_vec();
    // It may end before it has read everything.
    let writer = thread::spawn(move || drop(stdin.write_all(&input)));
    let ended = background.wait();
    writer.join().expect("the writer never panics");
    ended
}

/// A program that runs beside the test. Killed when dropped.
pub struct Background {
    /// The process.
    pub child: Child,
    name: String,
    stdout: mpsc::Receiver<Vec<u8>>,
    stderr: mpsc::Receiver<Vec<u8>>,
}

impl Background {
    /// Starts it, with pipes for its standard streams.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn start(command: &mut Command) -> Self {
        let name = format!("{command:?}");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("start {name}: {error}"));
        let stdout = collect(child.stdout.take().expect("a pipe"));
        let stderr = collect(child.stderr.take().expect("a pipe"));
        Self { child, name, stdout, stderr }
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until it ends, at most for `time`. Returns whether it has.
    pub fn ends_within(&mut self, time: Duration) -> bool {
        if self.child.try_wait().expect("ask for the child").is_some() {
            return true;
        }
        let pidfd = pidfd_open(Pid::from_child(&self.child), PidfdFlags::empty()).expect("open a pidfd");
        let time = Timespec { tv_sec: time.as_secs() as i64, tv_nsec: time.subsec_nanos().into() };
        poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(&time)).is_ok_and(|ready| ready > 0)
    }

    /// Asks until `answer` has one, while it runs.
    ///
    /// # Panics
    /// When it ends, or when no answer comes in time.
    pub fn until<T>(&mut self, what: &str, answer: impl FnMut() -> Option<T>) -> T {
        self.until_or(what, answer, String::new)
    }

    /// The same; where no answer comes in time, `instead` is told.
    ///
    /// # Panics
    /// When it ends, or when no answer comes in time.
    pub fn until_or<T>(
        &mut self,
        what: &str,
        mut answer: impl FnMut() -> Option<T>,
        instead: impl FnOnce() -> String,
    ) -> T {
        let deadline = Instant::now() + patience();
        loop {
            if let Some(answer) = answer() {
                return answer;
            }
            if self.ends_within(Duration::from_millis(50)) {
                let ended = self.wait();
                panic!("{} ended with {} before {what}:\n{}{}", self.name, ended.code(), ended.out(), ended.err());
            }
            if Instant::now() >= deadline {
                panic!("{}: no {what} in time{}", self.name, instead());
            }
        }
    }

    /// Asks it to end, and waits.
    ///
    /// # Panics
    /// When it takes too long.
    pub fn stop(&mut self) -> Ended {
        // It may have ended already, which `wait` tells.
        let _ = rustix::process::kill_process(Pid::from_child(&self.child), Signal::TERM);
        self.wait()
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When it takes too long.
    pub fn wait(&mut self) -> Ended {
        let deadline = Instant::now() + patience();
        if !self.ends_within(patience()) {
            let _ = self.child.kill();
            let (out, err) = (self.stdout.recv().unwrap_or_default(), self.stderr.recv().unwrap_or_default());
            panic!(
                "{} still ran after {:?}:\n{}{}",
                self.name,
                patience(),
                String::from_utf8_lossy(&out),
                String::from_utf8_lossy(&err)
            );
        }
        let status = self.child.wait().expect("wait for the child");
        let rest = |from: &mpsc::Receiver<Vec<u8>>| {
            let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_secs(1));
            from.recv_timeout(left).unwrap_or_else(|_| panic!("{}: something keeps its output open", self.name))
        };
        Ended { status, stdout: rest(&self.stdout), stderr: rest(&self.stderr) }
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        // Ends at once if it has ended before.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn collect(mut from: impl Read + Send + 'static) -> mpsc::Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        // What was read until an error is still what it wrote.
        let _ = from.read_to_end(&mut bytes);
        let _ = sender.send(bytes);
    });
    receiver
}
