//! Puts BTF together by hand, and numbers that are random but the same in every run: for tests.

/// A type's number.
pub(crate) type Id = u32;

/// BTF under construction. Kinds and encodings as in Documentation/bpf/btf.rst of the kernel's source.
pub(crate) struct Builder {
    types: Vec<u8>,
    strings: Vec<u8>,
    next: Id,
}

impl Builder {
    pub(crate) fn new() -> Self {
        Self { types: Vec::new(), strings: vec![0], next: 1 }
    }

    /// A type in raw words: kind, kind flag, number of entries, size or type, and what follows.
    pub(crate) fn raw(&mut self, name: &str, kind: u32, flag: bool, len: u32, size_or_type: u32, extra: &[u32]) -> Id {
        let name = self.string(name);
        self.push(&[name, u32::from(flag) << 31 | kind << 24 | len, size_or_type]);
        self.push(extra);
        self.next += 1;
        self.next - 1
    }

    pub(crate) fn int(&mut self, size: u32) -> Id {
        self.raw("int", 1, false, 0, size, &[size * 8])
    }

    pub(crate) fn pointer(&mut self, to: Id) -> Id {
        self.raw("", 2, false, 0, to, &[])
    }

    pub(crate) fn array(&mut self, element: Id, count: u32) -> Id {
        self.raw("", 3, false, 0, 0, &[element, element, count])
    }

    pub(crate) fn structure(&mut self, name: &str, size: u32, members: &[(&str, Id, u32)]) -> Id {
        self.composite(name, 4, false, size, members)
    }

    pub(crate) fn union(&mut self, name: &str, size: u32, members: &[(&str, Id, u32)]) -> Id {
        self.composite(name, 5, false, size, members)
    }

    /// A structure whose members' offsets carry the width of a bit field in the highest byte.
    pub(crate) fn with_bit_fields(&mut self, name: &str, size: u32, members: &[(&str, Id, u32)]) -> Id {
        self.composite(name, 4, true, size, members)
    }

    pub(crate) fn typedef(&mut self, to: Id) -> Id {
        self.raw("alias", 8, false, 0, to, &[])
    }

    pub(crate) fn constant(&mut self, to: Id) -> Id {
        self.raw("", 10, false, 0, to, &[])
    }

    pub(crate) fn function(&mut self, name: &str) -> Id {
        let prototype = self.raw("", 13, false, 0, 0, &[]);
        self.raw(name, 12, false, 0, prototype, &[])
    }

    /// The number that the type after `ahead` others will have.
    pub(crate) fn coming(&self, ahead: u32) -> Id {
        self.next + ahead
    }

    pub(crate) fn finish(&self) -> Vec<u8> {
        let (types, strings) = (self.types.len() as u32, self.strings.len() as u32);
        let head = [0x0001_eb9f, 24, 0, types, types, strings];
        let mut bytes: Vec<u8> = head.into_iter().flat_map(u32::to_ne_bytes).collect();
        bytes.extend_from_slice(&self.types);
        bytes.extend_from_slice(&self.strings);
        bytes
    }

    fn composite(&mut self, name: &str, kind: u32, flag: bool, size: u32, members: &[(&str, Id, u32)]) -> Id {
        let entries: Vec<u32> = members.iter().flat_map(|(name, ty, bits)| [self.string(name), *ty, *bits]).collect();
        self.raw(name, kind, flag, members.len() as u32, size, &entries)
    }

    fn string(&mut self, text: &str) -> u32 {
        if text.is_empty() {
            return 0;
        }
        let at = self.strings.len() as u32;
        self.strings.extend_from_slice(text.as_bytes());
        self.strings.push(0);
        at
    }

    fn push(&mut self, words: &[u32]) {
        self.types.extend(words.iter().flat_map(|word| word.to_ne_bytes()));
    }
}

/// Numbers that look random (splitmix64).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `limit`, which is not 0.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }
}
