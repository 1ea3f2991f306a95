//! Looking into another process, which has the content in its memory and a token in its environment.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    ptr,
};

use rustix::{
    fs::{Mode, OFlags, openat},
    mount::{MountFlags, mount},
    process::{Pid, Resource, Rlimit, Signal, WaitOptions, kill_process, setrlimit, waitpid},
};

use tokenhound_tests::evasion::Start;

use crate::{
    place::{Place, START, check, open, open_with, read},
    stop::{At, Outcome, absent, fail},
    sys::{child, fork, hold_for, own_mounts},
    technique::Technique,
    tell,
    victim::{Victim, got_environment, got_memory},
};

pub(crate) const TABLE: &[Technique] = &[
    Technique::inspects("environ", "environ", "/proc/PID/environ", |place| environment(place, "/proc/{}/environ"))
        .with_victim(),
    Technique::inspects("environ-thread", "environ", "/proc/PID/task/TID/environ", |place| {
        environment(place, "/proc/{}/task/{}/environ")
    })
    .with_victim(),
    Technique::inspects("environ-relative", "environ", "environ, from the open directory /proc/PID", relative)
        .with_victim(),
    Technique::inspects("environ-mount", "environ", "PID/environ in another mount of procfs", other_mount)
        .with_victim(),
    Technique::inspects("environ-link", "environ", "through a symbolic link to /proc/PID/environ", linked)
        .with_victim(),
    Technique::inspects("mem", "mem", "/proc/PID/mem", |place| memory(place, "/proc/{}/mem")).with_victim(),
    Technique::inspects("mem-thread", "mem", "/proc/PID/task/TID/mem", |place| memory(place, "/proc/{}/task/{}/mem"))
        .with_victim(),
    Technique::inspects("vm-readv", "process-vm-readv", "process_vm_readv(2)", vm_readv).with_victim(),
    Technique::inspects("ptrace-attach", "ptrace-attach", "PTRACE_ATTACH, PTRACE_PEEKDATA", attach).with_victim(),
    Technique::inspects("ptrace-seize", "ptrace-attach", "PTRACE_SEIZE, PTRACE_INTERRUPT, PTRACE_PEEKDATA", seize)
        .with_victim(),
    Technique::inspects("ptrace-peek", "ptrace-peek", "PTRACE_PEEKDATA after an attach", attach).with_victim(),
    Technique::inspects("ptrace-traceme", "ptrace-peek", "PTRACE_PEEKDATA of a child that asked for it", traceme),
    Technique::inspects("core-dump", "core-dump", "the core dump of a process that had read the store", core_dump)
        .started(Start::Held),
];

fn path(place: &Place, pattern: &str) -> Outcome<String> {
    Ok(pattern.replace("{}", &place.victim()?.pid().to_string()))
}

fn environment(place: &Place, pattern: &str) -> Outcome {
    let bytes = fs::read(path(place, pattern)?).at("read the environment")?;
    got_environment(place.victim()?, &bytes)
}

fn relative(place: &Place) -> Outcome {
    let directory = open_with(Path::new(&path(place, "/proc/{}")?), OFlags::RDONLY | OFlags::DIRECTORY)?;
    let fd = openat(&directory, "environ", OFlags::RDONLY, Mode::empty()).at("openat")?;
    got_environment(place.victim()?, &read(fd)?)
}

fn other_mount(place: &Place) -> Outcome {
    own_mounts()?;
    let to = place.directory("processes")?;
    mount("none", &to, "proc", MountFlags::empty(), None).at("mount procfs")?;
    let bytes = fs::read(to.join(path(place, "{}/environ")?)).at("read the environment")?;
    got_environment(place.victim()?, &bytes)
}

fn linked(place: &Place) -> Outcome {
    let link = place.at("link");
    std::os::unix::fs::symlink(path(place, "/proc/{}/environ")?, &link).at("make a link")?;
    got_environment(place.victim()?, &fs::read(link).at("read the environment")?)
}

fn memory(place: &Place, pattern: &str) -> Outcome {
    let victim = place.victim()?;
    let file = File::open(path(place, pattern)?).at("open the memory")?;
    let mut bytes = [0; START.len()];
    file.read_exact_at(&mut bytes, victim.address).at("read the memory")?;
    got_memory(victim, &bytes)
}

fn vm_readv(place: &Place) -> Outcome {
    let victim = place.victim()?;
    let mut bytes = [0_u8; START.len()];
    let to = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
    let from = libc::iovec { iov_base: ptr::without_provenance_mut(victim.address as usize), iov_len: bytes.len() };
    // SAFETY: writes to our buffer only; the other address is the other process's.
    let count = unsafe { libc::process_vm_readv(victim.pid() as i32, &raw const to, 1, &raw const from, 1, 0) };
    if count < 0 {
        return Err(io::Error::last_os_error()).at("process_vm_readv");
    }
    got_memory(victim, &bytes)
}

/// `ptrace` without a pointer of ours.
fn ptrace(request: libc::c_uint, pid: u32, address: u64) -> io::Result<i64> {
    // The C library returns the word of a peek, so an error shows in errno only.
    // SAFETY: errno of this thread.
    unsafe { *libc::__errno_location() = 0 };
    // SAFETY: the requests used here write nothing to our memory; the word is returned.
    let word = unsafe { libc::ptrace(request, pid as i32, address, 0_u64) };
    let error = io::Error::last_os_error();
    if word == -1 && error.raw_os_error() != Some(0) { Err(error) } else { Ok(word) }
}

fn peek(pid: u32, address: u64) -> Outcome<[u8; 8]> {
    Ok(ptrace(libc::PTRACE_PEEKDATA, pid, address).at("peek")?.to_ne_bytes())
}

/// Waits until a traced process stands still.
fn stopped(pid: u32) -> Outcome {
    waitpid(Pid::from_raw(pid as i32), WaitOptions::UNTRACED).at("wait for the stop").map(drop)
}

fn attach(place: &Place) -> Outcome {
    let victim = place.victim()?;
    ptrace(libc::PTRACE_ATTACH, victim.pid(), 0).at("attach")?;
    peeked(victim)
}

fn seize(place: &Place) -> Outcome {
    let victim = place.victim()?;
    ptrace(libc::PTRACE_SEIZE, victim.pid(), 0).at("seize")?;
    ptrace(libc::PTRACE_INTERRUPT, victim.pid(), 0).at("interrupt")?;
    peeked(victim)
}

fn peeked(victim: &Victim) -> Outcome {
    stopped(victim.pid())?;
    let bytes = peek(victim.pid(), victim.address)?;
    ptrace(libc::PTRACE_DETACH, victim.pid(), 0).at("detach")?;
    got_memory(victim, &bytes)
}

/// The child has read the store and stands still; its memory is laid out as its parent's.
fn traceme(place: &Place) -> Outcome {
    let mut room = Box::new([0_u8; 64]);
    let address = room.as_ptr().addr() as u64;
    let pid = {
        // SAFETY: this process has one thread.
        let pid = unsafe { libc::fork() };
        if pid == 0 {
            std::process::exit(crate::report(traced(place, &mut room)));
        }
        child(pid)?.pid()
    };
    stopped(pid)?;
    let bytes = peek(pid, address);
    ptrace(libc::PTRACE_CONT, pid, 0).at("let it go on")?;
    stopped(pid)?;
    tell::target(pid);
    crate::place::got(&bytes?)
}

fn traced(place: &Place, room: &mut [u8; 64]) -> Outcome {
    tell::helper();
    ptrace(libc::PTRACE_TRACEME, 0, 0).at("ask to be traced")?;
    let content = read(open(&place.store)?)?;
    let count = content.len().min(room.len());
    room[..count].copy_from_slice(&content[..count]);
    kill_process(rustix::process::getpid(), Signal::STOP).at("stop")?;
    check(&room[..])
}

/// A process reads the store and crashes; another one takes the content out of its core.
/// The core of a process that has done `first`, and the process. A core is found by the agent when its process has ended:
/// a few milliseconds later.
pub(crate) fn core_of(place: &Place, first: fn(&Place) -> Outcome) -> Outcome<(PathBuf, u32)> {
    let pattern = fs::read_to_string("/proc/sys/kernel/core_pattern").at("ask where cores go")?;
    if pattern.starts_with(['|', '/', '@']) {
        return absent(format!("cores go to {}", pattern.trim()));
    }
    let here = place.directory("crash")?;
    let crashed = fork(|| {
        std::env::set_current_dir(&here).at("chdir")?;
        setrlimit(Resource::Core, Rlimit { current: None, maximum: None }).at("allow a core")?;
        first(place)?;
        std::process::abort()
    })?;
    let pid = crashed.pid();
    if crashed.code()?.is_some() {
        return fail("it did not crash");
    }
    match fs::read_dir(&here).at("look for the core")?.flatten().next() {
        Some(core) => Ok((core.path(), pid)),
        None => absent("no core was written"),
    }
}

fn core_dump(place: &Place) -> Outcome {
    let (core, pid) = core_of(place, |place| {
        tell::helper();
        let content = read(open(&place.store)?)?;
        check(&content)?;
        // It must still be there when the memory is written.
        std::mem::forget(std::hint::black_box(content));
        Ok(())
    })?;
    hold_for(pid);
    let core = read(OpenOptions::new().read(true).open(core).at("open the core")?.into())?;
    let Some(at) = core.windows(START.len()).position(|part| part == START) else {
        return fail("the content is not in the core");
    };
    tell::target(pid);
    crate::place::got(&core[at..at + START.len()])
}
