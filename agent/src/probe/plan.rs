//! Facts about the kernel -> which hooks to use. Pure.

use crate::{
    detect::access::Tier,
    kernel::facts::{Answer, Facts},
};

/// Where a program is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Attach {
    /// A tracepoint with typed arguments.
    Typed(&'static str),
    /// A hook of the security modules.
    Lsm(&'static str),
    /// The entry of a kernel function.
    Fentry(&'static str),
    /// An event of a system call: `sys_exit_openat`.
    Call(&'static str),
}

/// What a hook is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Purpose {
    /// Forks, execs, exits.
    Life,
    /// Files that are opened.
    Open,
    /// Descriptors that arrive from other processes.
    Receive,
    /// Descriptors that a program has open when it starts.
    Inherit,
    /// Files that io_uring opens and reads.
    Ring,
    /// Connections to sockets and addresses.
    Connect,
    /// Looking into other processes.
    Inspect,
    /// Names, permissions, size and mounts of stores.
    Change,
    /// Reads through a descriptor. Attached only while somebody holds a watched file.
    Read,
    /// Files that a carrier has open when it ends.
    End,
    /// Files that carriers have written. Attached only while there are carriers, as the next two.
    Write,
    /// What carriers send to an address without a connection.
    Send,
    /// What name servers answer carriers.
    Answer,
}

/// One place in the kernel where one of our programs is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Hook {
    /// Name of the program in our object.
    pub program: &'static str,
    /// Where.
    pub attach: Attach,
    /// What for.
    pub purpose: Purpose,
}

impl Hook {
    const fn new(program: &'static str, attach: Attach, purpose: Purpose) -> Self {
        Self { program, attach, purpose }
    }

    /// How it is called in output and in metrics: one program may be attached to several events.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self.attach {
            // Others hang on the same events.
            Attach::Call(_) if self.purpose == Purpose::Answer => self.program,
            Attach::Call(event) => event.strip_prefix("sys_").unwrap_or(event),
            _ => self.program,
        }
    }

    /// The kernel's name for the place.
    #[must_use]
    pub const fn place(&self) -> &'static str {
        match self.attach {
            Attach::Typed(name) | Attach::Lsm(name) | Attach::Fentry(name) | Attach::Call(name) => name,
        }
    }
}

/// Process life, the same on every tier.
pub const LIFE: [Hook; 5] = [
    Hook::new("process_fork", Attach::Typed("sched_process_fork"), Purpose::Life),
    Hook::new("process_exec", Attach::Typed("sched_process_exec"), Purpose::Life),
    Hook::new("process_exit", Attach::Typed("sched_process_exit"), Purpose::Life),
    Hook::new("exec_holder", Attach::Typed("sched_process_exec"), Purpose::Inherit),
    Hook::new("exit_carrier", Attach::Typed("sched_process_exit"), Purpose::End),
];

/// Hooks of the security modules: program on tier `lsm`, hook, program on tier `fentry`, function, purpose. The first
/// makes the tier.
const SECURITY: [(&str, &str, &str, &str, Purpose); 15] = [
    ("lsm_file_open", "file_open", "file_open", "security_file_open", Purpose::Open),
    ("lsm_receive", "file_receive", "file_receive", "security_file_receive", Purpose::Receive),
    ("lsm_unix", "unix_stream_connect", "unix_connect", "security_unix_stream_connect", Purpose::Connect),
    ("lsm_connect", "socket_connect", "socket_connect", "security_socket_connect", Purpose::Connect),
    ("lsm_ptrace", "ptrace_access_check", "ptrace_check", "security_ptrace_access_check", Purpose::Inspect),
    ("lsm_link", "inode_link", "inode_link", "security_inode_link", Purpose::Change),
    ("lsm_rename", "inode_rename", "inode_rename", "security_inode_rename", Purpose::Change),
    ("lsm_unlink", "inode_unlink", "inode_unlink", "security_inode_unlink", Purpose::Change),
    ("lsm_symlink", "inode_symlink", "inode_symlink", "security_inode_symlink", Purpose::Change),
    ("lsm_setattr", "inode_setattr", "inode_setattr", "security_inode_setattr", Purpose::Change),
    ("lsm_mount", "sb_mount", "sb_mount", "security_sb_mount", Purpose::Change),
    ("lsm_move_mount", "move_mount", "move_mount", "security_move_mount", Purpose::Change),
    ("lsm_file_read", "file_permission", "file_read", "security_file_permission", Purpose::Read),
    ("lsm_file_map", "mmap_file", "file_map", "security_mmap_file", Purpose::Read),
    ("lsm_send", "socket_sendmsg", "socket_send", "security_socket_sendmsg", Purpose::Send),
];

/// Memory of a traced process is read: no security module is asked, so this is a function on both of these tiers. The
/// second calls the first, unless the compiler has put the first into it (Debian's 7.2); 32-bit programs call the first. The
/// kernel program tells what both report once.
pub const PEEK: [Hook; 2] = [
    Hook::new("ptrace_peek", Attach::Fentry("ptrace_access_vm"), Purpose::Inspect),
    Hook::new("ptrace_word", Attach::Fentry("generic_ptrace_peekdata"), Purpose::Inspect),
];

/// A file is closed for good: `__fput` calls it on every kernel and for every file, and it lies in a file of its own, so that
/// no compiler puts it into its caller (fs/locks.c).
const RELEASED: Hook = Hook::new("file_released", Attach::Fentry("locks_remove_file"), Purpose::Write);

/// Tier `tracepoint`. The kernel may have no `open` and `creat`; `openat` makes the tier, because libc uses it for nearly
/// every open.
const CALLS: [Hook; 28] = [
    Hook::new("exit_open", Attach::Call("sys_exit_open"), Purpose::Open),
    Hook::new("exit_openat", Attach::Call(OPENAT), Purpose::Open),
    Hook::new("exit_openat2", Attach::Call("sys_exit_openat2"), Purpose::Open),
    Hook::new("exit_creat", Attach::Call("sys_exit_creat"), Purpose::Open),
    Hook::new("exit_handle", Attach::Call("sys_exit_open_by_handle_at"), Purpose::Open),
    Hook::new("exit_getfd", Attach::Call("sys_exit_pidfd_getfd"), Purpose::Receive),
    Hook::new("exit_recvmsg", Attach::Call("sys_exit_recvmsg"), Purpose::Receive),
    Hook::new("exit_recvmmsg", Attach::Call("sys_exit_recvmmsg"), Purpose::Receive),
    Hook::new("exit_connect", Attach::Call("sys_exit_connect"), Purpose::Connect),
    Hook::new("uring_complete", Attach::Typed(RING), Purpose::Ring),
    Hook::new("exit_ptrace", Attach::Call("sys_exit_ptrace"), Purpose::Inspect),
    Hook::new("exit_vm_readv", Attach::Call("sys_exit_process_vm_readv"), Purpose::Inspect),
    Hook::new("enter_read", Attach::Call("sys_enter_read"), Purpose::Read),
    Hook::new("enter_read", Attach::Call("sys_enter_pread64"), Purpose::Read),
    Hook::new("enter_read", Attach::Call("sys_enter_readv"), Purpose::Read),
    Hook::new("enter_read", Attach::Call("sys_enter_preadv"), Purpose::Read),
    Hook::new("enter_read", Attach::Call("sys_enter_preadv2"), Purpose::Read),
    Hook::new("enter_read", Attach::Call("sys_enter_splice"), Purpose::Read),
    Hook::new("enter_read", Attach::Call("sys_enter_tee"), Purpose::Read),
    Hook::new("enter_read", Attach::Call("sys_enter_copy_file_range"), Purpose::Read),
    Hook::new("enter_sendfile", Attach::Call("sys_enter_sendfile64"), Purpose::Read),
    Hook::new("enter_mmap", Attach::Call("sys_enter_mmap"), Purpose::Read),
    Hook::new("enter_close", Attach::Call("sys_enter_close"), Purpose::Write),
    Hook::new("enter_dup", Attach::Call("sys_enter_dup2"), Purpose::Write),
    Hook::new("enter_dup", Attach::Call("sys_enter_dup3"), Purpose::Write),
    Hook::new("exit_sendto", Attach::Call("sys_exit_sendto"), Purpose::Send),
    Hook::new("exit_sendmsg", Attach::Call("sys_exit_sendmsg"), Purpose::Send),
    Hook::new("exit_sendmmsg", Attach::Call("sys_exit_sendmmsg"), Purpose::Send),
];

/// What has arrived, on every tier: no security module is asked about that. `read` is left out: it is called for everything else
/// much more often.
const ANSWERS: [Hook; 3] = [
    Hook::new("answer_recvfrom", Attach::Call("sys_exit_recvfrom"), Purpose::Answer),
    Hook::new("answer_recvmsg", Attach::Call("sys_exit_recvmsg"), Purpose::Answer),
    Hook::new("answer_recvmmsg", Attach::Call("sys_exit_recvmmsg"), Purpose::Answer),
];

/// Exit of the call that makes the tier.
const OPENAT: &str = "sys_exit_openat";

/// The event that ends a request of io_uring.
pub const RING: &str = "io_uring_complete";

/// Every event of a system call that a hook uses.
pub fn call_events() -> impl Iterator<Item = &'static str> {
    CALLS.iter().chain(&ANSWERS).filter_map(|hook| match hook.attach {
        Attach::Call(event) => Some(event),
        _ => None,
    })
}

/// Every kernel function that a hook uses.
pub fn functions() -> impl Iterator<Item = &'static str> {
    SECURITY.iter().map(|(_, _, _, function, _)| *function).chain(PEEK.iter().chain([&RELEASED]).map(Hook::place))
}

/// Every hook of the security modules that a program uses.
pub fn security_hooks() -> impl Iterator<Item = &'static str> {
    SECURITY.iter().map(|(_, hook, ..)| *hook)
}

/// What to attach.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The tier that the hooks make up.
    pub tier: Tier,
    /// In the order of attaching: process life first, so that no hit lacks its lineage.
    pub hooks: Vec<Hook>,
    /// Attached only while somebody holds a watched file.
    pub reads: Vec<Hook>,
    /// Attached only while there are carriers.
    pub writes: Vec<Hook>,
    /// What this kernel has no place for: what is not seen, and why.
    pub gaps: Vec<Gap>,
    /// Why no better tier was chosen.
    pub reasons: Vec<String>,
}

/// A hook that cannot be had here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The hook.
    pub hook: Hook,
    /// Why not.
    pub reason: String,
}

/// Why there is no plan.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// The kernel does not describe its types.
    #[error("this kernel cannot be watched: {0}")]
    NoBtf(String),
    /// We may not load programs.
    #[error("not allowed to load kernel programs: {0}")]
    NoRights(String),
    /// The tier that was asked for does not work here.
    #[error("tier `{tier}` was asked for but does not work on this kernel: {reason}")]
    Unavailable {
        /// The tier.
        tier: &'static str,
        /// Why not.
        reason: String,
    },
    /// No tier works.
    #[error("no tier works on this kernel: {}", .0.join("; "))]
    Nothing(Vec<String>),
}

/// What must hold before anything is loaded.
///
/// # Errors
///
/// When it does not.
pub fn admit(facts: &Facts) -> Result<(), PlanError> {
    if let Answer::No(reason) = &facts.rights {
        return Err(PlanError::NoRights(reason.clone()));
    }
    if let Answer::No(reason) = &facts.btf {
        return Err(PlanError::NoBtf(reason.clone()));
    }
    Ok(())
}

/// Plans for the tiers that could work, best first, or for the one asked for. What is wrong with the others is noted in
/// each. The first whose hooks can be attached, and fire, is the one to use.
///
/// # Errors
///
/// When none can work, or the one asked for cannot.
pub fn candidates(facts: &Facts, wanted: Option<Tier>) -> Result<Vec<Plan>, PlanError> {
    admit(facts)?;
    let tiers = match wanted {
        Some(tier) => vec![tier],
        None => vec![Tier::Lsm, Tier::Fentry, Tier::Tracepoint],
    };
    let mut reasons = Vec::new();
    let mut plans = Vec::new();
    for tier in tiers {
        match plan(facts, tier) {
            Ok(plan) => plans.push(Plan { reasons: reasons.clone(), ..plan }),
            Err(reason) if wanted.is_some() => return Err(PlanError::Unavailable { tier: tier.name(), reason }),
            Err(reason) => reasons.push(format!("{}: {reason}", tier.name())),
        }
    }
    if plans.is_empty() { Err(PlanError::Nothing(reasons)) } else { Ok(plans) }
}

/// The plan for a tier, or why it cannot work.
fn plan(facts: &Facts, tier: Tier) -> Result<Plan, String> {
    let hooks: Vec<Hook> = match tier {
        Tier::Lsm => {
            if let Answer::No(reason) = &facts.lsm {
                return Err(reason.clone());
            }
            security(|(program, hook, _, _, purpose)| Hook::new(program, Attach::Lsm(hook), purpose))
        }
        Tier::Fentry => {
            security(|(_, _, program, function, purpose)| Hook::new(program, Attach::Fentry(function), purpose))
        }
        Tier::Tracepoint => CALLS.to_vec(),
    };
    let mut plan = Plan {
        tier,
        hooks: LIFE.to_vec(),
        reads: Vec::new(),
        writes: Vec::new(),
        gaps: Vec::new(),
        reasons: Vec::new(),
    };
    for hook in hooks.into_iter().chain(ANSWERS) {
        match offered(facts, hook) {
            Answer::Yes if hook.purpose == Purpose::Read => plan.reads.push(hook),
            Answer::Yes if of_carriers(hook) => plan.writes.push(hook),
            Answer::Yes => plan.hooks.push(hook),
            Answer::No(reason) if makes(hook) => return Err(reason),
            Answer::No(reason) => plan.gaps.push(Gap { hook, reason }),
        }
    }
    Ok(plan)
}

/// Is it attached only while there are carriers?
fn of_carriers(hook: Hook) -> bool {
    matches!(hook.purpose, Purpose::Write | Purpose::Send | Purpose::Answer)
}

fn security(hook: impl Fn((&'static str, &'static str, &'static str, &'static str, Purpose)) -> Hook) -> Vec<Hook> {
    SECURITY.into_iter().map(hook).chain(PEEK).chain([RELEASED]).collect()
}

/// Whether the tier would be a pretence without this hook.
#[must_use]
pub fn makes(hook: Hook) -> bool {
    hook.purpose == Purpose::Open && matches!(hook.attach, Attach::Lsm(_) | Attach::Fentry(_) | Attach::Call(OPENAT))
}

fn offered(facts: &Facts, hook: Hook) -> Answer {
    let known = |answer: Option<&Answer>| answer.cloned().unwrap_or_else(|| Answer::No("not asked for".into()));
    match hook.attach {
        Attach::Typed(RING) => facts.ring.clone(),
        Attach::Typed(_) => Answer::Yes,
        Attach::Lsm(name) => known(facts.security_hooks.get(name)),
        Attach::Fentry(name) => known(facts.functions.get(name)),
        Attach::Call(name) => known(facts.events.get(name)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> Facts {
        let yes = |names: Vec<&'static str>| names.into_iter().map(|name| (name, Answer::Yes)).collect();
        Facts {
            release: "6.12".into(),
            btf: Answer::Yes,
            rights: Answer::Yes,
            security_modules: Some(vec!["capability".into(), "bpf".into()]),
            lsm: Answer::Yes,
            security_hooks: yes(security_hooks().collect()),
            functions: yes(functions().collect()),
            events: yes(call_events().collect()),
            ring: Answer::Yes,
        }
    }

    fn no() -> Answer {
        Answer::No("no".into())
    }

    fn with(change: fn(&mut Facts)) -> Facts {
        let mut facts = facts();
        change(&mut facts);
        facts
    }

    #[test]
    fn tiers_in_order() {
        type Case = (fn(&mut Facts), Option<Tier>, Result<Vec<Tier>, PlanError>);
        let cases: Vec<Case> = vec![
            (|_| {}, None, Ok(vec![Tier::Lsm, Tier::Fentry, Tier::Tracepoint])),
            (|_| {}, Some(Tier::Tracepoint), Ok(vec![Tier::Tracepoint])),
            (|facts| facts.lsm = no(), None, Ok(vec![Tier::Fentry, Tier::Tracepoint])),
            (
                |facts| facts.lsm = no(),
                Some(Tier::Lsm),
                Err(PlanError::Unavailable { tier: "lsm", reason: "no".into() }),
            ),
            (
                |facts| {
                    facts.functions.insert("security_file_open", no());
                },
                None,
                Ok(vec![Tier::Lsm, Tier::Tracepoint]),
            ),
            (
                |facts| {
                    facts.lsm = no();
                    facts.functions.insert("security_file_open", no());
                    facts.events.insert(OPENAT, no());
                },
                None,
                Err(PlanError::Nothing(vec!["lsm: no".into(), "fentry: no".into(), "tracepoint: no".into()])),
            ),
            (|facts| facts.btf = no(), None, Err(PlanError::NoBtf("no".into()))),
            (|facts| facts.rights = no(), None, Err(PlanError::NoRights("no".into()))),
        ];
        for (change, wanted, expected) in cases {
            let facts = with(change);
            let tiers = candidates(&facts, wanted).map(|plans| plans.iter().map(|plan| plan.tier).collect::<Vec<_>>());
            assert_eq!(tiers, expected, "{facts:?} {wanted:?}");
        }
    }

    #[test]
    fn what_a_kernel_has_no_place_for_is_a_gap_and_said() {
        let facts = with(|facts| {
            facts.events.insert("sys_exit_open", no());
            facts.ring = no();
        });
        let plan = candidates(&facts, Some(Tier::Tracepoint)).unwrap().remove(0);
        assert_eq!(plan.gaps.iter().map(|gap| gap.hook.label()).collect::<Vec<_>>(), ["exit_open", "uring_complete"]);
        assert!(plan.hooks.iter().all(|hook| hook.label() != "exit_open"));
    }

    #[test]
    fn life_comes_first_and_reads_wait() {
        for plan in candidates(&facts(), None).unwrap() {
            assert_eq!(plan.hooks[..LIFE.len()], LIFE);
            assert!(plan.hooks.iter().all(|hook| hook.purpose != Purpose::Read));
            assert!(plan.writes.iter().all(|hook| of_carriers(*hook)) && !plan.writes.is_empty());
            assert!(plan.reads.iter().all(|hook| hook.purpose == Purpose::Read) && !plan.reads.is_empty());
            assert_eq!(plan.hooks.iter().filter(|hook| makes(**hook)).count(), 1);
        }
    }
}
