//! Who descends from whom.
pub mod actor;
pub mod backfill;
pub mod ci;
pub mod container;
pub mod identity;
pub mod loaded;
pub mod model;
pub mod names;
pub mod namespace;
pub mod package;
pub mod table;
pub mod users;
pub mod writable;
