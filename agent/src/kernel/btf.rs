//! A small reader of BTF, the kernel's own type information: enough to find a member's offset and a function.
//!
//! Format: Documentation/bpf/btf.rst in the kernel's source. The input is not trusted: every index is checked.

use std::collections::HashMap;

/// Why BTF could not be read.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum BtfError {
    /// Not BTF, or cut short.
    #[error("BTF is malformed at byte {at}: {what}")]
    Malformed {
        /// Where.
        at: usize,
        /// What was expected there.
        what: &'static str,
    },
}

/// Why a member has no offset.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
pub enum MemberError {
    /// The kernel has no such type.
    #[error("this kernel has no `struct {0}`")]
    NoStructure(String),
    /// The type has no such member.
    #[error("`struct {structure}` has no member `{path}` on this kernel")]
    NoMember {
        /// The type.
        structure: String,
        /// The dotted path asked for.
        path: String,
    },
    /// More than one type of that name, with different answers.
    #[error("`{structure}.{path}` is ambiguous: types of that name disagree on its place")]
    Ambiguous {
        /// The type.
        structure: String,
        /// The dotted path asked for.
        path: String,
    },
    /// A bit field, which has no byte offset.
    #[error("`{structure}.{path}` is a bit field")]
    BitField {
        /// The type.
        structure: String,
        /// The dotted path asked for.
        path: String,
    },
}

const KIND_INT: u32 = 1;
const KIND_PTR: u32 = 2;
const KIND_ARRAY: u32 = 3;
const KIND_STRUCT: u32 = 4;
const KIND_UNION: u32 = 5;
const KIND_ENUM: u32 = 6;
const KIND_TYPEDEF: u32 = 8;
const KIND_VOLATILE: u32 = 9;
const KIND_CONST: u32 = 10;
const KIND_RESTRICT: u32 = 11;
const KIND_FUNC: u32 = 12;
const KIND_FUNC_PROTO: u32 = 13;
const KIND_VAR: u32 = 14;
const KIND_DATASEC: u32 = 15;
const KIND_FLOAT: u32 = 16;
const KIND_DECL_TAG: u32 = 17;
const KIND_TYPE_TAG: u32 = 18;
const KIND_ENUM64: u32 = 19;

/// Deepest nesting of anonymous members and modifiers that is followed; real kernels stay below ten.
const DEPTH: u32 = 32;

/// One type: where its description starts.
#[derive(Clone, Copy)]
struct Type {
    at: usize,
    name: u32,
    info: u32,
    size_or_type: u32,
}

impl Type {
    fn kind(self) -> u32 {
        self.info >> 24 & 0x1f
    }
    fn len(self) -> usize {
        (self.info & 0xffff) as usize
    }
    fn bit_fields(self) -> bool {
        self.info >> 31 == 1
    }
}

/// A member's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// Bytes from the start of the outermost structure.
    pub offset: u32,
    /// Size in bytes of the member's type; 0 where it has none (flexible arrays).
    pub size: u32,
}

/// Parsed BTF.
pub struct Btf {
    data: Vec<u8>,
    strings: (usize, usize),
    types: Vec<Type>,
    /// Structures and functions by the hash of their name; names are compared on lookup.
    by_name: HashMap<u64, Vec<u32>>,
}

impl Btf {
    /// Reads BTF as it lies in `/sys/kernel/btf/vmlinux`.
    ///
    /// # Errors
    ///
    /// When the bytes are not well-formed BTF of this machine's byte order.
    pub fn parse(data: Vec<u8>) -> Result<Self, BtfError> {
        let word = |at: usize| read_u32(&data, at);
        if data.len() < 24 || u16::from_ne_bytes([data[0], data[1]]) != 0xeb9f {
            return Err(BtfError::Malformed { at: 0, what: "the magic number 0xeb9f" });
        }
        let header = word(4)? as usize;
        let section = |offset: u32, len: u32| {
            let start = header.checked_add(offset as usize);
            let end = start.and_then(|start| start.checked_add(len as usize));
            match (start, end) {
                (Some(start), Some(end)) if end <= data.len() => Ok((start, end)),
                _ => Err(BtfError::Malformed { at: 8, what: "a section inside the data" }),
            }
        };
        let (mut at, end) = section(word(8)?, word(12)?)?;
        let strings = section(word(16)?, word(20)?)?;
        let mut types = vec![Type { at, name: 0, info: 0, size_or_type: 0 }];
        let mut named = Vec::new();
        while at < end {
            let ty = Type { at, name: word(at)?, info: word(at + 4)?, size_or_type: word(at + 8)? };
            let extra = match ty.kind() {
                KIND_INT | KIND_VAR | KIND_DECL_TAG => 4,
                KIND_ARRAY => 12,
                KIND_STRUCT | KIND_UNION | KIND_DATASEC | KIND_ENUM64 => 12 * ty.len(),
                KIND_ENUM | KIND_FUNC_PROTO => 8 * ty.len(),
                KIND_PTR | 7..=KIND_FUNC | KIND_FLOAT | KIND_TYPE_TAG => 0,
                _ => return Err(BtfError::Malformed { at, what: "a known kind of type" }),
            };
            if ty.name != 0 && matches!(ty.kind(), KIND_STRUCT | KIND_FUNC) {
                named.push(types.len() as u32);
            }
            types.push(ty);
            at += 12 + extra;
        }
        if at > end {
            return Err(BtfError::Malformed { at, what: "the end of the types" });
        }
        let mut btf = Self { data, strings, types, by_name: HashMap::with_capacity(named.len()) };
        for id in named {
            if let Some(name) = btf.string(btf.types[id as usize].name) {
                let hash = name_hash(name);
                btf.by_name.entry(hash).or_default().push(id);
            }
        }
        Ok(btf)
    }

    /// Whether the kernel has a function of that name that a program can attach to.
    #[must_use]
    pub fn has_function(&self, name: &str) -> bool {
        self.named(name).any(|ty| ty.kind() == KIND_FUNC)
    }

    /// Number of the function `name`, for calls of kernel functions. `None` if there is none, or more than one.
    #[must_use]
    pub fn function_id(&self, name: &str) -> Option<u32> {
        self.single_id(name, KIND_FUNC)
    }

    /// Number of the structure `name`. `None` if there is none, or more than one.
    #[must_use]
    pub fn structure_id(&self, name: &str) -> Option<u32> {
        self.single_id(name, KIND_STRUCT)
    }

    fn single_id(&self, name: &str, kind: u32) -> Option<u32> {
        let mut ids = self.ids(name).filter(|id| self.types[*id as usize].kind() == kind);
        ids.next().filter(|_| ids.next().is_none())
    }

    /// Finds a member by the dotted `path`, entering anonymous structures and unions on the way.
    ///
    /// # Errors
    ///
    /// When type or member does not exist, is a bit field, or when several types of the name disagree.
    pub fn member(&self, structure: &str, path: &str) -> Result<Member, MemberError> {
        let mut found: Option<Member> = None;
        let mut exists = false;
        for ty in self.named(structure).filter(|ty| ty.kind() == KIND_STRUCT) {
            exists = true;
            match (self.resolve(ty, path, structure)?, found) {
                (None, _) => {}
                (Some(member), None) => found = Some(member),
                (Some(member), Some(first)) if member == first => {}
                (Some(_), Some(_)) => {
                    return Err(MemberError::Ambiguous { structure: structure.into(), path: path.into() });
                }
            }
        }
        if !exists {
            return Err(MemberError::NoStructure(structure.into()));
        }
        found.ok_or_else(|| MemberError::NoMember { structure: structure.into(), path: path.into() })
    }

    fn resolve(&self, outer: Type, path: &str, structure: &str) -> Result<Option<Member>, MemberError> {
        let (mut ty, mut offset) = (outer, 0u32);
        let mut size = 0;
        for (step, name) in path.split('.').enumerate() {
            if step > 0 {
                match self.strip(size) {
                    Some(inner) if matches!(inner.kind(), KIND_STRUCT | KIND_UNION) => ty = inner,
                    _ => return Ok(None),
                }
            }
            let Some((bits, member)) = self.find(ty, name, DEPTH) else { return Ok(None) };
            if bits % 8 != 0 {
                return Err(MemberError::BitField { structure: structure.into(), path: path.into() });
            }
            offset += bits / 8;
            size = member;
        }
        Ok(Some(Member { offset, size: self.size_of(size, DEPTH) }))
    }

    /// Bit offset and type of the member `name` of `ty`, seen through anonymous members.
    fn find(&self, ty: Type, name: &str, depth: u32) -> Option<(u32, u32)> {
        for index in 0..ty.len() {
            let at = ty.at + 12 + 12 * index;
            let (member_name, member_type, raw) = (
                read_u32(&self.data, at).ok()?,
                read_u32(&self.data, at + 4).ok()?,
                read_u32(&self.data, at + 8).ok()?,
            );
            let (bits, is_bit_field) = if ty.bit_fields() { (raw & 0x00ff_ffff, raw >> 24 != 0) } else { (raw, false) };
            if member_name != 0 && self.string(member_name) == Some(name.as_bytes()) {
                // An odd number of bits tells the caller that this is no byte offset.
                return Some((if is_bit_field { bits | 1 } else { bits }, member_type));
            }
            if member_name == 0 && depth > 0 {
                let inner = self.strip(member_type).filter(|ty| matches!(ty.kind(), KIND_STRUCT | KIND_UNION));
                if let Some((inner_bits, found)) = inner.and_then(|inner| self.find(inner, name, depth - 1)) {
                    return Some((bits + inner_bits, found));
                }
            }
        }
        None
    }

    /// The type behind typedefs and qualifiers.
    fn strip(&self, id: u32) -> Option<Type> {
        let mut id = id;
        for _ in 0..DEPTH {
            let ty = *self.types.get(id as usize)?;
            match ty.kind() {
                KIND_TYPEDEF | KIND_VOLATILE | KIND_CONST | KIND_RESTRICT | KIND_TYPE_TAG => id = ty.size_or_type,
                _ => return Some(ty),
            }
        }
        None
    }

    fn size_of(&self, id: u32, depth: u32) -> u32 {
        let Some(ty) = self.strip(id) else { return 0 };
        match ty.kind() {
            KIND_PTR => 8,
            KIND_ARRAY if depth > 0 => {
                let element = read_u32(&self.data, ty.at + 12).unwrap_or(0);
                let count = read_u32(&self.data, ty.at + 20).unwrap_or(0);
                self.size_of(element, depth - 1).saturating_mul(count)
            }
            KIND_INT | KIND_STRUCT | KIND_UNION | KIND_ENUM | KIND_ENUM64 | KIND_FLOAT => ty.size_or_type,
            _ => 0,
        }
    }

    fn named(&self, name: &str) -> impl Iterator<Item = Type> {
        self.ids(name).map(|id| self.types[id as usize])
    }

    fn ids(&self, name: &str) -> impl Iterator<Item = u32> {
        let ids = self.by_name.get(&name_hash(name.as_bytes())).map_or(&[][..], Vec::as_slice);
        ids.iter().copied().filter(move |id| self.string(self.types[*id as usize].name) == Some(name.as_bytes()))
    }

    fn string(&self, offset: u32) -> Option<&[u8]> {
        let strings = &self.data[self.strings.0..self.strings.1];
        let tail = strings.get(offset as usize..)?;
        let end = tail.iter().position(|byte| *byte == 0)?;
        Some(&tail[..end])
    }
}

fn name_hash(name: &[u8]) -> u64 {
    let mut hasher = std::hash::DefaultHasher::new();
    std::hash::Hasher::write(&mut hasher, name);
    std::hash::Hasher::finish(&hasher)
}

fn read_u32(data: &[u8], at: usize) -> Result<u32, BtfError> {
    data.get(at..at + 4)
        .and_then(|bytes| bytes.try_into().ok())
        .map(u32::from_ne_bytes)
        .ok_or(BtfError::Malformed { at, what: "four more bytes" })
}
