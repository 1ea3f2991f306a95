//! A child of ours to look into.
#![allow(unsafe_code)]

use std::{
    io::{self, Read},
    process::{Child, Command, Stdio},
};

use rustix::process::{Pid, WaitOptions};

use crate::ingest::observation::Inspection;

/// Name of the hidden subcommand that waits for the end of its input.
pub const SUBCOMMAND: &str = "canary";

/// Waits until the agent lets go of us.
///
/// # Errors
///
/// When the input cannot be read.
pub fn wait_for_end() -> io::Result<()> {
    io::stdin().lock().read_to_end(&mut Vec::new()).map(drop)
}

/// A process that does nothing and ends when this is dropped.
pub struct Canary {
    child: Child,
}

impl Canary {
    /// Starts it.
    ///
    /// # Errors
    ///
    /// When a process cannot be started.
    pub fn start() -> io::Result<Self> {
        let mut command = Command::new("/proc/self/exe");
        command.arg(SUBCOMMAND).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        Ok(Self { child: command.spawn()? })
    }

    /// Its pid.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    fn process(&self) -> io::Result<Pid> {
        i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).ok_or_else(|| io::Error::other("pid out of range"))
    }

    /// Looks into it in the way that the hook of that name sees.
    ///
    /// # Errors
    ///
    /// What went wrong, or `Unsupported` for a hook that is not known here.
    pub fn inspect(&self, hook: &str) -> io::Result<()> {
        match hook {
            "sys_exit_process_vm_readv" | "security_ptrace_access_check" | "ptrace_access_check" => self.read(),
            "sys_exit_ptrace" | "ptrace_access_vm" | "generic_ptrace_peekdata" => self.trace(),
            _ => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// What the hook of that name must say of [`Canary::inspect`].
    #[must_use]
    pub fn shows(hook: &str) -> Option<Inspection> {
        match hook {
            "sys_exit_process_vm_readv" | "security_ptrace_access_check" | "ptrace_access_check" => {
                Some(Inspection::ProcessVmReadv)
            }
            "sys_exit_ptrace" | "ptrace_access_vm" | "generic_ptrace_peekdata" => Some(Inspection::PtracePeek),
            _ => None,
        }
    }

    /// Nothing is mapped at the address that is read; the question of access comes first.
    fn read(&self) -> io::Result<()> {
        let mut byte = 0u8;
        let local = libc::iovec { iov_base: (&raw mut byte).cast(), iov_len: 1 };
        let remote = libc::iovec { iov_base: std::ptr::dangling_mut::<u8>().cast(), iov_len: 1 };
        // SAFETY: one byte goes to a live local.
        let status =
            unsafe { libc::process_vm_readv(self.process()?.as_raw_nonzero().get(), &local, 1, &remote, 1, 0) };
        match io::Error::last_os_error() {
            error if status < 0 && error.raw_os_error() != Some(libc::EFAULT) => Err(error),
            _ => Ok(()),
        }
    }

    fn trace(&self) -> io::Result<()> {
        let process = self.process()?;
        self.request(libc::PTRACE_SEIZE.into(), 0)?;
        self.request(libc::PTRACE_INTERRUPT.into(), 0)?;
        rustix::process::waitpid(Some(process), WaitOptions::UNTRACED)?;
        // Nothing is mapped there.
        let _ = self.request(libc::PTRACE_PEEKDATA.into(), 8);
        self.request(libc::PTRACE_DETACH.into(), 0)
    }

    /// C libraries differ in the type of a request.
    fn request(&self, request: i64, address: usize) -> io::Result<()> {
        let none = std::ptr::null_mut::<libc::c_void>();
        // SAFETY: none of the requests used here writes to our memory but the word that peeking returns.
        let status = unsafe {
            libc::ptrace(
                request as _,
                self.process()?.as_raw_nonzero().get(),
                std::ptr::without_provenance_mut::<u8>(address),
                none,
            )
        };
        if status < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }
}

impl Drop for Canary {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        if let Err(error) = self.child.wait() {
            tracing::debug!(%error, "the canary process could not be waited for");
        }
    }
}
