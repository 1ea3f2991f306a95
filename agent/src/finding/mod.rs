//! What a detector reports, and the forms in which it leaves the machine.
pub mod annotation;
pub mod detector;
pub mod explain;
pub mod model;
pub mod ocsf;
#[cfg(test)]
mod pages;
#[cfg(test)]
pub(crate) mod samples;
pub mod sarif;
pub mod severity;
pub mod standards;
pub mod stored;
pub mod text;
pub mod touched;
pub mod visible;
