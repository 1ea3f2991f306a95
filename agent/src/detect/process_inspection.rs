//! `process-inspection`: a process looked into another one, by procfs, ptrace, `process_vm_readv`, `pidfd_getfd` or a
//! core dump.
//!
//! Findings about one program started again and again by one parent (`for p in /proc/*/environ; do cat $p`) are one
//! finding, as are many targets of one process: the first at once, the others are counted.

use tokenhound_common::process::ProcessKey;

use super::{
    access::{Access, Target},
    engine::WINDOW_NS,
    judge::{Identity, Verdict},
    ps_arguments,
    recent::Recent,
    severity::{self, Assessment, Deed, Manner},
    words,
};
use crate::{
    finding::{
        detector::DetectorId,
        model::{self, Evidence, Finding, Remediation, Salt},
        severity::Severity,
        visible,
    },
    ingest::observation::{Inspection, KernelTime},
    lineage::model::Process,
};

/// Most (parent, reader, object, severity) remembered.
const LIMIT: usize = 4096;

/// Targets named in a finding; the others are counted.
const NAMED: usize = 5;

/// When a known program may look into another process.
#[derive(Clone, Copy, Debug)]
enum When {
    /// Its arguments do not ask `ps` to show the environment.
    PsListing,
    /// The target is pid 1.
    Init,
    /// Whatever the target.
    Always,
}

/// A program that looks into other processes as part of what it is for.
struct Known {
    /// Where it must be, in a place that its user cannot write.
    programs: &'static [&'static str],
    /// For interpreters, the script it must run, likewise. Empty for programs of their own.
    scripts: &'static [&'static str],
    how: Inspection,
    when: When,
}

/// The known programs. A basename is never enough; each has its reason.
const KNOWN: &[Known] = &[
    // procps reads every environ on each call, also when nobody asks for it.
    Known { programs: &["/usr/bin/ps", "/bin/ps"], scripts: &[], how: Inspection::Environ, when: When::PsListing },
    // To find out whether it runs in a container, systemd's library looks for a variable of pid 1.
    Known {
        programs: &[
            "/usr/bin/systemctl",
            "/usr/bin/systemd-detect-virt",
            "/usr/bin/loginctl",
            "/usr/bin/hostnamectl",
            "/usr/bin/timedatectl",
            "/usr/bin/udevadm",
            "/usr/lib/systemd/systemd-udevd",
            "/usr/lib/systemd/systemd-hostnamed",
            "/usr/lib/systemd/systemd-logind",
            "/usr/lib/systemd/systemd-timedated",
            "/lib/systemd/systemd-udevd",
            "/lib/systemd/systemd-hostnamed",
            "/lib/systemd/systemd-logind",
            "/lib/systemd/systemd-timedated",
        ],
        scripts: &[],
        how: Inspection::Environ,
        when: When::Init,
    },
    // Stores the environment of a crashed process with its core.
    Known {
        programs: &["/usr/lib/systemd/systemd-coredump", "/lib/systemd/systemd-coredump"],
        scripts: &[],
        how: Inspection::Environ,
        when: When::Always,
    },
    // An agent that starts looks at every process that runs already; several may run on a machine (`run --ci`).
    Known {
        programs: &["/usr/bin/tokenhound", "/usr/sbin/tokenhound", "/usr/local/bin/tokenhound"],
        scripts: &[],
        how: Inspection::Environ,
        when: When::Always,
    },
    // Ubuntu's crash handler, likewise.
    Known { programs: PYTHON, scripts: &["/usr/share/apport/apport"], how: Inspection::Environ, when: When::Always },
    // Reads the environment of interpreters to learn which of them use replaced libraries.
    Known {
        programs: &["/usr/bin/perl"],
        scripts: &["/usr/sbin/needrestart"],
        how: Inspection::Environ,
        when: When::Always,
    },
];

const PYTHON: &[&str] = &[
    "/usr/bin/python3",
    "/usr/bin/python3.10",
    "/usr/bin/python3.11",
    "/usr/bin/python3.12",
    "/usr/bin/python3.13",
    "/usr/bin/python3.14",
];

/// Debuggers and tracers. They may look into what they started; typed at a prompt they are worth a note, not an alert;
/// anything else is reported as of any program.
const DEBUGGERS: &[&str] = &[
    "/usr/bin/gdb",
    "/usr/bin/gdbserver",
    "/usr/bin/lldb",
    "/usr/bin/lldb-server",
    "/usr/bin/strace",
    "/usr/bin/ltrace",
    "/usr/bin/rr",
];

/// Is it one of these, in a place that its user cannot write?
pub(crate) fn is_debugger(process: &Process) -> bool {
    words::is_program(process, DEBUGGERS)
}

/// Variables that change how `ps` reads its arguments (ps(1), "personality").
pub const PERSONALITY: &[&str] = &["PS_PERSONALITY", "CMD_ENV", "I_WANT_A_BROKEN_PS", "UNIX95", "_XPG"];

/// What was reported of a reader, and what followed.
#[derive(Debug, Default)]
struct Seen {
    reported: Option<KernelTime>,
    more: u64,
    named: Vec<String>,
}

/// State of the detector.
#[derive(Debug)]
pub struct ProcessInspection {
    seen: Recent<(ProcessKey, Identity, Inspection, Severity), Seen>,
}

impl Default for ProcessInspection {
    fn default() -> Self {
        Self { seen: Recent::new(LIMIT) }
    }
}

impl ProcessInspection {
    /// The finding for an open of another process's `environ` or `mem`, unless it is tolerated or counted.
    pub(crate) fn access(&mut self, salt: &Salt, access: &Access) -> Option<Finding> {
        let Target::Process(how, target, _) = &access.target else { return None };
        let (how, target) = (*how, target.as_deref());
        let reader = access.chain.processes.first()?;
        if target.is_some_and(|target| target.key == reader.key) || tolerated(reader, how, target) {
            return None;
        }
        self.seen.expire(access.time, WINDOW_NS);
        let parent = reader.parent.unwrap_or(reader.key);
        let assessment = assess(access, how, target, reader);
        // Severity is part of the key: a harmless first target must not hide a dangerous second.
        let key = (parent, Identity::of(reader), how, assessment.severity);
        let seen = self.seen.touch(&key, access.time, Seen::default);
        if seen.reported.is_some_and(|at| access.time.0.saturating_sub(at.0) <= WINDOW_NS) {
            seen.more += 1;
            if seen.named.len() < NAMED {
                seen.named.push(name(target));
            }
            return None;
        }
        let before = std::mem::replace(seen, Seen { reported: Some(access.time), ..Seen::default() });
        finding(salt, access, (how, target), &before, assessment)
    }

    /// Entries pushed out because the table was full.
    pub(crate) fn evicted(&self) -> u64 {
        self.seen.evicted()
    }
}

/// Is this what the program is for?
fn tolerated(reader: &Process, how: Inspection, target: Option<&Process>) -> bool {
    let own_child = target.is_some_and(|target| target.parent == Some(reader.key));
    // The environment of a child came from its parent. Memory did not: a child may have read a store since.
    if own_child && (how == Inspection::Environ || words::is_program(reader, DEBUGGERS)) {
        return true;
    }
    KNOWN.iter().any(|known| {
        let itself = if known.scripts.is_empty() {
            words::is_program(reader, known.programs)
        } else {
            words::is_script(reader, known.programs, known.scripts)
        };
        itself && known.how == how && allowed(known.when, reader, target)
    })
}

fn allowed(when: When, reader: &Process, target: Option<&Process>) -> bool {
    match when {
        When::Always => true,
        When::Init => target.is_some_and(|target| target.key.tgid == 1),
        When::PsListing => {
            let personality = reader.environment.iter().any(|(name, _)| PERSONALITY.contains(&name.as_str()));
            // Without its arguments there is no telling; padding them must not help.
            !reader.args.is_empty()
                && !reader.args_truncated
                && !ps_arguments::show_environment(&reader.args, personality)
        }
    }
}

/// What happened, before the name of the other process.
const fn words_of(how: Inspection) -> &'static str {
    match how {
        Inspection::Environ => "read the environment of",
        Inspection::Mem => "opened the memory of",
        Inspection::PtraceAttach => "attached (ptrace) to",
        Inspection::PtracePeek => "read memory (ptrace) of",
        Inspection::ProcessVmReadv => "read memory (process_vm_readv) of",
        Inspection::PidfdGetfd => "took a descriptor (pidfd_getfd) from",
        Inspection::CoreDump => "read the core dump of",
    }
}

fn name(target: Option<&Process>) -> String {
    target.map_or_else(|| "a process that could not be resolved".to_owned(), words::short)
}

fn assess(access: &Access, how: Inspection, target: Option<&Process>, reader: &Process) -> Assessment {
    let foreign = target.is_some_and(|target| target.uid != reader.uid);
    let (runner, debugger) = (access.runner.is_some(), words::is_program(reader, DEBUGGERS));
    let deed = Deed::Inspection { how, foreign, runner, debugger };
    let mut assessment = severity::assess(deed, &access.actor, Manner::of(access));
    let whose = match target {
        None => "whose process it is could not be resolved".to_owned(),
        Some(target) if foreign => {
            format!("it belongs to another user (uid {}, the reader is uid {})", target.uid, reader.uid)
        }
        Some(_) => "it belongs to the same user".to_owned(),
    };
    assessment.reasons.insert(1, whose);
    if let Some(runner) = &access.runner {
        let reason =
            format!("it is {runner}: its memory holds every secret of its jobs, also those that no step was given");
        assessment.reasons.insert(2, visible::text(&reason));
    }
    if words::is_program(reader, &["/usr/bin/ps", "/bin/ps"]) {
        assessment.reasons.push("the arguments of ps ask to show environments, or cannot be known".to_owned());
    } else if assessment.severity > Severity::Informational {
        let reason = "the reader is not a program that looks into processes as part of what it is for";
        assessment.reasons.push(reason.to_owned());
    }
    assessment
}

fn finding(
    salt: &Salt,
    access: &Access,
    (how, target): (Inspection, Option<&Process>),
    before: &Seen,
    Assessment { severity, reasons }: Assessment,
) -> Option<Finding> {
    let reader = access.chain.processes.first()?;
    let mut evidence = vec![Evidence::new(
        "target.process",
        target.map_or_else(
            || name(None),
            |target| format!("{}, pid {}, uid {}", words::reader(target), target.key.tgid, target.uid),
        ),
    )];
    if let Target::Process(_, _, Some(core)) = &access.target {
        evidence.push(Evidence::new("target.core", format!("its core is {}", visible::path(core))));
    }
    if before.more > 0 {
        let named = before.named.join(", ");
        evidence.push(Evidence::new(
            "repeated",
            format!("{} more processes since it was last reported, among them {named}", before.more),
        ));
    }
    evidence.extend(words::reader_evidence(&access.chain, access.user_name.as_deref()));
    let about = target.map_or_else(|| "unresolved".to_owned(), |target| format!("{:?}", target.key));
    Some(Finding {
        uid: salt.uid(DetectorId::ProcessInspection, access.time, reader.key, &format!("{} {about}", how.name())),
        detector: DetectorId::ProcessInspection,
        severity,
        reasons,
        time: access.time,
        wall: access.wall,
        headline: format!("{} {} {}", words::reader(reader), words_of(how), name(target)),
        stores: Vec::new(),
        target: model::Target::Process { how, process: target.cloned().map(Box::new) },
        chain: Some(access.chain.clone()),
        actor: Some(access.actor.clone()),
        user_name: access.user_name.clone(),
        evidence,
        verdict: Some(Verdict::Unexpected),
        tier: Some(access.tier),
        latency: None,
        remediation: Remediation::of(DetectorId::ProcessInspection, &[]),
        fingerprint: None,
    })
}
