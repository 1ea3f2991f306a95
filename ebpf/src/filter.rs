//! What is worth a record: a cheap question for every open, exact answers for the few that pass.

use core::{
    ffi::c_void,
    mem::{MaybeUninit, offset_of},
    ptr::write_volatile,
};

use aya_ebpf::{bindings::BPF_F_NO_PREALLOC, helpers::generated::bpf_probe_read_kernel, macros::map, maps::HashMap};
use tokenhound_common::{
    limits::{KEY_NAME_BYTES, MAX_FILE_IDS, MAX_NAME_KEYS},
    loss::Reason,
    record::Access,
    watch::{
        FileKey, FileWatch, Filter, NAME_KEY_WORDS, NameKey, NameWatch, Role, Shape, TextName, file_slot, name_hash,
        name_head, name_slot, tail_slot,
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
static mut FILTER: Filter = Filter::CLOSED;

/// Watched files and directories by id.
#[map]
static FILE_IDS: HashMap<FileKey, FileWatch> = HashMap::with_max_entries(MAX_FILE_IDS, BPF_F_NO_PREALLOC);

/// Watched names, with a `NameWatch` each.
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

/// The question asked of every open: could it be of interest? Loads only; no helper is called. In the order in which the fewest
/// values are held at a time: a program saves and restores every register from the sixth on.
#[inline(always)]
pub fn may_match<L: Load>(file: Pointer) -> bool {
    let (named, tables) = names_left::<L>(L::pointer(file, offset!(file_dentry)));
    let inode = L::pointer(file, offset!(file_inode));
    named | tables.files(L::load(inode, offset!(inode_number))) != 0
}

/// The same of a dentry, which may have no inode yet.
#[inline(always)]
pub fn dentry_may_match<L: Load>(dentry: Pointer) -> bool {
    let inode = L::pointer(dentry, offset!(dentry_inode));
    (!inode.is_null() && may_be_known::<L>(inode)) || names_left::<L>(dentry).0 != 0
}

/// The shapes of keys that the three names leave possible.
#[inline(always)]
fn names_left<L: Load>(dentry: Pointer) -> (u64, Farther) {
    let tables = Tables::first();
    let name = tables.names(mixed_head::<L>(dentry));
    let tables = tables.behind();
    let parent = L::pointer(dentry, offset!(dentry_parent));
    let among = name & tables.parents(mixed_head::<L>(parent));
    let grandparent = L::pointer(parent, offset!(dentry_parent));
    (among & tables.grandparents(mixed_head_of_any::<L>(grandparent)), tables)
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
    match mixed_head::<Copied>(Copied::pointer(file, offset!(file_dentry))) {
        ENVIRON => Interest::ProcEnviron,
        MEM => Interest::ProcMem,
        _ => Interest::None,
    }
}

/// `SYSFS_MAGIC` and `CGROUP2_SUPER_MAGIC` (include/uapi/linux/magic.h).
const SYSFS_MAGIC: u64 = 0x6265_6572;
const CGROUP2_SUPER_MAGIC: u64 = 0x6367_7270;

/// Is it a regular file, and none of those that only look like files?
#[inline(always)]
pub fn holds_content(inode: Pointer) -> bool {
    let super_block = Copied::pointer(inode, offset!(inode_super));
    let magic: u64 = Copied::load(super_block, offset!(super_magic));
    Copied::load::<u16, _>(inode, offset!(inode_mode)) & S_IFMT == S_IFREG
        && magic != PROC_SUPER_MAGIC
        && magic != SYSFS_MAGIC
        && magic != CGROUP2_SUPER_MAGIC
}

const ENVIRON: u64 = name_head(b"environ");
const MEM: u64 = name_head(b"mem");

/// Head and length of a name in one (`tokenhound_common::watch::name_head`).
#[inline(always)]
fn mixed_head<L: Load>(dentry: Pointer) -> u64 {
    let len = L::wide(dentry, offset!(dentry_name_len));
    kernel::mixed_head_or_length(L::load(dentry, offset!(dentry_inline_name)), len)
}

/// The same, but of a long name any number. What stands above a directory is not asked for how long it is.
#[inline(always)]
fn mixed_head_of_any<L: Load>(dentry: Pointer) -> u64 {
    let len = L::wide(dentry, offset!(dentry_name_len));
    kernel::mixed_head(L::load(dentry, offset!(dentry_inline_name)), len)
}

/// Where the table of the first name lies.
struct Tables(*const u8);

/// Where the other tables lie: an address from which a load can reach what it is asked for.
struct Farther(*const u8);

/// How far behind the names both other tables are in reach of a load, which goes back by less than 32,768 bytes.
const FAR: usize = offset_of!(Filter, grandparents) - 8;
const PARENTS: i16 = offset_of!(Filter, parents).wrapping_sub(FAR) as i16;
const GRANDPARENTS: i16 = offset_of!(Filter, grandparents).wrapping_sub(FAR) as i16;
const FILES: i32 = (offset_of!(Filter, files) - FAR) as i32;
const _: () = assert!(offset_of!(Filter, names) == 0 && FAR - offset_of!(Filter, parents) <= i16::MAX as usize);

impl Tables {
    #[inline(always)]
    fn first() -> Self {
        Self((&raw const FILTER).cast())
    }

    /// The shapes of keys that a file's name with that head leaves possible.
    #[inline(always)]
    fn names(&self, head: u64) -> u64 {
        // SAFETY: `name_slot` is below NAME_SLOTS, which the table holds.
        unsafe { kernel::byte_of::<0>(self.0, name_slot(head)) }
    }

    #[inline(always)]
    fn behind(self) -> Farther {
        Farther(kernel::behind::<{ FAR as i32 }>(self.0))
    }
}

impl Farther {
    #[inline(always)]
    fn parents(&self, head: u64) -> u64 {
        // SAFETY: `name_slot` is below NAME_SLOTS, which the table holds.
        unsafe { kernel::byte_of::<PARENTS>(self.0, name_slot(head)) }
    }

    #[inline(always)]
    fn grandparents(&self, head: u64) -> u64 {
        // SAFETY: as above.
        unsafe { kernel::byte_of::<GRANDPARENTS>(self.0, name_slot(head)) }
    }

    /// Not zero where the inode could be watched.
    #[inline(always)]
    fn files(&self, inode: u64) -> u64 {
        // SAFETY: `file_slot` is below FILE_SLOTS, which that table holds.
        unsafe { kernel::byte_of::<0>(self.0, kernel::further::<FILES>(file_slot(inode))) }
    }
}

/// Could the inode be watched? For files that have been told of before, so that the agent knows their ids.
#[inline(always)]
pub fn may_be_known<L: Load>(inode: Pointer) -> bool {
    Tables::first().behind().files(L::load(inode, offset!(inode_number))) != 0
}

/// Does a key ask for the name of `dentry`, in any role? For names that are about to be: they have no inode yet.
#[inline(always)]
pub fn stands_in_a_key(dentry: Pointer) -> bool {
    asked_for(mixed_head::<Copied>(dentry))
}

#[inline(always)]
fn asked_for(head: u64) -> bool {
    let tables = Tables::first();
    let name = tables.names(head) & u64::from(Role::File.asked());
    let tables = tables.behind();
    let parent = tables.parents(head) & u64::from(Role::Parent.asked());
    name | parent | tables.grandparents(head) & u64::from(Role::Grandparent.asked()) != 0
}

/// Could a text of `len` bytes end in a name from a key? `end` are its last eight bytes.
#[inline(always)]
pub fn ends_in_a_name(end: u64, len: u64) -> bool {
    match TextName::of(end, len) {
        TextName::Short(head) => asked_for(head),
        // SAFETY: `tail_slot` is below TAIL_SLOTS, which the table holds.
        TextName::Long(tail) => unsafe {
            let slot = kernel::further::<{ offset_of!(Filter, tails) as i32 }>(tail_slot(tail));
            kernel::byte_of::<0>((&raw const FILTER).cast(), slot) != 0
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
    let named = known(name, 0, 0, Shape::NAME)
        | known(name, parent_name, 0, Shape::NAME_PARENT)
        | known(name, 0, grandparent_name, Shape::NAME_GRANDPARENT);
    let among = known(0, parent_name, 0, Shape::PARENT)
        | known(0, parent_name, grandparent_name, Shape::PARENT_GRANDPARENT)
        | known(0, 0, grandparent_name, Shape::GRANDPARENT);
    if named & NameWatch::STORE.0 != 0 {
        matched |= Access::MATCH_NAME;
    }
    if among & NameWatch::STORE.0 != 0 {
        matched |= Access::MATCH_DIRECTORY_NAME;
    }
    if (named | among) & NameWatch::OUTLET.0 != 0 {
        matched |= Access::MATCH_OUTLET;
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
fn known(name: u64, parent: u64, grandparent: u64, shape: Shape) -> u32 {
    let key = NameKey { name, parent, grandparent, shape: shape.0, reserved: 0 };
    // SAFETY: one word.
    unsafe { NAME_KEYS.get(&key) }.map_or(0, |watch| *watch)
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
