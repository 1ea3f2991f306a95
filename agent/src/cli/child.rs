//! Starts the watched command, as the user who asked for it.
#![allow(unsafe_code)]

use std::{
    ffi::OsString,
    io,
    os::unix::process::CommandExt,
    path::PathBuf,
    process::{Child, Command},
};

use rustix::process::{Gid, Uid};

/// Whom to run a command as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    /// User id.
    pub(super) uid: u32,
    /// Primary group.
    pub(super) gid: u32,
    /// Supplementary groups.
    pub(super) groups: Vec<u32>,
    /// Login name.
    pub(super) name: String,
    /// Home directory.
    pub(super) home: PathBuf,
}

/// Starts `command`, with our standard streams, as `identity` (as ourselves for `None`).
///
/// # Errors
///
/// When the program cannot be found or started, or the identity cannot be taken on.
pub(super) fn spawn(command: &[OsString], identity: Option<&Identity>) -> io::Result<Child> {
    let (program, arguments) =
        command.split_first().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "no command given"))?;
    let mut child = Command::new(program);
    child.args(arguments);
    if let Some(identity) = identity {
        child.env("HOME", &identity.home).env("USER", &identity.name).env("LOGNAME", &identity.name);
        let (uid, gid) = (Uid::from_raw(identity.uid), Gid::from_raw(identity.gid));
        let groups: Vec<Gid> = identity.groups.iter().copied().map(Gid::from_raw).collect();
        // `CommandExt::uid` would drop the supplementary groups.
        let take_on = move || {
            rustix::thread::set_thread_groups(&groups)?;
            rustix::thread::set_thread_gid(gid)?;
            rustix::thread::set_thread_uid(uid)?;
            Ok(())
        };
        // SAFETY: between fork and exec the closure only makes three system calls, on the child's only thread, with
        // values that were computed before.
        unsafe { child.pre_exec(take_on) };
    }
    child.spawn()
}
