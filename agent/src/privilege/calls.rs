//! The filter for system calls: a list of those that a running agent makes. All others answer `EPERM`.

mod list;

use std::collections::BTreeMap;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch, apply_filter,
};

use super::Outcome;

/// `EPERM` says "forbidden", and `ENOSYS` "not here": then the C library takes the older call.
const FORBIDDEN: u32 = libc::EPERM.cast_unsigned();
const NOT_HERE: u32 = libc::ENOSYS.cast_unsigned();

/// Numbers of calls that came after this list was made (`file_setattr`, Linux 6.17, is 469), on every architecture.
const LATER: std::ops::Range<libc::c_long> = 470..600;

/// Flags of clone(2) that make a namespace.
const NAMESPACES: u64 = (libc::CLONE_NEWNS
    | libc::CLONE_NEWCGROUP
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET) as u64;

/// Puts the filter before the calling thread and those that it starts from now on, for good; sets `no_new_privs`.
pub(super) fn restrict() -> Outcome {
    match programs() {
        Ok(programs) => match programs.iter().try_for_each(|program| apply_filter(program)) {
            Ok(()) => {
                Outcome::Done(format!("{} calls are left, others answer EPERM; no_new_privs", list::ALLOWED.len()))
            }
            Err(error) => Outcome::Missing(format!("the kernel refuses the filter: {error}")),
        },
        Err(error) => Outcome::Missing(error.to_string()),
    }
}

fn programs() -> Result<[BpfProgram; 2], seccompiler::BackendError> {
    let architecture: TargetArch = std::env::consts::ARCH.try_into()?;
    let mut allowed: BTreeMap<i64, Vec<SeccompRule>> = list::ALLOWED.iter().map(|call| (*call, Vec::new())).collect();
    let none = SeccompCondition::new(0, SeccompCmpArgLen::Qword, SeccompCmpOp::MaskedEq(NAMESPACES), 0)?;
    allowed.insert(libc::SYS_clone, vec![SeccompRule::new(vec![none])?]);
    let families = [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK].map(|family| {
        let same =
            SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, u64::from(family.cast_unsigned()));
        same.and_then(|same| SeccompRule::new(vec![same]))
    });
    allowed.insert(libc::SYS_socket, families.into_iter().collect::<Result<_, _>>()?);
    // The flags of clone3 lie in memory, where no filter sees them.
    let newer: BTreeMap<_, _> = LATER.chain([libc::SYS_clone3]).map(|call| (call, Vec::new())).collect();
    allowed.extend(newer.clone());
    // The first one leaves the second to be put into force, which would not let it.
    let filters = [
        SeccompFilter::new(newer, SeccompAction::Allow, SeccompAction::Errno(NOT_HERE), architecture)?,
        SeccompFilter::new(allowed, SeccompAction::Errno(FORBIDDEN), SeccompAction::Allow, architecture)?,
    ];
    let [first, second] = filters.map(BpfProgram::try_from);
    Ok([first?, second?])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_sound() {
        programs().unwrap();
        let mut sorted: Vec<_> = list::ALLOWED.to_vec();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(sorted.len(), list::ALLOWED.len(), "a call is listed twice");
        for never in [
            libc::SYS_execve,
            libc::SYS_execveat,
            libc::SYS_ptrace,
            libc::SYS_mount,
            libc::SYS_init_module,
            libc::SYS_finit_module,
            libc::SYS_setns,
            libc::SYS_unshare,
            libc::SYS_process_vm_readv,
            libc::SYS_pidfd_getfd,
            libc::SYS_capset,
            libc::SYS_keyctl,
            libc::SYS_clone,
            libc::SYS_socket,
            libc::SYS_io_uring_setup,
        ] {
            assert!(!list::ALLOWED.contains(&never), "{never} is allowed without a condition");
        }
    }
}
