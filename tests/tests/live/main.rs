//! The end-to-end tests, in one program. `cargo xtask test live` runs it here, `cargo xtask test vm` in guests.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests: a failure is a panic")]

mod action;
mod actors;
mod agent;
mod arguments;
mod audit;
mod audit_clean;
mod bad_input;
mod captures;
mod ci;
mod containers;
mod containers_kept;
mod containers_others;
mod copies;
mod dashboards;
mod decoys;
mod delivery;
mod demo;
mod departed;
mod egress;
mod endpoint;
mod incidents;
mod injected;
mod innocents;
mod inspection;
mod kubernetes;
mod lifecycle;
mod lives;
mod pass_through;
mod pods;
mod policy;
mod printed;
mod private;
mod privileges;
mod readers;
mod real_stores;
mod restart;
mod rpm;
mod runners;
mod sockets;
mod sweeps;
mod thieves;
mod trace;
mod unit;
mod verifier;
mod watch_keys;

use std::path::PathBuf;

use tokenhound_tests::stage::Stage;

/// Puts the actor on a stage, under this name.
fn actor(stage: &Stage, name: &str) -> PathBuf {
    stage.program(name, &beside(env!("CARGO_BIN_EXE_actor"), "actor"))
}

/// A helper program where cargo built it; in a guest it lies beside this one.
fn beside(built: &str, name: &str) -> PathBuf {
    let built = PathBuf::from(built);
    if built.exists() { built } else { std::env::current_exe().expect("this program").with_file_name(name) }
}
