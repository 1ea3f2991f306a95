//! Asks name services for users who are not in the local file.
//!
//! With `getent`, so that no name service module runs inside the agent. An agent that has given up its rights cannot start
//! programs any more: it leaves the asking to a [`Helper`] that was started before, has no rights at all, and does
//! nothing else.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    os::fd::AsFd,
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Gid, Uid},
    thread::{set_no_new_privs, set_thread_gid, set_thread_groups, set_thread_uid},
};

use super::users::{User, user};

/// Name of the hidden subcommand.
pub const SUBCOMMAND: &str = "names";
/// How long a name service may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// Most bytes of an answer.
const ANSWER_BYTES: u64 = 64 << 10;
/// `nobody` on every distribution (`OVERFLOWUID` of the kernel).
const NOBODY: u32 = 65_534;

/// Who is asked.
#[derive(Debug)]
pub enum Service {
    /// `getent`, each time.
    Program,
    /// The helper.
    Helper(Helper),
}

impl Service {
    /// The user with this number, if anybody knows them in time.
    pub fn ask(&mut self, uid: u32) -> Option<User> {
        match self {
            Self::Program => user(&ask(Path::new("getent"), uid)?),
            Self::Helper(helper) => helper.ask(uid),
        }
    }
}

/// A process that asks for us. It ends with its input.
#[derive(Debug)]
pub struct Helper {
    /// Not waited for: it ends with its input, which ends with us.
    _child: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Helper {
    /// Starts it.
    ///
    /// # Errors
    /// When a process cannot be started.
    pub fn start() -> io::Result<Self> {
        let mut command = Command::new("/proc/self/exe");
        command.arg(SUBCOMMAND).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn()?;
        let (Some(questions), Some(answers)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(io::Error::other("a child without pipes"));
        };
        Ok(Self { _child: child, questions, answers: BufReader::new(answers) })
    }

    /// An answer that comes too late is that to a question of before: it is passed over then.
    fn ask(&mut self, uid: u32) -> Option<User> {
        writeln!(self.questions, "{uid}").ok()?;
        let deadline = Instant::now() + PATIENCE * 2;
        loop {
            let line = self.line(deadline)?;
            let (of, answer) = line.trim_end().split_once(' ')?;
            if of.parse() == Ok(uid) {
                return user(answer);
            }
        }
    }

    fn line(&mut self, deadline: Instant) -> Option<String> {
        if self.answers.buffer().is_empty() {
            let left = deadline.checked_duration_since(Instant::now())?;
            let left = Timespec::try_from(left).ok()?;
            let ready = poll(&mut [PollFd::new(&self.answers.get_ref().as_fd(), PollFlags::IN)], Some(&left)).ok()?;
            (ready > 0).then_some(())?;
        }
        let mut line = String::new();
        // The helper writes whole lines, each at once.
        let read = (&mut self.answers).take(ANSWER_BYTES).read_line(&mut line).ok()?;
        (read > 0).then_some(line)
    }
}

/// Answers questions until there are no more: a number a line, and to each its number and a line of `passwd(5)`, or nothing.
///
/// # Errors
/// When input or output fails.
pub fn serve() -> io::Result<()> {
    become_nobody();
    let mut out = io::stdout().lock();
    for line in io::stdin().lock().lines() {
        let Ok(uid) = line?.trim().parse() else { continue };
        let answer = ask(Path::new("getent"), uid).unwrap_or_default();
        out.write_all(format!("{uid} {answer}\n").as_bytes())?;
    }
    Ok(())
}

/// As root: no user of any consequence, without capabilities. As anybody else: without the right to get more.
fn become_nobody() {
    // Whoever is not root may do none of it, and needs none of it.
    let _ = set_thread_groups(&[]);
    let _ = set_thread_gid(Gid::from_raw(NOBODY));
    let _ = set_thread_uid(Uid::from_raw(NOBODY));
    let _ = set_no_new_privs(true);
}

/// The first line of `getent passwd UID`, given up after [`PATIENCE`].
pub(super) fn ask(getent: &Path, uid: u32) -> Option<String> {
    let mut child = Command::new(getent)
        .args(["passwd", &uid.to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let deadline = Instant::now() + PATIENCE;
    loop {
        match child.try_wait() {
            Ok(Some(_)) => break,
            Ok(None) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(5)),
            Ok(None) | Err(_) => {
                // It has ended or will; nothing else can be done about it.
                let _ = child.kill();
                let _ = child.wait();
                return None;
            }
        }
    }
    let mut answer = String::new();
    child.stdout.take()?.take(ANSWER_BYTES).read_to_string(&mut answer).ok()?;
    answer.lines().next().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn getent_is_asked_and_not_waited_for_long() {
        assert!(ask(Path::new("getent"), 0).is_some_and(|line| line.starts_with("root:")));
        assert!(ask(Path::new("getent"), 4_294_900_000).is_none());
        assert!(ask(Path::new("/nowhere/getent"), 0).is_none());
    }
}
