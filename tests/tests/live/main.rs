//! The end-to-end tests, in one program. `cargo xtask test live` runs it here, `cargo xtask test vm` in guests.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests: a failure is a panic")]

mod agent;
mod bad_input;
mod demo;
mod innocents;
mod inspection;
mod lives;
mod pass_through;
mod sweeps;
mod thieves;
mod watch_keys;

use std::path::PathBuf;

use tokenhound_tests::stage::Stage;

/// The actor, in this program so that both get into a guest together.
#[cfg(not(clippy))]
const ACTOR: &[u8] = include_bytes!(env!("CARGO_BIN_EXE_actor"));
/// Lints are checked without building the actor.
#[cfg(clippy)]
const ACTOR: &[u8] = &[];

/// Puts the actor on a stage, under this name.
fn actor(stage: &Stage, name: &str) -> PathBuf {
    stage.executable(&format!("bin/{name}"), ACTOR)
}
