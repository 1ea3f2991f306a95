//! Copies of tokens: files that processes have written who may have had a token are looked into, and a copy is told only
//! where the token is really there.

mod base64;
pub mod contents;
mod inflate;
mod layer;
mod look;
pub mod model;
mod open;
mod packed;
pub mod place;
mod queue;
mod read;
mod search;
mod tar;
mod thread;
mod zip;

pub use thread::Copies;

#[cfg(test)]
mod tests;
