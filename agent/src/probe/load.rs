//! From the plan to attached programs.

use std::{
    os::fd::{AsFd, AsRawFd},
    process,
};

use aya::{
    Ebpf, EbpfLoader, include_bytes_aligned,
    maps::{MapData, MapError, PerCpuArray, RingBuf},
    programs::{BtfTracePoint, FEntry, ProgramError, TracePoint},
};
use tokenhound_common::loss::Reason;

use crate::{
    detect::access::Tier,
    ingest::{ring::Rings, sequence::Ring},
    kernel::{
        btf::{Btf, BtfError},
        facts::{self, Answer, Facts},
        offsets::{self, OffsetError, Resolved},
    },
    probe::{
        keys::{Keys, KeysError},
        patch::{self, PatchError},
        plan::{self, Hook, Plan, PlanError},
    },
};

/// The programs, built from `ebpf/` by `build.rs`.
static OBJECT: &[u8] = include_bytes_aligned!(concat!(env!("OUT_DIR"), "/tokenhound.bpf.o"));

/// Why the sensor could not start.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The kernel or our rights do not allow it.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The type information could not be read.
    #[error("read /sys/kernel/btf/vmlinux: {0}")]
    ReadBtf(#[from] std::io::Error),
    /// The type information is broken.
    #[error("parse /sys/kernel/btf/vmlinux: {0}")]
    ParseBtf(#[from] BtfError),
    /// Fields that the programs need are not where they can be found.
    #[error("this kernel's structures are not as expected: {}", join(.0))]
    Offsets(Vec<OffsetError>),
    /// The object could not be loaded.
    #[error("load the kernel object: {0}")]
    Object(#[from] aya::EbpfError),
    /// aya could not read the type information.
    #[error("read kernel types for attaching: {0}")]
    AyaBtf(#[from] aya::BtfError),
    /// The object lacks something: agent and object do not belong together.
    #[error("the kernel object has no {kind} `{name}`; build agent and object together")]
    Missing {
        /// Map or program.
        kind: &'static str,
        /// Its name.
        name: &'static str,
    },
    /// An instruction could not be completed.
    #[error("complete the kernel object: {0}")]
    Patch(#[from] PatchError),
    /// A map could not be used.
    #[error("open map `{name}`: {source}")]
    Map {
        /// Its name.
        name: &'static str,
        /// Why.
        source: MapError,
    },
    /// A program was refused.
    #[error("{operation} program `{program}`: {}", program_error(.source))]
    Program {
        /// `load` or `attach`.
        operation: &'static str,
        /// Its name.
        program: &'static str,
        /// Why.
        source: ProgramError,
    },
    /// Watch keys could not be set.
    #[error(transparent)]
    Keys(#[from] KeysError),
}

fn join(errors: &[OffsetError]) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// The end of the verifier's log says why it refused.
fn program_error(error: &ProgramError) -> String {
    match error {
        ProgramError::LoadError { io_error, verifier_log } => {
            let log = verifier_log.to_string();
            let lines: Vec<&str> = log.lines().collect();
            format!("{io_error}; verifier: {}", lines[lines.len().saturating_sub(12)..].join(" | "))
        }
        other => {
            let mut text = other.to_string();
            let mut source = std::error::Error::source(other);
            while let Some(cause) = source {
                text = format!("{text}: {cause}");
                source = cause.source();
            }
            text
        }
    }
}

/// Attached programs and the maps they share with us. Programs detach when it is dropped.
pub struct Sensor {
    /// What was found out about the kernel.
    pub facts: Facts,
    /// What was attached.
    pub plan: Plan,
    /// Facts that records cannot give on this kernel.
    pub missing: Vec<&'static str>,
    /// Where records come from.
    pub rings: Rings,
    /// What is watched.
    pub keys: Keys,
    /// Records that were read while probes were proven and still have to be worked on.
    pub early: Vec<(Ring, Vec<u8>)>,
    logger: Option<aya_log::EbpfLogger<&'static dyn log::Log>>,
    ebpf: Ebpf,
    lost: PerCpuArray<MapData, u64>,
}

impl Sensor {
    /// Gathers facts, plans, loads and attaches.
    ///
    /// # Errors
    ///
    /// When no tier works, or the one asked for does not.
    pub fn start(wanted: Option<Tier>) -> Result<Self, LoadError> {
        let mut facts = facts::gather();
        // Rights and BTF are checked before anything is touched.
        let without_fentry = plan::plan(&facts, Some(Tier::Tracepoint));
        if let Err(error @ (PlanError::NoRights(_) | PlanError::NoBtf(_))) = without_fentry {
            return Err(error.into());
        }
        raise_memlock();
        let btf = Btf::parse(std::fs::read("/sys/kernel/btf/vmlinux")?)?;
        let Resolved { offsets, missing } = offsets::resolve(&btf).map_err(LoadError::Offsets)?;
        let has_hook = btf.has_function("security_file_open");
        let (object, file_slot) = patch::complete(OBJECT, &btf, &offsets)?;
        drop(btf);
        let tgid = process::id();
        let mut ebpf = EbpfLoader::new()
            .override_global("OFFSETS", &offsets, true)
            .override_global("AGENT_TGID", &tgid, true)
            .override_global("FILE_SLOT_ID", &file_slot, true)
            .load(&object)?;
        let types = aya::Btf::from_sys_fs()?;
        for hook in plan::LIFE {
            attach(&mut ebpf, &types, hook)?;
        }
        facts.fentry = match (wanted, has_hook) {
            (Some(Tier::Tracepoint), _) => Answer::No("not tried: another tier was asked for".into()),
            (_, false) => Answer::No("the kernel has no function security_file_open to attach to".into()),
            (_, true) => match attach(&mut ebpf, &types, Hook::FileOpen) {
                Ok(()) => Answer::Yes,
                Err(error) => Answer::No(error.to_string()),
            },
        };
        let plan = plan::plan(&facts, wanted)?;
        for hook in plan.hooks.iter().filter(|hook| matches!(hook, Hook::Exit { .. })) {
            attach(&mut ebpf, &types, *hook)?;
        }
        let rings = Rings::new(ring(&mut ebpf, "HITS")?, ring(&mut ebpf, "LIFE")?);
        let lost = PerCpuArray::try_from(take(&mut ebpf, "LOST")?)
            .map_err(|source| LoadError::Map { name: "LOST", source })?;
        let keys =
            Keys::new(take(&mut ebpf, ".bss.filter")?, take(&mut ebpf, "FILE_IDS")?, take(&mut ebpf, "NAME_KEYS")?)?;
        let logger = aya_log::EbpfLogger::init(&mut ebpf)
            .inspect_err(|error| tracing::warn!(%error, "what the kernel programs log is not shown"))
            .ok();
        Ok(Self { facts, plan, missing, rings, keys, early: Vec::new(), logger, ebpf, lost })
    }

    /// Records lost in the kernel so far, by reason. Reasons without a loss are left out.
    ///
    /// # Errors
    ///
    /// When the counters cannot be read.
    pub fn lost(&self) -> Result<Vec<(Reason, &'static str, u64)>, MapError> {
        let mut lost = Vec::new();
        for (reason, label) in Reason::ALL {
            let total: u64 = self.lost.get(&reason.0, 0)?.iter().sum();
            if total > 0 {
                lost.push((*reason, *label, total));
            }
        }
        Ok(lost)
    }

    /// Times that the kernel did not start a program because it was running on that CPU already (a preempted
    /// `file_open`): each may be an open not seen. Linux 5.12 and later count it.
    #[must_use]
    pub fn misses(&self) -> u64 {
        let of = |program: &aya::programs::Program| {
            let fd = program.fd().ok()?.as_fd().as_raw_fd();
            let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{fd}")).ok()?;
            let (_, count) = info.lines().find_map(|line| line.split_once("recursion_misses:"))?;
            count.trim().parse::<u64>().ok()
        };
        self.ebpf.programs().filter_map(|(_, program)| of(program)).sum()
    }

    /// Passes on what the programs themselves had to say.
    pub fn flush_log(&mut self) {
        if let Some(logger) = &mut self.logger {
            logger.flush();
        }
    }
}

fn ring(ebpf: &mut Ebpf, name: &'static str) -> Result<RingBuf<MapData>, LoadError> {
    RingBuf::try_from(take(ebpf, name)?).map_err(|source| LoadError::Map { name, source })
}

fn take(ebpf: &mut Ebpf, name: &'static str) -> Result<aya::maps::Map, LoadError> {
    ebpf.take_map(name).ok_or(LoadError::Missing { kind: "map", name })
}

/// Loads and attaches one program.
fn attach(ebpf: &mut Ebpf, types: &aya::Btf, hook: Hook) -> Result<(), LoadError> {
    let name = hook.program();
    let program = ebpf.program_mut(name).ok_or(LoadError::Missing { kind: "program", name })?;
    let failed = |operation| move |source| LoadError::Program { operation, program: name, source };
    match hook {
        Hook::Life { event, .. } => {
            let program: &mut BtfTracePoint = program.try_into().map_err(failed("find"))?;
            program.load(event, types).map_err(failed("load"))?;
            program.attach().map_err(failed("attach"))?;
        }
        Hook::FileOpen => {
            let program: &mut FEntry = program.try_into().map_err(failed("find"))?;
            program.load("security_file_open", types).map_err(failed("load"))?;
            program.attach().map_err(failed("attach"))?;
        }
        Hook::Exit { call, .. } => {
            let program: &mut TracePoint = program.try_into().map_err(failed("find"))?;
            program.load().map_err(failed("load"))?;
            program.attach("syscalls", &format!("sys_exit_{call}")).map_err(failed("attach"))?;
        }
    }
    Ok(())
}

/// Before Linux 5.11 maps count against the locked-memory limit. Where it cannot be raised, loading says so itself.
fn raise_memlock() {
    use rustix::process::{Resource, Rlimit, setrlimit};
    if setrlimit(Resource::Memlock, Rlimit { current: None, maximum: None }).is_err() {
        tracing::debug!("the locked-memory limit could not be raised");
    }
}
