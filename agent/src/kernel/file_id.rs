//! The kernel's identity of a file, as user space can learn it.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use rustix::fs::{AtFlags, CWD, FileType, StatxFlags, statx};
use tokenhound_common::record::FileId;

use crate::kernel::generation;

/// Devices of mounted file systems in the kernel's own encoding, by mount id.
///
/// `stat` gives another device on btrfs (one for each subvolume) and for some files on overlayfs; the kernel programs
/// see `super_block.s_dev`, which `/proc/self/mountinfo` shows.
#[derive(Debug, Default)]
pub struct Mounts {
    devices: std::collections::HashMap<u64, u32>,
}

impl Mounts {
    /// Reads the mounts of our own namespace.
    ///
    /// # Errors
    ///
    /// When `/proc/self/mountinfo` cannot be read.
    pub fn read() -> io::Result<Self> {
        Ok(Self::parse(&fs::read_to_string("/proc/self/mountinfo")?))
    }

    /// Where the top of the file system on `device` is mounted in our own namespace; the first place, if there are more.
    #[must_use]
    pub fn top(device: u32) -> Option<PathBuf> {
        let text = fs::read_to_string("/proc/self/mountinfo").ok()?;
        text.lines().find_map(|line| {
            let mut fields = line.split(' ').skip(2);
            let (major, minor) = fields.next()?.split_once(':')?;
            let (root, point) = (fields.next()?, fields.next()?);
            let same = encode(major.parse().ok()?, minor.parse().ok()?) == device;
            (same && root == "/").then(|| PathBuf::from(unescaped(point)))
        })
    }

    /// Lines as in proc_pid_mountinfo(5): mount id, parent id, major:minor, ...
    fn parse(text: &str) -> Self {
        let devices = text.lines().filter_map(|line| {
            let mut fields = line.split(' ');
            let mount = fields.next()?.parse().ok()?;
            let (major, minor) = fields.nth(1)?.split_once(':')?;
            Some((mount, encode(major.parse().ok()?, minor.parse().ok()?)))
        });
        Self { devices: devices.collect() }
    }

    /// Identity of what `path` names, with its generation where the file system tells it; the last component is not
    /// followed if it is a link.
    ///
    /// # Errors
    ///
    /// When there is no such file.
    pub fn identify(&self, path: &Path) -> io::Result<FileId> {
        let wanted = StatxFlags::INO | StatxFlags::MNT_ID | StatxFlags::TYPE;
        let found = statx(CWD, path, AtFlags::SYMLINK_NOFOLLOW | AtFlags::STATX_DONT_SYNC, wanted)?;
        let device = self
            .devices
            .get(&found.stx_mnt_id)
            .copied()
            .unwrap_or_else(|| encode(found.stx_dev_major, found.stx_dev_minor));
        // Only what can hold content is opened to ask; a pipe or device must not notice us.
        let kind = FileType::from_raw_mode(found.stx_mode.into());
        let generation = match kind {
            FileType::RegularFile | FileType::Directory => generation::of(path, found.stx_ino).unwrap_or(0),
            _ => 0,
        };
        Ok(FileId { inode: found.stx_ino, device, generation })
    }
}

/// A path of mountinfo, in which blanks stand as octal numbers.
fn unescaped(path: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .iter()
        .fold(path.to_owned(), |path, (escape, character)| path.replace(escape, character))
}

/// The kernel's internal `dev_t`: 12 bits of major, 20 bits of minor (include/linux/kdev_t.h).
#[must_use]
pub const fn encode(major: u32, minor: u32) -> u32 {
    major << 20 | (minor & 0xf_ffff)
}

/// Identity of one file; for many, read [`Mounts`] once.
///
/// # Errors
///
/// When there is no such file or the mounts cannot be read.
pub fn of(path: &Path) -> io::Result<FileId> {
    Mounts::read()?.identify(path)
}

/// Identity of an open file that hangs in no mount of ours (memfd). Its generation is not asked for.
///
/// # Errors
///
/// When the kernel does not tell.
pub fn of_open(file: &fs::File) -> io::Result<FileId> {
    use std::os::unix::fs::MetadataExt;
    let metadata = file.metadata()?;
    let device = encode(rustix::fs::major(metadata.dev()), rustix::fs::minor(metadata.dev()));
    Ok(FileId { inode: metadata.ino(), device, generation: 0 })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn parses_mountinfo() {
        let mounts = Mounts::parse(
            "36 35 98:3 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw\n40 36 0:52 / /srv rw - btrfs /dev/sda rw\n",
        );
        assert_eq!(mounts.devices.get(&36), Some(&encode(98, 3)));
        assert_eq!(mounts.devices.get(&40), Some(&52));
    }

    #[test]
    fn identifies_a_file_by_its_inode() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert_eq!(of(file.path()).unwrap().inode, file.as_file().metadata().unwrap().ino());
    }
}
