//! Tokens: taken out of stores, described, and recognised elsewhere. The only part that touches a token's bytes; what
//! leaves it are facts and fingerprints.

pub mod describe;
pub mod extract;
pub mod fingerprint;
pub mod jwt;
pub mod key;
pub mod model;
pub mod pem;
pub mod read;
pub mod scan;
pub mod secret;
pub mod selector;
pub mod shape;
pub mod times;

#[cfg(test)]
mod tests;
