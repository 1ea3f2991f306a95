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
    /// The description is too large or its offsets run over: no kernel's is.
    #[error("`{structure}.{path}` cannot be looked up: the kernel's type information is damaged")]
    Damaged {
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

/// Most members looked at for one question. `task_struct` has some three hundred, with those of its anonymous members;
/// a type that contains itself would have no end.
const STEPS: u32 = 100_000;

/// Longest name of a type or function in bytes (`KSYM_NAME_LEN` is 512). Longer ones cannot be asked for.
const NAME_BYTES: usize = 512;

/// One type: where its description starts.
#[derive(Clone, Copy)]
struct Type {
    at: usize,
    name: u32,
    info: u32,
    size_or_type: u32,
}

impl Type {
    // The kernel's format leaves bits 16 to 23, 29 and 30 unused and zero. They are read as part of the numbers beside
    // them, so that a kernel that starts to use them is understood or refused, but not misread.
    fn kind(self) -> u32 {
        self.info >> 24 & 0x7f
    }
    fn len(self) -> usize {
        (self.info & 0x00ff_ffff) as usize
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

/// A member as the description of its structure has it.
#[derive(Clone, Copy)]
struct Found {
    bits: u32,
    ty: u32,
    bit_field: bool,
}

/// Why a search was given up.
struct Endless;

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
        if data.get(..2) != Some(&0xeb9f_u16.to_ne_bytes()) {
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
            if ty.name != 0 && matches!(ty.kind(), KIND_STRUCT | KIND_FUNC | KIND_TYPEDEF) {
                named.push((types.len() as u32, ty.name));
            }
            types.push(ty);
            at += 12 + extra;
        }
        if at > end {
            return Err(BtfError::Malformed { at, what: "the end of the types" });
        }
        let mut btf = Self { data, strings, types, by_name: HashMap::with_capacity(named.len()) };
        for (id, name) in named {
            if let Some(hash) = btf.string(name).map(name_hash) {
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

    /// Parameters of the function `name`. `None` if there is none, or more than one.
    #[must_use]
    pub fn parameters(&self, name: &str) -> Option<usize> {
        let function = self.types.get(self.single_id(name, KIND_FUNC)? as usize)?;
        self.prototype(function.size_or_type)
    }

    /// Arguments of the event `name`, as a program on it gets them.
    #[must_use]
    pub fn event_arguments(&self, name: &str) -> Option<usize> {
        // typedef void (*btf_trace_NAME)(void *, ...): the first parameter is the tracepoint's own.
        let typedef = self.types.get(self.single_id(&format!("btf_trace_{name}"), KIND_TYPEDEF)? as usize)?;
        let pointer = self.types.get(typedef.size_or_type as usize)?;
        self.prototype(pointer.size_or_type)?.checked_sub(1)
    }

    fn prototype(&self, id: u32) -> Option<usize> {
        self.types.get(id as usize).filter(|ty| ty.kind() == KIND_FUNC_PROTO).map(|ty| ty.len())
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
        let mut ids = self.ids(name).filter(|id| self.types.get(*id as usize).is_some_and(|ty| ty.kind() == kind));
        ids.next().filter(|_| ids.next().is_none())
    }

    /// Size in bytes of the structure `name`. `None` if there is none, or if several disagree.
    #[must_use]
    pub fn structure_size(&self, name: &str) -> Option<u32> {
        let mut sizes = self.named(name).filter(|ty| ty.kind() == KIND_STRUCT).map(|ty| ty.size_or_type);
        let first = sizes.next()?;
        sizes.all(|size| size == first).then_some(first)
    }

    /// Finds a member by the dotted `path`, entering anonymous structures and unions on the way.
    ///
    /// # Errors
    ///
    /// When type or member does not exist, is a bit field, or when several types of the name disagree.
    pub fn member(&self, structure: &str, path: &str) -> Result<Member, MemberError> {
        let mut found: Option<Member> = None;
        let mut exists = false;
        let mut steps = STEPS;
        for ty in self.named(structure).filter(|ty| ty.kind() == KIND_STRUCT) {
            exists = true;
            match (self.resolve(ty, path, structure, &mut steps)?, found) {
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

    fn resolve(
        &self,
        outer: Type,
        path: &str,
        structure: &str,
        steps: &mut u32,
    ) -> Result<Option<Member>, MemberError> {
        let damaged = || MemberError::Damaged { structure: structure.into(), path: path.into() };
        let (mut ty, mut offset) = (outer, 0u32);
        let mut last = 0;
        for (step, name) in path.split('.').enumerate() {
            if step > 0 {
                match self.strip(last) {
                    Some(inner) if matches!(inner.kind(), KIND_STRUCT | KIND_UNION) => ty = inner,
                    _ => return Ok(None),
                }
            }
            let found = self.find(ty, name.as_bytes(), DEPTH, steps).map_err(|Endless| damaged())?;
            let Some(found) = found else { return Ok(None) };
            if found.bit_field || !found.bits.is_multiple_of(8) {
                return Err(MemberError::BitField { structure: structure.into(), path: path.into() });
            }
            offset = offset.checked_add(found.bits / 8).ok_or_else(damaged)?;
            last = found.ty;
        }
        Ok(Some(Member { offset, size: self.size_of(last, DEPTH) }))
    }

    /// The member `name` of `ty`, seen through anonymous members.
    fn find(&self, ty: Type, name: &[u8], depth: u32, steps: &mut u32) -> Result<Option<Found>, Endless> {
        for index in 0..ty.len() {
            *steps = steps.checked_sub(1).ok_or(Endless)?;
            let at = ty.at + 12 + 12 * index;
            let (Ok(member_name), Ok(member_type), Ok(raw)) =
                (read_u32(&self.data, at), read_u32(&self.data, at + 4), read_u32(&self.data, at + 8))
            else {
                return Ok(None);
            };
            let (bits, bit_field) = if ty.bit_fields() { (raw & 0x00ff_ffff, raw >> 24 != 0) } else { (raw, false) };
            if member_name != 0 {
                if self.is_named(member_name, name) {
                    return Ok(Some(Found { bits, ty: member_type, bit_field }));
                }
                continue;
            }
            let inner = self.strip(member_type).filter(|ty| matches!(ty.kind(), KIND_STRUCT | KIND_UNION));
            let Some(inner) = inner.filter(|_| depth > 0) else { continue };
            if let Some(found) = self.find(inner, name, depth - 1, steps)? {
                return Ok(Some(Found { bits: bits.checked_add(found.bits).ok_or(Endless)?, ..found }));
            }
        }
        Ok(None)
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
        self.ids(name).filter_map(|id| self.types.get(id as usize).copied())
    }

    fn ids(&self, name: &str) -> impl Iterator<Item = u32> {
        let ids = self.by_name.get(&name_hash(name.as_bytes())).map_or(&[][..], Vec::as_slice);
        ids.iter()
            .copied()
            .filter(move |id| self.types.get(*id as usize).is_some_and(|ty| self.is_named(ty.name, name.as_bytes())))
    }

    /// Whether the string at `offset` is `name`. Looks no further than that: strings may overlap and be of any length.
    fn is_named(&self, offset: u32, name: &[u8]) -> bool {
        let tail = self.tail(offset);
        tail.strip_prefix(name).is_some_and(|rest| rest.first() == Some(&0))
    }

    /// The string at `offset`, unless it is longer than [`NAME_BYTES`].
    fn string(&self, offset: u32) -> Option<&[u8]> {
        let tail = self.tail(offset);
        let end = tail.iter().take(NAME_BYTES + 1).position(|byte| *byte == 0)?;
        tail.get(..end)
    }

    /// The strings from `offset` on.
    fn tail(&self, offset: u32) -> &[u8] {
        let strings = self.data.get(self.strings.0..self.strings.1).unwrap_or_default();
        strings.get(offset as usize..).unwrap_or_default()
    }
}

fn name_hash(name: &[u8]) -> u64 {
    let mut hasher = std::hash::DefaultHasher::new();
    std::hash::Hasher::write(&mut hasher, name);
    std::hash::Hasher::finish(&hasher)
}

fn read_u32(data: &[u8], at: usize) -> Result<u32, BtfError> {
    at.checked_add(4)
        .and_then(|end| data.get(at..end))
        .and_then(|bytes| bytes.try_into().ok())
        .map(u32::from_ne_bytes)
        .ok_or(BtfError::Malformed { at, what: "four more bytes" })
}

#[cfg(test)]
pub(crate) mod build;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod wire_tests;
