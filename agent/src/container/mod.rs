//! Containers, as the host sees them: what their runtimes say of them, what is mounted into them, and what images hold.
//!
//! Works for every runtime by what all have in common: mounts are told by `/proc/<pid>/mountinfo` and found on the host by
//! device and root; names come from the files that each runtime keeps ([`facts`]). Files are read on threads of their own
//! (`pipeline/containers.rs`, `pipeline/images.rs`), bounded and without following links; what is found goes to the core as an input.

pub mod daemons;
pub mod engine;
pub mod facts;
pub mod images;

pub mod model;
pub mod mounts;
