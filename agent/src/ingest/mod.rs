//! Decoded records: rings, decoding, time.
pub mod observation;
