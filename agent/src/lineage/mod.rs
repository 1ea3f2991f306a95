//! Who descends from whom.
pub mod identity;
pub mod model;
pub mod table;
