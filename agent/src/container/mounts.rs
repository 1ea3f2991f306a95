//! What is mounted into a container, from the text of `/proc/<pid>/mountinfo` (proc_pid_mountinfo(5)). Pure.
//!
//! A line says which part of which file system is mounted where; where the host has that part is found by device and root
//! in the host's own lines. So it works for every runtime, and for what a process mounts by itself.

use std::{
    ffi::OsString,
    os::unix::ffi::OsStringExt,
    path::{Path, PathBuf},
};

use super::model::{MOST_MOUNTS, Mount};

/// Most bytes of a mountinfo that are read.
pub const TEXT_BYTES: u64 = 4 << 20;

/// File systems of the kernel itself, in which no store lies.
const KERNEL: &[&str] = &[
    "proc",
    "sysfs",
    "cgroup",
    "cgroup2",
    "devpts",
    "mqueue",
    "debugfs",
    "tracefs",
    "securityfs",
    "bpf",
    "pstore",
    "nsfs",
    "hugetlbfs",
    "configfs",
    "fusectl",
    "binfmt_misc",
    "efivarfs",
];

/// Names of the sockets of container engines.
const ENGINES: &[&str] = &["docker.sock", "podman.sock", "containerd.sock", "crio.sock", "buildkitd.sock"];

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Line<'a> {
    device: &'a str,
    root: PathBuf,
    point: PathBuf,
    read_only: bool,
    kind: &'a str,
    options: &'a str,
}

impl<'a> Line<'a> {
    /// `36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue`
    fn parse(line: &'a str) -> Option<Self> {
        let (place, system) = line.split_once(" - ")?;
        let mut place = place.split(' ').skip(2);
        let (device, root, point, flags) = (place.next()?, place.next()?, place.next()?, place.next()?);
        let mut system = system.split(' ');
        Some(Self {
            device,
            root: unescaped(root),
            point: unescaped(point),
            read_only: flags.split(',').any(|flag| flag == "ro"),
            kind: system.next()?,
            options: system.nth(1).unwrap_or_default(),
        })
    }
}

/// The mounts of a process in another mount namespace, as far as they are from files and directories of the host; the
/// innermost last. The second value is how many more there were than [`MOST_MOUNTS`].
#[must_use]
pub fn of(text: &str, host: &str) -> (Vec<Mount>, u64) {
    let host: Vec<Line<'_>> = host.lines().filter_map(Line::parse).collect();
    let mut found = Vec::new();
    let mut more = 0;
    for line in text.lines().filter_map(Line::parse).filter(|line| !KERNEL.contains(&line.kind)) {
        let Some(mount) = mount(&line, &host) else { continue };
        if found.len() == MOST_MOUNTS {
            more += 1;
        } else {
            found.push(mount);
        }
    }
    (found, more)
}

fn mount(line: &Line<'_>, host: &[Line<'_>]) -> Option<Mount> {
    let upper = line.point == Path::new("/");
    let source = if upper { upper_directory(line)? } else { on_host(line, host)? };
    let engine = source.file_name().is_some_and(|name| ENGINES.iter().any(|engine| name == *engine));
    Some(Mount { source, target: line.point.clone(), read_only: line.read_only, engine, upper })
}

/// Where the changes to the root of a container go.
fn upper_directory(line: &Line<'_>) -> Option<PathBuf> {
    let overlay = line.kind == "overlay" || line.kind == "fuse.fuse-overlayfs";
    let upper = line.options.split(',').find_map(|option| option.strip_prefix("upperdir="))?;
    let path = unescaped(upper);
    (overlay && path.is_absolute()).then_some(path)
}

/// Where the host has what a line mounts: the deepest of its mounts of that file system which holds it.
fn on_host(line: &Line<'_>, host: &[Line<'_>]) -> Option<PathBuf> {
    let holds = |known: &&Line<'_>| known.device == line.device && line.root.starts_with(&known.root);
    // Of several the first: later ones are bind mounts of what was there.
    let deepest = host.iter().filter(holds).rev().max_by_key(|known| known.root.components().count())?;
    let rest = line.root.strip_prefix(&deepest.root).ok()?;
    Some(if rest.as_os_str().is_empty() { deepest.point.clone() } else { deepest.point.join(rest) })
}

/// A path of mountinfo or of mount options, in which blanks and the like stand as octal numbers.
fn unescaped(text: &str) -> PathBuf {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let digits = bytes.get(at + 1..at + 4).filter(|_| *byte == b'\\');
        let number = digits.filter(|digits| digits.iter().all(|digit| (b'0'..b'8').contains(digit)));
        match number.map(|digits| digits.iter().fold(0_u32, |value, digit| value * 8 + u32::from(digit - b'0'))) {
            Some(value) => {
                out.push(value as u8);
                at += 4;
            }
            None => {
                out.push(*byte);
                at += 1;
            }
        }
    }
    PathBuf::from(OsString::from_vec(out))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: &str = "\
26 1 254:0 / / rw,relatime - ext4 /dev/vda rw
27 26 254:1 / /home rw,relatime - ext4 /dev/vdb rw
44 26 254:0 /srv/data /srv/data rw shared:1 - ext4 /dev/vda rw
45 26 0:52 /@sub /btr rw - btrfs /dev/sdb rw,subvol=/@sub
50 44 0:39 / /srv/data/overlay2/1f/merged rw - overlay overlay rw,lowerdir=l,upperdir=/srv/data/overlay2/1f/diff
60 26 0:4 net:[4026532181] /run/netns/x rw - nsfs nsfs rw
";

    fn line(rest: &str) -> String {
        format!("{HOST}78 52 {rest}\n")
    }

    fn told(rest: &str) -> Vec<String> {
        let (mounts, more) = of(line(rest).lines().last().unwrap(), HOST);
        assert_eq!(more, 0);
        let word = |mount: Mount| {
            let flags = [(mount.read_only, " ro"), (mount.engine, " engine"), (mount.upper, " upper")];
            let flags: String = flags.iter().filter(|(set, _)| *set).map(|(_, word)| *word).collect();
            format!("{} {}{flags}", mount.source.display(), mount.target.display())
        };
        mounts.into_iter().map(word).collect()
    }

    #[test]
    fn a_source_is_found_by_device_and_root() {
        for (rest, want) in [
            ("254:1 /ann/.aws /root/.aws ro,relatime - ext4 /dev/vdb rw", "/home/ann/.aws /root/.aws ro"),
            ("254:1 / /host/home rw - ext4 /dev/vdb rw", "/home /host/home"),
            ("254:0 / /host ro - ext4 /dev/vda rw", "/ /host ro"),
            ("254:0 /srv/data/volumes/v/_data /data rw - ext4 /dev/vda rw", "/srv/data/volumes/v/_data /data"),
            ("0:52 /@sub/ann /x rw - btrfs /dev/sdb rw", "/btr/ann /x"),
            ("254:1 /a\\040b /c\\134d rw - ext4 /dev/vdb rw", "/home/a b /c\\d"),
            (
                "254:0 /run/docker.sock /var/run/docker.sock rw - ext4 /dev/vda rw",
                "/run/docker.sock /var/run/docker.sock engine",
            ),
            (
                "0:39 / / rw,relatime master:2 - overlay overlay rw,lowerdir=a:b,upperdir=/srv/data/overlay2/1f/diff,workdir=w",
                "/srv/data/overlay2/1f/diff / upper",
            ),
        ] {
            assert_eq!(told(rest), [want], "{rest}");
        }
    }

    #[test]
    fn what_is_not_of_the_host_is_left_out() {
        for rest in [
            "0:42 / /proc rw - proc proc rw",
            "0:29 /docker/1 /sys/fs/cgroup/cpu ro - cgroup cgroup rw,cpu",
            "0:43 / /dev rw - tmpfs tmpfs rw",
            "0:52 /@other /x rw - btrfs /dev/sdb rw",
            "254:0 / / rw - ext4 /dev/vda rw",
            "nonsense",
        ] {
            assert!(told(rest).is_empty(), "{rest}");
        }
    }

    #[test]
    fn mounts_are_bounded() {
        let text: String =
            (0..MOST_MOUNTS + 3).map(|number| format!("78 52 254:0 /{number} /m rw - ext4 /dev/vda rw\n")).collect();
        let (mounts, more) = of(&text, HOST);
        assert_eq!((mounts.len(), more), (MOST_MOUNTS, 3));
    }
}
