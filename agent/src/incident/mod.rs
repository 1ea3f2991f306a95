//! Findings that belong together are one incident: one notification with updates, not forty. Pure: time is that of the
//! findings, and the ticks of whoever calls. `docs/design/incidents.md` says why these keys and these bounds.
//!
//! - [`place`] says to which process a finding belongs, [`table`] to which incident.
//! - [`model`] is what is known of one: exact counts, and names as far as they find room.
//! - [`severity`] says how much all of it together matters.
//! - [`notice`] says when somebody is told, [`text`] and [`ocsf`] how.
//! - [`suppress`] says when nobody is.

mod absorb;
pub mod model;
pub mod notice;
pub mod ocsf;
pub mod place;
pub mod severity;
pub mod suppress;
pub mod table;
#[cfg(test)]
mod tests;
pub mod text;
