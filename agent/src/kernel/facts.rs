//! What this kernel and our rights offer. Facts only; `probe::plan` draws the conclusions.

use std::{collections::BTreeMap, fs, io, path::PathBuf};

use rustix::mount::{MountFlags, mount};

use crate::kernel::btf::Btf;

/// Answer to a question put to the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Offered.
    Yes,
    /// Not offered, and why.
    No(String),
}

impl Answer {
    /// Whether it is `Yes`.
    #[must_use]
    pub fn yes(&self) -> bool {
        matches!(self, Self::Yes)
    }
}

/// Where every `sys_exit_*` event has `ret` and every `sys_enter_*` event its first argument, which `ebpf/src/access.rs`
/// relies on.
const FIRST_VALUE: u32 = 16;

/// Everything that decides which hooks are used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// For messages only.
    pub release: String,
    /// The kernel describes its own types.
    pub btf: Answer,
    /// Effective capabilities allow loading and attaching.
    pub rights: Answer,
    /// Active security modules, where securityfs tells.
    pub security_modules: Option<Vec<String>>,
    /// Programs can be security modules: `bpf` is among the active ones.
    pub lsm: Answer,
    /// Hooks of the security modules that programs can be attached to.
    pub security_hooks: BTreeMap<&'static str, Answer>,
    /// Functions whose entry programs can be attached to.
    pub functions: BTreeMap<&'static str, Answer>,
    /// Events of system calls.
    pub events: BTreeMap<&'static str, Answer>,
    /// The event at the end of an io_uring request carries the request.
    pub ring: Answer,
}

/// `CAP_SYS_ADMIN`, `CAP_PERFMON`, `CAP_BPF`, `CAP_SYS_PTRACE` (include/uapi/linux/capability.h).
const CAP_SYS_PTRACE: u64 = 1 << 19;
const CAP_SYS_ADMIN: u64 = 1 << 21;
const CAP_PERFMON: u64 = 1 << 38;
const CAP_BPF: u64 = 1 << 39;

/// Asks everything that can be answered without loading a program. What only the types tell is left unanswered:
/// see [`Facts::learn_types`]. `events` are the events of system calls to ask for.
#[must_use]
pub fn gather(events: impl Iterator<Item = &'static str>) -> Facts {
    let uname = rustix::system::uname();
    let btf = match fs::metadata("/sys/kernel/btf/vmlinux") {
        Ok(_) => Answer::Yes,
        Err(error) => {
            Answer::No(format!("/sys/kernel/btf/vmlinux: {error}; use a kernel built with CONFIG_DEBUG_INFO_BTF=y"))
        }
    };
    let security_modules = security_modules();
    Facts {
        release: uname.release().to_string_lossy().into_owned(),
        btf,
        rights: rights(),
        lsm: lsm(security_modules.as_deref()),
        security_modules,
        security_hooks: BTreeMap::new(),
        functions: BTreeMap::new(),
        events: events.map(|event| (event, call_event(event))).collect(),
        ring: Answer::No("the kernel's types were not read".into()),
    }
}

impl Facts {
    /// Adds what the kernel's types tell: of these functions, of these hooks of the security modules, and of the event at
    /// the end of an io_uring request.
    pub fn learn_types(
        &mut self,
        btf: &Btf,
        functions: impl Iterator<Item = &'static str>,
        hooks: impl Iterator<Item = &'static str>,
        ring: &str,
    ) {
        let function = |name: &str| {
            if btf.has_function(name) { Answer::Yes } else { Answer::No(format!("the kernel has no function {name}")) }
        };
        self.functions = functions.map(|name| (name, function(name))).collect();
        self.security_hooks = hooks.map(|name| (name, function(&format!("bpf_lsm_{name}")))).collect();
        if let (Answer::Yes, Some(Answer::No(_))) = (&self.lsm, self.security_hooks.get("file_open")) {
            self.lsm = Answer::No("the kernel was built without CONFIG_BPF_LSM".into());
        }
        // Before Linux 5.18 the event has no request.
        self.ring = match btf.event_arguments(ring) {
            Some(3 | 5..) => Answer::Yes,
            Some(_) => Answer::No("the event does not carry the request on this kernel (Linux 5.18 does)".into()),
            None => Answer::No("the kernel has no io_uring events".into()),
        };
    }
}

fn lsm(active: Option<&[String]>) -> Answer {
    match active {
        Some(active) if active.iter().any(|module| module == "bpf") => Answer::Yes,
        Some(active) => Answer::No(format!(
            "`bpf` is not among the active security modules ({}); add it with the kernel parameter lsm=",
            active.join(",")
        )),
        None => Answer::No("the active security modules are not known: securityfs cannot be mounted".into()),
    }
}

fn rights() -> Answer {
    let status = match fs::read_to_string("/proc/self/status") {
        Ok(status) => status,
        Err(error) => return Answer::No(format!("/proc/self/status: {error}")),
    };
    let effective = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok())
        .unwrap_or(0);
    if effective & CAP_SYS_ADMIN != 0
        || effective & (CAP_BPF | CAP_PERFMON | CAP_SYS_PTRACE) == CAP_BPF | CAP_PERFMON | CAP_SYS_PTRACE
    {
        return Answer::Yes;
    }
    Answer::No("needs root, or CAP_BPF, CAP_PERFMON and CAP_SYS_PTRACE; start it with sudo".into())
}

fn security_modules() -> Option<Vec<String>> {
    let path = "/sys/kernel/security/lsm";
    let read = || fs::read_to_string(path).ok();
    let list = read().or_else(|| {
        let none = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
        mount("securityfs", "/sys/kernel/security", "securityfs", none, None).ok()?;
        read()
    })?;
    Some(list.trim().split(',').map(str::to_owned).collect())
}

/// Where tracefs is mounted.
///
/// # Errors
///
/// When it is mounted nowhere and cannot be mounted at `/sys/kernel/tracing`.
pub fn tracefs() -> io::Result<PathBuf> {
    let here = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"].map(PathBuf::from);
    let mounted = |path: &PathBuf| path.join("events/syscalls").is_dir();
    if let Some(path) = here.iter().find(|path| mounted(path)) {
        return Ok(path.clone());
    }
    let [path, _] = here;
    mount("tracefs", &path, "tracefs", MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC, None)?;
    if mounted(&path) { Ok(path) } else { Err(io::Error::other("the kernel has no system call events")) }
}

fn call_event(event: &str) -> Answer {
    let root = match tracefs() {
        Ok(root) => root,
        Err(error) => return Answer::No(format!("tracefs: {error}")),
    };
    let path = root.join(format!("events/syscalls/{event}/format"));
    match fs::read_to_string(&path) {
        Ok(format) => first_value(&format),
        Err(error) => Answer::No(format!("{}: {error}", path.display())),
    }
}

/// Checks that the values behind the number of the call lie where the programs read them:
/// `field:long ret; offset:16; size:8; signed:1;`.
fn first_value(format: &str) -> Answer {
    let fields = format.lines().map(str::trim).filter(|line| line.starts_with("field:"));
    let field = fields.skip_while(|line| !line.starts_with("field:int __syscall_nr;")).nth(1);
    let number = |key: &str| {
        let (_, rest) = field?.split_once(key)?;
        rest.split_once(';')?.0.parse::<u32>().ok()
    };
    match (number("offset:"), number("size:")) {
        (Some(FIRST_VALUE), Some(8)) => Answer::Yes,
        (offset, size) => {
            Answer::No(format!("its first value lies at {offset:?} with {size:?} bytes, expected 16 and 8"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_must_lie_where_programs_read_them() {
        let exit = "\tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;\n\n\tfield:int __syscall_nr;\toffset:8;\tsize:4;\tsigned:1;\n\tfield:long ret;\toffset:16;\tsize:8;\tsigned:1;\n";
        let enter = exit.replace("field:long ret;", "field:unsigned int fd;");
        assert!(first_value(exit).yes() && first_value(&enter).yes());
        assert!(!first_value(&exit.replace("offset:16", "offset:24")).yes());
        assert!(!first_value("field:int other;").yes());
    }

    #[test]
    fn bpf_must_be_active() {
        let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        assert!(lsm(Some(&list(&["capability", "bpf"]))).yes());
        assert!(!lsm(Some(&list(&["capability", "bpfx"]))).yes());
        assert!(!lsm(None).yes());
    }
}
