//! What this kernel and our rights offer. Facts only; `probe::plan` draws the conclusions.

use std::{collections::BTreeMap, fs, io, path::PathBuf};

use rustix::mount::{MountFlags, mount};

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

/// System calls that return a descriptor for a name or a handle. Not every architecture has `open` and `creat`.
pub const OPENING_CALLS: [&str; 5] = ["open", "openat", "openat2", "creat", "open_by_handle_at"];

/// Place of `ret` in every `sys_exit_*` event, which `ebpf/src/open.rs` relies on.
const RETURN_OFFSET: u32 = 16;

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
    pub lsm: Option<Vec<String>>,
    /// `security_file_open` exists and a program could be attached to its entry.
    pub fentry: Answer,
    /// Exit event of each of [`OPENING_CALLS`].
    pub exits: BTreeMap<&'static str, Answer>,
}

/// `CAP_SYS_ADMIN`, `CAP_PERFMON`, `CAP_BPF`, `CAP_SYS_PTRACE` (include/uapi/linux/capability.h).
const CAP_SYS_PTRACE: u64 = 1 << 19;
const CAP_SYS_ADMIN: u64 = 1 << 21;
const CAP_PERFMON: u64 = 1 << 38;
const CAP_BPF: u64 = 1 << 39;

/// Asks everything that can be answered without loading a program. `fentry` is left to [`crate::probe::load`].
#[must_use]
pub fn gather() -> Facts {
    let uname = rustix::system::uname();
    let btf = match fs::metadata("/sys/kernel/btf/vmlinux") {
        Ok(_) => Answer::Yes,
        Err(error) => {
            Answer::No(format!("/sys/kernel/btf/vmlinux: {error}; use a kernel built with CONFIG_DEBUG_INFO_BTF=y"))
        }
    };
    let exits = OPENING_CALLS.map(|call| (call, exit_event(call))).into_iter().collect();
    Facts {
        release: uname.release().to_string_lossy().into_owned(),
        btf,
        rights: rights(),
        lsm: active_lsm(),
        fentry: Answer::No("not tried yet".into()),
        exits,
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

fn active_lsm() -> Option<Vec<String>> {
    let list = fs::read_to_string("/sys/kernel/security/lsm").ok()?;
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

fn exit_event(call: &str) -> Answer {
    let root = match tracefs() {
        Ok(root) => root,
        Err(error) => return Answer::No(format!("tracefs: {error}")),
    };
    let path = root.join(format!("events/syscalls/sys_exit_{call}/format"));
    match fs::read_to_string(&path) {
        Ok(format) => return_field(&format),
        Err(error) => Answer::No(format!("{}: {error}", path.display())),
    }
}

/// Checks that `ret` lies where the programs read it: `field:long ret; offset:16; size:8; signed:1;`.
fn return_field(format: &str) -> Answer {
    let field = format.lines().map(str::trim).find(|line| line.starts_with("field:long ret;"));
    let number = |key: &str| {
        let (_, rest) = field?.split_once(key)?;
        rest.split_once(';')?.0.parse::<u32>().ok()
    };
    match (number("offset:"), number("size:")) {
        (Some(RETURN_OFFSET), Some(8)) => Answer::Yes,
        (offset, size) => {
            Answer::No(format!("its return value lies at {offset:?} with {size:?} bytes, expected 16 and 8"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn return_value_must_lie_where_programs_read_it() {
        let good = "\tfield:int __syscall_nr;\toffset:8;\tsize:4;\tsigned:1;\n\tfield:long ret;\toffset:16;\tsize:8;\tsigned:1;\n";
        assert!(return_field(good).yes());
        assert!(!return_field(&good.replace("offset:16", "offset:24")).yes());
        assert!(!return_field("field:int other;").yes());
    }
}
