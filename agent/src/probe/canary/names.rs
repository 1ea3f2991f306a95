//! Names, permissions and mounts of the canary.

use std::{fs, io, os::unix::fs::PermissionsExt, path::Path, thread};

use rustix::{
    fs::CWD,
    mount::{MountPropagationFlags, MoveMountFlags, OpenTreeFlags, mount_bind, mount_change, move_mount, open_tree},
    thread::UnshareFlags,
};

use crate::ingest::observation::What;

/// Does to the file at `path` what the hook of that name is asked about, and undoes it.
///
/// # Errors
///
/// What went wrong, or `Unsupported` for a hook that is not known here.
pub fn change(path: &Path, hook: &str) -> io::Result<()> {
    let other = path.with_extension("other");
    let _ = fs::remove_file(&other);
    match hook {
        "inode_link" => fs::hard_link(path, &other).and_then(|()| fs::remove_file(&other)),
        "inode_unlink" => fs::hard_link(path, &other).and_then(|()| fs::remove_file(&other)),
        "inode_rename" => fs::rename(path, &other).and_then(|()| fs::rename(&other, path)),
        "inode_symlink" => std::os::unix::fs::symlink(path, &other).and_then(|()| fs::remove_file(&other)),
        "inode_setattr" => fs::set_permissions(path, fs::Permissions::from_mode(0o600)),
        "sb_mount" | "move_mount" => elsewhere(path, hook == "move_mount"),
        _ => Err(io::ErrorKind::Unsupported.into()),
    }
}

/// Whether a record says what the hook of that name must say of [`change`].
#[must_use]
pub fn shows(hook: &str, what: &What) -> bool {
    match hook {
        "inode_link" => matches!(what, What::Link(_)),
        "inode_unlink" => *what == What::Unlink,
        "inode_rename" => matches!(what, What::Rename(_) | What::Replace(_)),
        "inode_symlink" => matches!(what, What::Symlink(_)),
        "inode_setattr" => matches!(what, What::Mode(_)),
        "sb_mount" | "move_mount" => matches!(what, What::Mount(_)),
        _ => false,
    }
}

/// Mounts the file on itself, in a mount namespace that ends with the thread.
fn elsewhere(path: &Path, by_tree: bool) -> io::Result<()> {
    let path = path.to_owned();
    let work = move || -> io::Result<()> {
        unshare()?;
        mount_change("/", MountPropagationFlags::REC | MountPropagationFlags::PRIVATE)?;
        if !by_tree {
            return Ok(mount_bind(&path, &path)?);
        }
        let tree = open_tree(CWD, &path, OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC)?;
        Ok(move_mount(tree, "", CWD, &path, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?)
    };
    thread::spawn(work).join().map_err(|_| io::Error::other("the thread that mounts has died"))?
}

#[allow(unsafe_code)]
fn unshare() -> io::Result<()> {
    // SAFETY: the thread ends soon; no descriptor is shared less than before.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNS) }.map_err(Into::into)
}
