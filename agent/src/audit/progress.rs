//! What is said while it takes long: on standard error, if that is a terminal.

use std::{
    io::{IsTerminal, Write},
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// How long nothing is said, and how often something is said then.
const PATIENCE: Duration = Duration::from_millis(500);
/// How many steps go by before the clock is looked at.
const STEPS: u64 = 256;

/// Says how far it is.
#[derive(Debug)]
pub struct Progress {
    shown: bool,
    steps: AtomicU64,
    total: AtomicU64,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    stage: &'static str,
    said: Instant,
    line: bool,
}

impl Progress {
    /// Says nothing.
    #[must_use]
    pub fn silent() -> Self {
        Self::new(false)
    }

    /// Speaks if standard error is a terminal.
    #[must_use]
    pub fn on_terminal() -> Self {
        Self::new(std::io::stderr().is_terminal())
    }

    fn new(shown: bool) -> Self {
        let state = Mutex::new(State { stage: "", said: Instant::now(), line: false });
        Self { shown, steps: AtomicU64::new(0), total: AtomicU64::new(0), state }
    }

    /// Another part of the work begins.
    pub fn stage(&self, stage: &'static str) {
        self.stage_of(stage, 0);
    }

    /// The same with a known number of steps.
    pub fn stage_of(&self, stage: &'static str, total: u64) {
        self.steps.store(0, Ordering::Relaxed);
        self.total.store(total, Ordering::Relaxed);
        if let Ok(mut state) = self.state.lock() {
            state.stage = stage;
        }
    }

    /// One more is done. May be called from any thread.
    pub fn step(&self) {
        let steps = self.steps.fetch_add(1, Ordering::Relaxed) + 1;
        if self.shown && steps.is_multiple_of(STEPS) {
            self.say(steps);
        }
    }

    fn say(&self, steps: u64) {
        let Ok(mut state) = self.state.try_lock() else { return };
        if state.said.elapsed() < PATIENCE {
            return;
        }
        state.said = Instant::now();
        state.line = true;
        let total = self.total.load(Ordering::Relaxed);
        let of = if total > 0 { format!(" of {total}") } else { String::new() };
        // Nobody is there to be told that it could not be said.
        let _ = write!(std::io::stderr(), "\r\x1b[Ktokenhound: {}: {steps}{of} files", state.stage);
    }

    /// Takes the line away.
    pub fn done(&self) {
        if let Ok(mut state) = self.state.lock()
            && std::mem::take(&mut state.line)
        {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}
