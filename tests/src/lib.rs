//! What the end-to-end tests are made of: a stage with made-up tokens, acts played on it under `tokenhound watch` or
//! beside `tokenhound run`, and what must come of them.
//!
//! Every byte that tokenhound wrote is searched for every made-up token, in every test: see [`stage::Stage::search`].
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests: a failure is a panic")]

pub mod agent;
pub mod containerd;
pub mod docker;
pub mod evasion;
pub mod finding;
pub mod http;
pub mod ocsf;
pub mod podman;
pub mod pods;
pub mod process;
pub mod receiver;
pub mod scene;
pub mod skip;
pub mod stage;
pub mod standin;
pub mod store;
pub mod token;
pub mod watch;
