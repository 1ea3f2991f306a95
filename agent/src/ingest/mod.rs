//! From the rings to observations in the order of kernel time.

pub mod answer;
pub mod carried;
pub mod clock;
pub mod decode;
pub mod loading;
pub mod observation;
pub mod ordered;
pub mod redact;
pub mod reorder;
pub mod rest;
pub mod ring;
pub mod sequence;
pub mod texts;
