//! Hooks on reads: attached while somebody holds a watched file, away otherwise, because they cost every read.

use std::io;

use aya::{Ebpf, programs::ProgramError};

use crate::probe::{
    load::{self, Link, LoadError},
    plan::{Gap, Hook},
};

/// Where the hooks are attached now.
#[derive(Default)]
pub(super) struct Reads {
    links: Vec<Link>,
    /// Before Linux 5.13 a program for a function can be attached once in its life (kernel commit f3a95075549e): it is
    /// loaded anew as soon as it was taken away, so that it is ready when it is needed.
    once: bool,
}

impl Reads {
    pub(super) fn attached(&self) -> bool {
        !self.links.is_empty()
    }

    /// Attaches all of `hooks`. Those that the kernel refuses are returned.
    pub(super) fn attach(&mut self, ebpf: &mut Ebpf, hooks: &[Hook]) -> Vec<Gap> {
        let mut refused = Vec::new();
        for hook in hooks {
            let linked = match load::link(ebpf, *hook) {
                Err(error) if has_no_place(&error) => {
                    self.once = true;
                    renew(ebpf, *hook).and_then(|()| load::link(ebpf, *hook))
                }
                other => other,
            };
            match linked {
                Ok(link) => self.links.push(link),
                Err(error) => refused.push(Gap { hook: *hook, reason: error.to_string() }),
            }
        }
        refused
    }

    /// Takes all away.
    pub(super) fn detach(&mut self, ebpf: &mut Ebpf, hooks: &[Hook]) {
        for link in self.links.drain(..) {
            load::detach(ebpf, link);
        }
        for hook in hooks.iter().filter(|_| self.once) {
            if let Err(error) = renew(ebpf, *hook) {
                // Attaching says so as well, and that is reported.
                tracing::debug!(probe = hook.label(), %error, "a program could not be loaded anew");
            }
        }
    }
}

/// `ENOENT` for a loaded program: it was attached before.
fn has_no_place(error: &LoadError) -> bool {
    let LoadError::Program { source: ProgramError::SyscallError(failed), .. } = error else { return false };
    failed.io_error.kind() == io::ErrorKind::NotFound
}

fn renew(ebpf: &mut Ebpf, hook: Hook) -> Result<(), LoadError> {
    load::unload(ebpf, hook)?;
    load::load(ebpf, &aya::Btf::from_sys_fs()?, hook)
}
