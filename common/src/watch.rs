//! Watch keys: what makes the kernel report an open.
//!
//! Two filters stand in front of the exact maps: "could this inode be watched?" and "could these names be
//! watched?" (one byte a name, which says in which place of a key the name stands). They may say yes too often, never no
//! too often. The exact maps may over-match a little as well (names are compared without what lies above the third
//! component): the agent decides on the full path.

use crate::{
    limits::{FILE_SLOTS, KEY_NAME_BYTES, NAME_SLOTS, TAIL_SLOTS},
    record::FileId,
};

/// The filter, in one kernel global that the agent replaces as a whole.
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
    /// Shapes of keys that a file's name leaves possible, by [`name_slot`]: those that ask for the name, and those that ask
    /// for none.
    pub names: [u8; NAME_SLOTS],
    /// The same for the name of its directory.
    pub parents: [u8; NAME_SLOTS],
    /// The same for the name above that. A file may match a key whose shape all three leave possible.
    pub grandparents: [u8; NAME_SLOTS],
    /// Not zero for inodes of watched files, by [`file_slot`]. Bytes, because bits take more instructions.
    pub files: [u8; FILE_SLOTS],
    /// Not zero for names of eight bytes and more, by the last eight of them: see [`TextName`].
    pub tails: [u8; TAIL_SLOTS],
}

impl Filter {
    /// Lets nothing through.
    pub const CLOSED: Self = Self {
        files: [0; FILE_SLOTS],
        names: [0; NAME_SLOTS],
        parents: [0; NAME_SLOTS],
        grandparents: [0; NAME_SLOTS],
        tails: [0; TAIL_SLOTS],
    };

    /// Nothing is watched yet.
    pub const EMPTY: Self = Self {
        names: [Role::File.not_asked(); NAME_SLOTS],
        parents: [Role::Parent.not_asked(); NAME_SLOTS],
        grandparents: [Role::Grandparent.not_asked(); NAME_SLOTS],
        ..Self::CLOSED
    };

    const fn table(&mut self, role: Role) -> &mut [u8; NAME_SLOTS] {
        match role {
            Role::File => &mut self.names,
            Role::Parent => &mut self.parents,
            Role::Grandparent => &mut self.grandparents,
        }
    }

    /// Notes that a key of that shape asks for `name` in that role.
    pub const fn add_name(&mut self, name: &[u8], role: Role, shape: Shape) {
        if name.len() as u64 >= LONG_NAME && matches!(role, Role::Grandparent) {
            let mut slot = 0;
            while slot < NAME_SLOTS {
                self.table(role)[slot] |= shape.0 as u8;
                slot += 1;
            }
        }
        self.table(role)[slot_of(name)] |= shape.0 as u8;
        if let Some(tail) = name.last_chunk() {
            self.tails[tail_slot(u64::from_le_bytes(*tail)) as usize] = 1;
        }
    }

    /// Whether a file with these three names may match a key.
    #[must_use]
    pub const fn may_match(&self, name: &[u8], parent: &[u8], grandparent: &[u8]) -> bool {
        let [name, parent, grandparent] = [slot_of(name), slot_of(parent), slot_of(grandparent)];
        self.names[name] & self.parents[parent] & self.grandparents[grandparent] != 0
    }

    /// Notes that the file is watched.
    pub const fn add_file(&mut self, inode: u64) {
        self.files[file_slot(inode) as usize] = 1;
    }
}

/// What a name is to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Its own name.
    File,
    /// That of its directory.
    Parent,
    /// The one above.
    Grandparent,
}

impl Role {
    /// The shapes of keys that ask for a name in this role.
    #[must_use]
    pub const fn asked(self) -> u8 {
        let shapes = match self {
            Self::File => [Shape::NAME, Shape::NAME_PARENT, Shape::NAME_GRANDPARENT],
            Self::Parent => [Shape::NAME_PARENT, Shape::PARENT, Shape::PARENT_GRANDPARENT],
            Self::Grandparent => [Shape::NAME_GRANDPARENT, Shape::PARENT_GRANDPARENT, Shape::GRANDPARENT],
        };
        (shapes[0].0 | shapes[1].0 | shapes[2].0) as u8
    }

    /// The others.
    const fn not_asked(self) -> u8 {
        (Self::File.asked() | Self::Parent.asked() | Self::Grandparent.asked()) & !self.asked()
    }
}

/// From this length on the dentry may not hold a name inline (`DNAME_INLINE_LEN` is 32 before Linux 6.6 and 40 since). A
/// file or directory with such a name is told by the length alone; what stands above the directory not at all, because the
/// question would cost every open: a key that asks for such a name there passes for every name.
pub const LONG_NAME: u64 = 32;

/// Index in [`Filter::files`] of a file. The device is left to the exact map: it would cost two more loads an open.
#[inline(always)]
#[must_use]
pub const fn file_slot(inode: u64) -> u64 {
    inode.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - FILE_SLOTS.trailing_zeros())
}

/// What the length of a name of less than eight bytes is multiplied with before it is mixed into the head: the kernel programs
/// have the product at hand, because they shift by it to get rid of what lies behind the name.
pub const SHORT_FACTOR: i64 = -8;

/// What the tables of names go by: the first eight bytes of a name, little endian, a shorter one in the high bytes, with the
/// length mixed in; of a long name (see [`LONG_NAME`]) the length.
///
/// Short names lie inside the dentry, so the kernel answers without following a pointer.
#[must_use]
pub const fn name_head(name: &[u8]) -> u64 {
    let len = name.len() as u64;
    if len >= LONG_NAME {
        return len;
    }
    let mut head = [0u8; 8];
    let room = if name.len() < 8 { 8 - name.len() } else { 0 };
    let mut i = 0;
    while i < name.len() && i < 8 {
        head[room + i] = name[i];
        i += 1;
    }
    with_length(u64::from_le_bytes(head), len)
}

#[inline(always)]
const fn with_length(head: u64, len: u64) -> u64 {
    head ^ if len < 8 { len.wrapping_mul(SHORT_FACTOR as u64) } else { len }
}

/// Index in the tables of names, by [`name_head`].
#[inline(always)]
#[must_use]
pub const fn name_slot(head: u64) -> u64 {
    head.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - NAME_SLOTS.trailing_zeros())
}

const fn slot_of(name: &[u8]) -> usize {
    name_slot(name_head(name)) as usize
}

/// Index in [`Filter::tails`] of the last eight bytes of a name.
#[inline(always)]
#[must_use]
pub const fn tail_slot(tail: u64) -> u64 {
    tail.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - TAIL_SLOTS.trailing_zeros())
}

/// What the end of a path in a text says of its last component. Found without a loop: the kernel's verifier follows each
/// round of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextName {
    /// All of it: see [`name_head`].
    Short(u64),
    /// Eight bytes or more, of which these are the last.
    Long(u64),
    /// The text ends with a `/`.
    Open,
}

impl TextName {
    /// The name at the end of a text of `len` bytes, of which `end` holds the last eight, or all in the high bytes where
    /// they are fewer.
    #[inline(always)]
    #[must_use]
    pub const fn of(end: u64, len: u64) -> Self {
        const LOW: u64 = 0x7f7f_7f7f_7f7f_7f7f;
        const SLASHES: u64 = 0x2f2f_2f2f_2f2f_2f2f;
        // The high bit of each byte that is a slash.
        let others = end ^ SLASHES;
        let slashes = !((((others & LOW) + LOW) | others) | LOW);
        // Bytes of the name that lie in the word.
        let name = if slashes != 0 { (slashes.leading_zeros() / 8) as u64 } else { len };
        match name {
            0 => Self::Open,
            1..8 => Self::Short(with_length(end & !(u64::MAX >> (8 * name)), name)),
            _ => Self::Long(end),
        }
    }
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

/// What the files with a name are: the value of the exact name map.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct NameWatch(pub u32);

impl NameWatch {
    /// Stores: every open is of interest.
    pub const STORE: Self = Self(1 << 0);
    /// Histories and logs: only an open for writing is, and a read marks nobody.
    pub const OUTLET: Self = Self(1 << 1);

    /// Both.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
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

/// A network address: 16 bytes in their order, of IPv4 as IPv6 maps it (`::ffff:a.b.c.d`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(
    feature = "user",
    derive(zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::Immutable, zerocopy::KnownLayout)
)]
#[repr(C)]
pub struct Address {
    /// The bytes as they lie in memory, eight in a word.
    pub words: [u64; 2],
}

impl Address {
    /// The address whose four bytes lie in this word.
    #[inline(always)]
    #[must_use]
    pub const fn v4(bytes: u32) -> Self {
        Self { words: [0, 0xffff_0000 | (bytes as u64) << 32] }
    }

    /// From its 16 bytes.
    #[must_use]
    pub const fn of(bytes: [u8; 16]) -> Self {
        let [first, second] = [split(bytes, 0), split(bytes, 8)];
        Self { words: [u64::from_le_bytes(first), u64::from_le_bytes(second)] }
    }

    /// Its 16 bytes.
    #[must_use]
    pub const fn bytes(self) -> [u8; 16] {
        ((self.words[1] as u128) << 64 | self.words[0] as u128).to_le_bytes()
    }
}

const fn split(bytes: [u8; 16], from: usize) -> [u8; 8] {
    let mut half = [0; 8];
    let mut i = 0;
    while i < 8 {
        half[i] = bytes[from + i];
        i += 1;
    }
    half
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
    /// The core of a process: whoever reads it looks into that process.
    pub const CORE: u32 = 1 << 3;
}

/// Value of the map of carriers: processes that have come to the content of a store, or could have been given it by one
/// that has. What they write may be a copy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(
    feature = "user",
    derive(zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::Immutable, zerocopy::KnownLayout)
)]
#[repr(C)]
pub struct Carrier {
    /// Start of the process, as in its key: a pid can come back.
    pub start_ns: u64,
    /// Until when it counts, `CLOCK_BOOTTIME`.
    pub until_ns: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the kernel programs take it from a text.
    fn last(text: &[u8]) -> TextName {
        let mut end = [0; 8];
        let len = if text.len() < 8 { text.len() } else { 8 };
        end[8 - len..].copy_from_slice(&text[text.len() - len..]);
        TextName::of(u64::from_le_bytes(end), text.len() as u64)
    }

    #[test]
    fn the_last_component_of_a_text() {
        for (text, name) in [
            (&b"/home/ann/.netrc"[..], &b".netrc"[..]),
            (b".netrc", b".netrc"),
            (b"a/b/c", b"c"),
            (b"/x", b"x"),
            (b"/home//a/", b""),
            (b"/1234567", b"1234567"),
        ] {
            let wanted = if name.is_empty() { TextName::Open } else { TextName::Short(name_head(name)) };
            assert_eq!(last(text), wanted);
        }
        let tail = TextName::Long(u64::from_le_bytes(*b"dentials"));
        assert_eq!(last(b"/home/ann/.aws/credentials"), tail);
        assert_eq!(last(b"credentials"), tail);
        assert_eq!(last(b"12345678"), TextName::Long(u64::from_le_bytes(*b"12345678")));
    }

    #[test]
    fn a_name_is_found_by_its_end() {
        let mut filter = Filter::EMPTY;
        filter.add_name(b"credentials", Role::File, Shape::NAME);
        filter.add_name(b".netrc", Role::File, Shape::NAME);
        assert_eq!(filter.tails[tail_slot(u64::from_le_bytes(*b"dentials")) as usize], 1);
        assert_eq!(filter.tails.iter().filter(|slot| **slot != 0).count(), 1);
    }
}
