//! From a dentry to a path: a bounded walk over dentries and mounts, leaf first.

use core::{
    ffi::c_void,
    ptr::{read_volatile, write_volatile},
};

use aya_ebpf::helpers::generated::bpf_probe_read_kernel_str;
use tokenhound_common::limits::{NAME_BYTES, PATH_BYTES, PATH_STEPS};

use crate::kernel::{Copied, Load, Pointer, difference, masked, offset};

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
        masked::<{ LEN_MASK as i32 }>(self.0) as usize
    }

    /// The root was not reached.
    #[inline(always)]
    pub fn truncated(self) -> bool {
        self.0 & TRUNCATED != 0
    }

    /// The walk ended at a dentry that hangs in no tree (memfd, a handle opened with a cold cache), or at the root of
    /// the file system when there is no mount to go on from.
    #[inline(always)]
    pub fn detached(self) -> bool {
        self.0 & DETACHED != 0
    }
}

/// Writes the components of a path to `buffer`, leaf first, each closed by NUL, up to the root of the mount namespace;
/// without a mount, up to the root of the file system.
///
/// # Safety
///
/// There must be [`ROOM`] bytes at `buffer`. `cell` is a word of a map that nobody else uses meanwhile.
#[inline(always)]
pub unsafe fn write(buffer: *mut u8, cell: *mut u64, dentry: Pointer, mount: Pointer) -> Walk {
    // SAFETY: as above.
    Walk(unsafe { walk(buffer, cell, dentry, mount) })
}

/// One copy of the loop for all callers.
#[inline(never)]
unsafe fn walk(buffer: *mut u8, cell: *mut u64, dentry: Pointer, mount: Pointer) -> u64 {
    // What comes out of a map is a plain number to the verifier, with which it allows to compute.
    // SAFETY: see the caller.
    let plain = |pointer: Pointer| unsafe {
        write_volatile(cell.cast::<Pointer>(), pointer);
        read_volatile(cell.cast::<Pointer>())
    };
    let (mut dentry, mut mount) = (plain(dentry), plain(mount));
    // SAFETY: see the caller.
    let mut len = unsafe { forgotten(cell, 0) };
    let mut flags = TRUNCATED;
    for _ in 0..PATH_STEPS {
        if difference(dentry, Copied::pointer(mount, offset!(vfsmount_root))) == 0 {
            let inner = mount.wrapping_sub(offset!(mount_of_vfsmount).get() as usize);
            let outer = Copied::pointer(inner, offset!(mount_parent));
            if outer == inner || outer.is_null() {
                flags = 0;
                break;
            }
            dentry = Copied::pointer(inner, offset!(mount_point));
            mount = outer.wrapping_add(offset!(mount_of_vfsmount).get() as usize);
            continue;
        }
        if len >= PATH_BYTES as u64 {
            break;
        }
        let name = Copied::pointer(dentry, offset!(dentry_name));
        // SAFETY: the length is below PATH_BYTES, and ROOM is larger than that and one name.
        let written = unsafe {
            bpf_probe_read_kernel_str(
                buffer.add(len as usize).cast::<c_void>(),
                (NAME_BYTES + 1) as u32,
                name.cast::<c_void>(),
            )
        };
        if written > 0 {
            // SAFETY: see the caller.
            len = unsafe { forgotten(cell, len + written as u64) };
        }
        let parent = Copied::pointer(dentry, offset!(dentry_parent));
        if difference(parent, dentry) == 0 {
            flags = DETACHED;
            break;
        }
        dentry = parent;
    }
    len | flags
}

/// `len`, of which the verifier knows no more than that it is below [`ROOM`]: what comes out of a map it does not know.
/// So it meets states that it knows after each step and stops; otherwise it would follow every sum of name lengths.
#[inline(always)]
unsafe fn forgotten(cell: *mut u64, len: u64) -> u64 {
    // SAFETY: see the caller.
    let len = unsafe {
        write_volatile(cell, len);
        read_volatile(cell)
    };
    masked::<{ LEN_MASK as i32 }>(len)
}
