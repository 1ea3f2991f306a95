//! What is worth a record: a cheap question for every open, exact answers for the few that pass.

use core::{
    ffi::c_void,
    mem::MaybeUninit,
    ptr::{read_volatile, write_volatile},
};

use aya_ebpf::{bindings::BPF_F_NO_PREALLOC, helpers::generated::bpf_probe_read_kernel, macros::map, maps::HashMap};
use tokenhound_common::{
    limits::{KEY_NAME_BYTES, MAX_FILE_IDS, MAX_NAME_KEYS},
    loss::Reason,
    record::Access,
    watch::{
        FileKey, FileWatch, Filter, NAME_KEY_WORDS, NameKey, Place, Shape, TextName, file_slot, name_hash, name_slot,
        tail_slot,
    },
};

use crate::{
    emit::lost,
    kernel::{self, Copied, Load, Pointer, masked, offset},
    task,
};

/// The tables of the first question. A section of its own, because the agent replaces it as a whole.
#[unsafe(no_mangle)]
#[unsafe(link_section = ".bss.filter")]
static mut FILTER: Filter = Filter::EMPTY;

/// Watched files and directories by id.
#[map]
static FILE_IDS: HashMap<FileKey, FileWatch> = HashMap::with_max_entries(MAX_FILE_IDS, BPF_F_NO_PREALLOC);

/// Watched names.
#[map]
static NAME_KEYS: HashMap<NameKey, u32> = HashMap::with_max_entries(MAX_NAME_KEYS, BPF_F_NO_PREALLOC);

/// `PROC_SUPER_MAGIC` (include/uapi/linux/magic.h).
const PROC_SUPER_MAGIC: u64 = 0x9fa0;
const S_IFMT: u16 = 0o170_000;
const S_IFREG: u16 = 0o100_000;

/// What a file is to us.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Interest {
    None,
    /// A file: see which keys it matches.
    File,
    /// `/proc/<pid>/environ`.
    ProcEnviron,
    /// `/proc/<pid>/mem`.
    ProcMem,
}

/// The question asked of every open: could it be of interest? Loads only; no helper is called.
#[inline(always)]
pub fn may_match<L: Load>(file: Pointer) -> bool {
    let inode = L::pointer(file, offset!(file_inode));
    if file_may_match(L::load(inode, offset!(inode_number))) {
        return true;
    }
    names_may_match::<L>(L::pointer(file, offset!(file_dentry)))
}

/// The same of a dentry, which may have no inode yet.
#[inline(always)]
pub fn dentry_may_match<L: Load>(dentry: Pointer) -> bool {
    let inode = L::pointer(dentry, offset!(dentry_inode));
    (!inode.is_null() && may_be_known::<L>(inode)) || names_may_match::<L>(dentry)
}

#[inline(always)]
fn names_may_match<L: Load>(dentry: Pointer) -> bool {
    let parent = L::pointer(dentry, offset!(dentry_parent));
    let grandparent = L::pointer(parent, offset!(dentry_parent));
    Place::may_match(place::<L>(dentry), place::<L>(parent), place::<L>(grandparent))
}

/// What a file that may match is. Asked here, because each question costs every open that comes before it.
#[inline(always)]
pub fn interest(file: Pointer) -> Interest {
    let inode = Copied::pointer(file, offset!(file_inode));
    if Copied::load::<u16, _>(inode, offset!(inode_mode)) & S_IFMT != S_IFREG {
        return Interest::None;
    }
    let super_block = Copied::pointer(inode, offset!(inode_super));
    if Copied::load::<u64, _>(super_block, offset!(super_magic)) != PROC_SUPER_MAGIC {
        return Interest::File;
    }
    match short_name::<Copied>(Copied::pointer(file, offset!(file_dentry))) {
        (7, ENVIRON) => Interest::ProcEnviron,
        (3, MEM) => Interest::ProcMem,
        _ => Interest::None,
    }
}

const ENVIRON: u64 = tokenhound_common::watch::name_head(b"environ");
const MEM: u64 = tokenhound_common::watch::name_head(b"mem");

/// Length of a name and its head; see `kernel::head`.
#[inline(always)]
fn short_name<L: Load>(dentry: Pointer) -> (u64, u64) {
    let len = L::wide(dentry, offset!(dentry_name_len));
    (len, kernel::head(L::load(dentry, offset!(dentry_inline_name)), len))
}

/// In which places of keys the name of `dentry` stands.
#[inline(always)]
fn place<L: Load>(dentry: Pointer) -> Place {
    let (len, head) = short_name::<L>(dentry);
    look_up(len, head)
}

#[inline(always)]
fn look_up(len: u64, head: u64) -> Place {
    // SAFETY: `name_slot` is below NAME_SLOTS, which the table holds. Volatile: the agent replaces it at run time.
    Place(unsafe { read_volatile((&raw const FILTER.names).cast::<u8>().add(name_slot(len, head) as usize)) })
}

#[inline(always)]
fn file_may_match(inode: u64) -> bool {
    // SAFETY: `file_slot` is below FILE_SLOTS, which the table holds. Volatile as above.
    unsafe { read_volatile((&raw const FILTER.files).cast::<u8>().add(file_slot(inode) as usize)) != 0 }
}

/// Could the inode be watched? For files that have been told of before, so that the agent knows their ids.
#[inline(always)]
pub fn may_be_known<L: Load>(inode: Pointer) -> bool {
    file_may_match(L::load(inode, offset!(inode_number)))
}

/// In which places of keys the name of `dentry` stands. For names that are about to be: they have no inode yet.
#[inline(always)]
pub fn place_of(dentry: Pointer) -> Place {
    place::<Copied>(dentry)
}

/// Could a text of `len` bytes end in a name from a key? `end` are its last eight bytes.
#[inline(always)]
pub fn ends_in_a_name(end: u64, len: u64) -> bool {
    match TextName::of(end, len) {
        TextName::Short(len, head) => look_up(len, head).0 != 0,
        // SAFETY: `tail_slot` is below TAIL_SLOTS, which the table holds. Volatile as in `look_up`.
        TextName::Long(tail) => unsafe {
            read_volatile((&raw const FILTER.tails).cast::<u8>().add(tail_slot(tail) as usize)) != 0
        },
        TextName::Open => true,
    }
}

/// The exact answer: which keys a name of an inode matches, `MATCH_*`; 0 for none. The inode may be null.
#[inline(always)]
pub fn exact(inode: Pointer, dentry: Pointer) -> u16 {
    let parent = Copied::pointer(dentry, offset!(dentry_parent));
    let mut matched = by_id(inode) | by_directory(Copied::pointer(parent, offset!(dentry_inode)));
    let name = hash(dentry);
    let parent_name = hash(parent);
    let grandparent_name = hash(Copied::pointer(parent, offset!(dentry_parent)));
    if known(name, 0, 0, Shape::NAME)
        || known(name, parent_name, 0, Shape::NAME_PARENT)
        || known(name, 0, grandparent_name, Shape::NAME_GRANDPARENT)
    {
        matched |= Access::MATCH_NAME;
    }
    if known(0, parent_name, 0, Shape::PARENT)
        || known(0, parent_name, grandparent_name, Shape::PARENT_GRANDPARENT)
        || known(0, 0, grandparent_name, Shape::GRANDPARENT)
    {
        matched |= Access::MATCH_DIRECTORY_NAME;
    }
    matched
}

/// Whether the inode itself is watched, `MATCH_*`; 0 if not.
#[inline(always)]
pub fn by_id(inode: Pointer) -> u16 {
    let mut matched = 0;
    let id = task::file_id(inode);
    // SAFETY: the value is two integers; a slot that is replaced under us yields an old or a new one.
    if let Some(watch) = unsafe { FILE_IDS.get(&FileKey::of(id)) } {
        if watch.flags & FileWatch::ITSELF != 0 && (watch.generation == 0 || watch.generation == id.generation) {
            matched |= Access::MATCH_FILE_ID;
        }
        if watch.flags & FileWatch::CANARY != 0 {
            matched |= Access::MATCH_CANARY;
        }
    }
    matched
}

/// Whether the entries of that directory are watched.
#[inline(always)]
fn by_directory(inode: Pointer) -> u16 {
    let mut matched = 0;
    let id = task::file_id(inode);
    // SAFETY: as in `by_id`.
    if let Some(watch) = unsafe { FILE_IDS.get(&FileKey::of(id)) } {
        if watch.flags & FileWatch::ENTRIES != 0 && (watch.generation == 0 || watch.generation == id.generation) {
            matched |= Access::MATCH_DIRECTORY_ID;
        }
    }
    matched
}

#[inline(always)]
fn known(name: u64, parent: u64, grandparent: u64, shape: Shape) -> bool {
    let key = NameKey { name, parent, grandparent, shape: shape.0, reserved: 0 };
    // SAFETY: the value is not read.
    unsafe { NAME_KEYS.get(&key) }.is_some()
}

/// Hash of a dentry's name as a watch key has it; 0 for names longer than any key.
#[inline(never)]
fn hash(dentry: Pointer) -> u64 {
    let len: u32 = Copied::load(dentry, offset!(dentry_name_len));
    if len == 0 || len as usize > KEY_NAME_BYTES {
        return 0;
    }
    let mut words = MaybeUninit::<[u64; NAME_KEY_WORDS]>::uninit();
    for word in 0..NAME_KEY_WORDS {
        // SAFETY: a word of the array. Volatile, or the compiler makes it a loop over bytes.
        unsafe { write_volatile(words.as_mut_ptr().cast::<u64>().add(word), 0) };
    }
    // SAFETY: every word is written.
    let mut words = unsafe { words.assume_init() };
    let source = Copied::pointer(dentry, offset!(dentry_name));
    // SAFETY: `len` is at most KEY_NAME_BYTES, less than the words hold.
    let status = unsafe {
        bpf_probe_read_kernel(
            words.as_mut_ptr().cast::<c_void>(),
            masked::<63>(u64::from(len)) as u32,
            source.cast::<c_void>(),
        )
    };
    if status != 0 {
        lost(Reason::NAME);
        return 0;
    }
    name_hash(&words)
}
