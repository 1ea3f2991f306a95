//! Facts about the running kernel.

pub mod btf;
pub mod facts;
pub mod file_id;
pub mod generation;
pub mod offsets;
