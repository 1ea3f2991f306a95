//! The answers of this machine: `/proc`, the user database and the file system.

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
};

use tokenhound_common::{process::ProcessKey, record::FileId};

use super::{
    containers::Names,
    core::{User, World},
    hosts,
};
use crate::{
    container::model::Named,
    ingest::{clock, observation::KernelTime},
    kernel::file_id,
    lineage::{
        backfill::{self, Backfill},
        container::Membership,
        identity::InterpreterRules,
        loaded::{Linkage, Place},
        model::{Chain, Container, Process},
        package::{
            Owner, Owners,
            lookup::{Asked, Packages},
        },
        users::Users,
        writable::Writables,
    },
};

/// This machine.
pub(super) struct Live {
    backfill: Backfill,
    writables: Writables,
    users: Option<Users>,
    packages: Packages,
    containers: Names,
}

impl Live {
    /// `keep` are the environment variables that are taken from processes.
    #[must_use]
    pub(super) fn new(keep: HashSet<String>, containers: Names, users: Option<Users>) -> Self {
        let mut packages = Packages::new("/");
        packages.prepare();
        Self {
            backfill: Backfill::new(InterpreterRules::default(), keep),
            writables: Writables::new(backfill::tick_ns()),
            packages,
            containers,
            users,
        }
    }

    /// Entries pushed out of bounded tables since the last call.
    pub(super) fn take_evicted(&self) -> u64 {
        self.packages.take_evicted()
    }

    /// What runs already.
    #[must_use]
    pub(super) fn running(&self) -> Vec<Process> {
        match self.backfill.all() {
            Ok(found) => found.processes,
            Err(error) => {
                tracing::warn!(%error, "processes that run already are not known");
                Vec::new()
            }
        }
    }
}

impl World for Live {
    fn resolve(&mut self, key: ProcessKey) -> Option<Process> {
        self.backfill.resolve(key)
    }

    fn find(&mut self, pid: u32, pid_namespace: u32) -> Option<ProcessKey> {
        self.backfill.find(pid, pid_namespace)
    }

    fn membership(&mut self, key: ProcessKey) -> Option<Membership> {
        self.backfill.membership(key)
    }

    fn gone(&mut self, keys: &[ProcessKey]) -> Vec<ProcessKey> {
        keys.iter().copied().filter(|key| !self.backfill.is_alive(*key)).collect()
    }

    fn fill_writable(&mut self, chain: &mut Chain) {
        if let Some(users) = &self.users {
            self.writables.fill(chain, users);
        }
    }

    fn place(&mut self, chain: &Chain, path: &Path) -> Place {
        self.users.as_ref().map(|users| self.writables.place(chain, path, users)).unwrap_or_default()
    }

    fn linkage(&mut self, chain: &Chain) -> Linkage {
        self.writables.linkage(chain)
    }

    fn owners(&mut self, process: &Process) -> Option<Owners> {
        let executable = &process.executable;
        let whole = !executable.path_truncated && executable.links > 0;
        let program = Asked { path: &executable.path, inode: Some(executable.id.inode) };
        let script = process.script_path().map(|path| Asked { path, inode: None });
        let here = whole && self.writables.is_here(process);
        let files: Vec<Asked<'_>> = std::iter::once(program).chain(script).filter(|_| here).collect();
        let mut owners = self.packages.owners(&files)?;
        if let Some(users) = &self.users {
            for installed in owners.iter_mut().filter_map(Owner::installed_mut) {
                installed.record_writable = Writables::writable(process, &installed.record, users);
            }
        }
        let mut owners = owners.into_iter();
        let executable = owners.next().unwrap_or(Owner::Unknown);
        // Of code that is in no file nobody is the owner.
        let script = process.script.as_ref().map(|_| owners.next().unwrap_or(Owner::Unknown));
        Some(Owners { executable, script })
    }

    fn user(&mut self, uid: u32) -> Option<User> {
        let user = self.users.as_mut()?.look_up(uid)?;
        Some(User { name: user.name.clone(), home: user.home.clone() })
    }

    fn host(&mut self, address: std::net::IpAddr) -> Option<String> {
        hosts::name_of(address, &hosts::read()?)
    }

    fn mount_point(&mut self, device: u32) -> Option<PathBuf> {
        file_id::Mounts::top(device)
    }

    fn file(&mut self, path: &Path) -> Option<FileId> {
        file_id::of(path).ok()
    }

    fn named(&mut self, container: &Container) -> Named {
        self.containers.of(container)
    }

    fn now(&mut self) -> KernelTime {
        clock::now()
    }
}
