//! Places that carry files to other machines: file systems, synced directories, layers of containers.

use std::path::{Component, Path};

/// File systems of other machines, by the magic of statfs(2) (`include/uapi/linux/magic.h` and the file systems' own
/// sources).
const NETWORK: &[(u64, &str)] = &[
    (0x6969, "nfs"),
    (0xFF53_4D42, "cifs"),
    (0xFE53_4D42, "smb2"),
    (0x517B, "smb"),
    (0x5346_414F, "afs"),
    (0x6B41_4653, "afs"),
    (0x00C3_6400, "ceph"),
    (0x0102_1997, "9p"),
    (0x7375_7245, "coda"),
    (0x0BD0_0BD0, "lustre"),
    (0x1983_0326, "beegfs"),
];

/// Magic of all file systems in user space.
const FUSE: u64 = 0x6573_5546;

/// Subtypes of those that only show local files.
const LOCAL_FUSE: &[&str] = &[
    "gocryptfs",
    "encfs",
    "cryfs",
    "ecryptfs",
    "bindfs",
    "lxcfs",
    "portal",
    "ntfs-3g",
    "exfat",
    "mergerfs",
    "overlayfs",
];

/// The kind of file system if it is one of another machine. `fuse` is the subtype that the mount table gives.
#[must_use]
pub fn network(magic: u64, fuse: Option<&str>) -> Option<String> {
    if magic == FUSE {
        let subtype = fuse?.strip_prefix("fuse.")?;
        return remote_fuse(subtype).then(|| subtype.to_owned());
    }
    NETWORK.iter().find(|(known, _)| *known == magic).map(|(_, name)| (*name).to_owned())
}

/// Is a file system in user space, by its subtype, one of another machine? What is not known to be local is taken for one.
#[must_use]
pub fn remote_fuse(subtype: &str) -> bool {
    !LOCAL_FUSE.contains(&subtype)
}

/// Entries that a program leaves in the directory that it carries to other machines, and the program.
pub const MARKERS: &[(&str, &str)] = &[
    (".stfolder", "Syncthing"),
    (".dropbox", "Dropbox"),
    (".dropbox.cache", "Dropbox"),
    (".nextcloudsync.log", "Nextcloud"),
    (".owncloudsync.log", "ownCloud"),
    (".sync_journal.db", "Nextcloud"),
    (".tmp.drivedownload", "Google Drive"),
    (".megaignore", "MEGA"),
    (".SeaDriveData", "Seafile"),
    (".seafile-data", "Seafile"),
    (".insync", "Insync"),
];

/// Names that such directories have right below a home, and the program.
const NAMES: &[(&str, &str)] = &[
    ("Dropbox", "Dropbox"),
    ("OneDrive", "OneDrive"),
    ("Nextcloud", "Nextcloud"),
    ("ownCloud", "ownCloud"),
    ("Google Drive", "Google Drive"),
    ("GoogleDrive", "Google Drive"),
    ("pCloudDrive", "pCloud"),
    ("MEGA", "MEGA"),
    ("Insync", "Insync"),
    ("Seafile", "Seafile"),
];

/// What carries a file below a home to other machines, by the name of the directory it lies in.
#[must_use]
pub fn synced_by_name(below_home: &Path) -> Option<&'static str> {
    let mut parts = below_home.components();
    let (Some(Component::Normal(first)), Some(_)) = (parts.next(), parts.next()) else { return None };
    let first = first.to_str()?;
    let same = |name: &str| first == name || first.strip_prefix(name).is_some_and(|rest| rest.starts_with(" - "));
    NAMES.iter().find(|(name, _)| same(name)).map(|(_, by)| *by)
}

/// Directories of engines that hold the layers of containers and images, and what comes between one and its files.
const LAYERS: &[(&str, &str)] = &[
    ("docker/overlay2", "Docker"),
    ("docker/vfs/dir", "Docker"),
    ("docker/btrfs/subvolumes", "Docker"),
    ("containers/storage/overlay", "Podman"),
    ("containers/storage/vfs/dir", "Podman"),
    ("io.containerd.snapshotter.v1.overlayfs/snapshots", "containerd"),
    ("io.containerd.snapshotter.v1.native/snapshots", "containerd"),
    ("var/lib/buildkit", "BuildKit"),
];

/// The engine in whose storage of layers a file lies.
#[must_use]
pub fn layer(path: &Path) -> Option<&'static str> {
    let text = path.to_str()?;
    LAYERS
        .iter()
        .find(|(part, _)| text.match_indices(part).any(|(at, _)| ends(text, at, at + part.len())))
        .map(|(_, engine)| *engine)
}

/// Do whole components begin and end there?
fn ends(text: &str, from: usize, to: usize) -> bool {
    (from == 0 || text.as_bytes().get(from - 1) == Some(&b'/')) && text.as_bytes().get(to) == Some(&b'/')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_systems_are_told_by_their_magic() {
        assert_eq!(network(0x6969, None).as_deref(), Some("nfs"));
        assert_eq!(network(0xEF53, None), None, "ext4");
        assert_eq!(network(FUSE, Some("fuse.sshfs")).as_deref(), Some("sshfs"));
        assert_eq!(network(FUSE, Some("fuse.gocryptfs")), None);
        assert_eq!(network(FUSE, Some("fuseblk")), None);
    }

    #[test]
    fn synced_directories_are_told_by_name_right_below_a_home() {
        for (path, expected) in [
            ("Dropbox/x/.env", Some("Dropbox")),
            ("OneDrive - Example Ltd/.env", Some("OneDrive")),
            ("OneDriver/.env", None),
            ("work/Dropbox/.env", None),
            ("Dropbox", None),
        ] {
            assert_eq!(synced_by_name(Path::new(path)), expected, "{path}");
        }
    }

    #[test]
    fn layers_are_told_by_their_storage() {
        for (path, expected) in [
            ("/var/lib/docker/overlay2/abc/diff/root/.netrc", Some("Docker")),
            ("/home/ann/.local/share/containers/storage/overlay/abc/diff/root/.netrc", Some("Podman")),
            (
                "/var/lib/containerd/io.containerd.snapshotter.v1.overlayfs/snapshots/1/fs/root/.netrc",
                Some("containerd"),
            ),
            ("/home/ann/mydocker/overlay2x/.netrc", None),
            ("/home/ann/.docker/config.json", None),
        ] {
            assert_eq!(layer(Path::new(path)), expected, "{path}");
        }
    }
}
