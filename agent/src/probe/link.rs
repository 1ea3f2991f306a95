//! Programs of the object, and where they are attached.

use aya::{
    Ebpf,
    programs::{
        BtfTracePoint, FEntry, Lsm, Program, ProgramError, TracePoint, fentry::FEntryLinkId, lsm::LsmLinkId,
        tp_btf::BtfTracePointLinkId, trace_point::TracePointLinkId,
    },
};

use crate::probe::{
    load::LoadError,
    plan::{Attach, Hook},
};

/// An attached program: whoever drops it takes it away, which waits until the kernel is sure that it runs nowhere. That has
/// taken 20 to 50 ms for each tracepoint (Linux 6.18, `tracepoint_synchronize_unregister`).
pub(super) type Attached = Box<dyn Send>;

/// A program where it is attached.
pub(super) enum Link {
    Call(&'static str, TracePointLinkId),
    Lsm(&'static str, LsmLinkId),
    Fentry(&'static str, FEntryLinkId),
    Typed(&'static str, BtfTracePointLinkId),
}

pub(super) fn failed(operation: &'static str, program: &'static str) -> impl Fn(ProgramError) -> LoadError {
    move |source| LoadError::Program { operation, program, source }
}

/// A program of the object by its type.
pub(super) fn program<'a, T>(ebpf: &'a mut Ebpf, name: &'static str) -> Result<&'a mut T, LoadError>
where
    &'a mut T: TryFrom<&'a mut Program, Error = ProgramError>,
{
    let program = ebpf.program_mut(name).ok_or(LoadError::Missing { kind: "program", name })?;
    program.try_into().map_err(failed("find", name))
}

/// Loads a hook's program, unless another hook has.
pub(super) fn load(ebpf: &mut Ebpf, types: &aya::Btf, hook: Hook) -> Result<(), LoadError> {
    let name = hook.program;
    let loaded = match hook.attach {
        Attach::Typed(event) => program::<BtfTracePoint>(ebpf, name)?.load(event, types),
        Attach::Lsm(place) => program::<Lsm>(ebpf, name)?.load(place, types),
        Attach::Fentry(function) => program::<FEntry>(ebpf, name)?.load(function, types),
        Attach::Call(_) => program::<TracePoint>(ebpf, name)?.load(),
    };
    match loaded {
        Ok(()) | Err(ProgramError::AlreadyLoaded) => Ok(()),
        Err(source) => Err(failed("load", name)(source)),
    }
}

/// Unloads a hook's program.
pub(super) fn unload(ebpf: &mut Ebpf, hook: Hook) -> Result<(), LoadError> {
    let name = hook.program;
    match hook.attach {
        Attach::Typed(_) => program::<BtfTracePoint>(ebpf, name)?.unload(),
        Attach::Lsm(_) => program::<Lsm>(ebpf, name)?.unload(),
        Attach::Fentry(_) => program::<FEntry>(ebpf, name)?.unload(),
        Attach::Call(_) => program::<TracePoint>(ebpf, name)?.unload(),
    }
    .map_err(failed("unload", name))
}

/// Attaches a loaded program.
pub(super) fn link(ebpf: &mut Ebpf, hook: Hook) -> Result<Link, LoadError> {
    let name = hook.program;
    let linked = match hook.attach {
        Attach::Typed(_) => program::<BtfTracePoint>(ebpf, name)?.attach().map(|id| Link::Typed(name, id)),
        Attach::Lsm(_) => program::<Lsm>(ebpf, name)?.attach().map(|id| Link::Lsm(name, id)),
        Attach::Fentry(_) => program::<FEntry>(ebpf, name)?.attach().map(|id| Link::Fentry(name, id)),
        Attach::Call(event) => {
            program::<TracePoint>(ebpf, name)?.attach("syscalls", event).map(|id| Link::Call(name, id))
        }
    };
    linked.map_err(failed("attach", name))
}

/// Loads and attaches.
pub(super) fn attach(ebpf: &mut Ebpf, types: &aya::Btf, hook: Hook) -> Result<Link, LoadError> {
    load(ebpf, types, hook)?;
    link(ebpf, hook)
}

/// Makes it the caller's: it is taken away when that drops it.
pub(super) fn own(ebpf: &mut Ebpf, link: Link) -> Result<Attached, LoadError> {
    fn boxed(link: Result<impl Send + 'static, ProgramError>) -> Result<Attached, ProgramError> {
        link.map(|link| Box::new(link) as Attached)
    }
    let (name, taken) = match link {
        Link::Call(name, id) => (name, boxed(program::<TracePoint>(ebpf, name)?.take_link(id))),
        Link::Lsm(name, id) => (name, boxed(program::<Lsm>(ebpf, name)?.take_link(id))),
        Link::Fentry(name, id) => (name, boxed(program::<FEntry>(ebpf, name)?.take_link(id))),
        Link::Typed(name, id) => (name, boxed(program::<BtfTracePoint>(ebpf, name)?.take_link(id))),
    };
    taken.map_err(failed("take over the link of", name))
}

/// Takes a program away. That it is gone already is as good.
pub(super) fn detach(ebpf: &mut Ebpf, link: Link) {
    let outcome = match link {
        Link::Call(name, id) => program::<TracePoint>(ebpf, name).map(|program| program.detach(id)),
        Link::Lsm(name, id) => program::<Lsm>(ebpf, name).map(|program| program.detach(id)),
        Link::Fentry(name, id) => program::<FEntry>(ebpf, name).map(|program| program.detach(id)),
        Link::Typed(name, id) => program::<BtfTracePoint>(ebpf, name).map(|program| program.detach(id)),
    };
    match outcome {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(%error, "a probe could not be taken away"),
        Err(error) => tracing::warn!(%error, "a probe could not be taken away"),
    }
}
