//! From the plan to attached programs.

use std::{
    os::fd::{AsFd, AsRawFd},
    process,
};

use aya::{
    Ebpf, EbpfLoader, include_bytes_aligned,
    maps::{Array, MapData, MapError, PerCpuArray, RingBuf},
    programs::ProgramError,
};
use tokenhound_common::{fields::Offsets, loss::Reason};

use crate::{
    detect::access::Tier,
    ingest::{ring::Rings, sequence::Ring},
    kernel::{
        btf::{Btf, BtfError},
        facts::{self, Facts},
        offsets::{self, OffsetError, Resolved},
    },
    probe::{
        carriers::Carriers,
        holders::Holders,
        keys::{Keys, KeysError},
        link,
        on_demand::OnDemand,
        patch::{self, PatchError},
        plan::{self, Gap, Plan, PlanError},
        selftest,
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

/// Times that the rings are read in one go before there is something else to do.
const EARLY_GOES: usize = 16;

/// Attached programs and the maps they share with us. Programs detach when it is dropped.
pub struct Sensor {
    /// What was found out about the kernel.
    pub facts: Facts,
    /// What was attached, and what is attached while somebody holds a watched file.
    pub plan: Plan,
    /// Hooks of the plan that could not be attached, and why.
    pub refused: Vec<Gap>,
    /// Facts that records cannot give on this kernel.
    pub missing: Vec<&'static str>,
    /// Where records come from.
    pub rings: Rings,
    /// What is watched.
    pub keys: Keys,
    /// Processes that have a watched file open.
    pub holders: Holders,
    /// Processes that carry the content of stores.
    pub carriers: Carriers,
    /// Records that were read while probes were proven and still have to be worked on.
    pub early: Vec<(Ring, Vec<u8>)>,
    logger: Option<aya_log::EbpfLogger<&'static dyn log::Log>>,
    pub(super) ebpf: Ebpf,
    reads: OnDemand,
    writes: OnDemand,
    lost: PerCpuArray<MapData, u64>,
    repeated: PerCpuArray<MapData, u64>,
    proving: Array<MapData, u32>,
}

impl Sensor {
    /// Gathers facts, plans, loads and attaches.
    ///
    /// # Errors
    ///
    /// When no tier works, or the one asked for does not.
    pub fn start(wanted: Option<Tier>) -> Result<Self, LoadError> {
        let mut facts = facts::gather(plan::call_events());
        // Rights and BTF are checked before anything is touched.
        plan::admit(&facts)?;
        raise_memlock();
        let btf = Btf::parse(std::fs::read("/sys/kernel/btf/vmlinux")?)?;
        facts.learn_types(&btf, plan::functions(), plan::security_hooks(), plan::RING);
        let candidates = plan::candidates(&facts, wanted)?;
        let Resolved { offsets, missing } = offsets::resolve(&btf).map_err(LoadError::Offsets)?;
        let mut ebpf = object(&btf, &offsets)?;
        drop(btf);
        let types = aya::Btf::from_sys_fs()?;
        for hook in plan::LIFE {
            link::attach(&mut ebpf, &types, hook)?;
        }
        let array = |ebpf: &mut Ebpf, name| {
            PerCpuArray::try_from(take(ebpf, name)?).map_err(|source| LoadError::Map { name, source })
        };
        let proving = Array::try_from(take(&mut ebpf, ".bss.proving")?)
            .map_err(|source| LoadError::Map { name: ".bss.proving", source })?;
        let logger = aya_log::EbpfLogger::init(&mut ebpf)
            .inspect_err(|error| tracing::warn!(%error, "what the kernel programs log is not shown"))
            .ok();
        let mut sensor = Self {
            facts,
            plan: candidates[0].clone(),
            refused: Vec::new(),
            missing,
            rings: Rings::new(ring(&mut ebpf, "HITS")?, ring(&mut ebpf, "LIFE")?, ring(&mut ebpf, "TRAIL")?),
            keys: Keys::new(
                take(&mut ebpf, ".bss.filter")?,
                take(&mut ebpf, "FILE_IDS")?,
                take(&mut ebpf, "NAME_KEYS")?,
                take(&mut ebpf, "ADDRESSES")?,
            )?,
            holders: Holders::new(take(&mut ebpf, "HOLDERS")?)
                .map_err(|source| LoadError::Map { name: "HOLDERS", source })?,
            carriers: Carriers::new(take(&mut ebpf, "CARRIERS")?, take(&mut ebpf, ".bss.armed")?)
                .map_err(|source| LoadError::Map { name: "CARRIERS", source })?,
            early: Vec::new(),
            logger,
            lost: array(&mut ebpf, "LOST")?,
            repeated: array(&mut ebpf, "REPEATED")?,
            proving,
            reads: OnDemand::default(),
            writes: OnDemand::default(),
            ebpf,
        };
        sensor.choose(candidates, &types, wanted.is_some())?;
        Ok(sensor)
    }

    /// Attaches the first of the plans whose tier works.
    fn choose(&mut self, candidates: Vec<Plan>, types: &aya::Btf, only: bool) -> Result<(), LoadError> {
        let mut reasons = Vec::new();
        for plan in candidates {
            match self.attach_tier(&plan, types) {
                Ok(()) => {
                    self.plan.reasons.append(&mut reasons);
                    self.attach_rest(types);
                    return Ok(());
                }
                Err(reason) if only => {
                    return Err(PlanError::Unavailable { tier: plan.tier.name(), reason }.into());
                }
                Err(reason) => reasons.push(format!("{}: {reason}", plan.tier.name())),
            }
        }
        Err(PlanError::Nothing(reasons).into())
    }

    /// Attaches the hook that makes a tier, and demands that it fires: one of a security module can be attached where
    /// `bpf` is not active, and then never does.
    fn attach_tier(&mut self, plan: &Plan, types: &aya::Btf) -> Result<(), String> {
        let Some(hook) = plan.hooks.iter().copied().find(|hook| plan::makes(*hook)) else {
            return Err("it has no hook for opens".into());
        };
        let link = link::attach(&mut self.ebpf, types, hook).map_err(|error| error.to_string())?;
        self.plan = plan.clone();
        if let Err(failure) = selftest::fires(self, hook) {
            link::detach(&mut self.ebpf, link);
            return Err(failure);
        }
        Ok(())
    }

    /// Attaches what else belongs to the tier, and loads what is attached later. What the kernel refuses is a gap.
    fn attach_rest(&mut self, types: &aya::Btf) {
        let plan = self.plan.clone();
        let rest = plan.hooks.iter().filter(|hook| !plan::LIFE.contains(hook) && !plan::makes(**hook));
        let mut refused = Vec::new();
        for hook in rest {
            if let Err(error) = link::attach(&mut self.ebpf, types, *hook) {
                refused.push(Gap { hook: *hook, reason: error.to_string() });
            }
            self.keep_early();
        }
        for hook in plan.reads.iter().chain(&plan.writes) {
            if let Err(error) = link::load(&mut self.ebpf, types, *hook) {
                refused.push(Gap { hook: *hook, reason: error.to_string() });
            }
            self.keep_early();
        }
        self.plan.hooks.retain(|hook| refused.iter().all(|gap| gap.hook != *hook));
        self.plan.reads.retain(|hook| refused.iter().all(|gap| gap.hook != *hook));
        self.plan.writes.retain(|hook| refused.iter().all(|gap| gap.hook != *hook));
        self.refused = refused;
    }

    /// Takes over what the rings hold: process life is told already, and a storm of it fills its ring while programs are loaded
    /// and proven. How much is read in one go is bounded, and the rings hold no more than a few goes.
    pub(super) fn keep_early(&mut self) {
        for _ in 0..EARLY_GOES {
            let early = &mut self.early;
            if self.rings.drain(|ring, bytes| early.push((ring, bytes.to_vec()))).is_nothing() {
                break;
            }
        }
    }

    /// Attaches the hooks for reads, or takes them away again. Returns those that could not be attached.
    pub fn watch_reads(&mut self, wanted: bool) -> Vec<Gap> {
        if wanted == self.reads.attached() {
            return Vec::new();
        }
        let hooks = self.plan.reads.clone();
        if wanted {
            return self.reads.attach(&mut self.ebpf, &hooks);
        }
        self.reads.detach(&mut self.ebpf, &hooks);
        Vec::new()
    }

    /// Waits until hooks that were taken away are gone, and the thread that takes them away.
    pub fn settle(&self) {
        self.reads.settle();
        self.writes.settle();
    }

    /// Attaches the hooks for closes, or takes them away again. Returns those that could not be attached.
    pub fn watch_writes(&mut self, wanted: bool) -> Vec<Gap> {
        if wanted == self.writes.attached() {
            return Vec::new();
        }
        let hooks = self.plan.writes.clone();
        if wanted {
            return self.writes.attach(&mut self.ebpf, &hooks);
        }
        self.writes.detach(&mut self.ebpf, &hooks);
        Vec::new()
    }

    /// Whether closes are watched now.
    #[must_use]
    pub fn watches_writes(&self) -> bool {
        self.writes.attached()
    }

    /// Whether reads are watched now.
    #[must_use]
    pub fn watches_reads(&self) -> bool {
        self.reads.attached()
    }

    /// Has our own doings reported, or no longer: only while probes are proven.
    ///
    /// # Errors
    ///
    /// When the kernel refuses.
    pub fn set_proving(&mut self, proving: bool) -> Result<(), MapError> {
        self.proving.set(0, u32::from(proving), 0)
    }

    /// Accesses that were not told because the same program did the same a moment before.
    ///
    /// # Errors
    ///
    /// When the counter cannot be read.
    pub fn repeated(&self) -> Result<u64, MapError> {
        Ok(self.repeated.get(&0, 0)?.iter().sum())
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

/// The object, completed for this kernel and with its constants set.
fn object(btf: &Btf, offsets: &Offsets) -> Result<Ebpf, LoadError> {
    let (object, file_slot) = patch::complete(OBJECT, btf, offsets)?;
    let tgid = process::id();
    let has_registers = u32::from(btf.has_function("bpf_task_pt_regs"));
    // An id mapping came to stand before the dentry, first for the function and later for the hook.
    let mapped = |function: &str| u32::from(btf.parameters(function).is_some_and(|count| count > 2));
    let (setattr, setattr_lsm) = (mapped("security_inode_setattr"), mapped("bpf_lsm_inode_setattr"));
    let ring_arguments = btf.event_arguments(plan::RING).unwrap_or_default() as u32;
    Ok(EbpfLoader::new()
        .override_global("OFFSETS", offsets, true)
        .override_global("AGENT_TGID", &tgid, true)
        .override_global("FILE_SLOT_ID", &file_slot, true)
        .override_global("HAS_TASK_REGISTERS", &has_registers, true)
        .override_global("SETATTR_DENTRY", &setattr, true)
        .override_global("SETATTR_DENTRY_LSM", &setattr_lsm, true)
        .override_global("RING_ARGUMENTS", &ring_arguments, true)
        .load(&object)?)
}

/// Before Linux 5.11 maps count against the locked-memory limit. Where it cannot be raised, loading says so itself.
fn raise_memlock() {
    use rustix::process::{Resource, Rlimit, setrlimit};
    if setrlimit(Resource::Memlock, Rlimit { current: None, maximum: None }).is_err() {
        tracing::debug!("the locked-memory limit could not be raised");
    }
}
