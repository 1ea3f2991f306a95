//! What is installed here, and the agent that runs.

use std::{
    fmt::Write,
    fs, io,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

use crate::{config, privilege::capabilities};

const UNITS: [&str; 3] = ["/etc/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"];
const UNIT: &str = "tokenhound.service";
const ENABLED: &str = "/etc/systemd/system/multi-user.target.wants/tokenhound.service";

/// Unit, directories, and the rights of the agent that holds the `lock`.
pub(super) fn describe(state: &Path, lock: &Path) -> String {
    let mut text = String::new();
    let unit = UNITS.iter().map(|directory| Path::new(directory).join(UNIT)).find(|unit| unit.exists());
    let _ = match unit {
        Some(unit) if fs::symlink_metadata(ENABLED).is_ok() => {
            writeln!(text, "  ok    unit: {}, enabled", unit.display())
        }
        Some(unit) => {
            writeln!(text, "  --    unit: {}, not enabled: systemctl enable --now tokenhound", unit.display())
        }
        None => writeln!(text, "  --    unit: none installed"),
    };
    if let Some(directory) = Path::new(config::FILE).parent() {
        text.push_str(&guarded("configuration", directory, 0o022));
    }
    text.push_str(&guarded("state", state, 0o077));
    text.push_str(&running(lock));
    text
}

/// A directory that must be root's or ours, without any of these permissions.
fn guarded(what: &str, directory: &Path, never: u32) -> String {
    match fs::metadata(directory) {
        Ok(found) => {
            let own = rustix::process::geteuid().as_raw();
            let (mode, owner) = (found.permissions().mode() & 0o7777, found.uid());
            let place = directory.display();
            if mode & never != 0 {
                let right = mode & !never;
                return format!("  no    {what}: {place} has mode {mode:04o}; run: chmod {right:04o} {place}\n");
            }
            if owner != 0 && owner != own {
                return format!("  no    {what}: {place} belongs to user {owner}; run: chown root {place}\n");
            }
            format!("  ok    {what}: {place} (mode {mode:04o})\n")
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            format!("  --    {what}: no {}\n", directory.display())
        }
        Err(error) => format!("  no    {what}: {}: {error}\n", directory.display()),
    }
}

/// The agent that holds the lock, if any.
fn running(lock: &Path) -> String {
    let holder = fs::metadata(lock)
        .ok()
        .and_then(|lock| holder(&fs::read_to_string("/proc/locks").unwrap_or_default(), lock.ino()));
    let Some(pid) = holder else { return "  --    agent: none runs\n".into() };
    let of = |what: &str| PathBuf::from(format!("/proc/{pid}/{what}"));
    let replaced = fs::read_link(of("exe")).is_ok_and(|exe| exe.to_string_lossy().ends_with(" (deleted)"));
    let mut text = match fs::read_to_string(of("status")).ok().and_then(|status| rights(&status)) {
        Some(Ok(names)) => format!("  ok    agent: runs as process {pid}, with {names}\n"),
        Some(Err(names)) => format!("  no    agent: process {pid} has kept {names}; see the log for why\n"),
        None => format!("  --    agent: runs as process {pid}; its rights cannot be read\n"),
    };
    if replaced {
        text.push_str(
            "  no    agent: it is not the version that is installed now; run: systemctl restart tokenhound\n",
        );
    }
    text
}

/// Who holds a lock of flock(2) on this inode, as `/proc/locks` has it (proc_locks(5)).
fn holder(locks: &str, inode: u64) -> Option<u32> {
    locks.lines().find_map(|line| {
        let mut fields = line.split_whitespace().skip(1);
        (fields.next()? == "FLOCK").then_some(())?;
        let pid = fields.nth(2)?.parse().ok()?;
        let (_, found) = fields.next()?.rsplit_once(':')?;
        (found.parse() == Ok(inode)).then_some(pid)
    })
}

/// The capabilities of `/proc/PID/status`; as an error those that no running agent keeps.
fn rights(status: &str) -> Option<Result<String, String>> {
    let mask = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?.trim();
    let mask = u64::from_str_radix(mask, 16).ok()?;
    let names = |mask| capabilities::names(mask).join(", ");
    Some(match capabilities::beyond(mask) {
        0 => Ok(names(mask)),
        beyond => Err(names(beyond)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_holder_of_a_lock_is_found() {
        let locks = "1: POSIX  ADVISORY  WRITE 8 fd:00:77 0 EOF\n2: FLOCK  ADVISORY  WRITE 4711 00:19:77 0 EOF\n";
        assert_eq!((holder(locks, 77), holder(locks, 7)), (Some(4711), None));
    }

    #[test]
    fn rights_beyond_those_of_an_agent_stand_out() {
        assert_eq!(rights("CapEff:\t0000008000000000\n"), Some(Ok("CAP_BPF".into())));
        assert_eq!(rights("CapEff:\t0000008000000001\n"), Some(Err("capability 0".into())));
        assert_eq!(rights("Name:\tx\n"), None);
    }

    #[test]
    fn what_others_may_get_at_is_told_with_what_to_do() {
        let directory = tempfile::tempdir().unwrap();
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
        assert!(guarded("state", directory.path(), 0o077).contains("run: chmod 0700"));
        assert!(guarded("state", directory.path(), 0o022).starts_with("  ok "));
        assert!(guarded("state", &directory.path().join("none"), 0o022).starts_with("  -- "));
    }
}
