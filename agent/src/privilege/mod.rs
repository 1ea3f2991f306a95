//! What the agent may still do once everything is attached: as little as it can work with.
//!
//! Three things, of which each kernel gives what it has: capabilities, a filter for system calls, and rules about files.
//! Their reasons stand in `docs/privileges.md`. Only `run` gives up rights: a command that `watch` or `run --ci` starts
//! would inherit all of it, and `sudo` in it would not work.

pub mod calls;
pub mod capabilities;
pub mod check;
pub mod files;
mod perf;

use std::{
    fmt, fs, io,
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

/// How long threads that have ended may take to be gone: who waits for one is woken a moment before `/proc` forgets it.
const OTHERS: Duration = Duration::from_secs(20);

/// How often it is looked whether they have.
const LOOK: Duration = Duration::from_millis(5);

/// Why rights could not be given up.
#[derive(Debug, thiserror::Error)]
pub enum PrivilegeError {
    /// Other threads would keep theirs.
    #[error("give up rights: {0} threads run already, and each keeps its own; report this")]
    Threads(usize),
    /// `/proc` does not tell.
    #[error("give up rights: count our threads in /proc/self/task: {0}; is /proc mounted?")]
    Count(io::Error),
    /// The kernel refused to take away capabilities.
    #[error("give up capabilities: {0}; is a security module in the way?")]
    Capabilities(io::Error),
}

/// What became of one of the three.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// In force, with what there is to say of it.
    Done(String),
    /// This kernel does not have it, or refused it.
    Missing(String),
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done(what) => f.write_str(what),
            Self::Missing(why) => write!(f, "not in force: {why}"),
        }
    }
}

/// What was given up.
#[derive(Clone, Debug)]
pub struct Given {
    /// Capabilities, for the whole process.
    pub capabilities: Outcome,
    /// System calls, for the whole process.
    pub calls: Outcome,
    /// Writing to files outside its own directories, for the threads that call [`files::keep_to_own`].
    pub files: Outcome,
}

/// Gives up all rights but those that a running agent needs, for this thread and all that it starts from now on. It may write
/// below `places`, which must exist.
///
/// # Errors
/// When there are other threads, or capabilities cannot be taken away. What a kernel does not have is no error.
pub fn give_up(places: &[PathBuf]) -> Result<Given, PrivilegeError> {
    be_alone()?;
    let files = files::prepare(places);
    let capabilities = capabilities::give_up().map_err(PrivilegeError::Capabilities)?;
    // Last: it allows nothing of the above.
    let calls = calls::restrict();
    Ok(Given { capabilities, calls, files })
}

/// Is there no other thread, but for those that are about to be gone?
fn be_alone() -> Result<(), PrivilegeError> {
    let until = Instant::now() + OTHERS;
    loop {
        match fs::read_dir("/proc/self/task").map_err(PrivilegeError::Count)?.count() {
            0 | 1 => return Ok(()),
            threads if Instant::now() >= until => return Err(PrivilegeError::Threads(threads)),
            _ => thread::sleep(LOOK),
        }
    }
}
