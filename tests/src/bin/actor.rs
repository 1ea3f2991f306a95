//! Does with a file what no ordinary program does: the odd system calls, and the short lives, of thieves.
#![allow(unsafe_code, reason = "fork and handles have no safe interface")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failure is a failed test")]

use std::{
    env,
    ffi::{CString, OsStr},
    fs::{self, File},
    io::{self, Read, Write},
    mem::MaybeUninit,
    net::TcpStream,
    os::{
        fd::{AsRawFd, FromRawFd, OwnedFd},
        unix::{ffi::OsStrExt, net::UnixStream},
    },
    path::Path,
    process::{Command, ExitCode, Stdio, exit},
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{CWD, Mode, OFlags, openat},
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
};

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["read", file] => read(file),
        ["fork-read", file] => wait_for(fork(|| read(file))),
        ["brief", microseconds, file] => brief(microseconds.parse().expect("a number"), file),
        ["orphan", file] => orphan(file),
        ["crowd", count, program, file] => crowd(count.parse().expect("a number"), program, file),
        ["handle", file] => read_fd(by_handle(Path::new(file))),
        ["dirfd", directory, name] => {
            let directory = File::open(directory).expect("open the directory");
            read_fd(openat(&directory, name, OFlags::RDONLY, Mode::empty()).expect("openat"));
        }
        ["openat2", file] => {
            let how = rustix::fs::ResolveFlags::empty();
            read_fd(rustix::fs::openat2(CWD, file, OFlags::RDONLY, Mode::empty(), how).expect("openat2"));
        }
        ["own-environ"] => {
            read("/proc/self/environ");
            read(format!("/proc/{}/environ", std::process::id()));
        }
        ["type", ref rest @ ..] => {
            let at = rest.iter().position(|word| *word == "--").expect("lines, --, a program");
            let lines: Vec<String> = rest[..at].iter().flat_map(|line| typed(line)).collect();
            let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
            type_into(&lines, &rest[at + 1..]);
        }
        ["hold"] => {
            println!("ready");
            io::stdin().read_to_end(&mut Vec::new()).expect("wait for the end of the input");
        }
        ["connect", socket] => drop(UnixStream::connect(socket).expect("connect")),
        ["dial", address] => drop(TcpStream::connect(address).expect("connect")),
        ["trace", program] => trace(program),
        // What follows are the names of real tools: as such it reads its own store, when its input is closed.
        [] | ["-jar", _] => {
            io::stdin().read_to_end(&mut Vec::new()).expect("wait for the end of the input");
            read(env::var("STORE").expect("STORE"));
        }
        _ => panic!("unknown act: {arguments:?}"),
    }
    ExitCode::SUCCESS
}

fn read(file: impl AsRef<OsStr>) {
    assert!(!fs::read(Path::new(&file)).expect("read the file").is_empty());
}

fn read_fd(fd: OwnedFd) {
    let mut bytes = Vec::new();
    File::from(fd).read_to_end(&mut bytes).expect("read the file");
    assert!(!bytes.is_empty());
}

/// Traces a program while it reads its store.
fn trace(program: &str) {
    let mut traced = Command::new(program).stdin(Stdio::piped()).spawn().expect("start the program");
    let pid = libc::pid_t::try_from(traced.id()).expect("a pid");
    let none = std::ptr::null_mut::<libc::c_void>();
    // SAFETY: with these arguments it reads and writes no memory of ours.
    let attached = unsafe { libc::ptrace(libc::PTRACE_SEIZE, pid, none, none) };
    assert_eq!(attached, 0, "attach: {}", io::Error::last_os_error());
    drop(traced.stdin.take());
    assert!(traced.wait().expect("wait for the program").success());
}

/// Runs `act` in a child, which then ends at once.
fn fork(act: impl FnOnce()) -> libc::pid_t {
    // SAFETY: this program has one thread.
    match unsafe { libc::fork() } {
        -1 => panic!("fork: {}", io::Error::last_os_error()),
        0 => {
            act();
            exit(0)
        }
        pid => pid,
    }
}

fn wait_for(pid: libc::pid_t) {
    let mut status = 0;
    // SAFETY: `status` is ours for the time of the call.
    let waited = unsafe { libc::waitpid(pid, &raw mut status, 0) };
    assert_eq!((waited, status), (pid, 0), "the child failed");
}

/// Children that open, read and end, until one lived for less than so long. Prints its pid.
fn brief(microseconds: u128, file: &str) {
    let path = CString::new(file).expect("a path");
    for _ in 0..200 {
        let start = Instant::now();
        // SAFETY: one thread; the child makes three system calls with memory that was made before.
        let pid = unsafe { libc::fork() };
        if pid == 0 {
            let mut byte = 0_u8;
            // SAFETY: the path ends with a zero, the buffer has room for one byte.
            unsafe {
                let fd = libc::open(path.as_ptr(), libc::O_RDONLY);
                let count = libc::read(fd, (&raw mut byte).cast(), 1);
                libc::_exit(i32::from(count != 1))
            }
        }
        wait_for(pid);
        if start.elapsed().as_micros() < microseconds {
            println!("{pid}");
            return;
        }
    }
    panic!("no child lived for less than {microseconds} microseconds");
}

/// A grandchild in a session of its own reads once its parent has ended and it belongs to init.
fn orphan(file: &str) {
    let (done, hold) = rustix::pipe::pipe().expect("a pipe");
    let middle = fork(|| {
        rustix::process::setsid().expect("a session");
        let middle = rustix::process::getpid();
        fork(|| {
            while rustix::process::getppid() == Some(middle) {
                std::thread::yield_now();
            }
            read(file);
        });
    });
    wait_for(middle);
    drop(hold);
    // The end of the pipe is the end of the grandchild.
    File::from(done).read_to_end(&mut Vec::new()).expect("wait for the grandchild");
}

/// Many programs at once.
fn crowd(count: usize, program: &str, file: &str) {
    let start = || Command::new(program).arg(file).stdout(Stdio::null()).spawn().expect("start a reader");
    let children: Vec<_> = (0..count).map(|_| start()).collect();
    for mut child in children {
        assert!(child.wait().expect("wait for a reader").success());
    }
}

/// Opens a file without saying its name.
fn by_handle(path: &Path) -> OwnedFd {
    const ROOM: usize = 128;
    #[repr(C)]
    struct Handle {
        head: libc::file_handle,
        room: MaybeUninit<[u8; ROOM]>,
    }
    let directory = File::open(path.parent().expect("a directory")).expect("open the directory");
    let path = CString::new(path.as_os_str().as_bytes()).expect("a path");
    // SAFETY: all zeros is a valid handle without content.
    let mut handle: Handle = unsafe { std::mem::zeroed() };
    handle.head.handle_bytes = ROOM as u32;
    let mut mount = 0;
    // SAFETY: the handle has as much room as it says, and all pointers are ours.
    let made =
        unsafe { libc::name_to_handle_at(libc::AT_FDCWD, path.as_ptr(), &raw mut handle.head, &raw mut mount, 0) };
    assert_eq!(made, 0, "name_to_handle_at: {}", io::Error::last_os_error());
    // SAFETY: the handle was filled by the kernel just now.
    let fd = unsafe { libc::open_by_handle_at(directory.as_raw_fd(), &raw mut handle.head, libc::O_RDONLY) };
    assert!(fd >= 0, "open_by_handle_at: {}", io::Error::last_os_error());
    // SAFETY: the kernel gave us this descriptor just now.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// What is typed for a word: itself, or the lines of the file behind an `@`, which then are on no command line.
fn typed(word: &str) -> Vec<String> {
    match word.strip_prefix('@') {
        Some(file) => fs::read_to_string(file).expect("read the lines").lines().map(str::to_owned).collect(),
        None => vec![word.to_owned()],
    }
}

/// Starts a program in a terminal of its own, waits for a shell's prompt in it, and types lines there, like a person.
fn type_into(lines: &[&str], program: &[&str]) {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
    grantpt(&master).and_then(|()| unlockpt(&master)).expect("unlock the terminal");
    let name = ptsname(&master, Vec::new()).expect("the terminal's name");
    let slave = openat(CWD, &name, OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).expect("open the terminal");
    let end = || Stdio::from(slave.try_clone().expect("a descriptor"));
    let mut command = Command::new("setsid");
    command.args(["--ctty", "--wait"]).args(program).stdin(end()).stdout(end()).stderr(end());
    let mut child = command.spawn().expect("setsid");
    let mut terminal = File::from(master);
    let mut shown = Vec::new();
    let deadline = Instant::now() + Duration::from_secs(120);
    let mut ready = false;
    while child.try_wait().expect("ask for the child").is_none() {
        assert!(Instant::now() < deadline, "{}", String::from_utf8_lossy(&shown));
        // What is typed before there is a prompt may be lost: ask again until a shell has answered.
        if !ready {
            terminal.write_all(b"echo ready-$((40+2))\n").expect("type");
        }
        while poll_once(&terminal) {
            let mut bytes = [0; 4096];
            // A login hangs up and opens the terminal anew: an error in between is none.
            let Ok(length) = terminal.read(&mut bytes) else { break };
            shown.extend_from_slice(&bytes[..length]);
        }
        if !ready && String::from_utf8_lossy(&shown).contains("ready-42") {
            ready = true;
            for line in lines.iter().chain([&"exit"]) {
                terminal.write_all(format!("{line}\n").as_bytes()).expect("type");
            }
        }
    }
    print!("{}", String::from_utf8_lossy(&shown));
}

/// Whether there is something to read within 200 ms.
fn poll_once(terminal: &File) -> bool {
    let time = Timespec { tv_sec: 0, tv_nsec: 200_000_000 };
    poll(&mut [PollFd::new(terminal, PollFlags::IN)], Some(&time)).is_ok_and(|ready| ready > 0)
}
