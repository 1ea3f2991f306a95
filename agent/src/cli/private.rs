//! Keeps the memory of this process to itself: tokens are in it for the moment of their extraction, and the fingerprint
//! key all the time.

use rustix::process::{DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit};

use super::CliError;

/// From here on no core is dumped of this process, and only root can look into it: what `/proc` shows of it belongs to
/// root, and ptrace needs `CAP_SYS_PTRACE`. The process itself may still look at its own. A program that it starts is
/// not affected: starting one makes a process dumpable again (prctl(2), `PR_SET_DUMPABLE`).
///
/// # Errors
/// When the kernel refuses, which none does.
pub(super) fn memory() -> Result<(), CliError> {
    set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .map_err(|error| CliError::failure(format!("make this process not dumpable: {error}; report this kernel")))
}

/// No core either if the process became dumpable again. Not where a user's command is started: it would inherit that.
///
/// # Errors
/// When the kernel refuses, which none does.
pub(super) fn cores() -> Result<(), CliError> {
    let limit = Rlimit { current: Some(0), ..getrlimit(Resource::Core) };
    setrlimit(Resource::Core, limit)
        .map_err(|error| CliError::failure(format!("set the limit for cores of this process to 0: {error}")))
}
