//! Processes, and system calls that have no safe interface.

use std::{
    ffi::CString,
    fs,
    io::{self, BufRead, BufReader, Read, Write},
    os::{
        fd::{AsRawFd, FromRawFd, OwnedFd, RawFd},
        unix::{ffi::OsStrExt, net::UnixStream},
    },
    path::{Path, PathBuf},
    process::{Command, exit},
};

use rustix::{
    io::{FdFlags, fcntl_setfd},
    mount::{MountPropagationFlags, mount_change},
    process::{Pid, WaitOptions, waitpid},
    thread::UnshareFlags,
};

use crate::{
    report,
    stop::{At, Outcome, absent, fail},
    tell,
};

/// A system call by its number.
///
/// # Safety
///
/// The arguments must be what the call expects.
pub(crate) unsafe fn call(number: i64, arguments: [u64; 6]) -> io::Result<i64> {
    let [a, b, c, d, e, f] = arguments;
    // SAFETY: the caller vouches for the arguments.
    let result = unsafe { libc::syscall(number, a, b, c, d, e, f) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// A descriptor that a call has returned just now.
pub(crate) fn owned(descriptor: i64) -> OwnedFd {
    // SAFETY: the kernel gave it to us, and nobody else knows it.
    unsafe { OwnedFd::from_raw_fd(descriptor as RawFd) }
}

/// Closes a descriptor in a forked child that belongs to its parent's half of the program.
fn close(descriptor: RawFd) {
    // SAFETY: a forked child ends with `exit`, so nothing closes it a second time.
    unsafe { rustix::io::close(descriptor) }
}

/// The path as the kernel wants it.
pub(crate) fn c_path(path: &Path) -> Outcome<CString> {
    CString::new(path.as_os_str().as_bytes()).or_else(|_| fail("a path with a zero byte"))
}

/// A child that is a copy of this process.
pub(crate) struct Child(Pid);

/// Runs `act` in a child, which ends with the code that `act` leads to.
pub(crate) fn fork(act: impl FnOnce() -> Outcome) -> Outcome<Child> {
    // SAFETY: this process has one thread.
    match unsafe { libc::fork() } {
        0 => exit(report(act())),
        pid => child(pid),
    }
}

/// What a call of the kind of `fork` returned in the parent.
pub(crate) fn child(pid: i32) -> Outcome<Child> {
    if pid < 0 {
        Err(io::Error::last_os_error()).at("fork")
    } else {
        Pid::from_raw(pid).map_or_else(|| fail("fork"), |pid| Ok(Child(pid)))
    }
}

impl Child {
    pub(crate) fn pid(&self) -> u32 {
        self.0.as_raw_nonzero().get().unsigned_abs()
    }

    /// Waits for its end. What it had to say of itself it has said.
    pub(crate) fn wait(&self) -> Outcome {
        match self.code()? {
            Some(0) => Ok(()),
            Some(tokenhound_tests::evasion::ABSENT) => absent("as the child says"),
            code => fail(format!("the child ended with {code:?}")),
        }
    }

    /// Its exit code; `None` for a signal.
    pub(crate) fn code(&self) -> Outcome<Option<i32>> {
        let status = waitpid(Some(self.0), WaitOptions::empty()).at("wait for the child")?;
        Ok(status.and_then(|(_, status)| status.exit_status()))
    }
}

/// Lets a child do something, and waits for it.
pub(crate) fn in_child(act: impl FnOnce() -> Outcome) -> Outcome {
    fork(act)?.wait()
}

/// A child that did something, said a word about it, and stays as it is until this is dropped.
pub(crate) struct Partner {
    child: Child,
    /// Its word.
    pub(crate) said: String,
    line: BufReader<UnixStream>,
}

/// Runs `act` in a child that then stays. `act` returns its word, and what must stay open.
pub(crate) fn partner<K>(act: impl FnOnce() -> Outcome<(String, K)>) -> Outcome<Partner> {
    let (ours, mut its) = UnixStream::pair().at("make a pair of sockets")?;
    let outer = ours.as_raw_fd();
    let child = fork(move || {
        close(outer);
        let (word, _keep) = act()?;
        writeln!(its, "{word}").at("tell the parent")?;
        its.read_to_end(&mut Vec::new()).at("wait for the parent")?;
        Ok(())
    });
    let mut partner = Partner { child: child?, said: String::new(), line: BufReader::new(ours) };
    partner.said = partner.hear()?;
    Ok(partner)
}

impl Partner {
    pub(crate) fn pid(&self) -> u32 {
        self.child.pid()
    }

    fn hear(&mut self) -> Outcome<String> {
        let mut word = String::new();
        self.line.read_line(&mut word).at("listen to the child")?;
        if word.is_empty() { fail("the child said nothing") } else { Ok(word.trim_end().to_owned()) }
    }
}

impl Drop for Partner {
    fn drop(&mut self) {
        let _ = self.line.get_ref().shutdown(std::net::Shutdown::Both);
        let _ = self.child.code();
    }
}

/// Says that this process holds the store open, and waits for a line of input.
pub(crate) fn hold() {
    tell::helper();
    hold_for(std::process::id());
}

/// Says that a process holds the store open, and waits for a line of input. At the end of the input it goes on at once.
pub(crate) fn hold_for(pid: u32) {
    tell::held(pid);
    let _ = io::stdin().read_line(&mut String::new());
}

/// Lets a descriptor live on in the programs that this process starts.
pub(crate) fn keep_over_exec(fd: &OwnedFd) -> Outcome {
    fcntl_setfd(fd, FdFlags::empty()).at("keep a descriptor over an exec")
}

/// This program, to be started again in another role.
pub(crate) fn role(role: &str) -> Outcome<Command> {
    let mut command = Command::new(this_program()?);
    command.arg("role").arg(role);
    Ok(command)
}

pub(crate) fn this_program() -> Outcome<PathBuf> {
    fs::read_link("/proc/self/exe").at("find this program")
}

/// Runs a program to its end, which must be a good one.
pub(crate) fn finish(command: &mut Command) -> Outcome {
    match command.status().at("start a program")?.code() {
        Some(0) => Ok(()),
        Some(tokenhound_tests::evasion::ABSENT) => absent("as the program says"),
        code => fail(format!("{command:?} ended with {code:?}")),
    }
}

/// A mount namespace of its own for this process, of whose mounts nobody else learns.
pub(crate) fn own_mounts() -> Outcome {
    unshare(UnshareFlags::NEWNS)?;
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC).at("make mounts private")
}

pub(crate) fn unshare(flags: UnshareFlags) -> Outcome {
    let refusals = [rustix::io::Errno::INVAL, rustix::io::Errno::NOSPC];
    // SAFETY: memory and descriptors of other threads are not concerned: this process has one.
    unsafe { rustix::thread::unshare_unsafe(flags) }.offered("unshare", &refusals)
}
