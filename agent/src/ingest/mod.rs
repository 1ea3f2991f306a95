//! Decoded records: rings, decoding, time.
pub mod clock;
pub mod observation;
pub mod redact;
