//! A made-up machine under load: for tests of captures, and for measuring what a record costs.
//!
//! A number of processes start and stay; below them others start a program and end, as in a build. One in five is a
//! fork alone (29 forks and 25 starts of programs were counted of shell scripts, 20 and 20 of git and cargo). No two
//! command lines are the same. Now and then one of these reads a store.

use tokenhound_common::{
    process::ProcessKey,
    record::{self, FileFacts, FileId, Header, Kind},
};
use zerocopy::{Immutable, IntoBytes};

use crate::{
    catalogue::Catalogue,
    container::model::Named,
    detect::access::Tier,
    finding::model::Salt,
    ingest::{clock::Clock, observation::KernelTime, sequence::Ring},
    lineage::{
        container::Membership,
        loaded::{Linkage, Place},
        model::{Chain, Container, Process, Script, Writable},
        package::{Owner, Owners},
    },
    pipeline::core::{Scope, Setup, User, World},
    policy::Policy,
};

/// What happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// Records after the processes that stay have started.
    pub records: u64,
    /// Processes that stay.
    pub live: u32,
    /// One short life in so many reads a store; 0 for none.
    pub hits: u32,
}

/// One thing that happens.
#[derive(Debug)]
pub enum Step<'a> {
    /// A record.
    Record(Ring, &'a [u8]),
    /// It is that late.
    Time(KernelTime),
}

/// Kernel time of the first record, in nanoseconds.
const BEGIN: u64 = 1_000_000_000_000;
/// Nanoseconds between two records.
const APART: u64 = 1_000;
/// Records between two looks at the clock.
const TURN: u64 = 256;
/// One short life in so many starts no program.
const ALONE: u32 = 5;
/// Pids of short lives.
const PIDS: std::ops::Range<u32> = 100_000..4_000_000;
/// Bytes of the number that makes a command line its own, with its NUL.
const NUMBER: usize = 10;
const BOOT_MODE: u32 = 0o100_755;
/// `FMODE_READ`.
const READ: u32 = 1;

/// Command lines as they are common: path, arguments. Tokens in them are made up.
const PROGRAMS: &[(&str, &[&str])] = &[
    ("/usr/bin/bash", &["bash", "-c", "make -j8 all && ./run-tests.sh --quick"]),
    ("/usr/bin/make", &["make", "-j8", "all"]),
    (
        "/usr/bin/x86_64-linux-gnu-gcc-12",
        &[
            "gcc",
            "-O2",
            "-g",
            "-Wall",
            "-Wextra",
            "-fPIC",
            "-Iinclude",
            "-I/usr/include/glib-2.0",
            "-DNDEBUG",
            "-DVERSION=\"1.2.3\"",
            "-c",
            "-o",
            "build/objects/parser.o",
            "src/parser.c",
        ],
    ),
    ("/usr/bin/node", &["node", "/home/user/project/node_modules/.bin/tsc", "--build", "--incremental"]),
    ("/usr/bin/python3.11", &["python3", "-m", "pytest", "-q", "tests/unit/test_parser.py"]),
    ("/usr/bin/git", &["git", "-c", "core.quotepath=off", "status", "--porcelain=v2", "--branch"]),
    ("/usr/bin/sed", &["sed", "-e", "s/@VERSION@/1.2.3/g", "config.h.in"]),
    ("/usr/bin/cat", &["cat", "/home/user/project/README.md"]),
    ("/usr/bin/curl", &["curl", "-fsSL", "-H", "Authorization: Bearer made-up", "https://registry.example.invalid/x"]),
    ("/usr/lib/systemd/systemd-journald", &["/usr/lib/systemd/systemd-journald"]),
];

/// Variables of a process, of which few pass the decoder.
const ENVIRONMENT: &[&str] = &[
    "HOME=/home/user",
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LANG=en_GB.UTF-8",
    "TERM=xterm-256color",
    "SHELL=/bin/bash",
    "USER=user",
    "LOGNAME=user",
    "PWD=/home/user/project",
    "SHLVL=2",
    "XDG_RUNTIME_DIR=/run/user/1000",
    "DBUS_SESSION_BUS_ADDRESS=unix:path=/run/user/1000/bus",
    "EDITOR=vim",
    "GH_TOKEN=gho_000000000000000000000000000000000000",
    "NODE_ENV=development",
    "CI=1",
];

/// Stores that are read.
const STORES: &[&str] = &["/home/user/.aws/credentials", "/home/user/.config/gh/hosts.yml", "/home/user/.npmrc"];

/// Writes records into one buffer, over and over.
struct Writer<'a> {
    sink: &'a mut dyn FnMut(Step<'_>),
    bytes: Vec<u8>,
    time: u64,
    count: u64,
    sequences: [u64; 2],
    /// Sections of each program's exec record, made once.
    programs: Vec<Program>,
}

struct Program {
    head: record::Exec,
    sections: Vec<u8>,
}

/// Lets it all happen.
pub fn run(load: Load, sink: &mut dyn FnMut(Step<'_>)) {
    let programs = PROGRAMS.iter().enumerate().map(|(index, (path, args))| program(index, path, args)).collect();
    let mut writer = Writer { sink, bytes: Vec::new(), time: BEGIN, count: 0, sequences: [0; 2], programs };
    let mut stayed = vec![ProcessKey::new(7, 1)];
    for index in 0..load.live {
        let parent = stayed[(index / 8) as usize % stayed.len()];
        let key = writer.fork(parent, 1000 + index);
        writer.exec(key, parent, index as usize);
        stayed.push(key);
    }
    let end = writer.count + load.records;
    let mut life = 0u32;
    while writer.count < end {
        let parent = stayed[life as usize % stayed.len()];
        let tgid = PIDS.start + life % (PIDS.end - PIDS.start);
        let key = writer.fork(parent, tgid);
        if !life.is_multiple_of(ALONE) {
            writer.exec(key, parent, life as usize);
        }
        if load.hits > 0 && life.is_multiple_of(load.hits) {
            writer.read(key, parent, life as usize);
        }
        writer.exit(key);
        life = life.wrapping_add(1);
    }
    let time = writer.time;
    (writer.sink)(Step::Time(KernelTime(time + 1_000_000_000)));
}

fn program(index: usize, path: &str, args: &[&str]) -> Program {
    let path = components(path);
    let cwd = components("/home/user/project");
    let mut args = closed(args);
    args.extend_from_slice(&[b'0'; NUMBER - 1]);
    args.push(0);
    let environment = closed(ENVIRONMENT);
    let head = record::Exec {
        executable: facts(index),
        path_len: path.len() as u16,
        cwd_len: cwd.len() as u16,
        args_len: args.len() as u16,
        env_len: environment.len() as u16,
        ..record::Exec::default()
    };
    Program { head, sections: [path, cwd, args, environment].concat() }
}

fn facts(index: usize) -> FileFacts {
    let id = FileId { inode: 5_000 + index as u64, device: 8 << 20 | 1, generation: 1 };
    FileFacts { id, size: 1_000, uid: 0, links: 1, mode: BOOT_MODE, reserved: 0 }
}

/// Leaf first, each closed by NUL.
fn components(path: &str) -> Vec<u8> {
    closed(&path.split('/').rev().filter(|part| !part.is_empty()).collect::<Vec<_>>())
}

fn closed(words: &[&str]) -> Vec<u8> {
    words.iter().flat_map(|word| word.bytes().chain([0])).collect()
}

impl Writer<'_> {
    fn header(&mut self, ring: Ring, kind: Kind) -> Header {
        self.time += APART;
        let sequence = &mut self.sequences[usize::from(ring == Ring::Life)];
        *sequence += 1;
        Header { kind: kind.0, flags: 0, lane: 0, sequence: *sequence, time_ns: self.time }
    }

    fn put(&mut self, ring: Ring, head: &(impl IntoBytes + Immutable), sections: &[u8]) {
        self.bytes.clear();
        self.bytes.extend_from_slice(head.as_bytes());
        self.bytes.extend_from_slice(sections);
        (self.sink)(Step::Record(ring, &self.bytes));
        self.count += 1;
        if self.count.is_multiple_of(TURN) {
            (self.sink)(Step::Time(KernelTime(self.time)));
        }
    }

    fn fork(&mut self, parent: ProcessKey, tgid: u32) -> ProcessKey {
        let header = self.header(Ring::Life, Kind::FORK);
        let child = ProcessKey::new(header.time_ns, tgid);
        self.put(Ring::Life, &record::Fork { header, parent, child }, &[]);
        child
    }

    fn exit(&mut self, process: ProcessKey) {
        let header = self.header(Ring::Life, Kind::EXIT);
        self.put(Ring::Life, &record::Exit { header, process }, &[]);
    }

    fn exec(&mut self, key: ProcessKey, parent: ProcessKey, index: usize) {
        let header = self.header(Ring::Life, Kind::EXEC);
        let index = index % self.programs.len();
        let Program { head, sections } = &mut self.programs[index];
        // The last argument is a number of its own.
        let number = &mut sections[head.path_len as usize + head.cwd_len as usize + head.args_len as usize - NUMBER..];
        let mut rest = header.sequence;
        for digit in number[..NUMBER - 1].iter_mut().rev() {
            (*digit, rest) = (b'0' + (rest % 10) as u8, rest / 10);
        }
        let head = record::Exec { header, task: task(key, parent, index), ..*head };
        let sections = std::mem::take(sections);
        self.put(Ring::Life, &head, &sections);
        self.programs[index].sections = sections;
    }

    fn read(&mut self, key: ProcessKey, parent: ProcessKey, index: usize) {
        let header = self.header(Ring::Hits, Kind::ACCESS);
        let store = index / 3 % STORES.len();
        let path = components(STORES[store]);
        let head = record::Access {
            header,
            task: task(key, parent, index % self.programs.len()),
            file: FileFacts { mode: 0o100_600, uid: 1000, ..facts(900 + store) },
            open_mode: READ,
            object: record::Object::FILE.0,
            matched: record::Access::MATCH_NAME,
            path_len: path.len() as u16,
            way: record::Way::OPEN.0,
            ..record::Access::default()
        };
        self.put(Ring::Hits, &head, &path);
    }
}

fn task(key: ProcessKey, parent: ProcessKey, program: usize) -> record::Task {
    record::Task {
        key,
        parent,
        tid: key.tgid,
        uid: 1000,
        euid: 1000,
        gid: 1000,
        login_uid: 1000,
        audit_session: 3,
        session: 900,
        tty: 136 << 20,
        mount_namespace: 4_026_531_841,
        pid_namespace: 4_026_531_836,
        cgroup: 77,
        executable: facts(program).id,
        comm: *b"made-up\0\0\0\0\0\0\0\0\0",
    }
}

/// What a core on this machine is set up with.
#[must_use]
pub fn setup(catalogue: std::sync::Arc<Catalogue>) -> Setup {
    Setup {
        catalogue,
        policy: Policy::default(),
        scope: Scope::Host,
        host: String::new(),
        salt: Salt::new("made-up host", "made-up boot"),
        tier: Tier::Fentry,
        tick_ns: 10_000_000,
        own: 2,
        homes: vec!["/home/user".into()],
        clock: Clock::new(1_767_225_600_000_000_000, 100),
    }
}

/// The world of this machine: nothing in `/proc`, one user, programs that only root can write.
#[derive(Debug, Default)]
pub struct Machine {
    /// Kernel time.
    pub time: KernelTime,
}

impl World for Machine {
    fn resolve(&mut self, _key: ProcessKey) -> Option<Process> {
        None
    }

    fn find(&mut self, _pid: u32, _pid_namespace: u32) -> Option<ProcessKey> {
        None
    }

    fn membership(&mut self, _key: ProcessKey) -> Option<Membership> {
        Some(Membership { container: None, unit: None, telling: true })
    }

    fn gone(&mut self, _keys: &[ProcessKey]) -> Vec<ProcessKey> {
        Vec::new()
    }

    fn fill_writable(&mut self, chain: &mut Chain) {
        for process in &mut chain.processes {
            process.executable.writable = Writable::No;
            if let Some(Script::File { writable, .. }) = &mut process.script {
                *writable = Writable::Yes;
            }
        }
    }

    fn place(&mut self, _chain: &Chain, _path: &std::path::Path) -> Place {
        Place::default()
    }

    fn linkage(&mut self, _chain: &Chain) -> Linkage {
        Linkage::Unknown
    }

    fn owners(&mut self, _process: &Process) -> Option<Owners> {
        Some(Owners { executable: Owner::Nobody { digest: None, installed: None }, script: None })
    }

    fn user(&mut self, uid: u32) -> Option<User> {
        (uid == 1000).then(|| User { name: "user".into(), home: "/home/user".into() })
    }

    fn host(&mut self, _address: core::net::IpAddr) -> Option<String> {
        None
    }

    fn mount_point(&mut self, _device: u32) -> Option<std::path::PathBuf> {
        None
    }

    fn file(&mut self, _path: &std::path::Path) -> Option<FileId> {
        None
    }

    fn named(&mut self, _container: &Container) -> Named {
        Named::default()
    }

    fn now(&mut self) -> KernelTime {
        KernelTime(self.time.0 + 12_345)
    }
}
