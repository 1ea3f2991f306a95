//! The wire between the kernel programs and the agent: what a record looks like, how a watched file is named,
//! which kernel fields are needed, and every limit and reason for loss that both sides must agree on.
//!
//! Everything that crosses the border is a plain `repr(C)` struct of integers without padding. A number on the
//! wire is never a Rust enum: the agent's decoder turns it into one and reports what it does not know.
#![no_std]

pub mod fields;
pub mod limits;
pub mod loss;
pub mod patch;
#[cfg(feature = "user")]
mod pod;
pub mod process;
pub mod record;
pub mod watch;
