//! Watch keys: what makes the kernel report an open.
//!
//! Two filters stand in front of the exact maps, both answered by one bit each: "could this inode be watched?" and
//! "could this name be watched?". They may say yes too often, never no too often. The exact maps may over-match a
//! little as well (names are compared without what lies above the third component): the agent decides on the full path.

use crate::{
    limits::{FILE_BITS, KEY_NAME_BYTES, NAME_BITS},
    record::FileId,
};

/// Words of the file filter.
pub const FILE_WORDS: usize = (FILE_BITS / 64) as usize;
/// Words of each name filter.
pub const NAME_WORDS: usize = (NAME_BITS / 64) as usize;

/// The bit tables, in one kernel global that the agent replaces as a whole.
///
/// Replacement is a plain copy: while it runs a program may see old and new words mixed. Bits of keys that stay are
/// set in both, so a key that is watched before and after is never missed.
#[derive(Clone, Copy)]
#[cfg_attr(
    feature = "user",
    derive(zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::Immutable, zerocopy::KnownLayout)
)]
#[repr(C)]
pub struct Filter {
    /// Inodes of watched files and directories, by [`file_bit`].
    pub files: [u64; FILE_WORDS],
    /// Names of watched files, by [`name_bit`].
    pub names: [u64; NAME_WORDS],
    /// Names of directories whose entries are watched, by [`name_bit`].
    pub directories: [u64; NAME_WORDS],
    /// Lengths of watched names of [`LONG_NAME`] bytes and more: bit `n` stands for length `n`.
    pub long_names: u64,
    /// The same for directories.
    pub long_directories: u64,
}

impl Filter {
    /// Nothing is watched.
    pub const EMPTY: Self = Self {
        files: [0; FILE_WORDS],
        names: [0; NAME_WORDS],
        directories: [0; NAME_WORDS],
        long_names: 0,
        long_directories: 0,
    };
}

/// From this length on the dentry may not hold a name inline (`DNAME_INLINE_LEN` is 32 before Linux 6.6 and 40 since),
/// so such names are filtered by their length alone.
pub const LONG_NAME: u32 = 32;

/// Index in [`Filter::files`] of a file.
#[inline(always)]
#[must_use]
pub const fn file_bit(inode: u64, device: u32) -> u32 {
    let mixed = (inode ^ ((device as u64) << 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> 40) as u32 & (FILE_BITS - 1)
}

/// Index in a name filter of a name: its length and its first eight bytes (zero padded, little endian).
///
/// Short names lie inside the dentry, so the kernel answers without following a pointer.
#[inline(always)]
#[must_use]
pub const fn name_bit(len: u32, head: u64) -> u32 {
    let mixed = (head ^ ((len as u64) << 56)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> 40) as u32 & (NAME_BITS - 1)
}

/// First eight bytes of a name as [`name_bit`] takes them.
#[must_use]
pub const fn name_head(name: &[u8]) -> u64 {
    let mut head = [0u8; 8];
    let mut i = 0;
    while i < name.len() && i < 8 {
        head[i] = name[i];
        i += 1;
    }
    u64::from_le_bytes(head)
}

/// Words that hold one key name, zero padded.
pub const NAME_KEY_WORDS: usize = KEY_NAME_BYTES.div_ceil(8);

/// One name, zero padded to [`KEY_NAME_BYTES`] + 1.
pub type NameWords = [u64; NAME_KEY_WORDS];

/// Hash of one zero-padded name. Not keyed: a collision only means a record that the agent drops.
#[inline(always)]
#[must_use]
pub const fn name_hash(words: &NameWords) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325u64;
    let mut i = 0;
    while i < NAME_KEY_WORDS {
        hash = (hash ^ words[i]).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        hash ^= hash >> 29;
        i += 1;
    }
    hash
}

/// Zero-padded words of `name`, or `None` when it is longer than [`KEY_NAME_BYTES`] or empty.
#[must_use]
pub fn name_words(name: &[u8]) -> Option<NameWords> {
    if name.is_empty() || name.len() > KEY_NAME_BYTES {
        return None;
    }
    let mut words = [0u64; NAME_KEY_WORDS];
    for (i, byte) in name.iter().enumerate() {
        words[i / 8] |= u64::from(*byte) << (8 * (i % 8));
    }
    Some(words)
}

/// Which components a name key fixes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(transparent)]
pub struct Shape(pub u32);

impl Shape {
    /// The file's own name: `.netrc`.
    pub const NAME: Self = Self(1 << 0);
    /// The file's name and its directory's: `.aws/credentials`.
    pub const NAME_PARENT: Self = Self(1 << 1);
    /// The file's name and the directory above its directory: `legacy_credentials/*/adc.json`.
    pub const NAME_GRANDPARENT: Self = Self(1 << 2);
    /// The directory's name, any entry: `private-keys-v1.d/*`.
    pub const PARENT: Self = Self(1 << 3);
    /// The directory's name and the one above it, any entry: `sso/cache/*`.
    pub const PARENT_GRANDPARENT: Self = Self(1 << 4);
    /// The directory above the directory, any entry of any directory in it: `containers/*/*`.
    pub const GRANDPARENT: Self = Self(1 << 5);
}

/// Key of the exact name map: a shape and the hashes of the names it fixes (zero where it fixes none).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(
    feature = "user",
    derive(zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::Immutable, zerocopy::KnownLayout)
)]
#[repr(C)]
pub struct NameKey {
    /// Hash of the file's name, or 0.
    pub name: u64,
    /// Hash of its directory's name, or 0.
    pub parent: u64,
    /// Hash of the name above that, or 0.
    pub grandparent: u64,
    /// A [`Shape`].
    pub shape: u32,
    /// Always zero.
    pub reserved: u32,
}

/// Key of the exact file map. The generation is in the value: 0 there means any.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(
    feature = "user",
    derive(zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::Immutable, zerocopy::KnownLayout)
)]
#[repr(C)]
pub struct FileKey {
    /// `inode.i_ino`.
    pub inode: u64,
    /// `super_block.s_dev`.
    pub device: u32,
    /// Always zero.
    pub reserved: u32,
}

impl FileKey {
    /// The key of `id`, whatever its generation.
    #[must_use]
    pub const fn of(id: FileId) -> Self {
        Self { inode: id.inode, device: id.device, reserved: 0 }
    }
}

/// Value of the exact file map.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(
    feature = "user",
    derive(zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::Immutable, zerocopy::KnownLayout)
)]
#[repr(C)]
pub struct FileWatch {
    /// Generation that must match, or 0 for any (file systems that do not tell it).
    pub generation: u32,
    /// `FileWatch::*`.
    pub flags: u32,
}

impl FileWatch {
    /// The file itself is watched.
    pub const ITSELF: u32 = 1 << 0;
    /// It is a directory and its entries are watched.
    pub const ENTRIES: u32 = 1 << 1;
    /// It is the agent's canary: report it even when the agent itself opens it.
    pub const CANARY: u32 = 1 << 2;
}
