//! Facts about the running kernel.

pub mod btf;
pub mod facts;
pub mod file_id;
pub mod offsets;
