//! Gives up rights and then tries what is forbidden: what `doctor` shows. Nothing is harmed where a trial succeeds.

use std::{
    fs,
    io::{self, Write},
    os::fd::AsFd,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use rustix::{
    io::Errno,
    mount::{MountFlags, mount},
    net::{AddressFamily, Protocol, SocketType, ipproto, socket},
    thread::{
        CapabilitySet, CapabilitySets, Uid, capabilities, move_into_link_name_space, set_capabilities, set_thread_uid,
    },
};

use super::{Given, Outcome, files, give_up};
use crate::probe::canary::child;

/// Name of the hidden subcommand.
pub const SUBCOMMAND: &str = "confined";

/// One thing that was tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trial {
    /// What.
    pub what: &'static str,
    /// It was refused.
    pub refused: bool,
    /// How it went.
    pub how: String,
}

/// Gives up rights and tries. `place` is where may be written; the process is of no use for anything else afterwards.
///
/// # Errors
/// When nothing could be given up, or a process to look into cannot be started.
pub fn run(place: &Path, out: &mut impl Write) -> io::Result<()> {
    let child = child::Canary::start()?;
    let foreign = fs::File::open("/proc/self/ns/net")?;
    let given = give_up(&[PathBuf::from(place)]).map_err(io::Error::other)?;
    let Given { capabilities, calls, files } = given;
    for (what, outcome) in [("capabilities", &capabilities), ("system calls", &calls), ("files", &files)] {
        match outcome {
            Outcome::Done(said) => writeln!(out, "ok\t{what}: {said}")?,
            Outcome::Missing(why) => writeln!(out, "--\t{what}: {why}")?,
        }
    }
    for trial in trials(&child, &foreign, matches!(files, Outcome::Done(_))) {
        let word = if trial.refused { "ok" } else { "NO" };
        writeln!(out, "{word}\tcannot {}: {}", trial.what, trial.how)?;
    }
    writeln!(out, "{}", looks(place, child.pid()))?;
    // It cannot be waited for by one who may not signal it: its input ends with us.
    drop(child);
    Ok(())
}

fn trials(child: &child::Canary, foreign: &fs::File, bound: bool) -> Vec<Trial> {
    let mut trials = vec![
        trial(
            "start a program",
            Command::new("/proc/self/exe").arg("--version").stdout(Stdio::null()).spawn().map(drop),
        ),
        trial("trace a process", child.inspect("sys_exit_ptrace")),
        trial("read the memory of a process", child.inspect("sys_exit_process_vm_readv")),
        trial("load a kernel module", rustix::system::finit_module(foreign, c"", 0).map_err(Into::into)),
        trial("open a raw socket", raw(AddressFamily::INET, Some(ipproto::ICMP))),
        trial("open a packet socket", raw(AddressFamily::PACKET, None)),
        trial(
            "mount a file system",
            mount("none", "/proc/self", "tmpfs", MountFlags::empty(), None).map_err(Into::into),
        ),
        trial("enter a namespace", move_into_link_name_space(foreign.as_fd(), None).map_err(Into::into)),
        trial("change its root", rustix::process::chroot("/").map_err(Into::into)),
        trial("become another user", set_thread_uid(Uid::from_raw(65_534)).map_err(Into::into)),
        trial("get a capability back", regain()),
    ];
    if bound {
        trials.push(trial("write a file that is not its own", foreign_file()));
    }
    trials
}

/// On a thread of its own, as the threads of the agent are that write files.
fn foreign_file() -> io::Result<()> {
    let write = || {
        files::keep_to_own();
        fs::OpenOptions::new().append(true).open("/etc/passwd").map(drop)
    };
    std::thread::spawn(write).join().unwrap_or_else(|_| Err(io::Error::other("the thread has died")))
}

fn raw(family: AddressFamily, protocol: Option<Protocol>) -> io::Result<()> {
    Ok(socket(family, SocketType::RAW, protocol).map(drop)?)
}

fn regain() -> io::Result<()> {
    let now = capabilities(None)?;
    let more = now.effective | CapabilitySet::SYS_MODULE;
    Ok(set_capabilities(None, CapabilitySets { effective: more, permitted: more, ..now })?)
}

fn trial(what: &'static str, outcome: io::Result<()>) -> Trial {
    let forbidden = [Errno::PERM, Errno::ACCESS].map(Errno::raw_os_error);
    match outcome {
        Ok(()) => Trial { what, refused: false, how: "it can".into() },
        Err(error) => {
            let refused = error.raw_os_error().is_some_and(|number| forbidden.contains(&number));
            Trial { what, refused, how: error.to_string() }
        }
    }
}

/// What must go on working: writing to its own place, and looking into other processes.
fn looks(place: &Path, other: u32) -> String {
    let own = place.join(format!("confined-{}", std::process::id()));
    let write = || {
        files::keep_to_own();
        fs::write(&own, "").and_then(|()| fs::remove_file(&own))
    };
    let written = std::thread::scope(|scope| scope.spawn(write).join());
    let written = written.unwrap_or_else(|_| Err(io::Error::other("the thread has died")));
    let of = |what: &str| format!("/proc/{other}/{what}");
    let all = written.and_then(|()| fs::read(of("environ"))).and_then(|_| fs::read_dir(of("root"))).map(drop);
    match all {
        Ok(()) => "ok\tcan write to its own directory and look into other processes".into(),
        Err(error) => format!("NO\tcan write to its own directory and look into other processes: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_refusal_counts() {
        let of = |errno: Errno| trial("x", Err(errno.into())).refused;
        assert!(of(Errno::PERM) && of(Errno::ACCESS));
        assert!(!of(Errno::NOENT) && !of(Errno::NOSYS) && !trial("x", Ok(())).refused);
    }
}
