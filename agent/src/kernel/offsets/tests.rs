use super::*;
use crate::kernel::btf::build::Builder;

/// Stored type information, made by `cargo xtask bless btf`, in the order of the columns of `offsets.txt`.
const KERNELS: [(&str, &[u8]); 4] = [
    ("5.10", include_bytes!("../testdata/5.10.btf")),
    ("6.1", include_bytes!("../testdata/6.1.btf")),
    ("6.12", include_bytes!("../testdata/6.12.btf")),
    ("7.2", include_bytes!("../testdata/7.2.btf")),
];

fn stored(series: &str) -> Vec<u8> {
    let (_, blob) = KERNELS.iter().find(|(name, _)| *name == series).unwrap();
    blob.to_vec()
}

/// The stored kernel with one name replaced by another of the same length.
fn renamed(series: &str, from: &str, to: &str) -> Btf {
    assert_eq!(from.len(), to.len());
    let mut blob = stored(series);
    let wanted = format!("\0{from}\0").into_bytes();
    let at = blob.windows(wanted.len()).position(|bytes| bytes == wanted).unwrap() + 1;
    blob[at..at + to.len()].copy_from_slice(to.as_bytes());
    Btf::parse(blob).unwrap()
}

fn field(name: &str) -> &'static Field {
    FIELDS.iter().find(|field| field.name == name).unwrap()
}

fn offset(btf: &Btf, name: &str) -> u32 {
    lookup(btf, field(name)).unwrap()
}

#[test]
fn live_kernel_has_every_field() {
    let btf = Btf::parse(std::fs::read("/sys/kernel/btf/vmlinux").unwrap()).unwrap();
    let resolved = resolve(&btf).unwrap_or_else(|errors| panic!("{errors:#?}"));
    assert_ne!(resolved.offsets.file_inode, ABSENT);
}

#[test]
fn every_field_is_where_another_reader_found_it() {
    let mut rows = include_str!("../testdata/offsets.txt").lines().filter(|line| !line.starts_with('#'));
    let kernels = KERNELS.map(|(series, blob)| (series, Btf::parse(blob.to_vec()).unwrap()));
    for field in FIELDS {
        let mut row = rows.next().unwrap_or_default().split(' ');
        assert_eq!(row.next(), Some(field.name), "run `cargo xtask bless btf`");
        for (series, btf) in &kernels {
            let wanted = row.next().unwrap();
            let found = lookup(btf, field).map_or("-".to_owned(), |offset| offset.to_string());
            assert_eq!(found, wanted, "{} on {series}", field.name);
        }
    }
    assert_eq!(rows.next(), None, "run `cargo xtask bless btf`");
}

#[test]
fn stored_kernels_have_every_field() {
    for (series, blob) in KERNELS {
        let resolved = resolve(&Btf::parse(blob.to_vec()).unwrap());
        let resolved = resolved.unwrap_or_else(|errors| panic!("{series}: {errors:#?}"));
        assert_eq!(resolved.missing, Vec::<&str>::new(), "{series}");
    }
}

/// Read off `bpftool btf dump` of the whole kernels by hand, so that not only programs agree with programs.
#[test]
fn well_known_offsets() {
    for (name, wanted) in [
        ("file_inode", [32, 32, 40, 32]),
        ("file_dentry", [24, 24, 72, 72]),
        ("file_mode", [68, 68, 12, 4]),
        ("inode_number", [64, 64, 64, 64]),
        ("inode_uid", [4, 4, 4, 24]),
        ("inode_generation", [560, 592, 124, 124]),
        ("dentry_name", [40, 40, 40, 40]),
        ("dentry_inline_name", [56, 56, 56, 56]),
        ("task_tgid", [2236, 2420, 2436, 2812]),
        ("task_start", [2544, 2784, 2784, 3160]),
        ("task_comm", [2736, 2976, 2976, 3344]),
        ("mm_executable", [928, 944, 1168, 1536]),
        ("pid_numbers", [96, 96, 112, 128]),
        ("mount_namespace_inum", [24, 16, 16, 88]),
        ("proc_inode_inode", [72, 72, 72, 72]),
    ] {
        let found = KERNELS.map(|(_, blob)| offset(&Btf::parse(blob.to_vec()).unwrap(), name));
        assert_eq!(found, wanted, "{name}");
    }
}

#[test]
fn functions_that_the_plan_asks_for() {
    for (series, blob) in KERNELS {
        let btf = Btf::parse(blob.to_vec()).unwrap();
        for function in ["security_file_open", "security_file_permission", "security_mmap_file"] {
            assert!(btf.has_function(function), "{function} on {series}");
        }
        assert!(!btf.has_function("security_file_opens"));
        // Since Linux 6.2.
        assert_eq!(btf.function_id("bpf_rdonly_cast").is_some(), matches!(series, "6.12" | "7.2"), "{series}");
        assert!(btf.structure_id("file").is_some());
    }
}

#[test]
fn a_renamed_member_is_found_by_either_name() {
    for (series, path, absent) in [("6.12", "d_iname", "d_shortname.string"), ("7.2", "d_shortname.string", "d_iname")]
    {
        let btf = Btf::parse(stored(series)).unwrap();
        assert!(matches!(btf.member("dentry", absent), Err(MemberError::NoMember { .. })), "{series}");
        assert_eq!(btf.member("dentry", path).unwrap().offset, offset(&btf, "dentry_inline_name"), "{series}");
    }
    // A third name is not.
    let errors = resolve(&renamed("6.12", "d_iname", "d_onemu")).unwrap_err();
    assert_eq!(errors.len(), 1);
    let text = errors[0].to_string();
    assert!(
        ["dentry_inline_name", "`d_shortname.string`", "`d_iname`"].iter().all(|name| text.contains(name)),
        "{text}"
    );
}

#[test]
fn all_that_is_missing_is_said_at_once() {
    let without_inode = renamed("6.1", "f_inode", "g_inode");
    let errors = resolve(&without_inode).unwrap_err();
    assert!(matches!(
        &errors[..],
        [OffsetError::Missing { field: "file_inode", source: MemberError::NoMember { .. } }]
    ));
    let errors = resolve(&renamed("6.1", "proc_inode", "proc_onode")).unwrap_err();
    let fields: Vec<_> = errors
        .iter()
        .map(|error| match error {
            OffsetError::Missing { field, source: MemberError::NoStructure(_) } => *field,
            other => panic!("{other}"),
        })
        .collect();
    assert_eq!(fields, ["proc_inode_pid", "proc_inode_inode"]);
}

#[test]
fn a_missing_optional_field_is_reported_and_marked() {
    let resolved = resolve(&renamed("6.1", "loginuid", "logoutid")).unwrap();
    assert_eq!(resolved.missing, ["login user of the audit subsystem"]);
    assert_eq!(resolved.offsets.task_login_uid, ABSENT);
    assert_ne!(resolved.offsets.task_audit_session, ABSENT);
}

const SIZED: Field = Field { name: "sized", structure: "thing", paths: &["new", "old"], size: 4, need: Need::Required };

#[test]
fn another_size_is_an_error() {
    for (size, wanted) in [(4, Ok(8)), (8, Err((8, 4))), (2, Err((2, 4)))] {
        let mut b = Builder::new();
        let (own, right) = (b.int(size), b.int(4));
        // The older name fits, but the newer one is there: it is the member that counts.
        b.structure("thing", 16, &[("old", right, 0), ("new", own, 64)]);
        let found = lookup(&Btf::parse(b.finish()).unwrap(), &SIZED).map_err(|error| match error {
            OffsetError::Size { field: "sized", structure: "thing", found, expected } => (found, expected),
            other => panic!("{other}"),
        });
        assert_eq!(found, wanted, "{size}");
    }
}

#[test]
fn an_ambiguous_name_is_not_passed_over_for_an_older_one() {
    let mut b = Builder::new();
    let word = b.int(4);
    b.structure("thing", 16, &[("new", word, 0), ("old", word, 64)]);
    b.structure("thing", 16, &[("new", word, 32), ("old", word, 64)]);
    let error = lookup(&Btf::parse(b.finish()).unwrap(), &SIZED).unwrap_err();
    assert!(matches!(error, OffsetError::Missing { source: MemberError::Ambiguous { .. }, .. }), "{error}");
}

#[test]
fn a_bit_field_is_refused() {
    let mut b = Builder::new();
    let word = b.int(4);
    b.with_bit_fields("thing", 16, &[("new", word, 3 << 24), ("old", word, 64)]);
    let error = lookup(&Btf::parse(b.finish()).unwrap(), &SIZED).unwrap_err();
    assert!(matches!(error, OffsetError::Missing { source: MemberError::BitField { .. }, .. }), "{error}");
}
