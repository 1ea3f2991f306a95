//! Whose view of the file system is ours?

use rustix::fs::stat;

/// The mount namespace whose paths the agent sees as its own: the inode number of the first process's where ours is a copy of that
/// one, as the sandbox of a systemd unit makes it (the same root, other flags), otherwise ours. `None` without `/proc`.
#[must_use]
pub fn here() -> Option<u32> {
    let number = |path: &str| stat(path).ok().and_then(|stat| u32::try_from(stat.st_ino).ok());
    let root = |path: &str| stat(path).ok().map(|stat| (stat.st_dev, stat.st_ino));
    let own = number("/proc/self/ns/mnt")?;
    let same = root("/").zip(root("/proc/1/root/.")).is_some_and(|(own, first)| own == first);
    Some(number("/proc/1/ns/mnt").filter(|_| same).unwrap_or(own))
}
