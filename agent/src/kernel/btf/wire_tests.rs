//! Compares the wire structs as the compiled kernel object has them with the agent's own.
//!
//! Both sides compile the same source, but with two compilers for two targets.

use object::{Object as _, ObjectSection as _};
use tokenhound_common::{
    fields::{FIELDS, Offsets},
    process::ProcessKey,
    record::{Exec, Exit, FileFacts, FileId, Fork, Header, Open, Task},
    watch::{FileKey, FileWatch, Filter, NameKey},
};

use super::*;

/// The programs as `build.rs` leaves them, and as `probe` embeds them.
const OBJECT: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/tokenhound.bpf.o"));

/// LLVM describes the types of globals, of maps and of the arguments of functions, and types of locals not at all. These
/// are only ever locals or keys hidden in a map's Rust type, so the object does not describe them; that their layout is
/// right rests on `repr(C)`, on the size assertions in `common`, and on the tests that read real records.
const NOT_DESCRIBED: &[&str] =
    &["Header", "FileId", "Task", "FileFacts", "Fork", "Exec", "Exit", "Open", "NameKey", "FileKey", "FileWatch"];

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
        Header { kind, flags, cpu, sequence, time_ns }
        FileId { inode, device, generation }
        Task {
            key, parent, tid, uid, euid, gid, login_uid, audit_session, session, tty, mount_namespace, pid_namespace,
            cgroup, executable, comm
        }
        FileFacts { id, size, uid, links, mode, reserved }
        Fork { header, parent, child }
        Exec { header, task, executable, path_len, cwd_len, script_len, args_len, env_len, reserved }
        Exit { header, process }
        Open { header, task, file, target, open_flags, open_mode, object, matched, path_len, reserved }
        Filter { files, names, directories, long_names, long_directories }
        NameKey { name, parent, grandparent, shape, reserved }
        FileKey { inode, device, reserved }
        FileWatch { generation, flags }
    };
    let members = FIELDS.iter().enumerate().map(|(index, field)| (field.name, 4 * index, 4));
    layouts.push(Layout { name: "Offsets", size: size_of::<Offsets>(), members: members.collect() });
    layouts
}

fn object_types() -> Btf {
    // On the heap it is aligned.
    let bytes = OBJECT.to_vec();
    let object = object::File::parse(bytes.as_slice()).unwrap();
    Btf::parse(object.section_by_name(".BTF").unwrap().data().unwrap().to_vec()).unwrap()
}

#[test]
fn kernel_object_and_agent_agree_on_every_struct_that_the_object_describes() {
    let types = object_types();
    for layout in layouts() {
        let name = layout.name;
        let Some(size) = types.structure_size(name) else {
            assert!(NOT_DESCRIBED.contains(&name), "the object no longer describes {name}");
            continue;
        };
        assert!(!NOT_DESCRIBED.contains(&name), "the object describes {name} by now: take it off the list");
        assert_eq!(size as usize, layout.size, "{name}");
        for (member, offset, size) in layout.members {
            let found = types.member(name, member).unwrap();
            assert_eq!((found.offset as usize, found.size as usize), (offset, size), "{name}.{member}");
        }
    }
}
