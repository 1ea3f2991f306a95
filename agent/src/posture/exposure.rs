//! What can be wrong with where and how a store's file lies.

use std::path::PathBuf;

use super::acl::Grant;
use crate::finding::{severity::Severity, visible};

/// One way by which others can get at a store's file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exposure {
    /// Everybody may read it.
    ReadableByAll {
        /// Its permission bits.
        mode: u32,
        /// The directory that still keeps others out.
        barrier: Option<PathBuf>,
        /// Its own tool makes it so.
        by_its_tool: bool,
    },
    /// Everybody may write it.
    WritableByAll {
        /// Its permission bits.
        mode: u32,
        /// The directory that still keeps others out.
        barrier: Option<PathBuf>,
    },
    /// A group that is not the owner's own may read or write it.
    OpenToGroup {
        /// Its permission bits.
        mode: u32,
        /// Which group.
        gid: u32,
        /// It may write as well.
        write: bool,
        /// The directory that still keeps the group out.
        barrier: Option<PathBuf>,
    },
    /// It belongs to somebody else.
    Owner {
        /// Whose it is.
        uid: u32,
        /// Whose it should be.
        expected: u32,
    },
    /// Its access control list lets others in.
    Acl {
        /// Whom.
        grants: Vec<Grant>,
    },
    /// It has more than one name.
    HardLinks {
        /// How many.
        links: u64,
    },
    /// A link leads out of the home.
    LeavesHome {
        /// To where.
        to: PathBuf,
    },
    /// It lies on a file system of another machine.
    Network {
        /// Which kind.
        file_system: String,
    },
    /// It lies where a program carries it to other machines.
    Synced {
        /// Which program.
        by: String,
    },
    /// It is part of a git repository.
    GitTracked {
        /// The work tree.
        work_tree: PathBuf,
    },
    /// Nothing keeps it from being added to a git repository.
    GitUnignored {
        /// The work tree.
        work_tree: PathBuf,
    },
    /// Everybody may replace it, since they may write in a directory above it.
    ParentWritable {
        /// Which directory.
        directory: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// A directory above it belongs to somebody else, who may replace it.
    ParentOwner {
        /// Which directory.
        directory: PathBuf,
        /// Whose it is.
        uid: u32,
    },
    /// Everybody may list its directory, which its tool keeps closed.
    ParentReadable {
        /// Which directory.
        directory: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// It lies in a layer of a container or an image.
    Layer {
        /// Of which engine.
        engine: String,
    },
    /// It goes into every image that is built in this directory.
    BuildContext {
        /// Which directory.
        directory: PathBuf,
    },
}

impl Exposure {
    /// A stable word for it, for rules of tools that read our output.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::ReadableByAll { .. } => "readable-by-all",
            Self::WritableByAll { .. } => "writable-by-all",
            Self::OpenToGroup { .. } => "open-to-group",
            Self::Owner { .. } => "owner",
            Self::Acl { .. } => "acl",
            Self::HardLinks { .. } => "hard-links",
            Self::LeavesHome { .. } => "leaves-home",
            Self::Network { .. } => "network-file-system",
            Self::Synced { .. } => "synced",
            Self::GitTracked { .. } => "git-tracked",
            Self::GitUnignored { .. } => "git-unignored",
            Self::ParentWritable { .. } => "parent-writable",
            Self::ParentOwner { .. } => "parent-owner",
            Self::ParentReadable { .. } => "parent-readable",
            Self::Layer { .. } => "container-layer",
            Self::BuildContext { .. } => "build-context",
        }
    }

    /// How much it matters for a file that holds a plain token.
    #[must_use]
    pub const fn severity(&self) -> Severity {
        match self {
            Self::ReadableByAll { barrier: Some(_), .. }
            | Self::WritableByAll { barrier: Some(_), .. }
            | Self::GitUnignored { .. }
            | Self::ParentReadable { .. } => Severity::Low,
            Self::OpenToGroup { barrier: Some(_), .. } => Severity::Informational,
            Self::ReadableByAll { by_its_tool: true, .. }
            | Self::OpenToGroup { .. }
            | Self::Acl { .. }
            | Self::HardLinks { .. }
            | Self::LeavesHome { .. }
            | Self::Network { .. }
            | Self::ParentOwner { .. }
            | Self::BuildContext { .. } => Severity::Medium,
            Self::Owner { uid, .. } => {
                if *uid == 0 {
                    Severity::Low
                } else {
                    Severity::High
                }
            }
            Self::ReadableByAll { .. }
            | Self::WritableByAll { .. }
            | Self::Synced { .. }
            | Self::GitTracked { .. }
            | Self::ParentWritable { .. }
            | Self::Layer { .. } => Severity::High,
        }
    }

    /// What is wrong, as the end of a sentence that begins with the file. Visible text.
    #[must_use]
    pub fn sentence(&self) -> String {
        match self {
            Self::ReadableByAll { mode, barrier, by_its_tool } => {
                let tool = if *by_its_tool { ", as its tool makes it" } else { "" };
                format!("every user may read it (mode {mode:04o}{tool}){}", but(barrier.as_ref()))
            }
            Self::WritableByAll { mode, barrier } => {
                format!("every user may write it (mode {mode:04o}){}", but(barrier.as_ref()))
            }
            Self::OpenToGroup { mode, gid, write, barrier } => {
                let what = if *write { "read and write" } else { "read" };
                format!("group {gid} may {what} it (mode {mode:04o}){}", but(barrier.as_ref()))
            }
            Self::Owner { uid, expected } => format!("it belongs to user {uid}, not to user {expected}"),
            Self::Acl { grants } => {
                let grants: Vec<String> = grants.iter().map(ToString::to_string).collect();
                format!("its access control list lets in {}", grants.join(", "))
            }
            Self::HardLinks { links } => format!("it has {links} names: the others may lie anywhere"),
            Self::LeavesHome { to } => format!("it is a link out of the home, to {}", visible::path(to)),
            Self::Network { file_system } => {
                format!("it lies on a file system of another machine ({})", visible::text(file_system))
            }
            Self::Synced { by } => format!("{} carries it to other machines", visible::text(by)),
            Self::GitTracked { work_tree } => {
                format!("it is part of the git repository in {}", visible::path(work_tree))
            }
            Self::GitUnignored { work_tree } => {
                format!("the git repository in {} does not ignore it", visible::path(work_tree))
            }
            Self::ParentWritable { directory, mode } => {
                format!("every user may replace it: {} has mode {mode:04o}", visible::path(directory))
            }
            Self::ParentOwner { directory, uid } => {
                format!("user {uid} may replace it: {} is theirs", visible::path(directory))
            }
            Self::ParentReadable { directory, mode } => {
                format!("every user may look into {} (mode {mode:04o})", visible::path(directory))
            }
            Self::Layer { engine } => format!("it lies in a layer of {}", visible::text(engine)),
            Self::BuildContext { directory } => {
                format!("it goes into images that are built in {}", visible::path(directory))
            }
        }
    }

    /// What to do about it.
    #[must_use]
    pub const fn remedy(&self) -> &'static str {
        match self {
            Self::ReadableByAll { .. } | Self::WritableByAll { .. } | Self::OpenToGroup { .. } => {
                "chmod 600 the file; where others could read it, revoke the token and log in again"
            }
            Self::Owner { .. } => "give the file back to its user (chown), and find out how it changed hands",
            Self::Acl { .. } => "setfacl -b the file; where others could read it, revoke the token",
            Self::HardLinks { .. } => "find the other names (find -samefile), remove them, and revoke the token",
            Self::LeavesHome { .. } => "move the file into the home, with mode 600",
            Self::Network { .. } => "keep the store on a local file system, or use the tool's keyring",
            Self::Synced { .. } => "take the file out of the synced directory, and revoke the token",
            Self::GitTracked { .. } => {
                "revoke the token; git rm --cached the file and ignore it; the repository's history keeps it"
            }
            Self::GitUnignored { .. } => "add the file to .gitignore",
            Self::ParentWritable { .. } | Self::ParentReadable { .. } => "chmod 700 the directory",
            Self::ParentOwner { .. } => "keep the store in a directory of its own user",
            Self::Layer { .. } => {
                "revoke the token; build without it (secret mounts), and remove the images and containers"
            }
            Self::BuildContext { .. } => "name the file in .dockerignore",
        }
    }
}

fn but(barrier: Option<&PathBuf>) -> String {
    barrier.map_or_else(String::new, |barrier| format!("; only {} still keeps them out", visible::path(barrier)))
}
