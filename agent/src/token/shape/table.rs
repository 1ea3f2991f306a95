//! The shapes, one file for each kind of vendor. Lengths and alphabets are those of the vendors' pages, or where these do not give them,
//! of the rules that several public scanners agree on; [`super::Issuer::source`] says which.

use super::{Loose, Shape};

mod ai;
mod clouds;
mod code;
mod general;
mod packages;
mod secrets;
mod services;
mod vague;

pub(super) use vague::VAGUE;

pub(super) static TABLES: &[&[Shape]] =
    &[code::SHAPES, clouds::SHAPES, ai::SHAPES, packages::SHAPES, secrets::SHAPES, services::SHAPES, general::SHAPES];
