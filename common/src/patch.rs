//! Instructions that the agent completes before it loads the object: what a loader would do by relocation.

use crate::fields::FIELDS;

/// `bpf_rdonly_cast(object, type)`: the instruction as it stands in the object (`BPF_JMP | BPF_CALL` with
/// `BPF_PSEUDO_KFUNC_CALL` as source), with a number in place of the function's BTF id that no kernel has.
pub const RDONLY_CAST: u64 = 0x7f00_0001_0000_2085;

/// What stands there instead on kernels without the function: `r0 = 0`. The code around it is never reached.
pub const NOTHING: u64 = 0x0000_0000_0000_00b7;

/// The same call of the function with the BTF id `function`.
#[must_use]
pub const fn call(function: u32) -> u64 {
    (function as u64) << 32 | RDONLY_CAST & 0xffff_ffff
}

/// Is it an atomic compare and exchange (`BPF_STX | BPF_ATOMIC` with `BPF_CMPXCHG`)? Its old value is in `r0`, so
/// [`NOTHING`] in its place finds zero there.
#[must_use]
pub const fn exchanges(instruction: u64) -> bool {
    matches!(instruction & 0xff, 0xc3 | 0xdb) && instruction >> 32 == 0xf1
}

/// Offset that a load of the first of [`FIELDS`] has in the object; those of the others follow. No structure that
/// programs see is that large, so nothing else has such an offset.
pub const FIELD: i16 = 0x7000;

/// Offset that stands in the object for the field with this number.
#[must_use]
pub const fn field(number: usize) -> i64 {
    assert!(number < FIELDS.len());
    FIELD as i64 + number as i64
}

/// Number of the field that `instruction` loads, if it is a load from memory (`BPF_LDX | BPF_MEM`) of a field.
#[must_use]
pub const fn loaded_field(instruction: u64) -> Option<usize> {
    // Class in the low three bits, mode in the high three; the size lies between.
    let load = instruction & 0xe7 == 0x61;
    let offset = (instruction >> 16) as u16 as i16;
    let number = offset.wrapping_sub(FIELD);
    if load && instruction >> 32 == 0 && number >= 0 && (number as usize) < FIELDS.len() {
        Some(number as usize)
    } else {
        None
    }
}

/// The same load at another offset.
#[must_use]
pub const fn load_at(instruction: u64, offset: i16) -> u64 {
    instruction & !(0xffff << 16) | (offset as u16 as u64) << 16
}
