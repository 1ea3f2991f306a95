//! An attached program is not a live one: each must report a thing that we do on purpose.

use std::{
    fs::File,
    os::fd::AsRawFd,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use tokenhound_common::{
    process::ProcessKey,
    record::FileId,
    watch::{FileKey, FileWatch},
};

use crate::{
    ingest::{
        clock,
        decode::{Decoded, Decoder},
        observation::{Moment, Object, Observation, Peer, Way},
    },
    kernel::file_id,
    probe::{
        canary::{Canary, child, descriptors, messages, names, sockets},
        load::Sensor,
        plan::{self, Attach, Gap, Hook, Purpose},
    },
};

/// How long a probe has to report.
const DEADLINE: Duration = Duration::from_secs(3);

/// Outcome for one probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// Which.
    pub hook: Hook,
    /// `None` when it is live, otherwise what is wrong.
    pub failure: Option<String>,
}

/// What the probes are shown.
struct Scene {
    file: Canary,
    open: File,
    id: FileId,
    child: child::Canary,
    socket: sockets::Canary,
    /// A process that has ended.
    gone: u32,
}

impl Scene {
    fn set(directory: &Path) -> Result<Self, String> {
        let file = Canary::create(directory)
            .map_err(|error| format!("create the canary file in {}: {error}", directory.display()))?;
        let id = file_id::of(file.path()).map_err(|error| format!("identify the canary file: {error}"))?;
        let open = File::open(file.path()).map_err(|error| format!("open the canary file: {error}"))?;
        let child = child::Canary::start().map_err(|error| format!("start a child: {error}"))?;
        let socket = sockets::Canary::create(file.path())
            .map_err(|error| format!("create the canary socket in {}: {error}", directory.display()))?;
        Ok(Self { file, open, id, child, socket, gone: provoke_life()? })
    }

    /// Does what `hook` must see.
    fn provoke(&self, hook: Hook) -> std::io::Result<()> {
        let place = hook.place();
        let call = place.strip_prefix("sys_exit_").or_else(|| place.strip_prefix("sys_enter_"));
        match hook.purpose {
            Purpose::Life => Ok(()),
            Purpose::Open => self.file.open(call.unwrap_or("openat")),
            Purpose::Receive => descriptors::receive(&self.open, call.unwrap_or("recvmsg")),
            Purpose::Ring => descriptors::read(&self.open, "io_uring"),
            Purpose::Read => {
                let maps = place.ends_with("mmap_file");
                descriptors::read(&self.open, call.unwrap_or(if maps { "mmap" } else { "read" }))
            }
            Purpose::Inherit => self.inherit(),
            Purpose::Write => self.write(call.unwrap_or(place)),
            Purpose::Send => messages::send(call.unwrap_or("sendto")),
            Purpose::Answer => messages::answer(call.unwrap_or(place)),
            Purpose::End => self.end_with_it(),
            Purpose::Connect if bare(place) == "socket_connect" => sockets::address(),
            Purpose::Connect => self.socket.connect(),
            Purpose::Inspect => self.child.inspect(place),
            Purpose::Change => names::change(self.file.path(), bare(place)),
        }
    }

    /// Starts a program that has the file open.
    fn inherit(&self) -> std::io::Result<()> {
        let open = File::open(self.file.path())?;
        end_at_once().stdin(open).spawn()?.wait().map(drop)
    }

    /// Starts a program that has the file open for writing when it ends.
    fn end_with_it(&self) -> std::io::Result<()> {
        let open = File::options().append(true).open(self.file.path())?;
        end_at_once().stdout(open).spawn()?.wait().map(drop)
    }

    /// Opens the file for writing and closes it by the system call `call`.
    fn write(&self, call: &str) -> std::io::Result<()> {
        let open = File::options().append(true).open(self.file.path())?;
        descriptors::close(open, call)
    }

    /// Is `seen` what `hook` had to report?
    fn answers(&self, hook: Hook, seen: &Observation) -> bool {
        let own = std::process::id();
        match (hook.purpose, seen) {
            (Purpose::Life, Observation::Fork(fork)) => hook.program == "process_fork" && fork.child.tgid == self.gone,
            (Purpose::Life, Observation::Exec(exec)) => {
                hook.program == "process_exec" && exec.task.key.tgid == self.gone
            }
            (Purpose::Life, Observation::Exit(exit)) => {
                hook.program == "process_exit" && exit.process.tgid == self.gone
            }
            (Purpose::Open, Observation::Open(open)) => open.canary && open.way == Way::Open,
            (Purpose::Inherit, Observation::Open(open)) => open.canary && open.way == Way::Exec,
            (Purpose::Receive, Observation::Open(open)) => open.canary && open.way == Way::Receive,
            (Purpose::Ring | Purpose::Read, Observation::Open(open)) => {
                let way = if hook.place().contains("mmap") { Way::Map } else { Way::Read };
                open.canary && open.way == way
            }
            (Purpose::Connect, Observation::Connect(connect)) => {
                let address = matches!(connect.peer, Peer::Address { .. });
                connect.canary && address == (bare(hook.place()) == "socket_connect")
            }
            (Purpose::Send, Observation::Connect(connect)) => {
                connect.canary && matches!(connect.peer, Peer::Address { .. })
            }
            (Purpose::Answer, Observation::Answer(answer)) => {
                let call = hook.place().strip_prefix("sys_exit_").unwrap_or_default();
                answer.task.key.tgid == own && answer.name.strip_suffix(".invalid") == Some(call)
            }
            (Purpose::Write, Observation::Written(written)) => {
                written.task.key.tgid == own
                    && written.moment == Moment::Closed
                    && written.file.id.inode == self.id.inode
            }
            (Purpose::End, Observation::Written(written)) => {
                written.moment == Moment::Ended && written.file.id.inode == self.id.inode
            }
            (Purpose::Inspect, Observation::Open(open)) => {
                let how = child::Canary::shows(hook.place());
                open.task.key.tgid == own && matches!(open.object, Object::Process(seen, _) if Some(seen) == how)
            }
            (Purpose::Change, Observation::Change(change)) => {
                change.task.key.tgid == own && names::shows(bare(hook.place()), &change.what)
            }
            _ => false,
        }
    }
}

/// A hook of the security modules, also where it is attached to as a function.
fn bare(place: &str) -> &str {
    place.strip_prefix("security_").unwrap_or(place)
}

/// Makes each probe prove itself. Records of others that arrive meanwhile are kept in [`Sensor::early`].
#[must_use]
pub fn prove(sensor: &mut Sensor, directory: &Path) -> Vec<Proof> {
    let refused = sensor.refused.iter().map(|gap| Proof { hook: gap.hook, failure: Some(gap.reason.clone()) });
    let mut proofs: Vec<Proof> = refused.collect();
    sensor.keep_early();
    let scene = Scene::set(directory).and_then(|scene| {
        // Links and mounts are told by the names they are given.
        let name = scene.file.path().file_name().unwrap_or_default();
        sensor.keys.watch_directories([name.as_encoded_bytes()]);
        watch(sensor, scene.id)?;
        watch(sensor, scene.socket.id())?;
        let watched = sensor.keys.watch_address(sockets::ADDRESS.into(), FileWatch::CANARY);
        watched.map(|()| scene).map_err(|error| error.to_string())
    });
    let life = |hook: &&Hook| hook.purpose == Purpose::Life;
    // What was done before we asked for it to be told is told all the same.
    let hooks = sensor.plan.hooks.clone();
    for hook in hooks.iter().filter(life) {
        proofs.push(proof(sensor, &scene, *hook, 0));
    }
    let begun = sensor.set_proving(true).map_err(|error| format!("tell the programs to report us: {error}"));
    let own = own(sensor);
    let scene = begun.and(scene).and_then(|scene| {
        let own = own.ok_or("nothing of what we did was reported")?;
        let marked = sensor.carriers.mark(own, clock::now());
        marked.map(|()| scene).map_err(|error| format!("mark ourselves as a carrier: {error}"))
    });
    // The functions for peeking are one probe: which of them the compiler has left to be called, nobody knows.
    let first = hooks.iter().find(|hook| plan::PEEK.contains(hook));
    for hook in hooks.iter().filter(|hook| !life(hook) && (!plan::PEEK.contains(hook) || Some(*hook) == first)) {
        let from = sensor.early.len();
        proofs.push(proof(sensor, &scene, *hook, from));
    }
    // They come and go: that they can come again is part of the proof.
    sensor.watch_reads(true);
    sensor.watch_reads(false);
    sensor.settle();
    let refused = sensor.watch_reads(true);
    proofs.extend(provoked(sensor, &scene, sensor.plan.reads.clone(), &refused));
    sensor.watch_reads(false);
    proofs.extend(prove_writes(sensor, &scene));
    if let Ok(scene) = &scene {
        // Its place in the filter stays until the next scan; the exact map no longer knows the file.
        let _ = sensor.keys.forget(FileKey::of(scene.id));
        let _ = sensor.keys.forget(FileKey::of(scene.socket.id()));
        let _ = sensor.keys.forget_address(sockets::ADDRESS.into());
    }
    // Others may have read a store meanwhile: their marks stay.
    let ours: Vec<_> = own.into_iter().chain(children(sensor)).collect();
    sensor.carriers.forget(ours, clock::now());
    if let Err(error) = sensor.set_proving(false) {
        tracing::warn!(%error, "the programs go on reporting the agent itself");
    }
    proofs
}

/// The same for those that come and go with carriers: we are one meanwhile.
fn prove_writes(sensor: &mut Sensor, scene: &Result<Scene, String>) -> Vec<Proof> {
    sensor.watch_writes(true);
    sensor.watch_writes(false);
    sensor.settle();
    let refused = sensor.watch_writes(true);
    let proofs = provoked(sensor, scene, sensor.plan.writes.clone(), &refused);
    sensor.watch_writes(false);
    proofs
}

/// The proofs of hooks of which these were refused.
fn provoked(sensor: &mut Sensor, scene: &Result<Scene, String>, hooks: Vec<Hook>, refused: &[Gap]) -> Vec<Proof> {
    let mut proofs = Vec::new();
    for hook in hooks {
        let from = sensor.early.len();
        proofs.push(match refused.iter().find(|gap| gap.hook == hook) {
            Some(gap) => Proof { hook, failure: Some(gap.reason.clone()) },
            None => proof(sensor, scene, hook, from),
        });
    }
    proofs
}

/// Our own process as the kernel calls it: by the open that made the tier prove itself, or by our forks.
fn own(sensor: &Sensor) -> Option<ProcessKey> {
    let mut decoder = Decoder::default();
    let keys = sensor.early.iter().filter_map(|(_, bytes)| match decoder.decode(bytes).ok()?.observation {
        Observation::Open(open) => Some(open.task.key),
        Observation::Fork(fork) => Some(fork.parent),
        _ => None,
    });
    keys.into_iter().find(|key| key.tgid == std::process::id())
}

/// The processes that we have started.
fn children(sensor: &Sensor) -> Vec<ProcessKey> {
    let mut decoder = Decoder::default();
    let forks = sensor.early.iter().filter_map(|(_, bytes)| match decoder.decode(bytes).ok()?.observation {
        Observation::Fork(fork) if fork.parent.tgid == std::process::id() => Some(fork.child),
        _ => None,
    });
    forks.collect()
}

/// Lets one probe prove itself with a record at `from` or later among the early ones: those before were answers to
/// something else. They all stay there, or their sequence numbers would be missed later.
fn proof(sensor: &mut Sensor, scene: &Result<Scene, String>, hook: Hook, from: usize) -> Proof {
    let outcome = scene.as_ref().map_err(Clone::clone).and_then(|scene| {
        scene.provoke(hook).map_err(|error| format!("do what it must see ({}): {error}", hook.place()))?;
        find(sensor, from, |seen| scene.answers(hook, &seen.observation))
    });
    Proof { hook, failure: outcome.err() }
}

/// Does the hook that makes a tier report anything at all?
///
/// # Errors
///
/// When it does not, or when nothing could be done for it to report.
pub fn fires(sensor: &mut Sensor, hook: Hook) -> Result<(), String> {
    let asked = |error: std::io::Error| format!("open a file of our own: {error}");
    let file = descriptors::nameless().map_err(asked)?;
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    let id = file_id::of_open(&file).map_err(asked)?;
    watch(sensor, id)?;
    let proving = |error| format!("tell the programs to report us: {error}");
    sensor.set_proving(true).map_err(proving)?;
    // By the call that the hook is at: a C library may take another.
    let flags = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::CLOEXEC;
    let opened = rustix::fs::openat(rustix::fs::CWD, path, flags, rustix::fs::Mode::empty());
    let opened = opened.map_err(|error| asked(error.into()));
    let from = sensor.early.len();
    let outcome = opened
        .and_then(|_| find(sensor, from, |seen| matches!(&seen.observation, Observation::Open(open) if open.canary)));
    sensor.set_proving(false).map_err(proving)?;
    let _ = sensor.keys.forget(FileKey::of(id));
    outcome.map_err(|error| match hook.attach {
        Attach::Lsm(_) => format!("{error}; is `bpf` among the active security modules?"),
        _ => error,
    })
}

fn watch(sensor: &mut Sensor, id: FileId) -> Result<(), String> {
    sensor.keys.watch(id, FileWatch::ITSELF | FileWatch::CANARY).map(drop).map_err(|error| error.to_string())
}

/// A program that ends at once.
fn end_at_once() -> Command {
    let mut command = Command::new("/proc/self/exe");
    command.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// Starts a program that ends at once, and returns its pid.
fn provoke_life() -> Result<u32, String> {
    let mut child = end_at_once().spawn().map_err(|error| format!("start a child: {error}"))?;
    let pid = child.id();
    child.wait().map_err(|error| format!("wait for the child: {error}"))?;
    Ok(pid)
}

/// Waits for a record at `from` or later among the early ones.
fn find(sensor: &mut Sensor, from: usize, wanted: impl Fn(&Decoded) -> bool) -> Result<(), String> {
    let mut decoder = Decoder::default();
    let start = Instant::now();
    let mut examined = from;
    loop {
        sensor.keep_early();
        let mut matches = |bytes: &[u8]| decoder.decode(bytes).is_ok_and(|decoded| wanted(&decoded));
        if sensor.early[examined..].iter().any(|(_, bytes)| matches(bytes)) {
            return Ok(());
        }
        examined = sensor.early.len();
        let Some(left) = DEADLINE.checked_sub(start.elapsed()) else {
            return Err(format!("attached, but did not report within {} s", DEADLINE.as_secs()));
        };
        sensor.rings.wait(None, left).map_err(|error| format!("poll the rings: {error}"))?;
    }
}
