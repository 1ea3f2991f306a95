//! Other places for the file: mounts, roots and namespaces.

use std::{fs, os::unix::fs::MetadataExt, path::Path};

use rustix::{
    fs::{CWD, FileType, Mode, OFlags, mknodat, openat},
    io::Errno,
    mount::{MountFlags, OpenTreeFlags, UnmountFlags, mount, mount_bind, open_tree, unmount},
    process::{chroot, pivot_root},
    thread::UnshareFlags,
};

use crate::{
    place::{Place, Undo, got, open_with, read, take},
    stop::{At, Outcome},
    sys::{own_mounts, unshare},
    technique::{Technique, Unseen},
    tell,
};

/// The descriptor's file is that of the overlay; the store's own is opened inside the kernel.
const OVERLAY: Unseen =
    Unseen(&["tracepoint"], &[], "an overlay has inodes of its own, and only its names can tell a store");

pub(crate) const TABLE: &[Technique] = &[
    Technique::opens("bind-file", "through a bind mount of the file", bind_file),
    Technique::opens("bind-directory", "through a bind mount of its directory", bind_directory),
    Technique::opens("bind-host", "through a bind mount that everybody sees", bind_host),
    Technique::opens("mount-namespace", "bound into a tmpfs in a mount namespace of its own", namespace),
    Technique::opens("user-namespace", "bound elsewhere by the root of a user namespace", user_namespace),
    Technique::opens("chroot", "from below another root", in_chroot),
    Technique::opens("pivot-root", "from a mount namespace with another root, as containers have", in_pivot),
    Technique::opens("overlay-lower", "through an overlay with its directory below", overlay_lower).unseen(&[OVERLAY]),
    Technique::opens("overlay-upper", "through an overlay with its directory on top", overlay_upper).unseen(&[OVERLAY]),
    Technique::opens("second-mount", "through a second mount of its file system", second_mount),
    Technique::opens("hidden", "below a mount that hides its directory, from a directory held before", hidden),
    Technique::opens("open-tree", "through a copy of the mount that is attached nowhere", detached),
    Technique::opens("lazy-unmount", "through a mount that was taken away while in use", unmounted),
];

fn bind(from: &Path, to: &Path) -> Outcome {
    if from.is_dir() {
        fs::create_dir_all(to).at("make a directory")?;
    } else {
        fs::write(to, "").at("make a file")?;
    }
    mount_bind(from, to).at("bind")
}

fn seen(path: &Path) -> Outcome {
    tell::seen_path(path);
    take(path)
}

fn bind_file(place: &Place) -> Outcome {
    own_mounts()?;
    let to = place.at("bound");
    bind(&place.store, &to)?;
    seen(&to)
}

fn bind_directory(place: &Place) -> Outcome {
    own_mounts()?;
    let to = place.at("bound");
    bind(place.parent(), &to)?;
    seen(&to.join(place.name()))
}

fn bind_host(place: &Place) -> Outcome {
    let to = place.at("bound");
    bind(&place.store, &to)?;
    let _undo = Undo(|| _ = unmount(&to, UnmountFlags::DETACH));
    seen(&to)
}

fn namespace(place: &Place) -> Outcome {
    own_mounts()?;
    let root = place.directory("root")?;
    mount("none", &root, "tmpfs", MountFlags::empty(), None).at("mount a tmpfs")?;
    bind(place.parent(), &root.join("data"))?;
    seen(&root.join("data").join(place.name()))
}

fn user_namespace(place: &Place) -> Outcome {
    let (uid, gid) = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
    unshare(UnshareFlags::NEWUSER | UnshareFlags::NEWNS)?;
    for (file, text) in
        [("setgroups", "deny".to_owned()), ("uid_map", format!("0 {uid} 1")), ("gid_map", format!("0 {gid} 1"))]
    {
        fs::write(Path::new("/proc/self").join(file), text).at("map users")?;
    }
    let to = place.at("bound");
    bind(place.parent(), &to)?;
    seen(&to.join(place.name()))
}

fn in_chroot(place: &Place) -> Outcome {
    own_mounts()?;
    let root = place.directory("root")?;
    bind(place.parent(), &root.join("data"))?;
    let inside = Path::new("/data").join(place.name());
    tell::seen_path(&root.join("data").join(place.name()));
    tell::path_in_root(&inside);
    chroot(&root).at("chroot")?;
    std::env::set_current_dir("/").at("chdir")?;
    take(&inside)
}

fn in_pivot(place: &Place) -> Outcome {
    own_mounts()?;
    let root = place.directory("root")?;
    mount("none", &root, "tmpfs", MountFlags::empty(), None).at("mount a tmpfs")?;
    bind(place.parent(), &root.join("data"))?;
    fs::create_dir(root.join("old")).at("make a directory")?;
    // In an initial file system there is nothing to change the root from.
    pivot_root(&root, root.join("old")).offered("pivot_root", &[Errno::INVAL])?;
    std::env::set_current_dir("/").at("chdir")?;
    unmount("/old", UnmountFlags::DETACH).at("unmount")?;
    seen(&Path::new("/data").join(place.name()))
}

fn overlay(place: &Place, lower: &Path, upper: &Path) -> Outcome {
    own_mounts()?;
    let (to, work) = (place.directory("merged")?, place.directory("work")?);
    let options = format!("lowerdir={},upperdir={},workdir={}", lower.display(), upper.display(), work.display());
    let options = std::ffi::CString::new(options).map_err(std::io::Error::other).at("make options")?;
    let made = mount("none", &to, "overlay", MountFlags::empty(), Some(&*options));
    made.offered("mount an overlay", &[Errno::NODEV, Errno::INVAL])?;
    // What is opened is the layer's file, by a mount of the overlay's own that hangs nowhere.
    tell::seen_end(Path::new(place.name()));
    take(&to.join(place.name()))
}

fn overlay_lower(place: &Place) -> Outcome {
    overlay(place, place.parent(), &place.directory("upper")?)
}

fn overlay_upper(place: &Place) -> Outcome {
    overlay(place, &place.directory("lower")?, place.parent())
}

/// The block device by a node of our own, mounted once more.
fn second_mount(place: &Place) -> Outcome {
    own_mounts()?;
    let facts = fs::metadata(&place.store).at("ask about the store")?;
    let (node, to) = (place.at("device"), place.directory("again")?);
    mknodat(CWD, &node, FileType::BlockDevice, Mode::RUSR, facts.dev()).at("make a device node")?;
    let kind = crate::below::file_system(&place.store)?;
    let made = mount(&node, &to, kind.name.as_str(), MountFlags::empty(), None);
    made.offered("mount the device again", &[Errno::NOTBLK, Errno::NXIO, Errno::NODEV])?;
    let Ok(inside) = place.store.strip_prefix(&kind.mounted_at) else {
        return crate::stop::absent("the file system is not mounted as a whole");
    };
    seen(&to.join(inside))
}

fn hidden(place: &Place) -> Outcome {
    own_mounts()?;
    let directory = open_with(place.parent(), OFlags::RDONLY | OFlags::DIRECTORY)?;
    mount("none", place.parent(), "tmpfs", MountFlags::empty(), None).at("mount a tmpfs")?;
    got(&read(openat(&directory, place.name(), OFlags::RDONLY, Mode::empty()).at("openat")?)?)
}

fn detached(place: &Place) -> Outcome {
    own_mounts()?;
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let tree = open_tree(CWD, place.parent(), flags).offered("open_tree", &[Errno::NOSYS])?;
    // Where the copy will be attached nobody knows: its own root is all there is.
    tell::seen_end(place.name());
    got(&read(openat(&tree, place.name(), OFlags::RDONLY, Mode::empty()).at("openat")?)?)
}

fn unmounted(place: &Place) -> Outcome {
    own_mounts()?;
    let to = place.at("bound");
    bind(place.parent(), &to)?;
    let directory = open_with(&to, OFlags::RDONLY | OFlags::DIRECTORY)?;
    unmount(&to, UnmountFlags::DETACH).at("unmount")?;
    tell::seen_end(place.name());
    got(&read(openat(&directory, place.name(), OFlags::RDONLY, Mode::empty()).at("openat")?)?)
}
