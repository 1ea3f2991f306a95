//! The rules: from facts of a file to exposures.

use std::path::PathBuf;

use super::{Directory, Exposure, FileFacts, git::State};

/// A file's mode where the catalogue does not say.
const PRIVATE: u32 = 0o600;
const OTHERS_READ: u32 = 0o004;
const OTHERS_WRITE: u32 = 0o002;
const OTHERS_SEARCH: u32 = 0o001;
const GROUP_READ: u32 = 0o040;
const GROUP_WRITE: u32 = 0o020;
const GROUP_SEARCH: u32 = 0o010;
const STICKY: u32 = 0o1000;

/// Every way by which others can get at the file, in a fixed order.
#[must_use]
pub fn exposures(facts: &FileFacts) -> Vec<Exposure> {
    let mut found = Vec::new();
    permissions(facts, &mut found);
    ownership(facts, &mut found);
    place(facts, &mut found);
    directories(facts, &mut found);
    found
}

fn permissions(facts: &FileFacts, found: &mut Vec<Exposure>) {
    let mode = facts.mode & 0o777;
    let expected = facts.expected.mode.unwrap_or(PRIVATE);
    let barrier = || barrier(&facts.directories, None);
    if mode & OTHERS_WRITE != 0 {
        found.push(Exposure::WritableByAll { mode, barrier: barrier() });
    }
    if mode & OTHERS_READ != 0 {
        let (by_its_tool, barrier) = (expected & OTHERS_READ != 0, barrier());
        // A tool that leaves its file open to all relies on the directories above it.
        if !(by_its_tool && barrier.is_some()) {
            found.push(Exposure::ReadableByAll { mode, barrier, by_its_tool });
        }
    }
    let group = facts.acl_group.map_or(mode, |rights| (mode & !0o070) | (rights << 3));
    let beyond = group & !expected & (GROUP_READ | GROUP_WRITE);
    if beyond != 0 && shared(facts.uid, facts.gid) && mode & OTHERS_READ == 0 {
        let (gid, write) = (facts.gid, group & GROUP_WRITE != 0);
        let barrier = self::barrier(&facts.directories, Some(gid));
        found.push(Exposure::OpenToGroup { mode: group, gid, write, barrier });
    }
    let grants: Vec<_> = facts.acl.iter().filter(|grant| grant.beyond(facts.uid, facts.gid)).copied().collect();
    if !grants.is_empty() {
        found.push(Exposure::Acl { grants });
    }
}

fn ownership(facts: &FileFacts, found: &mut Vec<Exposure>) {
    if let Some(expected) = facts.expected.owner.filter(|owner| *owner != facts.uid) {
        found.push(Exposure::Owner { uid: facts.uid, expected });
    }
    if facts.links > 1 {
        found.push(Exposure::HardLinks { links: facts.links });
    }
}

fn place(facts: &FileFacts, found: &mut Vec<Exposure>) {
    if let (Some(to), Some(home)) = (&facts.leads_to, &facts.expected.home)
        && !to.starts_with(home)
    {
        found.push(Exposure::LeavesHome { to: to.clone() });
    }
    if let Some(file_system) = &facts.network {
        found.push(Exposure::Network { file_system: file_system.clone() });
    }
    if let Some(by) = &facts.synced {
        found.push(Exposure::Synced { by: by.clone() });
    }
    match &facts.git {
        State::Tracked { work_tree } => found.push(Exposure::GitTracked { work_tree: work_tree.clone() }),
        State::Untracked { work_tree } => found.push(Exposure::GitUnignored { work_tree: work_tree.clone() }),
        State::Ignored | State::Outside | State::Unknown => {}
    }
    if let Some(engine) = &facts.layer {
        found.push(Exposure::Layer { engine: engine.clone() });
    }
    if let Some(directory) = &facts.build_context {
        found.push(Exposure::BuildContext { directory: directory.clone() });
    }
}

fn directories(facts: &FileFacts, found: &mut Vec<Exposure>) {
    for directory in &facts.directories {
        let Directory { path, mode, .. } = directory;
        // In a sticky directory only the owners of a name may change it.
        if mode & OTHERS_WRITE != 0 && mode & STICKY == 0 && reached(&facts.directories, path) {
            found.push(Exposure::ParentWritable { directory: path.clone(), mode: *mode });
            break;
        }
    }
    let strangers = |directory: &&Directory| {
        let owner = facts.expected.owner.unwrap_or(facts.uid);
        directory.uid != 0 && directory.uid != owner && directory.uid != facts.uid
    };
    if let Some(Directory { path, uid, .. }) = facts.directories.iter().find(strangers) {
        found.push(Exposure::ParentOwner { directory: path.clone(), uid: *uid });
    }
    let Some(nearest) = facts.directories.first() else { return };
    let closed = facts.expected.dir_mode.is_some_and(|mode| mode & OTHERS_READ == 0);
    if closed && nearest.mode & OTHERS_READ != 0 && barrier(&facts.directories, None).is_none() {
        found.push(Exposure::ParentReadable { directory: nearest.path.clone(), mode: nearest.mode & 0o7777 });
    }
}

/// May everybody go as far as the directory itself?
fn reached(directories: &[Directory], to: &std::path::Path) -> bool {
    directories.iter().filter(|directory| to.starts_with(&directory.path)).all(|above| above.mode & OTHERS_SEARCH != 0)
}

/// The outermost directory that others, or the members of a group, cannot pass.
fn barrier(directories: &[Directory], group: Option<u32>) -> Option<PathBuf> {
    let passes = |directory: &Directory| {
        let as_group = group.is_some_and(|gid| gid == directory.gid) && directory.mode & GROUP_SEARCH != 0;
        as_group || directory.mode & OTHERS_SEARCH != 0
    };
    directories.iter().rev().find(|directory| !passes(directory)).map(|directory| directory.path.clone())
}

/// Is it a group that others are in? A user's own group has the user's number, and root's is root's alone.
const fn shared(uid: u32, gid: u32) -> bool {
    gid != uid && gid != 0
}
