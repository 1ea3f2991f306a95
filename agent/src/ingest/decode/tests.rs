use std::{ffi::OsStr, os::unix::ffi::OsStrExt, path::Path};

use tokenhound_common::{
    limits::{ARGS_BYTES, ENV_BYTES, PATH_BYTES},
    record::{FileFacts, FileId},
    watch::Address,
};
use zerocopy::{Immutable, IntoBytes};

use super::*;
use crate::{
    ingest::{redact::REDACTED, texts::Texts},
    kernel::btf::build::Random,
};

const PARENT: ProcessKey = ProcessKey::new(1_000, 10);
const CHILD: ProcessKey = ProcessKey::new(2_000, 20);

fn header(kind: Kind, flags: u16) -> Header {
    Header { kind: kind.0, flags, lane: 3, sequence: 7, time_ns: 5_000 }
}

fn raw_task() -> record::Task {
    let mut comm = [0; 16];
    comm[..3].copy_from_slice(b"aws");
    record::Task {
        key: CHILD,
        parent: PARENT,
        tid: 21,
        uid: 1000,
        euid: 1001,
        gid: 1002,
        login_uid: 1003,
        audit_session: 4,
        session: 9,
        tty: 136 << 20 | 5,
        mount_namespace: 11,
        pid_namespace: 12,
        cgroup: 13,
        executable: facts().id,
        comm,
    }
}

fn facts() -> FileFacts {
    FileFacts {
        id: FileId { inode: 100, device: 8 << 20 | 1, generation: 6 },
        size: 42,
        uid: 0,
        links: 1,
        mode: 0o100_755,
        reserved: 0,
    }
}

fn wanted_task() -> Task {
    Task {
        key: CHILD,
        parent: PARENT,
        tid: 21,
        uid: 1000,
        euid: 1001,
        gid: 1002,
        login_uid: Some(1003),
        audit_session: Some(4),
        session: 9,
        tty: Some((136, 5)),
        mount_namespace: 11,
        pid_namespace: 12,
        cgroup: 13,
        executable: facts().id,
        comm: Comm::new(b"aws"),
    }
}

/// A record: its head, then its sections.
fn record_of<T: IntoBytes + Immutable>(head: &T, sections: &[&[u8]]) -> Vec<u8> {
    let mut bytes = head.as_bytes().to_vec();
    bytes.extend(sections.concat());
    bytes
}

/// Sections of an exec record.
#[derive(Clone, Copy, Default)]
struct Parts<'a> {
    flags: u16,
    path: &'a [u8],
    cwd: &'a [u8],
    script: &'a [u8],
    args: &'a [u8],
    env: &'a [u8],
}

fn exec_bytes(parts: &Parts<'_>) -> Vec<u8> {
    let head = record::Exec {
        header: header(Kind::EXEC, parts.flags),
        task: raw_task(),
        executable: facts(),
        path_len: parts.path.len() as u16,
        cwd_len: parts.cwd.len() as u16,
        script_len: parts.script.len() as u16,
        args_len: parts.args.len() as u16,
        env_len: parts.env.len() as u16,
        output: record::Output::PIPE.0,
        reserved: [0; 2],
    };
    record_of(&head, &[parts.path, parts.cwd, parts.script, parts.args, parts.env])
}

fn open_head(object: record::Object) -> record::Access {
    record::Access {
        header: header(Kind::ACCESS, 0),
        task: raw_task(),
        file: facts(),
        target: PARENT,
        open_flags: 0,
        open_mode: FMODE_READ,
        object: object.0,
        matched: record::Access::MATCH_NAME,
        path_len: 0,
        root_len: 0,
        way: record::Way::OPEN.0,
        reserved: [0; 3],
    }
}

fn open_bytes(mut head: record::Access, path: &[u8]) -> Vec<u8> {
    head.path_len = path.len() as u16;
    record_of(&head, &[path])
}

fn decoder(keep: &[&str]) -> Decoder {
    Decoder::new(keep.iter().map(|name| (*name).to_owned()).collect())
}

fn exec(parts: &Parts<'_>, keep: &[&str]) -> Exec {
    match decoder(keep).decode(&exec_bytes(parts)).unwrap().observation {
        Observation::Exec(exec) => *exec,
        other => panic!("{other:?}"),
    }
}

fn opened(bytes: &[u8]) -> Open {
    match decoder(&[]).decode(bytes).unwrap().observation {
        Observation::Open(open) => *open,
        other => panic!("{other:?}"),
    }
}

fn whole_exec() -> Vec<u8> {
    exec_bytes(&Parts {
        flags: record::Exec::SCRIPT,
        path: b"python3\0bin\0usr\0",
        cwd: b"me\0home\0",
        script: b"./aws\0",
        args: b"python3\0./aws\0s3\0",
        env: b"HOME=/home/me\0AWS_CONFIG_FILE=/tmp/c\0",
    })
}

fn whole_dump() -> Vec<u8> {
    let cwd = b"me\0home\0";
    let dump = record::Dump {
        header: header(Kind::DUMP, 0),
        process: CHILD,
        cwd_len: cwd.len() as u16,
        ..record::Dump::default()
    };
    record_of(&dump, &[cwd])
}

#[test]
fn decodes_every_kind() {
    let time = KernelTime(5_000);
    let path = |path: &str| KernelPath { path: path.into(), truncated: false };
    let fork = record::Fork { header: header(Kind::FORK, 0), parent: PARENT, child: CHILD };
    let exit = record::Exit { header: header(Kind::EXIT, 0), process: CHILD };
    let wanted_exec = Exec {
        time,
        task: wanted_task(),
        executable: facts(),
        texts: Texts::new(
            Path::new("/usr/bin/python3"),
            Path::new("/home/me"),
            Some(OsStr::new("./aws")),
            ["python3", "./aws", "s3"],
            [("AWS_CONFIG_FILE", OsStr::new("/tmp/c"))],
        ),
        path_truncated: false,
        cwd_truncated: false,
        args_truncated: false,
        environment_truncated: false,
        output: Stream::Pipe,
    };
    let wanted_open = |object| {
        Observation::Open(Box::new(Open {
            time,
            task: wanted_task(),
            object,
            file: facts(),
            path: path("/home/me/.aws/credentials"),
            path_in_root: None,
            way: Way::Open,
            unlinked: false,
            mode: OpenMode { read: true, write: false, truncate: false },
            canary: false,
        }))
    };
    let inspected = |how| Object::Process(how, Inspected::Key(PARENT));
    let open = |object| open_bytes(open_head(object), b"credentials\0.aws\0me\0home\0");
    for (bytes, wanted) in [
        (record_of(&fork, &[]), Observation::Fork(Fork { time, parent: PARENT, child: CHILD })),
        (record_of(&exit, &[]), Observation::Exit(Exit { time, process: CHILD })),
        (whole_exec(), Observation::Exec(Box::new(wanted_exec))),
        (whole_dump(), Observation::Dump(Dump { time, process: CHILD, cwd: path("/home/me") })),
        (open(record::Object::FILE), wanted_open(Object::File)),
        (open(record::Object::PROC_ENVIRON), wanted_open(inspected(Inspection::Environ))),
        (open(record::Object::PROC_MEM), wanted_open(inspected(Inspection::Mem))),
        (open(record::Object::PTRACE_ATTACH), wanted_open(inspected(Inspection::PtraceAttach))),
        (open(record::Object::PTRACE_PEEK), wanted_open(inspected(Inspection::PtracePeek))),
        (open(record::Object::VM_READ), wanted_open(inspected(Inspection::ProcessVmReadv))),
        (open(record::Object::PIDFD_GETFD), wanted_open(inspected(Inspection::PidfdGetfd))),
    ] {
        let decoded = decoder(&["AWS_CONFIG_FILE"]).decode(&bytes).unwrap();
        assert_eq!(decoded.observation, wanted);
        assert_eq!((decoded.header.lane, decoded.header.sequence, decoded.header.time_ns), (3, 7, 5_000));
    }
}

#[test]
fn a_record_cut_anywhere_is_an_error() {
    let fork = record::Fork { header: header(Kind::FORK, 0), parent: PARENT, child: CHILD };
    let exit = record::Exit { header: header(Kind::EXIT, 0), process: CHILD };
    for (kind, bytes) in [
        (Kind::FORK, record_of(&fork, &[])),
        (Kind::EXIT, record_of(&exit, &[])),
        (Kind::EXEC, whole_exec()),
        (Kind::DUMP, whole_dump()),
        (Kind::ACCESS, open_bytes(open_head(record::Object::FILE), b"credentials\0.aws\0")),
    ] {
        for len in 0..bytes.len() {
            let kind = if len < size_of::<Header>() { 0 } else { kind.0 };
            let error = decoder(&[]).decode(&bytes[..len]).unwrap_err();
            assert_eq!(error, DecodeError::Short { kind, len });
        }
        // What stands behind the record belongs to nobody.
        let longer = [bytes, vec![0xff; 9]].concat();
        assert!(decoder(&[]).decode(&longer).is_ok(), "{kind:?}");
    }
}

#[test]
fn what_it_does_not_know_is_an_error() {
    for kind in [0, 10, 255, u16::MAX] {
        let bytes = record_of(&Header { kind, ..Header::default() }, &[&[0; 512]]);
        assert_eq!(decoder(&[]).decode(&bytes).unwrap_err(), DecodeError::Kind(kind));
    }
    for object in [0, 8, u16::MAX] {
        let bytes = open_bytes(open_head(record::Object(object)), b"x\0");
        assert_eq!(decoder(&[]).decode(&bytes).unwrap_err(), DecodeError::Object(object));
    }
}

#[test]
fn joins_paths_leaf_first() {
    let deep = b"d\0".repeat(PATH_BYTES / 2);
    let deep_path = "/d".repeat(PATH_BYTES / 2);
    for (components, truncated, wanted) in [
        (&b""[..], false, "/"),
        (b"", true, ""),
        (b"\0", false, "/"),
        (b"etc\0", false, "/etc"),
        (b"shadow\0etc\0", false, "/etc/shadow"),
        // Cut at the root: what is left hangs below something unknown.
        (b"credentials\0.aws\0", true, ".aws/credentials"),
        // Without the last NUL.
        (b"shadow\0etc", false, "/etc/shadow"),
        // A file handle opened with a cold cache hangs under a root of its own.
        (b"credentials\0/\0", false, "/credentials"),
        (b"/\0", false, "/"),
        // A memfd is called by its maker; it must not pose as another file.
        (b"memfd:/../usr/bin/aws\0", false, "/memfd:\u{fffd}..\u{fffd}usr\u{fffd}bin\u{fffd}aws"),
        (b"/usr/bin/aws\0tmp\0", false, "/tmp/\u{fffd}usr\u{fffd}bin\u{fffd}aws"),
        (b" \0new\nline\0", false, "/new\nline/ "),
        (&deep, false, &deep_path),
    ] {
        let flags = if truncated { record::Exec::PATH_TRUNCATED | record::Exec::CWD_TRUNCATED } else { 0 };
        let found = exec(&Parts { flags, path: components, cwd: components, ..Parts::default() }, &[]);
        assert_eq!((found.texts.path(), found.path_truncated), (Path::new(wanted), truncated));
        assert_eq!((found.texts.cwd(), found.cwd_truncated), (Path::new(wanted), truncated));

        let mut head = open_head(record::Object::FILE);
        head.header.flags = if truncated { record::Access::PATH_TRUNCATED } else { 0 };
        assert_eq!(opened(&open_bytes(head, components)).path, KernelPath { path: wanted.into(), truncated });
    }
    // File names are bytes.
    let found = exec(&Parts { path: b"\xff\xfe\0", ..Parts::default() }, &[]);
    assert_eq!(found.texts.path().as_os_str().as_bytes(), b"/\xff\xfe");
}

#[test]
fn each_flag_of_an_exec_says_one_thing() {
    let parts = |flags| Parts { flags, script: b"./run\0", args: b"sh\0./run\0", env: b"A=1\0", ..Parts::default() };
    let says = |flags| {
        let exec = exec(&parts(flags), &["A"]);
        [
            exec.path_truncated,
            exec.cwd_truncated,
            exec.args_truncated,
            exec.environment_truncated,
            exec.texts.script().is_some(),
        ]
    };
    for (flags, wanted) in [
        (0, [false; 5]),
        (record::Exec::PATH_TRUNCATED, [true, false, false, false, false]),
        (record::Exec::CWD_TRUNCATED, [false, true, false, false, false]),
        (record::Exec::ARGS_TRUNCATED, [false, false, true, false, false]),
        (record::Exec::ARGS_UNREADABLE, [false, false, true, false, false]),
        (record::Exec::ENV_TRUNCATED, [false, false, false, true, false]),
        (record::Exec::SCRIPT, [false, false, false, false, true]),
        // The name of another file is worse than none.
        (record::Exec::SCRIPT | record::Exec::SCRIPT_TRUNCATED, [false; 5]),
        (1 << 15, [false; 5]),
    ] {
        assert_eq!(says(flags), wanted, "{flags:#x}");
    }
}

#[test]
fn only_kept_variables_pass_and_none_that_was_cut() {
    let long = [b"KEPT=".as_slice(), &b"x".repeat(ENV_BYTES - 5)].concat();
    for (env, truncated, wanted) in [
        (&b""[..], false, vec![]),
        (b"KEPT=/a\0OTHER=/b\0", false, vec![("KEPT", "/a")]),
        (b"OTHER=KEPT=/b\0", false, vec![]),
        (b"kept=/a\0KEPT_TOO=/a\0XKEPT=/a\0", false, vec![]),
        (b"KEPT=\0KEPT=/a=b\0", false, vec![("KEPT", ""), ("KEPT", "/a=b")]),
        (b"KEPT\0=KEPT\0\0", false, vec![]),
        (b"\xff=1\0KEPT=/a\0", false, vec![("KEPT", "/a")]),
        // A process can leave its last entry open itself.
        (b"A=1\0KEPT=/a", false, vec![("KEPT", "/a")]),
        (b"A=1\0KEPT=/a", true, vec![]),
        (b"KEPT=/a\0KEPT=/ab", true, vec![("KEPT", "/a")]),
        (b"KEPT=/a\0", true, vec![("KEPT", "/a")]),
        (&long, true, vec![]),
    ] {
        let flags = if truncated { record::Exec::ENV_TRUNCATED } else { 0 };
        let found = exec(&Parts { flags, env, ..Parts::default() }, &["KEPT"]).texts;
        let found: Vec<_> = found.environment().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let wanted: Vec<_> = wanted.into_iter().map(|(name, value)| (name.to_owned(), OsString::from(value))).collect();
        assert_eq!(found, wanted, "{}", String::from_utf8_lossy(env));
    }
    assert!(exec(&Parts { env: b"KEPT=/a\0", ..Parts::default() }, &[]).texts.environment_bytes().is_empty());
}

#[test]
fn arguments_leave_without_secrets() {
    const TOKEN: &str = "ghp_0123456789abcdefghijABCDEFGHIJ012345";
    let line = |args: &[u8], flags| {
        let texts = exec(&Parts { flags, args, ..Parts::default() }, &[]).texts;
        texts.args().map(str::to_owned).collect::<Vec<_>>()
    };
    for (args, wanted) in [
        ("", vec![]),
        ("ls\0-l\0", vec!["ls", "-l"]),
        ("a\0\0b\0", vec!["a", "", "b"]),
        ("\0", vec![""]),
        ("a\0\0", vec!["a", ""]),
    ] {
        assert_eq!(line(args.as_bytes(), 0), wanted, "{args:?}");
    }
    let found = line(format!("gh\0auth\0{TOKEN}\0--password\0hunter2\0").as_bytes(), 0);
    assert_eq!(found, ["gh", "auth", REDACTED, "--password", REDACTED]);
    // Cut in the middle, it has no shape to be told by; cut between two arguments, nothing of the last one is missing.
    let cut = &TOKEN[..20];
    let found = line(format!("gh\0login\0{cut}").as_bytes(), record::Exec::ARGS_TRUNCATED);
    assert!(!found.concat().contains(&cut[4..8]), "{found:?}");
    assert_eq!(line(b"gh\0auth\0login\0", record::Exec::ARGS_TRUNCATED), ["gh", "auth", "login"]);
    let long = "x".repeat(ARGS_BYTES);
    assert!(!line(long.as_bytes(), record::Exec::ARGS_TRUNCATED).concat().contains("xxxx"));
    assert_eq!(line(b"\xff\0", 0), ["\u{fffd}"]);
}

#[test]
fn what_is_unset_is_none() {
    let mut head = open_head(record::Object::FILE);
    head.task = record::Task {
        login_uid: u32::MAX,
        audit_session: u32::MAX,
        tty: 0,
        parent: ProcessKey::new(9, 0),
        comm: *b"sixteen bytes ok",
        ..raw_task()
    };
    let task = opened(&open_bytes(head, b"x\0")).task;
    assert_eq!((task.login_uid, task.audit_session, task.tty), (None, None, None));
    assert_eq!(task.parent, ProcessKey::default());
    assert_eq!(task.comm.text(), "sixteen bytes ok");
    head.task.comm = [0xff; 16];
    assert_eq!(opened(&open_bytes(head, b"x\0")).task.comm.text(), "\u{fffd}".repeat(16));
}

#[test]
fn how_a_file_was_opened() {
    let truncate = libc::O_TRUNC as u32;
    for (mode, flags, record_flags, matched, wanted) in [
        (0, 0, 0, 0, (false, false, false, false, false)),
        (FMODE_READ, 0, 0, 0, (true, false, false, false, false)),
        (FMODE_WRITE, truncate, 0, 0, (false, true, true, false, false)),
        (FMODE_READ | FMODE_WRITE, 0, 0, 0, (true, true, false, false, false)),
        (FMODE_READ, 0, record::Access::UNLINKED, 0, (true, false, false, true, false)),
        (FMODE_READ, 0, 0, record::Access::MATCH_CANARY, (true, false, false, false, true)),
        (!(FMODE_READ | FMODE_WRITE), !truncate, 0, !record::Access::MATCH_CANARY, (false, false, false, false, false)),
    ] {
        let mut head = open_head(record::Object::FILE);
        (head.open_mode, head.open_flags, head.header.flags, head.matched) = (mode, flags, record_flags, matched);
        let open = opened(&open_bytes(head, b"x\0"));
        let found = (open.mode.read, open.mode.write, open.mode.truncate, open.unlinked, open.canary);
        assert_eq!(found, wanted, "{mode:#x} {flags:#x}");
    }
}

#[test]
fn any_bytes_are_decoded_or_refused() {
    let mut random = Random(3);
    let mut decoder = decoder(&["A"]);
    let heads = size_of::<record::Exec>();
    let (mut read, mut refused) = (0u32, 0u32);
    for _ in 0..100_000 {
        let len = random.below(600);
        let mut bytes: Vec<u8> =
            std::iter::repeat_with(|| random.next().to_ne_bytes()).take(len / 8).flatten().collect();
        // Mostly a known kind, and lengths that can fit: pure noise would not get past the head.
        if random.below(8) > 0 && bytes.len() >= 2 {
            bytes[..2].copy_from_slice(&(1 + random.below(4) as u16).to_ne_bytes());
        }
        if random.below(4) > 0 && bytes.len() >= heads {
            for len in bytes[std::mem::offset_of!(record::Exec, path_len)..heads].chunks_exact_mut(2) {
                len.copy_from_slice(&(random.below(80) as u16).to_ne_bytes());
            }
            if bytes.len() >= size_of::<record::Access>() {
                let at = std::mem::offset_of!(record::Access, object);
                bytes[at..at + 8].copy_from_slice(&[
                    random.below(5) as u8,
                    0,
                    0xff,
                    0xff,
                    random.below(80) as u8,
                    0,
                    0,
                    0,
                ]);
            }
        }
        match decoder.decode(&bytes) {
            Ok(_) => read += 1,
            Err(_) => refused += 1,
        }
    }
    assert!(read > 10_000 && refused > 10_000, "{read} read, {refused} refused");
}

#[test]
fn a_connection_is_to_a_path_or_to_an_address() {
    let head = |address: Address, path: &[u8]| record::Connect {
        header: header(Kind::CONNECT, 0),
        task: raw_task(),
        file: facts(),
        address,
        port: 80u16.to_be(),
        family: 2,
        matched: 0,
        path_len: path.len() as u16,
    };
    let path = b"S.gpg-agent\0gnupg\0run\0".as_slice();
    let metadata = core::net::Ipv6Addr::from([0, 0, 0, 0, 0, 0xffff, 0xa9fe, 0xa9fe]);
    let address = Address::of(metadata.octets());
    assert_eq!(address, Address::v4(u32::from_ne_bytes([169, 254, 169, 254])));
    for (bytes, peer) in [
        (
            record_of(&head(Address::default(), path), &[path]),
            Peer::Socket {
                path: KernelPath { path: "/run/gnupg/S.gpg-agent".into(), truncated: false },
                file: facts(),
            },
        ),
        (record_of(&head(address, b""), &[]), Peer::Address { address: "169.254.169.254".parse().unwrap(), port: 80 }),
    ] {
        let decoded = decoder(&[]).decode(&bytes).unwrap();
        let Observation::Connect(connect) = decoded.observation else { panic!("{:?}", decoded.observation) };
        assert_eq!((connect.peer, connect.task.key, connect.canary), (peer, wanted_task().key, false));
        for cut in 0..bytes.len() {
            assert!(decoder(&[]).decode(&bytes[..cut]).is_err(), "{cut} of {} bytes", bytes.len());
        }
    }
}

#[test]
fn an_answer_of_a_name_server_is_a_name_with_its_addresses() {
    let list = vec!["203.0.113.7".parse().unwrap(), "2001:db8::7".parse().unwrap()];
    for message in [crate::ingest::answer::build("collector.invalid", &list).unwrap(), b"no message".to_vec()] {
        let head = record::Answer {
            header: header(Kind::ANSWER, 0),
            task: raw_task(),
            server: Address::v4(u32::from_ne_bytes([192, 0, 2, 53])),
            port: 53u16.to_be(),
            bytes_len: message.len() as u16,
            reserved: 0,
        };
        let bytes = record_of(&head, &[&message]);
        let decoded = decoder(&[]).decode(&bytes).unwrap();
        let Observation::Answer(answer) = decoded.observation else { panic!("{:?}", decoded.observation) };
        assert_eq!((answer.server, answer.task.key), ("192.0.2.53:53".parse().unwrap(), wanted_task().key));
        let understood = if message.starts_with(b"no") { ("", vec![]) } else { ("collector.invalid", list.clone()) };
        assert_eq!((answer.name.as_str(), answer.addresses), understood);
        for cut in 0..bytes.len() {
            assert!(decoder(&[]).decode(&bytes[..cut]).is_err(), "{cut} of {} bytes", bytes.len());
        }
    }
}

#[test]
fn a_file_that_a_carrier_writes() {
    let head = |moment: record::Moment, flags: u16, path: &[u8], root: &[u8]| record::Written {
        header: header(Kind::WRITTEN, flags),
        task: raw_task(),
        file: facts(),
        carrier: PARENT,
        path_len: path.len() as u16,
        root_len: root.len() as u16,
        moment: moment.0,
        reserved: 0,
    };
    let (path, root) = (b"deploy.sh\0jail\0srv\0".as_slice(), b"jail\0srv\0".as_slice());
    for (moment, flags, root, wanted) in [
        (record::Moment::OPENED, 0, root, Moment::Opened),
        (record::Moment::CLOSED, record::Written::PATH_TRUNCATED, b"".as_slice(), Moment::Closed),
        (record::Moment::ENDED, record::Written::UNLINKED, b"", Moment::Ended),
    ] {
        let bytes = record_of(&head(moment, flags, path, root), &[path, root]);
        let decoded = decoder(&[]).decode(&bytes).unwrap();
        let expected = Written {
            time: KernelTime(5_000),
            task: wanted_task(),
            file: facts(),
            path: KernelPath {
                path: if flags == record::Written::PATH_TRUNCATED {
                    "srv/jail/deploy.sh"
                } else {
                    "/srv/jail/deploy.sh"
                }
                .into(),
                truncated: flags == record::Written::PATH_TRUNCATED,
            },
            path_in_root: (!root.is_empty()).then(|| "/deploy.sh".into()),
            unlinked: flags == record::Written::UNLINKED,
            carrier: PARENT,
            moment: wanted,
        };
        assert_eq!(decoded.observation, Observation::Written(Box::new(expected)));
        for cut in 0..bytes.len() {
            assert!(decoder(&[]).decode(&bytes[..cut]).is_err(), "{cut} of {} bytes", bytes.len());
        }
    }
    let bytes = record_of(&head(record::Moment(9), 0, path, b""), &[path]);
    assert_eq!(decoder(&[]).decode(&bytes).unwrap_err(), DecodeError::Moment(9));
}
