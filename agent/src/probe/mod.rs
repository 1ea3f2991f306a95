//! Loading, attaching and proving the kernel programs.

pub mod canary;
pub mod carriers;
pub mod coverage;
pub mod holders;
pub mod keys;
mod link;
pub mod load;
mod on_demand;
pub mod patch;
pub mod plan;
pub mod selftest;
pub mod verifier;
