use super::{
    build::{Builder, Random},
    *,
};
use crate::kernel::offsets;

/// A made-up kernel with everything that a lookup can meet.
fn made_up() -> Vec<u8> {
    let mut b = Builder::new();
    let (word, byte) = (b.int(4), b.int(1));
    let pointer = b.pointer(0);
    let name = b.structure("qstr", 16, &[("len", word, 32), ("name", pointer, 64)]);
    let inner = b.structure("", 8, &[("deep", word, 32)]);
    let either = b.union("", 8, &[("first", pointer, 0), ("", inner, 0)]);
    let alias = b.typedef(either);
    let constant = b.constant(alias);
    let wrapped = b.structure("", 4, &[("val", word, 0)]);
    let kuid = b.typedef(wrapped);
    let text = b.array(byte, 16);
    let matrix = b.array(text, 3);
    let open_ended = b.array(byte, 0);
    let number = b.raw("kind", 6, false, 0, 4, &[]);
    let forward = b.raw("later", 7, false, 0, 0, &[]);
    b.structure(
        "thing",
        200,
        &[
            ("id", word, 0),
            ("qname", name, 64),
            ("", constant, 192),
            ("uid", kuid, 256),
            ("text", text, 320),
            ("matrix", matrix, 448),
            ("state", number, 832),
            ("link", pointer, 896),
            ("odd", word, 961),
            ("later", forward, 992),
            ("tail", open_ended, 1600),
        ],
    );
    b.with_bit_fields("flags", 8, &[("plain", word, 0), ("one", word, 1 << 24 | 32), ("two", word, 2 << 24 | 33)]);
    let bits = b.with_bit_fields("", 4, &[("hidden", word, 8 << 24 | 8)]);
    b.structure("holder", 8, &[("", bits, 32)]);
    b.structure("twice", 8, &[("same", word, 0), ("moved", word, 32), ("resized", word, 32)]);
    b.structure("twice", 8, &[("same", word, 0), ("moved", word, 0), ("resized", byte, 32), ("only", byte, 8)]);
    b.union("either", 8, &[("id", word, 0)]);
    b.function("once");
    b.function("often");
    b.function("often");
    b.finish()
}

fn at(offset: u32, size: u32) -> Result<Member, &'static str> {
    Ok(Member { offset, size })
}

#[test]
fn finds_members() {
    let btf = Btf::parse(made_up()).unwrap();
    for (structure, path, wanted) in [
        ("thing", "id", at(0, 4)),
        ("thing", "qname", at(8, 16)),
        ("thing", "qname.name", at(16, 8)),
        ("thing", "first", at(24, 8)),
        ("thing", "deep", at(28, 4)),
        ("thing", "uid.val", at(32, 4)),
        ("thing", "text", at(40, 16)),
        ("thing", "matrix", at(56, 48)),
        ("thing", "state", at(104, 4)),
        ("thing", "link", at(112, 8)),
        ("thing", "later", at(124, 0)),
        ("thing", "tail", at(200, 0)),
        ("thing", "odd", Err("bit field")),
        ("thing", "nothing", Err("no member")),
        ("thing", "", Err("no member")),
        ("thing", "qname.nothing", Err("no member")),
        ("thing", "link.name", Err("no member")),
        ("thing", "id.val", Err("no member")),
        ("thing", "qname.", Err("no member")),
        ("flags", "plain", at(0, 4)),
        ("flags", "one", Err("bit field")),
        ("flags", "two", Err("bit field")),
        ("holder", "hidden", Err("bit field")),
        ("twice", "same", at(0, 4)),
        ("twice", "only", at(1, 1)),
        ("twice", "moved", Err("ambiguous")),
        ("twice", "resized", Err("ambiguous")),
        ("either", "id", Err("no structure")),
        ("once", "id", Err("no structure")),
        ("", "deep", Err("no structure")),
    ] {
        let found = btf.member(structure, path).map_err(|error| match error {
            MemberError::NoStructure(_) => "no structure",
            MemberError::NoMember { .. } => "no member",
            MemberError::Ambiguous { .. } => "ambiguous",
            MemberError::BitField { .. } => "bit field",
            MemberError::Damaged { .. } => "damaged",
        });
        assert_eq!(found, wanted, "{structure}.{path}");
    }
}

#[test]
fn numbers_what_there_is_one_of() {
    let btf = Btf::parse(made_up()).unwrap();
    for (name, exists, function, structure) in [
        ("once", true, true, false),
        ("often", true, false, false),
        ("thing", false, false, true),
        ("twice", false, false, false),
        ("either", false, false, false),
        ("", false, false, false),
    ] {
        assert_eq!(btf.has_function(name), exists, "{name}");
        assert_eq!(btf.function_id(name).is_some(), function, "{name}");
        assert_eq!(btf.structure_id(name).is_some(), structure, "{name}");
    }
    assert_eq!(btf.structure_id("qstr"), Some(4));
    assert_eq!(btf.structure_size("thing"), Some(200));
    assert_eq!(btf.structure_size("twice"), Some(8));
    assert_eq!(btf.structure_size("nothing"), None);
}

#[test]
fn refuses_what_is_no_btf() {
    let good = made_up();
    let changed = |at: usize, word: u32| {
        let mut bytes = good.clone();
        bytes[at..at + 4].copy_from_slice(&word.to_ne_bytes());
        bytes
    };
    let mut unknown = Builder::new();
    unknown.raw("", 31, false, 0, 0, &[]);
    let mut later = Builder::new();
    later.raw("", 4 | 32, false, 0, 0, &[]);
    for (what, bytes) in [
        ("nothing", Vec::new()),
        ("one byte", vec![0x9f]),
        ("the other byte order", changed(0, 0x0100_9feb)),
        ("a head that ends outside", changed(4, u32::MAX)),
        ("types that start outside", changed(8, u32::MAX)),
        ("types that end outside", changed(12, u32::MAX)),
        ("strings that start outside", changed(16, u32::MAX)),
        ("strings that end outside", changed(20, u32::MAX)),
        ("a kind that is not known", unknown.finish()),
        ("a kind of a later format", later.finish()),
    ] {
        assert!(Btf::parse(bytes).is_err(), "{what}");
    }
}

#[test]
fn survives_every_truncation() {
    let good = made_up();
    for len in 0..good.len() {
        assert!(Btf::parse(good[..len].to_vec()).is_err(), "{len}");
    }
    // The types cut short while the file is whole: some cuts fall between two types and are well formed.
    let types = u32::from_ne_bytes(good[12..16].try_into().unwrap());
    let mut refused = 0;
    for len in 0..types {
        let mut bytes = good.clone();
        bytes[12..16].copy_from_slice(&len.to_ne_bytes());
        refused += u32::from(ask_everything(bytes).is_err());
    }
    assert!(refused > types / 2);
}

#[test]
fn survives_random_changes() {
    let mut random = Random(1);
    let good = made_up();
    let (mut refused, mut read) = (0, 0);
    for _ in 0..20_000 {
        match ask_everything(changed(&good, &mut random)) {
            Ok(()) => read += 1,
            Err(_) => refused += 1,
        }
    }
    // Both outcomes must occur, otherwise the changes reach only the head.
    assert!(refused > 1_000 && read > 1_000, "{refused} refused, {read} read");
}

#[test]
fn survives_random_changes_of_a_kernel() {
    let mut random = Random(2);
    for _ in 0..1_000 {
        if let Ok(btf) = Btf::parse(changed(include_bytes!("../testdata/7.2.btf"), &mut random)) {
            let _ = offsets::resolve(&btf);
        }
    }
}

/// A copy with one to eight words changed: a bit, a small or large number, or a word from elsewhere.
fn changed(good: &[u8], random: &mut Random) -> Vec<u8> {
    let mut bytes = good.to_vec();
    for _ in 0..=random.below(8) {
        let at = random.below(bytes.len() / 4) * 4;
        let from = random.below(bytes.len() / 4) * 4;
        let old = u32::from_ne_bytes(bytes[at..at + 4].try_into().unwrap());
        let elsewhere = u32::from_ne_bytes(bytes[from..from + 4].try_into().unwrap());
        let new = match random.below(4) {
            0 => old ^ 1 << random.below(32),
            1 => random.below(64) as u32,
            2 => u32::MAX - random.below(64) as u32,
            _ => elsewhere,
        };
        bytes[at..at + 4].copy_from_slice(&new.to_ne_bytes());
    }
    bytes
}

fn ask_everything(bytes: Vec<u8>) -> Result<(), BtfError> {
    let btf = Btf::parse(bytes)?;
    for (structure, path) in [
        ("thing", "qname.name"),
        ("thing", "deep"),
        ("thing", "uid.val"),
        ("thing", "matrix"),
        ("thing", "nothing"),
        ("flags", "two"),
        ("holder", "hidden"),
        ("twice", "moved"),
    ] {
        let _ = btf.member(structure, path);
    }
    let _ = (btf.has_function("once"), btf.function_id("often"), btf.structure_id("thing"));
    Ok(())
}

#[test]
fn circles_end() {
    let mut b = Builder::new();
    let word = b.int(4);
    let alias = b.typedef(b.coming(0));
    let endless_array = b.array(b.coming(0), u32::MAX);
    // Two anonymous members of its own type: followed blindly that is two to the power of the depth.
    let own = b.coming(0);
    b.structure("inside_out", 8, &[("", own, 0), ("", own, 0), ("", own, 0), ("last", word, 0)]);
    b.structure("thing", 8, &[("alias", alias, 0), ("", alias, 0), ("array", endless_array, 0), ("last", word, 32)]);
    let btf = Btf::parse(b.finish()).unwrap();
    assert_eq!(btf.member("thing", "last"), Ok(Member { offset: 4, size: 4 }));
    assert_eq!(btf.member("thing", "alias"), Ok(Member { offset: 0, size: 0 }));
    assert!(matches!(btf.member("thing", "alias.id"), Err(MemberError::NoMember { .. })));
    assert!(btf.member("thing", "array").is_ok());
    assert!(matches!(btf.member("inside_out", "nothing"), Err(MemberError::Damaged { .. })));
}

#[test]
fn offsets_that_run_over_are_errors() {
    let mut b = Builder::new();
    let word = b.int(4);
    let far = b.structure("", 8, &[("far", word, u32::MAX - 7)]);
    let named = b.structure("named", 8, &[("far", word, u32::MAX - 7)]);
    let big = b.array(word, u32::MAX);
    b.structure("thing", 8, &[("", far, 64), ("big", big, 0)]);
    let mut path = ("far_away", named);
    for _ in 0..16 {
        path = ("next", b.structure("", 8, &[(path.0, path.1, u32::MAX - 7)]));
    }
    b.structure("chain", 8, &[path].map(|(name, ty)| (name, ty, u32::MAX - 7)));
    let btf = Btf::parse(b.finish()).unwrap();
    assert!(matches!(btf.member("thing", "far"), Err(MemberError::Damaged { .. })));
    assert_eq!(btf.member("thing", "big").map(|member| member.size), Ok(u32::MAX));
    let long = "next.".repeat(16) + "far_away.far";
    assert!(matches!(btf.member("chain", &long), Err(MemberError::Damaged { .. })));
}

#[test]
fn names_of_any_length_cost_little() {
    // One string of a megabyte that every structure and every member is named by.
    let mut b = Builder::new();
    let word = b.int(4);
    let long = "a".repeat(1 << 20);
    b.structure(&long, 4, &[(&long, word, 0)]);
    let mut bytes = b.finish();
    let types = bytes.len() - (1 << 21);
    assert!(Btf::parse(bytes.clone()).unwrap().member(&long, "a").is_err());
    // Without its NUL it is no string at all.
    bytes.truncate(bytes.len() - 1);
    let strings = (bytes.len() - types) as u32;
    bytes[20..24].copy_from_slice(&strings.to_ne_bytes());
    if let Ok(btf) = Btf::parse(bytes) {
        assert!(btf.member(&long, &long).is_err());
    }
}
