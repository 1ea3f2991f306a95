//! Loading, attaching and proving the kernel programs.

pub mod canary;
pub mod coverage;
pub mod holders;
pub mod keys;
pub mod load;
pub mod patch;
pub mod plan;
mod reads;
pub mod selftest;
pub mod verifier;
