//! From a dentry to a path: a bounded walk over dentries and mounts, leaf first.

use core::ffi::c_void;

use aya_ebpf::helpers::generated::bpf_probe_read_kernel_str;
use tokenhound_common::limits::{NAME_BYTES, PATH_BYTES, PATH_STEPS};

use crate::{
    kernel::{Copied, Load, Pointer, masked, offset},
    scratch::{self, Slot},
};

/// Most bytes that a walk writes, rounded up to what [`Walk::len`] can say.
pub const ROOM: usize = 4096;
const _: () = assert!(PATH_BYTES + NAME_BYTES < ROOM);

const LEN_MASK: u64 = ROOM as u64 - 1;
const TRUNCATED: u64 = 1 << 32;
const DETACHED: u64 = 1 << 33;

/// Outcome of a walk.
#[derive(Clone, Copy)]
pub struct Walk(u64);

impl Walk {
    /// Bytes written, below [`ROOM`].
    #[inline(always)]
    pub fn len(self) -> usize {
        (self.0 & LEN_MASK) as usize
    }

    /// The root was not reached.
    #[inline(always)]
    pub fn truncated(self) -> bool {
        self.0 & TRUNCATED != 0
    }

    /// The walk ended at a dentry that hangs in no tree (memfd, a handle opened with a cold cache).
    #[inline(always)]
    pub fn detached(self) -> bool {
        self.0 & DETACHED != 0
    }
}

/// Writes the components of a path into the scratch `slot` from byte `at` on, leaf first, each closed by NUL, up to the
/// root of the mount namespace.
#[inline(always)]
pub fn write(slot: Slot, at: usize, dentry: Pointer, mount: Pointer) -> Walk {
    Walk(walk_path(slot as u64, at as u64, dentry as u64, mount as u64))
}

/// A global function takes plain numbers only: the verifier checks it once and not again with every state of every
/// caller, which would multiply the loop.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn walk_path(slot: u64, at: u64, dentry: u64, mount: u64) -> u64 {
    let Some(buffer) = scratch::bytes(slot as u32) else { return TRUNCATED };
    let at = at as usize;
    if at > scratch::BYTES - ROOM {
        return TRUNCATED;
    }
    let (mut dentry, mut mount) = (dentry as Pointer, mount as Pointer);
    let mut len = 0;
    for _ in 0..PATH_STEPS {
        if dentry == Copied::pointer(mount, offset!(vfsmount_root)) {
            let inner = mount.wrapping_sub(offset!(mount_of_vfsmount).get() as usize);
            let outer = Copied::pointer(inner, offset!(mount_parent));
            if outer == inner || outer.is_null() {
                return len as u64;
            }
            dentry = Copied::pointer(inner, offset!(mount_point));
            mount = outer.wrapping_add(offset!(mount_of_vfsmount).get() as usize);
            continue;
        }
        if len >= PATH_BYTES {
            break;
        }
        let name = Copied::pointer(dentry, offset!(dentry_name));
        // SAFETY: at + len + one name lies inside the slot, by the two checks above.
        let written = unsafe {
            bpf_probe_read_kernel_str(
                buffer.add(at + len).cast::<c_void>(),
                (NAME_BYTES + 1) as u32,
                name.cast::<c_void>(),
            )
        };
        if written > 0 {
            // One and the same range after every step: the verifier meets states that it knows and stops.
            // Without it, it follows every sum of name lengths.
            len = masked::<{ LEN_MASK as i32 }>(len as u64 + written as u64) as usize;
        }
        let parent = Copied::pointer(dentry, offset!(dentry_parent));
        if parent == dentry {
            return len as u64 | DETACHED;
        }
        dentry = parent;
    }
    len as u64 | TRUNCATED
}
