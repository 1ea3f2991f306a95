//! What is done to a watched file otherwise than through a descriptor: names, permissions, size, mounts.

use core::ffi::c_void;

use aya_ebpf::helpers::generated::{bpf_get_current_cgroup_id, bpf_probe_read_kernel_str};
use tokenhound_common::{
    limits::TEXT_BYTES,
    loss::Reason,
    record::{Change, Kind, What},
};

use crate::{
    access::current,
    emit::{self, Ring, lost},
    filter,
    kernel::{Copied, Direct, Load, Pointer, masked, offset},
    path, scratch, task,
};

/// `ATTR_*` (include/linux/fs.h).
const ATTR_MODE: u32 = 1 << 0;
const ATTR_UID: u32 = 1 << 1;
const ATTR_GID: u32 = 1 << 2;
const ATTR_SIZE: u32 = 1 << 3;
/// The truncation is part of an open, which has a record of its own.
const ATTR_OPEN: u32 = 1 << 15;

/// `MS_BIND` (include/uapi/linux/mount.h).
const MS_BIND: u64 = 4096;

/// A place in the tree: with a mount where the hook gives one.
#[derive(Clone, Copy)]
struct Spot {
    dentry: Pointer,
    mount: Pointer,
}

impl Spot {
    #[inline(always)]
    fn of(dentry: Pointer) -> Self {
        Self { dentry, mount: core::ptr::null() }
    }

    #[inline(always)]
    fn at(path: Pointer) -> Self {
        Self { dentry: Direct::pointer(path, offset!(path_dentry)), mount: Direct::pointer(path, offset!(path_mount)) }
    }
}

/// The second path of a record.
#[derive(Clone, Copy)]
enum Other {
    None,
    Spot(Spot),
    /// A string in kernel memory.
    Text(Pointer),
}

/// `inode_link(old_dentry, directory, new_dentry)`.
#[inline(always)]
pub fn link(old: Pointer, new: Pointer) -> i32 {
    if watched(old) {
        record(What::LINK, 0, Spot::of(old), Other::Spot(Spot::of(new)));
    }
    0
}

/// `inode_rename(old_directory, old_dentry, new_directory, new_dentry)`.
#[inline(always)]
pub fn rename(old: Pointer, new: Pointer) -> i32 {
    if watched(old) {
        record(What::RENAME, 0, Spot::of(old), Other::Spot(Spot::of(new)));
    } else if watched(new) {
        record(What::REPLACE, 0, Spot::of(old), Other::Spot(Spot::of(new)));
    }
    0
}

/// `inode_unlink(directory, dentry)`.
#[inline(always)]
pub fn unlink(dentry: Pointer) -> i32 {
    if watched(dentry) {
        record(What::UNLINK, 0, Spot::of(dentry), Other::None);
    }
    0
}

/// `inode_symlink(directory, dentry, text)`: the link stands in a store's place, or leads to a store.
#[inline(always)]
pub fn symlink(dentry: Pointer, text: Pointer) -> i32 {
    if watched(dentry) || names_a_store(text) {
        record(What::SYMLINK, 0, Spot::of(dentry), Other::Text(text));
    }
    0
}

/// `inode_setattr(..., dentry, attributes)`.
#[inline(always)]
pub fn attributes(dentry: Pointer, attributes: Pointer) -> i32 {
    let valid: u32 = Direct::load(attributes, offset!(iattr_valid));
    if valid & (ATTR_MODE | ATTR_UID | ATTR_GID | ATTR_SIZE) == 0 || valid & ATTR_OPEN != 0 || !watched(dentry) {
        return 0;
    }
    let spot = Spot::of(dentry);
    if valid & ATTR_MODE != 0 {
        let mode: u16 = Copied::load(attributes, offset!(iattr_mode));
        record(What::MODE, u64::from(mode), spot, Other::None);
    }
    if valid & (ATTR_UID | ATTR_GID) != 0 {
        let of = |set: bool, id: u32| if set { id } else { u32::MAX };
        let uid = of(valid & ATTR_UID != 0, Copied::load(attributes, offset!(iattr_uid)));
        let gid = of(valid & ATTR_GID != 0, Copied::load(attributes, offset!(iattr_gid)));
        record(What::OWNER, u64::from(uid) << 32 | u64::from(gid), spot, Other::None);
    }
    if valid & ATTR_SIZE != 0 {
        record(What::TRUNCATE, Copied::load(attributes, offset!(iattr_size)), spot, Other::None);
    }
    0
}

/// `sb_mount(source, path, type, flags, data)`.
#[inline(always)]
pub fn mount(source: Pointer, path: Pointer, flags: u64) -> i32 {
    if flags & MS_BIND == 0 {
        return 0;
    }
    let spot = Spot::at(path);
    if filter::stands_in_a_key(spot.dentry) || names_a_store(source) {
        record(What::MOUNT, 0, spot, Other::Text(source));
    }
    0
}

/// `move_mount(from, to)`: `open_tree` and `move_mount` in place of `mount`.
#[inline(always)]
pub fn move_mount(from: Pointer, to: Pointer) -> i32 {
    let (from, to) = (Spot::at(from), Spot::at(to));
    let known = filter::may_be_known::<Copied>(Copied::pointer(from.dentry, offset!(dentry_inode)));
    if known || filter::stands_in_a_key(from.dentry) || filter::stands_in_a_key(to.dentry) {
        record(What::MOUNT, 0, to, Other::Spot(from));
    }
    0
}

/// Could the dentry be of a watched file, or take the name of one?
#[inline(always)]
fn watched(dentry: Pointer) -> bool {
    filter::dentry_may_match::<Direct>(dentry)
}

/// Is the last component of `text` a name from a key? The agent decides on all of it.
#[inline(never)]
fn names_a_store(text: Pointer) -> bool {
    let Some(mut buffer) = scratch::hit() else { return false };
    let bytes = buffer.bytes.as_mut_ptr();
    // SAFETY: the buffer has more than TEXT_BYTES.
    let written =
        unsafe { bpf_probe_read_kernel_str(bytes.cast::<c_void>(), TEXT_BYTES as u32, text.cast::<c_void>()) };
    if written <= 1 {
        return false;
    }
    let len = masked::<{ TEXT_BYTES as i32 - 1 }>(written as u64 - 1);
    // SAFETY: eight bytes of the buffer, which is larger than the longest text and eight bytes.
    let word =
        |at: u64| unsafe { bytes.add(masked::<{ TEXT_BYTES as i32 - 1 }>(at) as usize).cast::<u64>().read_unaligned() };
    let end = if len < 8 { word(0) << ((8 * (8 - len)) & 63) } else { word(len - 8) };
    filter::ends_in_a_name(end, len)
}

#[inline(never)]
fn record(what: What, detail: u64, spot: Spot, other: Other) -> u32 {
    let task = current();
    if task::own(task::key(task)) {
        return 0;
    }
    let inode = Copied::pointer(spot.dentry, offset!(dentry_inode));
    let matched = match other {
        Other::Spot(other) if what == What::REPLACE => filter::exact(core::ptr::null(), other.dentry),
        _ => filter::exact(inode, spot.dentry),
    };
    // A text or a mount is judged by the agent alone.
    if matched == 0 && what != What::SYMLINK && what != What::MOUNT {
        return 0;
    }
    let Some(mut buffer) = scratch::hit() else {
        lost(Reason::SCRATCH);
        return 0;
    };
    let header = emit::header(&mut buffer, Kind::CHANGE);
    let bytes = buffer.bytes.as_mut_ptr();
    // SAFETY: larger than the head of the record, aligned for it, and ours until `buffer` is dropped.
    let change = unsafe { &mut *bytes.cast::<Change>() };
    change.header = header;
    task::describe(task, &mut change.task);
    // SAFETY: helper without arguments.
    change.task.cgroup = unsafe { bpf_get_current_cgroup_id() };
    task::file_facts(inode, &mut change.file);
    change.what = what.0;
    change.detail = detail;
    change.matched = matched;
    // SAFETY: the buffer has room for the head, two paths and a text.
    let len = unsafe { paths(change, bytes.add(size_of::<Change>()), &raw mut buffer.cell, spot, other) };
    // SAFETY: head and paths, as written above.
    unsafe { emit::output(Ring::Hits, bytes, size_of::<Change>() + len) };
    0
}

/// Writes both paths to `at` and notes in `change` what they are. Returns their length.
#[inline(always)]
unsafe fn paths(change: &mut Change, at: *mut u8, cell: *mut u64, spot: Spot, other: Other) -> usize {
    // SAFETY: see the caller.
    let walk = unsafe { path::write(at, cell, spot.dentry, spot.mount) };
    change.path_len = walk.len() as u16;
    if walk.truncated() {
        change.header.flags |= Change::PATH_TRUNCATED;
    }
    if spot.mount.is_null() {
        change.header.flags |= Change::PATH_IN_FILE_SYSTEM;
    }
    // SAFETY: as above.
    let at = unsafe { at.add(walk.len()) };
    let len = match other {
        Other::None => 0,
        Other::Spot(other) => {
            // SAFETY: as above.
            let walk = unsafe { path::write(at, cell, other.dentry, other.mount) };
            if walk.truncated() {
                change.header.flags |= Change::OTHER_TRUNCATED;
            }
            if other.mount.is_null() {
                change.header.flags |= Change::OTHER_IN_FILE_SYSTEM;
            }
            walk.len()
        }
        Other::Text(text) => {
            change.header.flags |= Change::OTHER_IS_TEXT;
            // SAFETY: as above; the text has TEXT_BYTES behind the paths.
            let written =
                unsafe { bpf_probe_read_kernel_str(at.cast::<c_void>(), TEXT_BYTES as u32, text.cast::<c_void>()) };
            if written == TEXT_BYTES as i64 {
                change.header.flags |= Change::OTHER_TRUNCATED;
            }
            if written > 0 { masked::<{ TEXT_BYTES as i32 * 2 - 1 }>(written as u64) as usize } else { 0 }
        }
    };
    change.other_len = len as u16;
    walk.len() + len
}
