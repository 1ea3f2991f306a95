//! Hooks that come and go: on reads while somebody holds a watched file, on closes while there are carriers. They would
//! cost every read and every close.

use std::{
    collections::VecDeque,
    io,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
};

use aya::{Ebpf, programs::ProgramError};

use crate::probe::{
    link::{self, Attached},
    load::LoadError,
    plan::{Gap, Hook},
};

/// Where the hooks of one kind are attached now.
#[derive(Default)]
pub(super) struct OnDemand {
    links: Vec<(Hook, Attached)>,
    leaving: Arc<Leaving>,
    /// Before Linux 5.13 a program for a function can be attached once in its life (kernel commit f3a95075549e): it is
    /// loaded anew as soon as it was taken away, so that it is ready when it is needed.
    once: bool,
}

impl OnDemand {
    pub(super) fn attached(&self) -> bool {
        !self.links.is_empty()
    }

    /// Attaches all of `hooks`. Those that the kernel refuses are returned. Hooks that wait to be taken away stay; that of one
    /// which is being taken away is waited for.
    pub(super) fn attach(&mut self, ebpf: &mut Ebpf, hooks: &[Hook]) -> Vec<Gap> {
        self.links.extend(self.leaving.call_back());
        let missing = hooks.iter().filter(|hook| self.links.iter().all(|(attached, _)| attached != *hook));
        let mut refused = Vec::new();
        for hook in missing.copied().collect::<Vec<_>>() {
            let linked = match link::link(ebpf, hook) {
                Err(error) if has_no_place(&error) => {
                    self.once = true;
                    renew(ebpf, hook).and_then(|()| link::link(ebpf, hook))
                }
                other => other,
            };
            match linked.and_then(|link| link::own(ebpf, link)) {
                Ok(link) => self.links.push((hook, link)),
                Err(error) => refused.push(Gap { hook, reason: error.to_string() }),
            }
        }
        refused
    }

    /// Takes all away, beside the caller: records wait for nothing.
    pub(super) fn detach(&mut self, ebpf: &mut Ebpf, hooks: &[Hook]) {
        let links = std::mem::take(&mut self.links);
        if !self.once {
            return Leaving::see_off(&self.leaving, links);
        }
        drop(links);
        for hook in hooks {
            if let Err(error) = renew(ebpf, *hook) {
                // Attaching says so as well, and that is reported.
                tracing::debug!(probe = hook.label(), %error, "a program could not be loaded anew");
            }
        }
    }

    /// Waits until all that was taken away is gone, and the thread that does it as well.
    pub(super) fn settle(&self) {
        let thread = self.leaving.wait(|state| !state.runs).thread.take();
        // It does nothing that could panic, and what it does is done.
        let _ = thread.map(thread::JoinHandle::join);
    }
}

/// Programs that are being taken away, one after the other, by a thread that ends with the last.
#[derive(Default)]
struct Leaving {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<(Hook, Attached)>,
    /// The thread is at one.
    busy: bool,
    /// There is a thread that takes what waits.
    runs: bool,
    thread: Option<thread::JoinHandle<()>>,
}

impl Leaving {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing is left half done by whoever panics while it is held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait(&self, until: impl Fn(&State) -> bool) -> MutexGuard<'_, State> {
        let waited = self.changed.wait_while(self.lock(), |state| !until(state));
        waited.unwrap_or_else(PoisonError::into_inner)
    }

    fn see_off(this: &Arc<Self>, links: Vec<(Hook, Attached)>) {
        let mut state = this.lock();
        state.waiting.extend(links);
        if state.runs {
            return;
        }
        state.runs = true;
        let leaving = Arc::clone(this);
        match thread::Builder::new().name("detach".into()).spawn(move || leaving.work()) {
            Ok(thread) => state.thread = Some(thread),
            Err(error) => {
                tracing::debug!(%error, "no thread to take probes away; they are taken away at once");
                drop(state);
                this.work();
            }
        }
    }

    fn work(&self) {
        let mut state = self.lock();
        while let Some(link) = state.waiting.pop_front() {
            state.busy = true;
            drop(state);
            drop(link);
            state = self.lock();
            state.busy = false;
            self.changed.notify_all();
        }
        state.runs = false;
        self.changed.notify_all();
    }

    /// Those that have not been taken away yet.
    fn call_back(&self) -> Vec<(Hook, Attached)> {
        let back = std::mem::take(&mut self.lock().waiting);
        drop(self.wait(|state| !state.busy));
        back.into()
    }
}

/// `ENOENT` for a loaded program: it was attached before.
fn has_no_place(error: &LoadError) -> bool {
    let LoadError::Program { source: ProgramError::SyscallError(failed), .. } = error else { return false };
    failed.io_error.kind() == io::ErrorKind::NotFound
}

fn renew(ebpf: &mut Ebpf, hook: Hook) -> Result<(), LoadError> {
    link::unload(ebpf, hook)?;
    link::load(ebpf, &aya::Btf::from_sys_fs()?, hook)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::probe::plan::{Attach, Purpose};

    /// Tells that it is being taken away, and is so when it is let go.
    struct Slow(mpsc::Sender<()>, mpsc::Receiver<()>);

    impl Drop for Slow {
        fn drop(&mut self) {
            let _ = self.0.send(());
            let _ = self.1.recv();
        }
    }

    #[test]
    fn what_waits_to_be_taken_away_is_called_back_and_what_is_going_is_waited_for() {
        let hook = |program| Hook { program, attach: Attach::Call("sys_exit_read"), purpose: Purpose::Open };
        let ((told, begins), (go, may_go)) = (mpsc::channel(), mpsc::channel());
        let slow: Attached = Box::new(Slow(told, may_go));
        let leaving = Arc::<Leaving>::default();
        Leaving::see_off(&leaving, vec![(hook("going"), slow), (hook("waiting"), Box::new(()))]);
        begins.recv().unwrap();
        let caller = thread::spawn({
            let leaving = Arc::clone(&leaving);
            move || leaving.call_back().iter().map(|(hook, _)| hook.program).collect::<Vec<_>>()
        });
        // It has taken what waits, and does not come back before the other is gone.
        while !leaving.lock().waiting.is_empty() {
            thread::yield_now();
        }
        assert!(leaving.lock().busy && !caller.is_finished());
        go.send(()).unwrap();
        assert_eq!(caller.join().unwrap(), ["waiting"]);
        let state = leaving.wait(|state| !state.runs);
        assert!(state.waiting.is_empty() && !state.busy);
    }
}
