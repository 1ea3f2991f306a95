//! Calls of kernel functions that the agent completes before it loads the object.

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
