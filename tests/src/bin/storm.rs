//! Storms: opens, forks, execs and hits as fast as they come. Each says at its end how many there were.
#![allow(unsafe_code, reason = "fork and descriptors without any wrapper: nothing may be slower than it must")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failure is a failed test")]

use std::{
    env,
    ffi::{CStr, CString},
    io::{self, Write},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (act, rest) = words.split_first().expect("an act");
    let (time, rest) = rest.split_first().expect("how many milliseconds");
    let end = Instant::now() + Duration::from_millis(time.parse().expect("a number"));
    match (*act, rest) {
        ("opens", [rate, file]) => println!("{}", opens(end, rate.parse().expect("a number"), &c(file))),
        ("forks", []) => println!("{}", forks(end)),
        ("execs", [program]) => println!("{}", execs(end, program)),
        ("flood", [file]) => println!("{}", flood(end, &c(file))),
        ("crowd", [file]) => println!("{}", crowd(end, &c(file))),
        ("readers", [interval, program, file]) => {
            readers(end, Duration::from_micros(interval.parse().expect("a number")), program, file);
        }
        _ => panic!("unknown act: {arguments:?}"),
    }
}

fn c(text: &str) -> CString {
    CString::new(text).expect("a path")
}

/// Opens and closes a file, at most `rate` times a second; 0 is as fast as it goes.
fn opens(end: Instant, rate: u64, file: &CStr) -> u64 {
    /// Looked at the clock after so many: a look costs a part of an open.
    const BATCH: u64 = 64;
    let start = Instant::now();
    let mut count = 0;
    while Instant::now() < end {
        for _ in 0..BATCH {
            close(open(file));
        }
        count += BATCH;
        // Pacing, not waiting for something: a millisecond is the least that is worth it.
        let due = start + Duration::from_nanos((count * 1_000_000_000).checked_div(rate).unwrap_or(0));
        if due > Instant::now() + Duration::from_millis(1) {
            thread::sleep(due - Instant::now());
        }
    }
    count
}

/// Children that end at once.
fn forks(end: Instant) -> u64 {
    let mut count = 0;
    while Instant::now() < end {
        reap(fork(|| {}));
        count += 1;
    }
    count
}

/// Programs that end at once.
fn execs(end: Instant, program: &str) -> u64 {
    let mut count = 0;
    while Instant::now() < end {
        assert!(Command::new(program).stdout(Stdio::null()).status().expect("start a program").success());
        count += 1;
    }
    count
}

/// One process that reads a file again and again.
fn flood(end: Instant, file: &CStr) -> u64 {
    let mut count = 0;
    while Instant::now() < end {
        read(file);
        count += 1;
    }
    count
}

/// Processes that read a file once each.
fn crowd(end: Instant, file: &CStr) -> u64 {
    let mut count = 0;
    while Instant::now() < end {
        reap(fork(|| read(file)));
        count += 1;
    }
    count
}

/// At each interval one reader: in turn a program, and a child that was never more than a fork of this one. Prints their
/// pids, each with what it was.
fn readers(end: Instant, interval: Duration, program: &str, file: &str) {
    let path = c(file);
    let mut due = Instant::now();
    let mut out = io::stdout().lock();
    while Instant::now() < end {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        due += interval;
        let mut child = Command::new(program).arg(file).stdout(Stdio::null()).spawn().expect("start a reader");
        writeln!(out, "exec {}", child.id()).expect("say its pid");
        assert!(child.wait().expect("wait for a reader").success());
        let pid = fork(|| read(&path));
        reap(pid);
        writeln!(out, "fork {pid}").expect("say its pid");
    }
}

fn open(file: &CStr) -> libc::c_int {
    // SAFETY: the path ends with a zero.
    let fd = unsafe { libc::open(file.as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC) };
    assert!(fd >= 0, "open: {}", io::Error::last_os_error());
    fd
}

fn close(fd: libc::c_int) {
    // SAFETY: it is ours and used by nobody else.
    unsafe { libc::close(fd) };
}

fn read(file: &CStr) {
    let mut byte = 0_u8;
    let fd = open(file);
    // SAFETY: the buffer has room for one byte.
    let count = unsafe { libc::read(fd, (&raw mut byte).cast(), 1) };
    assert_eq!(count, 1, "read: {}", io::Error::last_os_error());
    close(fd);
}

/// Runs `act` in a child, which then ends without any farewell.
fn fork(act: impl FnOnce()) -> libc::pid_t {
    // SAFETY: this program has one thread.
    match unsafe { libc::fork() } {
        -1 => panic!("fork: {}", io::Error::last_os_error()),
        0 => {
            act();
            // SAFETY: nothing of the parent's is flushed or freed twice.
            unsafe { libc::_exit(0) }
        }
        pid => pid,
    }
}

fn reap(pid: libc::pid_t) {
    let mut status = 0;
    // SAFETY: `status` is ours for the time of the call.
    let waited = unsafe { libc::waitpid(pid, &raw mut status, 0) };
    assert_eq!((waited, status), (pid, 0), "the child failed");
}
