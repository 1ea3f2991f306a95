//! Compares the wire structs as the compiled kernel object has them with the agent's own.
//!
//! Both sides compile the same source, but with two compilers for two targets. The object describes its types twice. BTF
//! is what the kernel sees, but LLVM puts only the types of globals and of the arguments of functions into it: of the
//! wire that is what the agent sets before load, and the process key. DWARF has all of them.

use std::collections::{BTreeSet, HashMap};

use gimli::{
    AttributeValue, DW_AT_byte_size, DW_AT_count, DW_AT_data_member_location, DW_AT_name, DW_AT_type,
    DW_TAG_array_type, DW_TAG_member, DW_TAG_structure_type, DW_TAG_subrange_type, DwAt, EndianSlice, NativeEndian,
    UnitOffset,
};
use object::{Object as _, ObjectSection as _};
use tokenhound_common::{
    fields::{FIELDS, Offsets},
    process::ProcessKey,
    record::{Access, Change, Connect, Dump, Exec, Exit, FileFacts, FileId, Fork, Header, Task, Written},
    watch::{Address, Carrier, FileKey, FileWatch, Filter, NameKey},
};

use super::*;

/// The programs as `build.rs` leaves them, and as `probe` embeds them.
const OBJECT: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/tokenhound.bpf.o"));

/// Structs that must be in the object's BTF.
const IN_BTF: [&str; 3] = ["Offsets", "Filter", "ProcessKey"];

/// A struct here: its name, its size, and name, offset and size of each member.
struct Layout {
    name: &'static str,
    size: usize,
    members: Vec<(&'static str, usize, usize)>,
}

fn member_size<T, M>(_: fn(&T) -> &M) -> usize {
    size_of::<M>()
}

/// Layouts of the structs. A member that is not listed does not compile.
macro_rules! layouts {
    ($($name:ident { $($member:ident),+ })+) => {
        vec![$({
            let _ = |value: $name| { let $name { $($member: _),+ } = value; };
            Layout {
                name: stringify!($name),
                size: size_of::<$name>(),
                members: vec![$((
                    stringify!($member),
                    std::mem::offset_of!($name, $member),
                    member_size(|value: &$name| &value.$member),
                )),+],
            }
        }),+]
    };
}

fn layouts() -> Vec<Layout> {
    let mut layouts = layouts! {
        ProcessKey { start_ns, tgid, reserved }
        Header { kind, flags, lane, sequence, time_ns }
        FileId { inode, device, generation }
        Task {
            key, parent, tid, uid, euid, gid, login_uid, audit_session, session, tty, mount_namespace, pid_namespace,
            cgroup, executable, comm
        }
        FileFacts { id, size, uid, links, mode, reserved }
        Fork { header, parent, child }
        Exec { header, task, executable, path_len, cwd_len, script_len, args_len, env_len, output, reserved }
        Exit { header, process }
        Address { words }
        Connect { header, task, file, address, port, family, matched, path_len }
        Dump { header, process, cwd_len, reserved }
        Access {
            header, task, file, target, open_flags, open_mode, object, matched, path_len, root_len, way, reserved
        }
        Change { header, task, file, detail, what, matched, path_len, other_len }
        Filter { names, parents, grandparents, files, tails }
        NameKey { name, parent, grandparent, shape, reserved }
        FileKey { inode, device, reserved }
        FileWatch { generation, flags }
        Carrier { start_ns, until_ns }
        Written { header, task, file, carrier, path_len, root_len, moment, reserved }
    };
    let members = FIELDS.iter().enumerate().map(|(index, field)| (field.name, 4 * index, 4));
    layouts.push(Layout { name: "Offsets", size: size_of::<Offsets>(), members: members.collect() });
    layouts
}

fn section(name: &str) -> Vec<u8> {
    // On the heap it is aligned.
    let bytes = OBJECT.to_vec();
    let object = object::File::parse(bytes.as_slice()).unwrap();
    // Relocations of the debug sections only add where a section begins, which is 0 in an object.
    object.section_by_name(name).map(|section| section.data().unwrap().to_vec()).unwrap_or_default()
}

#[test]
fn the_objects_btf_has_the_structs_as_the_agent_has_them() {
    let types = Btf::parse(section(".BTF")).unwrap();
    for layout in layouts() {
        let name = layout.name;
        let Some(size) = types.structure_size(name) else {
            assert!(!IN_BTF.contains(&name), "the object's BTF no longer describes {name}");
            continue;
        };
        assert_eq!(size as usize, layout.size, "{name}");
        for (member, offset, size) in layout.members {
            let found = types.member(name, member).unwrap();
            assert_eq!((found.offset as usize, found.size as usize), (offset, size), "{name}.{member}");
        }
    }
}

#[test]
fn the_objects_debug_information_has_every_struct_as_the_agent_has_it() {
    let dwarf = Dwarf::read();
    assert!(!dwarf.structures.is_empty(), "the object is built without debug information");
    for layout in layouts() {
        let name = layout.name;
        let described = dwarf.structures.get(name).unwrap_or_else(|| panic!("the object has no {name}"));
        // Other crates of the object may have a struct of that name: ours is the one with our members.
        let wanted: BTreeSet<&str> = layout.members.iter().map(|(member, ..)| *member).collect();
        let names = |members: &[DwarfMember]| wanted == members.iter().map(|member| member.name.as_str()).collect();
        let ours: Vec<_> = described.iter().filter(|(_, members)| names(members)).collect();
        assert!(!ours.is_empty(), "the object has no {name} with the members {wanted:?}");
        for (size, members) in ours {
            assert_eq!(*size as usize, layout.size, "{name}");
            for (member, offset, size) in &layout.members {
                let found = members.iter().find(|found| found.name == *member).unwrap();
                assert_eq!((found.offset as usize, found.size as usize), (*offset, *size), "{name}.{member}");
            }
        }
    }
}

struct DwarfMember {
    name: String,
    offset: u64,
    size: u64,
}

/// The structs of the object: each may be described more than once.
struct Dwarf {
    structures: HashMap<String, Vec<(u64, Vec<DwarfMember>)>>,
}

type Slice<'a> = EndianSlice<'a, NativeEndian>;
type Unit<'a> = gimli::Unit<Slice<'a>>;
type Entry<'a, 'u> = gimli::DebuggingInformationEntry<'u, 'u, Slice<'a>>;

impl Dwarf {
    fn read() -> Self {
        let sections = gimli::DwarfSections::load(|id| Ok::<_, gimli::Error>(section(id.name()))).unwrap();
        let dwarf = sections.borrow(|bytes| EndianSlice::new(bytes, NativeEndian));
        let mut units = Vec::new();
        let mut headers = dwarf.units();
        while let Some(header) = headers.next().unwrap() {
            units.push(dwarf.unit(header).unwrap());
        }
        let reader = DwarfReader { dwarf, units };
        let mut structures = HashMap::<String, Vec<_>>::new();
        for unit in &reader.units {
            let mut entries = unit.entries();
            while let Some((_, entry)) = entries.next_dfs().unwrap() {
                if entry.tag() == DW_TAG_structure_type
                    && let (Some(name), Some(size)) = (reader.name(unit, entry), number(entry, DW_AT_byte_size))
                {
                    structures.entry(name).or_default().push((size, reader.members(unit, entry.offset())));
                }
            }
        }
        Self { structures }
    }
}

struct DwarfReader<'a> {
    dwarf: gimli::Dwarf<Slice<'a>>,
    units: Vec<Unit<'a>>,
}

impl<'a> DwarfReader<'a> {
    fn members(&self, unit: &Unit<'a>, structure: UnitOffset) -> Vec<DwarfMember> {
        let mut tree = unit.entries_tree(Some(structure)).unwrap();
        let mut children = tree.root().unwrap().children();
        let mut members = Vec::new();
        while let Some(child) = children.next().unwrap() {
            let entry = child.entry();
            if entry.tag() == DW_TAG_member {
                members.push(DwarfMember {
                    name: self.name(unit, entry).unwrap_or_default(),
                    offset: number(entry, DW_AT_data_member_location).unwrap_or_default(),
                    size: self.size_of_type(unit, entry),
                });
            }
        }
        members
    }

    /// Size in bytes of the type that `entry` names.
    fn size_of_type(&self, unit: &Unit<'a>, entry: &Entry<'a, '_>) -> u64 {
        let (unit, at) = match entry.attr_value(DW_AT_type).unwrap() {
            Some(AttributeValue::UnitRef(at)) => (unit, at),
            // Linking moves what several units share into one of them.
            Some(AttributeValue::DebugInfoRef(at)) => {
                let places = self.units.iter().map(|unit| (unit, at.to_unit_offset(&unit.header)));
                places.filter_map(|(unit, at)| Some((unit, at?))).next().unwrap()
            }
            _ => return 0,
        };
        let entry = unit.entry(at).unwrap();
        if entry.tag() != DW_TAG_array_type {
            return number(&entry, DW_AT_byte_size).unwrap_or_default();
        }
        let mut tree = unit.entries_tree(Some(at)).unwrap();
        let mut children = tree.root().unwrap().children();
        let mut count = 1;
        while let Some(child) = children.next().unwrap() {
            if child.entry().tag() == DW_TAG_subrange_type {
                count *= number(child.entry(), DW_AT_count).unwrap_or_default();
            }
        }
        count * self.size_of_type(unit, &entry)
    }

    fn name(&self, unit: &Unit<'a>, entry: &Entry<'a, '_>) -> Option<String> {
        let value = entry.attr_value(DW_AT_name).unwrap()?;
        Some(self.dwarf.attr_string(unit, value).unwrap().to_string_lossy().into_owned())
    }
}

fn number(entry: &Entry<'_, '_>, attribute: DwAt) -> Option<u64> {
    entry.attr_value(attribute).unwrap()?.udata_value()
}
