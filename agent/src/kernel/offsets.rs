//! From BTF to the offsets that the programs need (`tokenhound_common::fields`).

use tokenhound_common::fields::{ABSENT, FIELDS, Field, Need, Offsets};

use crate::kernel::btf::{Btf, MemberError};

/// A field that the programs cannot do without.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum OffsetError {
    /// It is missing or ambiguous.
    #[error("field {field}: {source}")]
    Missing {
        /// Our name of it.
        field: &'static str,
        /// Why.
        source: MemberError,
    },
    /// It has another size than the programs read.
    #[error("field {field}: `{structure}` holds {found} bytes there, expected {expected}")]
    Size {
        /// Our name of it.
        field: &'static str,
        /// The type.
        structure: &'static str,
        /// Bytes found.
        found: u32,
        /// Bytes the programs read.
        expected: u32,
    },
}

/// Offsets of all fields and the facts that this kernel cannot give.
#[derive(Debug, PartialEq, Eq)]
pub struct Resolved {
    /// For the programs.
    pub offsets: Offsets,
    /// What is missing from records because an optional field is absent.
    pub missing: Vec<&'static str>,
}

/// Looks up every field.
///
/// # Errors
///
/// All required fields that are missing, ambiguous or of another size, at once.
pub fn resolve(btf: &Btf) -> Result<Resolved, Vec<OffsetError>> {
    let mut offsets = [ABSENT; FIELDS.len()];
    let (mut missing, mut errors) = (Vec::new(), Vec::new());
    for (slot, field) in offsets.iter_mut().zip(FIELDS) {
        match (lookup(btf, field), field.need) {
            (Ok(offset), _) => *slot = offset,
            (Err(_), Need::Optional(fact)) => missing.push(fact),
            (Err(error), Need::Required) => errors.push(error),
        }
    }
    if errors.is_empty() { Ok(Resolved { offsets: Offsets::from_array(offsets), missing }) } else { Err(errors) }
}

/// The place of `field` under the first of its names that this kernel has. Anything but the absence of a name is an
/// error at once: a name that is there but ambiguous must not be passed over for an older one.
fn lookup(btf: &Btf, field: &Field) -> Result<u32, OffsetError> {
    for path in field.paths {
        match btf.member(field.structure, path) {
            Ok(member) if field.size != 0 && member.size != field.size => {
                return Err(OffsetError::Size {
                    field: field.name,
                    structure: field.structure,
                    found: member.size,
                    expected: field.size,
                });
            }
            Ok(member) => return Ok(member.offset),
            Err(MemberError::NoMember { .. }) => {}
            Err(source) => return Err(OffsetError::Missing { field: field.name, source }),
        }
    }
    let source = MemberError::NoMember { structure: field.structure.into(), path: field.paths.join("` or `") };
    Err(OffsetError::Missing { field: field.name, source })
}

#[cfg(test)]
mod tests;
