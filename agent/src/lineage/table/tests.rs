use std::{path::Path, time::Duration};

use tokenhound_common::{
    process::ProcessKey,
    record::{FileFacts, FileId},
};

use super::{Change, Limits, Table};
use crate::{
    ingest::{
        observation::{
            Comm, Exec, Exit, Fork, KernelPath, KernelTime, Object, Observation, Open, OpenMode, Stream, Task, Way,
        },
        texts::Texts,
    },
    lineage::{
        identity::InterpreterRules,
        model::{Origin, Process, Script},
    },
};

const TICK: u64 = 10_000_000;

fn key(start_ns: u64, tgid: u32) -> ProcessKey {
    ProcessKey::new(start_ns, tgid)
}

fn file(path: &str) -> FileId {
    let inode = path.bytes().fold(7u64, |hash, byte| hash.wrapping_mul(31) + u64::from(byte));
    FileId { inode, device: 8 << 20 | 1, generation: 3 }
}

fn task(key: ProcessKey, parent: ProcessKey, path: &str) -> Task {
    let comm = Comm::new(path.rsplit('/').next().unwrap_or_default().as_bytes());
    Task { key, parent, tid: key.tgid, uid: 1000, cgroup: 5, executable: file(path), comm, ..Task::default() }
}

fn fork(time: u64, parent: ProcessKey, child: ProcessKey) -> Observation {
    Observation::Fork(Fork { time: KernelTime(time), parent, child })
}

fn exec(time: u64, key: ProcessKey, parent: ProcessKey, path: &str, args: &[&str]) -> Observation {
    Observation::Exec(Box::new(Exec {
        time: KernelTime(time),
        task: task(key, parent, path),
        executable: FileFacts { id: file(path), mode: 0o100_755, links: 1, ..FileFacts::default() },
        texts: Texts::new(Path::new(path), Path::new("/home/u"), None, args.iter().copied(), []),
        path_truncated: false,
        cwd_truncated: false,
        args_truncated: false,
        environment_truncated: false,
        output: Stream::default(),
    }))
}

fn exit(time: u64, process: ProcessKey) -> Observation {
    Observation::Exit(Exit { time: KernelTime(time), process })
}

fn open(time: u64, key: ProcessKey, parent: ProcessKey, path: &str) -> Observation {
    Observation::Open(Box::new(Open {
        time: KernelTime(time),
        task: task(key, parent, path),
        object: Object::File,
        file: FileFacts::default(),
        path: KernelPath::default(),
        path_in_root: None,
        way: Way::Open,
        unlinked: false,
        mode: OpenMode { read: true, ..OpenMode::default() },
        canary: false,
    }))
}

fn table(limits: Limits) -> Table {
    Table::new(limits, InterpreterRules::default())
}

fn names(table: &Table, key: ProcessKey, at: u64) -> String {
    let Some(chain) = table.chain(key, KernelTime(at)) else { return "unknown".to_owned() };
    let names: Vec<_> = chain.processes.iter().map(Process::name).collect();
    format!("{}{}", names.join(" < "), if chain.incomplete { " < ?" } else { "" })
}

const INIT: ProcessKey = ProcessKey::new(1, 1);
const IDLE: ProcessKey = ProcessKey::new(0, 0);
const SHELL: ProcessKey = ProcessKey::new(5_000_000_001, 100);
const A: ProcessKey = ProcessKey::new(6_000_000_001, 101);
const B: ProcessKey = ProcessKey::new(7_000_000_001, 102);

/// init runs a shell.
fn with_shell(limits: Limits) -> Table {
    let mut table = table(limits);
    table.observe(&exec(2, INIT, IDLE, "/sbin/init", &["init"]));
    table.observe(&fork(SHELL.start_ns, INIT, SHELL));
    table.observe(&exec(SHELL.start_ns + 10, SHELL, INIT, "/usr/bin/bash", &["-bash"]));
    table
}

#[test]
fn a_child_is_its_parent_until_it_calls_exec() {
    let mut table = with_shell(Limits::default());
    assert_eq!(table.observe(&fork(A.start_ns, SHELL, A)), Change::Added);
    assert_eq!(names(&table, A, A.start_ns + 5), "bash < bash < init");
    assert_eq!(table.observe(&exec(A.start_ns + 10, A, SHELL, "/usr/bin/cat", &["cat", "x"])), Change::Updated);
    assert_eq!(names(&table, A, A.start_ns + 20), "cat < bash < init");
    // What it was when it acted, not what it is now.
    assert_eq!(names(&table, A, A.start_ns + 9), "bash < bash < init");
    assert_eq!(table.get(A).unwrap().args, ["cat", "x"]);
    assert_eq!(table.get(A).unwrap().origin, Origin::Observed);
}

#[test]
fn an_ancestor_is_shown_as_it_was_when_it_forked() {
    let mut table = with_shell(Limits::default());
    table.observe(&fork(A.start_ns, SHELL, A));
    table.observe(&exec(A.start_ns + 10, A, SHELL, "/tmp/dropper", &["x"]));
    table.observe(&fork(B.start_ns, A, B));
    table.observe(&exec(B.start_ns + 10, B, A, "/usr/bin/cat", &["cat"]));
    // The parent puts on an innocent face afterwards, and the shell ends.
    table.observe(&exec(B.start_ns + 20, A, SHELL, "/usr/bin/aws", &["aws"]));
    table.observe(&exit(B.start_ns + 30, SHELL));
    assert_eq!(names(&table, B, B.start_ns + 40), "cat < dropper < bash < init");
    assert_eq!(names(&table, A, B.start_ns + 40), "aws < bash < init");
}

#[test]
fn reparenting_changes_nothing() {
    let mut table = with_shell(Limits::default());
    table.observe(&fork(A.start_ns, SHELL, A));
    table.observe(&exit(A.start_ns + 5, SHELL));
    // After the shell's end the kernel names init as the parent.
    table.observe(&exec(A.start_ns + 10, A, INIT, "/usr/bin/python3.11", &["python3", "/tmp/ld.py"]));
    table.observe(&open(A.start_ns + 20, A, INIT, "/usr/bin/python3.11"));
    assert_eq!(names(&table, A, A.start_ns + 20), "python3.11 < bash < init");
    assert_eq!(table.get(A).unwrap().script_path(), Some(Path::new("/tmp/ld.py")));
    assert!(table.is_descendant_of(A, SHELL) && table.is_descendant_of(A, INIT) && table.is_descendant_of(A, A));
    assert!(!table.is_descendant_of(SHELL, A) && !table.is_descendant_of(A, B));
}

#[test]
fn a_late_fork_does_not_undo_the_exec() {
    let mut table = with_shell(Limits::default());
    assert_eq!(table.observe(&exec(A.start_ns + 10, A, INIT, "/usr/bin/cat", &["cat"])), Change::Added);
    assert_eq!(table.observe(&fork(A.start_ns, SHELL, A)), Change::Updated);
    assert_eq!(names(&table, A, A.start_ns + 20), "cat < bash < init");
    assert_eq!(names(&table, A, A.start_ns + 5), "bash < bash < init");
}

#[test]
fn a_late_exec_takes_the_place_of_the_stub_that_an_open_made() {
    let mut table = with_shell(Limits::default());
    table.observe(&fork(A.start_ns, SHELL, A));
    // The hit ring was read first: the open is by a program nobody has seen start. It is not bash that reads.
    assert_eq!(table.observe(&open(A.start_ns + 50, A, SHELL, "/usr/bin/cat")), Change::Unresolved);
    let reader = table.chain(A, KernelTime(A.start_ns + 50)).unwrap().processes.remove(0);
    assert_eq!((reader.origin, reader.executable.id), (Origin::Stub, file("/usr/bin/cat")));
    assert_eq!(reader.executable.path, Path::new(""));
    table.observe(&exec(A.start_ns + 10, A, SHELL, "/usr/bin/cat", &["cat"]));
    assert_eq!(names(&table, A, A.start_ns + 50), "cat < bash < init");
    assert_eq!((table.stats().outdated, table.stats().stubs, table.stats().stubs_completed), (1, 1, 1));
}

#[test]
fn an_open_by_the_known_program_updates_who_it_is() {
    let mut table = with_shell(Limits::default());
    let Observation::Open(mut hit) = open(SHELL.start_ns + 50, SHELL, INIT, "/usr/bin/bash") else { panic!() };
    (hit.task.euid, hit.task.session) = (0, 100);
    assert_eq!(table.observe(&Observation::Open(hit)), Change::None);
    let shell = table.get(SHELL).unwrap();
    assert_eq!((shell.uid, shell.euid, shell.session, shell.name()), (1000, 0, 100, "bash"));
}

#[test]
fn unknown_processes_become_stubs_and_are_completed() {
    let mut table = table(Limits::default());
    assert_eq!(table.observe(&open(A.start_ns + 50, A, SHELL, "/usr/bin/cat")), Change::Unresolved);
    assert_eq!(names(&table, A, A.start_ns + 50), "cat < ?");
    assert_eq!(table.get(A).unwrap().origin, Origin::Stub);
    let mut wrong = found(A, SHELL, "/usr/bin/other");
    wrong.origin = Origin::Backfilled;
    assert_eq!(table.adopt(wrong), Change::Unresolved);
    assert_eq!(table.adopt(found(A, SHELL, "/usr/bin/cat")), Change::Updated);
    assert_eq!(table.get(A).unwrap().executable.path, Path::new("/usr/bin/cat"));
    assert_eq!(table.get(A).unwrap().origin, Origin::Backfilled);
    // A fork from somebody unknown.
    assert_eq!(table.observe(&fork(B.start_ns, key(1, 77), B)), Change::Unresolved);
    assert_eq!(table.adopt(found(B, key(1, 77), "/usr/bin/cat")), Change::Updated);
    assert_eq!(table.stats().stubs_completed, 2);
}

/// A process as backfill finds it.
fn found(key: ProcessKey, parent: ProcessKey, path: &str) -> Process {
    let mut table = table(Limits::default());
    table.observe(&exec(key.start_ns, key, parent, path, &[path]));
    let mut process = table.get(key).unwrap();
    process.executable.id.generation = 0;
    process.origin = Origin::Backfilled;
    process
}

#[test]
fn a_key_from_proc_meets_the_exact_one() {
    let exact = key(5_003_456_789, 100);
    let rough = key(5_000_000_000, 100);
    let mut table = table(Limits::default());
    table.adopt(found(key(0, 1), IDLE, "/sbin/init"));
    table.adopt(found(rough, key(0, 1), "/usr/bin/bash"));
    assert_eq!(table.get(exact).unwrap().key, rough);
    // The first record that names it brings the exact key.
    table.observe(&fork(A.start_ns, exact, A));
    assert_eq!(table.get(rough).unwrap().key, exact);
    assert_eq!(names(&table, A, A.start_ns), "bash < bash < init");
    assert!(table.is_descendant_of(A, rough) && table.is_descendant_of(A, exact));
    // From then on another start within the same tick is another process.
    assert!(table.get(key(5_003_456_790, 100)).is_none());
    // The neighbouring ticks never were the same process.
    assert!(table.get(key(4_999_999_999, 100)).is_none());
    assert!(table.get(key(5_000_000_000 + TICK, 100)).is_none());
    // A second backfill finds the same process.
    assert_eq!(table.adopt(found(rough, key(0, 1), "/usr/bin/bash")), Change::None);
    assert_eq!(table.len(), 3);
    // init's own record, exact.
    table.observe(&open(A.start_ns + 1, key(1_234, 1), IDLE, "/sbin/init"));
    assert_eq!((table.len(), table.get(key(1_234, 1)).unwrap().key), (3, key(1_234, 1)));
}

#[test]
fn backfill_does_not_undo_what_records_proved() {
    let mut table = with_shell(Limits::default());
    let rough = key(SHELL.start_ns - SHELL.start_ns % TICK, SHELL.tgid);
    let mut stale = found(rough, INIT, "/usr/bin/login");
    stale.uid = 0;
    assert_eq!(table.adopt(stale), Change::None);
    assert_eq!(table.get(SHELL).unwrap().name(), "bash");
    assert_eq!(table.get(SHELL).unwrap().key, SHELL);
}

#[test]
fn programs_are_remembered_up_to_the_limit() {
    let mut table = with_shell(Limits { generations: 3, ..Limits::default() });
    table.observe(&fork(A.start_ns, SHELL, A));
    for (step, path) in ["/a", "/b", "/c"].iter().enumerate() {
        table.observe(&exec(A.start_ns + 10 * (step as u64 + 1), A, SHELL, path, &[path]));
    }
    assert_eq!(names(&table, A, A.start_ns + 15), "a < bash < init");
    // The shell's program is forgotten, and no later one stands for it: that would launder an ancestor.
    let before = table.chain(A, KernelTime(A.start_ns + 5)).unwrap().processes.remove(0);
    assert_eq!((before.origin, before.name()), (Origin::Stub, ""));
    assert_eq!(names(&table, A, A.start_ns + 99), "c < bash < init");
    assert_eq!(table.stats().generations_dropped, 1);
}

#[test]
fn grace_and_living_descendants_keep_the_exited() {
    let grace = Duration::from_secs(60);
    let mut table = with_shell(Limits { grace, ..Limits::default() });
    table.observe(&fork(A.start_ns, SHELL, A));
    table.observe(&fork(B.start_ns, A, B));
    let end = B.start_ns + 100;
    table.observe(&exit(end, A));
    let ns = grace.as_nanos() as u64;
    table.observe(&exit(end + ns + 1, key(1, 9_999)));
    assert_eq!(names(&table, B, end), "bash < bash < bash < init", "B lives, so A stays");
    table.observe(&exit(end + ns + 1, B));
    table.observe(&exit(end + 2 * ns, key(1, 9_999)));
    assert_eq!(names(&table, B, end), "bash < bash < bash < init", "within B's grace");
    table.observe(&exit(end + 2 * ns + 10, key(1, 9_999)));
    assert!(table.get(B).is_none() && table.get(A).is_none(), "both go at once");
    assert_eq!((table.len(), table.stats().expired), (2, 2));
}

#[test]
fn the_bound_holds_and_a_flood_evicts_itself_first() {
    let mut table = with_shell(Limits { processes: 50, ..Limits::default() });
    table.observe(&fork(A.start_ns, SHELL, A));
    table.observe(&exit(A.start_ns + 1, SHELL));
    for n in 0..500u32 {
        let child = key(B.start_ns + u64::from(n) * 1_000, 1_000 + n);
        table.observe(&fork(child.start_ns, A, child));
        table.observe(&exit(child.start_ns + 10, child));
        assert!(table.len() <= 50);
    }
    assert_eq!(names(&table, A, A.start_ns), "bash < bash < init", "the exited shell is still A's parent");
    assert_eq!(table.stats().evicted_exited, 500 - 47);
    assert_eq!((table.stats().evicted_ancestor, table.stats().evicted_alive), (0, 0));
    // Living ones: first go exited leaves, then exited ancestors, then the oldest living leaf.
    for n in 0..100u32 {
        let child = key(B.start_ns + 1_000_000_000 + u64::from(n), 5_000 + n);
        table.observe(&fork(child.start_ns, A, child));
        assert!(table.len() <= 50);
    }
    assert_eq!(table.stats().evicted_ancestor, 1);
    assert!(table.stats().evicted_alive > 0);
    assert_eq!(names(&table, A, A.start_ns), "bash < ?");
}

#[test]
fn who_had_children_once_is_an_old_leaf_again() {
    let mut table = with_shell(Limits { processes: 4, ..Limits::default() });
    table.observe(&fork(A.start_ns, SHELL, A));
    table.observe(&fork(B.start_ns, INIT, B));
    for (n, evicted) in [(1, A), (2, SHELL), (3, B)] {
        table.observe(&fork(B.start_ns + n, INIT, key(B.start_ns + n, 500 + n as u32)));
        assert!(table.get(evicted).is_none(), "{n}");
        assert_eq!((table.len(), table.stats().evicted_alive), (4, n));
    }
}

#[test]
fn bytes_are_bounded_and_shared_programs_count_once() {
    let mut table = with_shell(Limits { bytes: 64 << 10, ..Limits::default() });
    let before = table.bytes();
    for n in 0..100u32 {
        table.observe(&fork(A.start_ns + u64::from(n), SHELL, key(A.start_ns + u64::from(n), 200 + n)));
    }
    assert_eq!(table.bytes(), before);
    let long = "x".repeat(2_000);
    for n in 0..100u32 {
        let key = key(A.start_ns + u64::from(n), 200 + n);
        table.observe(&exec(B.start_ns, key, SHELL, "/usr/bin/cat", &[&long]));
        assert!(table.bytes() <= 64 << 10, "{}", table.bytes());
    }
    assert!(table.stats().evicted_alive > 0);
    // Whatever was shared, replaced or evicted: nothing is left when everybody is gone.
    let all: Vec<_> = table.living().collect();
    for key in all {
        table.end(key, KernelTime(B.start_ns));
    }
    for n in 0..10 {
        table.observe(&exit(B.start_ns + (100 + n) * 1_000_000_000, key(1, 9_999)));
    }
    assert_eq!((table.len(), table.bytes()), (0, 0));
}

#[test]
fn a_tgid_that_comes_back_ends_its_last_owner() {
    let mut table = with_shell(Limits::default());
    table.observe(&fork(A.start_ns, SHELL, A));
    let again = key(B.start_ns, A.tgid);
    table.observe(&fork(again.start_ns, INIT, again));
    assert_eq!(table.get(A).unwrap().exited, Some(KernelTime(again.start_ns)));
    assert_eq!(names(&table, again, again.start_ns), "init < init");
    assert_eq!(table.stats().exits_missed, 1);
}

#[test]
fn nonsense_is_survived() {
    let mut table = table(Limits { processes: 4, generations: 0, depth: 3, tick_ns: 0, ..Limits::default() });
    // Parents in a circle, of themselves, and far away in time.
    table.observe(&fork(5, A, B));
    table.observe(&fork(5, B, A));
    table.observe(&fork(5, A, A));
    table.observe(&open(u64::MAX, A, A, "/a"));
    assert!(table.chain(A, KernelTime(u64::MAX)).is_none_or(|chain| chain.processes.len() <= 3));
    assert!(!table.is_descendant_of(A, key(9, 9)));
    for n in 0..100 {
        table.observe(&exec(u64::MAX - n, key(u64::MAX, n as u32), A, "/x", &[]));
        table.observe(&fork(n, key(u64::MAX, n as u32), key(n, n as u32 + 1)));
        assert!(table.len() <= 4);
    }
}

#[test]
fn inline_code_is_known_as_such() {
    let mut table = with_shell(Limits::default());
    table.observe(&exec(A.start_ns, A, SHELL, "/usr/bin/python3.11", &["python3", "-c", "pass"]));
    assert_eq!(table.get(A).unwrap().script, Some(Script::Inline));
}

#[test]
fn whatever_comes_the_books_balance() {
    let mut seed = 0x5eed_u64;
    let mut random = move |below: u64| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        (seed >> 11) % below
    };
    for round in 0..40 {
        let limits =
            Limits { processes: 5 + random(30) as usize, bytes: 4_000 + random(20_000) as usize, ..Limits::default() };
        let mut table = table(limits);
        for _ in 0..800 {
            // Few tgids, few starts, exact and cut to a tick: everything collides.
            let mut any = || key(TICK * random(4) + random(2) * 7, 1 + random(12) as u32);
            let (one, other) = (any(), any());
            let path = ["/a", "/b", "/c"][random(3) as usize];
            let time = TICK * 4 + random(1_000);
            match random(5) {
                0 => table.observe(&fork(time, one, other)),
                1 => table.observe(&exec(time, one, other, path, &[path])),
                2 => table.observe(&exit(time, one)),
                3 => table.observe(&open(time, one, other, path)),
                _ => table.adopt(found(key(one.start_ns / TICK * TICK, one.tgid), other, path)),
            };
            assert!(table.len() <= limits.processes && table.bytes() <= limits.bytes, "round {round}");
            if let Some(chain) = table.chain(other, KernelTime(time)) {
                assert!(!chain.processes.is_empty() && chain.processes.len() <= table.len());
            }
        }
        let all: Vec<_> = table.living().collect();
        for key in all {
            table.end(key, KernelTime(TICK * 5));
        }
        for n in 0..4 {
            table.observe(&exit(1_000_000_000 * (1_000 + n), key(1, 9_999)));
        }
        // What descends from itself cannot expire, only be evicted; all else is gone.
        while table.evict(None) {}
        assert_eq!((table.len(), table.bytes(), table.slots.is_clean()), (0, 0, true), "round {round}");
    }
}
