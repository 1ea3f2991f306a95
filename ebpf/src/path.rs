//! From a dentry to a path: a bounded walk over dentries and mounts, leaf first.

use core::ffi::c_void;

use aya_ebpf::helpers::generated::bpf_probe_read_kernel_str;
use tokenhound_common::limits::{NAME_BYTES, PATH_BYTES, PATH_STEPS};

use crate::{
    kernel::{Copied, Load, Pointer, masked, offset},
};

/// Most bytes that a walk writes, rounded up to what [`Walk::len`] can say.
pub const ROOM: usize = 4096;
const _: () = assert!(PATH_BYTES + NAME_BYTES < ROOM);

const LEN_MASK: u64 = ROOM as u64 - 1;
/// Where the length below the process's root stands.
const ROOT_SHIFT: u32 = 16;
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

    /// Bytes below the root of the process; as many as there are if that was not met.
    #[inline(always)]
    pub fn below_root(self) -> u16 {
        (self.0 >> ROOT_SHIFT & LEN_MASK) as u16
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
/// without a mount, up to the root of the file system. `fs` is the `fs_struct` of the process, or null.
///
/// # Safety
///
/// There must be [`ROOM`] bytes at `buffer`.
#[inline(always)]
pub unsafe fn write(buffer: *mut u8, dentry: Pointer, mount: Pointer, fs: Pointer) -> Walk {
    // SAFETY: as above.
    Walk(unsafe { walk(buffer, dentry, mount, fs) })
}

/// One copy of the loop for all callers.
#[inline(never)]
unsafe fn walk(buffer: *mut u8, dentry: Pointer, mount: Pointer, fs: Pointer) -> u64 {
    let root_dentry = Copied::pointer(fs, offset!(fs_root_dentry));
    let root_mount = Copied::pointer(fs, offset!(fs_root_mount));
    let (mut dentry, mut mount) = (dentry, mount);
    // Bytes so far, and as many as there were at the root of the process; 0 if that was not met yet.
    let (mut len, mut root) = (0, 0);
    let mut flags = TRUNCATED;
    for _ in 0..PATH_STEPS {
        if dentry == root_dentry && mount == root_mount && root == 0 {
            root = len;
        }
        if dentry == Copied::pointer(mount, offset!(vfsmount_root)) {
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
            // One and the same range after every step: the verifier meets states that it knows and stops.
            // Without it, it follows every sum of name lengths.
            len = masked::<{ LEN_MASK as i32 }>(len + written as u64);
        }
        let parent = Copied::pointer(dentry, offset!(dentry_parent));
        if parent == dentry {
            flags = DETACHED;
            break;
        }
        dentry = parent;
    }
    let root = if root == 0 { len } else { root };
    len | root << ROOT_SHIFT | flags
}
