//! Posture: who else can get at a store's file, from what is known of the file. The rules are pure; what they are asked
//! about is gathered in `gather`.

pub mod acl;
pub mod context;
mod exposure;
pub mod gather;
pub mod git;
pub mod place;
mod rules;
#[cfg(test)]
mod tests;
pub mod view;

use std::path::PathBuf;

pub use exposure::Exposure;
pub use rules::exposures;

/// What is known of a store's file. Paths are those of the machine or image that the file belongs to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileFacts {
    /// The name the store is known by.
    pub path: PathBuf,
    /// Permission bits (`st_mode & 07777`).
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Names that the file has (`st_nlink`).
    pub links: u64,
    /// What it should be.
    pub expected: Expected,
    /// Whom its access control list lets in beyond owner, group and others.
    pub acl: Vec<acl::Grant>,
    /// What the list leaves of the group's rights, where there is one: the mode then shows the mask.
    pub acl_group: Option<u32>,
    /// Where it really lies, if a link leads there.
    pub leads_to: Option<PathBuf>,
    /// The file system, if it is one of another machine.
    pub network: Option<String>,
    /// What carries its directory to other machines.
    pub synced: Option<String>,
    /// What git knows of it.
    pub git: git::State,
    /// The directories above it, the nearest first.
    pub directories: Vec<Directory>,
    /// The engine in whose storage of layers it lies.
    pub layer: Option<String>,
    /// A directory above it from which images are built without leaving it out.
    pub build_context: Option<PathBuf>,
}

/// What a store's file should be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expected {
    /// Permission bits that its tool gives it; 0600 where nobody looked.
    pub mode: Option<u32>,
    /// Permission bits of its directory.
    pub dir_mode: Option<u32>,
    /// Whose it is: the home's owner.
    pub owner: Option<u32>,
    /// The home it lies in.
    pub home: Option<PathBuf>,
}

/// A directory above a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Directory {
    /// Where.
    pub path: PathBuf,
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}
