//! Cuts a kernel's type information down to what the offset reader looks at.
//!
//! Kept as they are: the structures that `tokenhound_common::fields` names, those inside them that a field's path leads
//! through, all anonymous ones, and a few functions. Every other structure inside keeps its size and loses its members;
//! every pointer becomes a pointer to nothing. Types of one name are all kept, so that an ambiguity stays one.
//!
//! Format: Documentation/bpf/btf.rst in the kernel's source.

use std::collections::{HashMap, HashSet};

use anyhow::{Context as _, bail, ensure};
use tokenhound_common::fields::FIELDS;

/// Functions that the agent asks for, or that later hooks attach to.
const FUNCTIONS: &[&str] = &["bpf_rdonly_cast", "security_file_open", "security_file_permission", "security_mmap_file"];

const INT: u32 = 1;
const PTR: u32 = 2;
const ARRAY: u32 = 3;
const STRUCT: u32 = 4;
const UNION: u32 = 5;
const ENUM: u32 = 6;
const TYPEDEF: u32 = 8;
const VOLATILE: u32 = 9;
const CONST: u32 = 10;
const RESTRICT: u32 = 11;
const FUNC: u32 = 12;
const FUNC_PROTO: u32 = 13;
const VAR: u32 = 14;
const DATASEC: u32 = 15;
const FLOAT: u32 = 16;
const DECL_TAG: u32 = 17;
const TYPE_TAG: u32 = 18;
const ENUM64: u32 = 19;

const MAGIC: u32 = 0xeb9f;
const HEAD_BYTES: u32 = 24;

/// Trimmed copy of the type information `full`.
pub(super) fn trim(full: &[u8]) -> anyhow::Result<Vec<u8>> {
    let source = Source::read(full)?;
    let keep = source.structures_on_paths()?;
    let mut copy = Copy {
        source: &source,
        keep,
        types: Vec::new(),
        strings: vec![0],
        named: HashMap::new(),
        ids: HashMap::new(),
        shared: HashMap::new(),
    };
    for (id, ty) in source.types.iter().enumerate().skip(1) {
        let name = source.name(ty.name)?;
        if ty.kind() == STRUCT && FIELDS.iter().any(|field| field.structure.as_bytes() == name) {
            copy.ty(id as u32)?;
        }
        if ty.kind() == FUNC && FUNCTIONS.iter().any(|function| function.as_bytes() == name) {
            let prototype = copy.shared(FUNC_PROTO, 0);
            let name = copy.string(ty.name)?;
            copy.types.push(vec![name, ty.info, prototype]);
        }
    }
    Ok(copy.finish())
}

/// Byte offset of every field, in the order of [`FIELDS`], for the agent's own reader to be compared with.
pub(super) fn offsets(full: &[u8]) -> anyhow::Result<Vec<Option<u32>>> {
    let source = Source::read(full)?;
    let mut offsets = Vec::new();
    for field in FIELDS {
        let mut found = None;
        for outer in source.structures(field.structure) {
            for path in field.paths {
                found = found.or(source.follow(outer, path)?.0);
            }
        }
        offsets.push(found);
    }
    Ok(offsets)
}

struct Type {
    name: u32,
    info: u32,
    size_or_type: u32,
    extra: Vec<u32>,
}

impl Type {
    fn kind(&self) -> u32 {
        self.info >> 24 & 0x1f
    }
}

struct Source<'a> {
    /// By id; 0 is void.
    types: Vec<Type>,
    strings: &'a [u8],
}

impl<'a> Source<'a> {
    fn read(full: &'a [u8]) -> anyhow::Result<Self> {
        let word = |at: usize| -> anyhow::Result<u32> {
            let bytes = full.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
            Ok(u32::from_le_bytes(bytes.context("the type information is cut short")?))
        };
        ensure!(word(0)? & 0xffff == MAGIC, "this is no type information of a little-endian kernel");
        let section = |at: usize| -> anyhow::Result<(usize, usize)> {
            let start = word(4)? as usize + word(at)? as usize;
            Ok((start, start + word(at + 4)? as usize))
        };
        let (mut at, end) = section(8)?;
        let (from, to) = section(16)?;
        let strings = full.get(from..to).context("the strings are cut short")?;
        let mut types = vec![Type { name: 0, info: 0, size_or_type: 0, extra: Vec::new() }];
        while at < end {
            let mut ty = Type { name: word(at)?, info: word(at + 4)?, size_or_type: word(at + 8)?, extra: Vec::new() };
            let len = ty.info & 0xffff;
            let words = match ty.kind() {
                INT | VAR | DECL_TAG => 1,
                ARRAY => 3,
                STRUCT | UNION | DATASEC | ENUM64 => 3 * len,
                ENUM | FUNC_PROTO => 2 * len,
                PTR | 7..=FUNC | FLOAT | TYPE_TAG => 0,
                kind => bail!("kind of type {kind} at byte {at} is not known here"),
            };
            ty.extra = (0..words as usize).map(|index| word(at + 12 + 4 * index)).collect::<anyhow::Result<_>>()?;
            at += 12 + 4 * words as usize;
            types.push(ty);
        }
        Ok(Self { types, strings })
    }

    fn get(&self, id: u32) -> anyhow::Result<&Type> {
        self.types.get(id as usize).with_context(|| format!("there is no type {id}"))
    }

    fn name(&self, offset: u32) -> anyhow::Result<&'a [u8]> {
        let tail = self.strings.get(offset as usize..).context("a name lies outside the strings")?;
        Ok(tail.split(|byte| *byte == 0).next().unwrap_or_default())
    }

    /// The structure or union behind typedefs and qualifiers, if it is one.
    fn composite(&self, mut id: u32) -> anyhow::Result<Option<&Type>> {
        loop {
            let ty = self.get(id)?;
            match ty.kind() {
                TYPEDEF | VOLATILE | CONST | RESTRICT | TYPE_TAG => id = ty.size_or_type,
                STRUCT | UNION => return Ok(Some(ty)),
                _ => return Ok(None),
            }
        }
    }

    /// Bit offset and type of the member `name`, seen through anonymous members.
    fn member(&self, ty: &Type, name: &[u8]) -> anyhow::Result<Option<(u32, u32)>> {
        for member in ty.extra.chunks_exact(3) {
            // With the kind flag, the highest byte is the width of a bit field.
            let bits = if ty.info >> 31 == 1 { member[2] & 0x00ff_ffff } else { member[2] };
            if member[0] != 0 && self.name(member[0])? == name {
                return Ok(Some((bits, member[1])));
            }
            let inner = if member[0] == 0 { self.composite(member[1])? } else { None };
            if let Some((inner, found)) = inner.map(|inner| self.member(inner, name)).transpose()?.flatten() {
                return Ok(Some((bits + inner, found)));
            }
        }
        Ok(None)
    }

    /// Follows `path` from `outer` as far as it goes: byte offset if that is to its end, and the structures entered.
    fn follow(&self, outer: &Type, path: &str) -> anyhow::Result<(Option<u32>, Vec<&'a [u8]>)> {
        let (mut ty, mut bits, mut entered) = (Some(outer), 0, Vec::new());
        for name in path.split('.') {
            let Some(inner) = ty else { return Ok((None, entered)) };
            entered.push(self.name(inner.name)?);
            let Some((at, found)) = self.member(inner, name.as_bytes())? else { return Ok((None, entered)) };
            bits += at;
            ty = self.composite(found)?;
        }
        Ok((Some(bits / 8), entered))
    }

    fn structures<'s>(&'s self, name: &'s str) -> impl Iterator<Item = &'s Type> {
        let is_it = move |ty: &&Type| ty.kind() == STRUCT && self.name(ty.name).is_ok_and(|own| own == name.as_bytes());
        self.types.iter().filter(is_it)
    }

    /// Names of all structures whose members a field's path needs.
    fn structures_on_paths(&self) -> anyhow::Result<HashSet<&'a [u8]>> {
        let mut keep = HashSet::new();
        for field in FIELDS {
            for outer in self.structures(field.structure) {
                for path in field.paths {
                    keep.extend(self.follow(outer, path)?.1);
                }
            }
        }
        Ok(keep)
    }
}

struct Copy<'a> {
    source: &'a Source<'a>,
    keep: HashSet<&'a [u8]>,
    /// Words of each type, from id 1 on.
    types: Vec<Vec<u32>>,
    strings: Vec<u8>,
    named: HashMap<&'a [u8], u32>,
    /// From the source's ids to ours.
    ids: HashMap<u32, u32>,
    /// Types without a name, by kind and size.
    shared: HashMap<(u32, u32), u32>,
}

impl<'a> Copy<'a> {
    /// Our id of the source's type `id`.
    fn ty(&mut self, id: u32) -> anyhow::Result<u32> {
        if id == 0 {
            return Ok(0);
        }
        if let Some(known) = self.ids.get(&id) {
            return Ok(*known);
        }
        let source = self.source;
        let ty = source.get(id)?;
        let name = source.name(ty.name)?;
        match ty.kind() {
            PTR => return Ok(self.shared(PTR, 0)),
            ENUM | ENUM64 => return Ok(self.shared(ty.kind(), ty.size_or_type)),
            STRUCT | UNION if !name.is_empty() && !self.keep.contains(name) => {
                return Ok(self.shared(ty.kind(), ty.size_or_type));
            }
            _ => {}
        }
        // The place is taken before the parts are copied: ids are given in order.
        self.types.push(Vec::new());
        let own = self.types.len() as u32;
        self.ids.insert(id, own);
        let words = self.describe(ty)?;
        self.types[own as usize - 1] = words;
        Ok(own)
    }

    fn describe(&mut self, ty: &Type) -> anyhow::Result<Vec<u32>> {
        let name = self.string(ty.name)?;
        Ok(match ty.kind() {
            INT => vec![name, ty.info, ty.size_or_type, ty.extra[0]],
            FLOAT => vec![name, ty.info, ty.size_or_type],
            TYPEDEF | VOLATILE | CONST | RESTRICT | TYPE_TAG => vec![name, ty.info, self.ty(ty.size_or_type)?],
            ARRAY => vec![name, ty.info, 0, self.ty(ty.extra[0])?, self.ty(ty.extra[1])?, ty.extra[2]],
            STRUCT | UNION => {
                let mut words = vec![name, ty.info, ty.size_or_type];
                for member in ty.extra.chunks_exact(3) {
                    words.extend([self.string(member[0])?, self.ty(member[1])?, member[2]]);
                }
                words
            }
            kind => bail!("kind of type {kind} inside a structure is not known here"),
        })
    }

    /// A type that has no more than a kind and a size.
    fn shared(&mut self, kind: u32, size: u32) -> u32 {
        let types = &mut self.types;
        *self.shared.entry((kind, size)).or_insert_with(|| {
            types.push(vec![0, kind << 24, size]);
            types.len() as u32
        })
    }

    fn string(&mut self, offset: u32) -> anyhow::Result<u32> {
        let text = self.source.name(offset)?;
        if text.is_empty() {
            return Ok(0);
        }
        let strings = &mut self.strings;
        Ok(*self.named.entry(text).or_insert_with(|| {
            let at = strings.len() as u32;
            strings.extend_from_slice(text);
            strings.push(0);
            at
        }))
    }

    fn finish(self) -> Vec<u8> {
        let types: Vec<u8> = self.types.concat().into_iter().flat_map(u32::to_le_bytes).collect();
        let (types_len, strings_len) = (types.len() as u32, self.strings.len() as u32);
        let head = [MAGIC | 1 << 16, HEAD_BYTES, 0, types_len, types_len, strings_len];
        let mut blob: Vec<u8> = head.into_iter().flat_map(u32::to_le_bytes).collect();
        blob.extend(types);
        blob.extend(self.strings);
        blob
    }
}
