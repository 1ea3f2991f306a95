//! Tokens: taken out of stores, described, and recognised elsewhere. The only part that touches a token's bytes; what
//! leaves it are facts and fingerprints.

pub mod describe;
pub mod fingerprint;
pub mod jwt;
pub mod model;
pub mod pem;
pub mod secret;
pub mod shape;
pub mod times;
