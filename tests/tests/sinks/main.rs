//! Sinks against real receivers on loopback: each is stopped, stands still, comes back and answers with errors, and the
//! sender is killed once meanwhile. Everything arrives, counted at both ends.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests: a failure is a panic")]

mod agent;
mod alertmanager;
mod certificates;
mod courier;
mod otlp;
mod syslog;
mod web;
mod webhook;
