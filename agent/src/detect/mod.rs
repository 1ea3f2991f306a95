//! From accesses to findings.
pub mod access;
