//! Completes the object for the running kernel: field offsets in loads, and calls of kernel functions.

use object::{Object, ObjectSection, SectionKind};
use tokenhound_common::{
    fields::{FIELDS, Offsets},
    patch,
};
use zerocopy::IntoBytes;

use crate::kernel::btf::Btf;

/// Why the object could not be completed: agent and object do not belong together, or the kernel is very unusual.
#[derive(Debug, thiserror::Error)]
pub enum PatchError {
    /// It is no ELF object.
    #[error("read its sections: {0}; build agent and object together")]
    Sections(#[from] object::Error),
    /// A load cannot reach a field.
    #[error("field `{0}` lies too far into its structure for one instruction")]
    TooFar(&'static str),
    /// The call is not in the object.
    #[error("it has no call of `bpf_rdonly_cast`; build agent and object together")]
    NoCall,
}

/// The object completed, and the BTF id of `struct kiocb`, or 0 where the kernel has no `bpf_rdonly_cast` (before Linux
/// 6.2) and programs must do without.
///
/// # Errors
///
/// See [`PatchError`].
pub fn complete(object: &[u8], btf: &Btf, offsets: &Offsets) -> Result<(Vec<u8>, u32), PatchError> {
    let (call, slot_type) = match (btf.function_id("bpf_rdonly_cast"), btf.structure_id("kiocb")) {
        (Some(function), Some(kiocb)) => (patch::call(function), kiocb),
        _ => (patch::NOTHING, 0),
    };
    // Linux 5.12 brought both the instruction and preemption of programs on functions, which it is for, and the counter
    // by which it is known here.
    let exchange = btf.member("bpf_prog_stats", "misses").is_ok();
    let mut completed = object.to_vec();
    let mut called = false;
    for range in code(object)? {
        let Some(code) = completed.get_mut(range) else { continue };
        for bytes in code.chunks_exact_mut(8) {
            let Ok(whole) = <[u8; 8]>::try_from(&*bytes) else { continue };
            let instruction = u64::from_le_bytes(whole);
            let complete = if patch::exchanges(instruction) && !exchange {
                patch::NOTHING
            } else if instruction == patch::RDONLY_CAST {
                called = true;
                call
            } else if let Some(number) = patch::loaded_field(instruction) {
                patch::load_at(instruction, reach(number, offsets)?)
            } else {
                continue;
            };
            bytes.copy_from_slice(&complete.to_le_bytes());
        }
    }
    if called { Ok((completed, slot_type)) } else { Err(PatchError::NoCall) }
}

/// Where the instructions are.
fn code(object: &[u8]) -> Result<Vec<std::ops::Range<usize>>, PatchError> {
    let file = object::File::parse(object)?;
    let sections = file.sections().filter(|section| section.kind() == SectionKind::Text);
    Ok(sections
        .filter_map(|section| section.file_range())
        .filter_map(|(start, len)| {
            let start = usize::try_from(start).ok()?;
            Some(start..start.checked_add(usize::try_from(len).ok()?)?)
        })
        .collect())
}

/// The offset of a field as an instruction holds it.
fn reach(number: usize, offsets: &Offsets) -> Result<i16, PatchError> {
    let at = 4 * number;
    let offset = offsets.as_bytes().get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map(u32::from_ne_bytes);
    offset
        .and_then(|offset| i16::try_from(offset).ok())
        .filter(|offset| *offset < patch::FIELD)
        .ok_or(PatchError::TooFar(FIELDS[number].name))
}
