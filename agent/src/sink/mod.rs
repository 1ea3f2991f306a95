//! Where findings go.
pub mod file;
pub mod queue;
pub mod text;
