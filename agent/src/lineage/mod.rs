//! Who descends from whom.
pub mod model;
