//! `injected-reader`: an expected reader read a store while foreign code ran in it: by a variable that makes it load
//! code, or by a tracer.
//!
//! What only root can write in a directory of the system is named in the finding and makes none. The same code in the
//! same reader of the same stores is told once an hour.

use std::{
    path::{Component, Path},
    time::SystemTime,
};

use tokenhound_common::process::ProcessKey;

use super::{
    access::{Access, Target},
    judge::{Identity, StoreFacts, Verdict},
    process_inspection,
    recent::Recent,
    severity::{self, Deed, Injection, Manner, Standing},
    words,
};
use crate::{
    finding::{
        detector::DetectorId,
        model::{self, Evidence, Finding, Remediation, Salt},
        visible,
    },
    ingest::{
        loading::Grip,
        observation::{Inspection, KernelTime},
        redact,
    },
    lineage::{
        loaded::{self, Kind, Loaded, Source},
        model::{Process, Writable},
    },
};

/// Most injections remembered.
const LIMIT: usize = 4096;
/// Most traced processes remembered.
const TRACED: usize = 4096;
/// How long the same is counted instead of told, in nanoseconds on record time.
const QUIET_NS: u64 = 3600 * 1_000_000_000;
/// A file that was changed in the last seconds before the read is new: a day.
const NEW_S: i64 = 24 * 3600;

/// Directories of the system: what is there and cannot be written by the reader's user was put there by whoever runs the
/// machine.
const SYSTEM: &[&str] = &[
    "/usr",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/bin",
    "/sbin",
    "/opt",
    "/etc",
    "/nix/store",
    "/gnu/store",
    "/snap",
    "/var/lib/snapd",
    "/app",
];

/// Where every user can put files, and what stands for an open descriptor.
const TEMPORARY: &[&str] = &["/tmp", "/var/tmp", "/dev/shm", "/dev/fd", "/proc"];

/// Files that known tools load into what they start: the variable, a directory's name on the way or the end of the path.
/// Only below a home and never in a temporary directory.
const TOOLS: &[(&str, &[&str])] = &[
    // Visual Studio Code's debugger, and editors made from it.
    ("NODE_OPTIONS", &["ms-vscode.js-debug", "bootloader.js"]),
    // Yarn Plug'n'Play.
    ("NODE_OPTIONS", &[".pnp.cjs"]),
    ("NODE_OPTIONS", &[".pnp.loader.mjs"]),
    // `bundle exec`.
    ("RUBYOPT", &["bundler", "setup"]),
    ("RUBYOPT", &["bundler", "setup.rb"]),
    // PyCharm's helpers hold a sitecustomize.py.
    ("PYTHONPATH", &["pycharm_matplotlib_backend"]),
    ("PYTHONPATH", &["pycharm_display"]),
];

/// Who traces a process.
#[derive(Clone, Debug)]
struct Tracer {
    name: String,
    /// A debugger that a person typed at a prompt.
    typed: bool,
}

/// State of the detector.
#[derive(Debug)]
pub struct InjectedReader {
    told: Recent<(u32, Identity, String), Told>,
    traced: Recent<ProcessKey, Tracer>,
}

#[derive(Debug)]
struct Told {
    at: Option<KernelTime>,
    repeated: u64,
}

impl Default for InjectedReader {
    fn default() -> Self {
        Self { told: Recent::new(LIMIT), traced: Recent::new(TRACED) }
    }
}

/// Foreign code in a reader.
struct Foreign {
    injection: Injection,
    /// In a headline.
    what: String,
    evidence: Vec<Evidence>,
}

impl InjectedReader {
    /// Remembers who attaches to whom.
    pub(crate) fn inspected(&mut self, access: &Access) {
        let Target::Process(Inspection::PtraceAttach, Some(target), _) = &access.target else { return };
        let Some(tracer) = access.chain.processes.first() else { return };
        let debugger = process_inspection::is_debugger(tracer);
        // `strace aws` traces what it started: whoever typed that sees what the program reads anyway.
        if target.key == tracer.key || (debugger && target.parent == Some(tracer.key)) {
            return;
        }
        let found = Tracer { name: words::short(tracer), typed: debugger && access.actor.at_prompt };
        // Once traced by a stranger it stays so, whoever looks at it later.
        let known = self.traced.touch(&target.key, access.time, || found.clone());
        if known.typed {
            *known = found;
        }
    }

    /// Does foreign code run in the reader?
    pub(crate) fn is_injected(&self, access: &Access) -> bool {
        let Some(reader) = access.chain.processes.first() else { return false };
        self.traced.get(&reader.key).is_some() || access.loaded.iter().any(|it| standing(it, access).is_some())
    }

    /// The finding for an expected read with foreign code, unless it was told within [`QUIET_NS`].
    pub(crate) fn read(&mut self, salt: &Salt, access: &Access, stores: &[&StoreFacts]) -> Option<Finding> {
        let reader = access.chain.processes.first()?;
        let mut foreign: Vec<Foreign> = access.loaded.iter().filter_map(|it| by_variable(it, access)).collect();
        foreign.extend(self.traced.get(&reader.key).map(by_tracer));
        let worst = foreign.iter().map(|it| &it.injection).copied();
        let worst =
            worst.max_by_key(|it| severity::assess(Deed::Injection(*it), &access.actor, Manner::default()).severity)?;
        let what: Vec<&str> = foreign.iter().map(|it| it.what.as_str()).collect();
        let ids: Vec<&str> = stores.iter().map(|store| store.id.as_str()).collect();
        let key = (reader.uid, Identity::of(reader), format!("{} {} {worst:?}", ids.join(" "), what.join(" ")));
        self.told.expire(access.time, QUIET_NS);
        let told = self.told.touch(&key, access.time, || Told { at: None, repeated: 0 });
        if told.at.is_some_and(|at| access.time.0.saturating_sub(at.0) <= QUIET_NS) {
            told.repeated += 1;
            return None;
        }
        let repeated = std::mem::replace(told, Told { at: Some(access.time), repeated: 0 }).repeated;
        finding(salt, access, stores, (&foreign, worst, repeated))
    }

    /// Entries pushed out because a table was full.
    pub(crate) fn evicted(&self) -> u64 {
        self.told.evicted() + self.traced.evicted()
    }
}

fn by_tracer(tracer: &Tracer) -> Foreign {
    let standing = if tracer.typed { Standing::Tool } else { Standing::Tracer };
    let text = format!("{} has attached to the reader (ptrace)", tracer.name);
    Foreign {
        injection: Injection { grip: Grip::Runs, standing },
        what: format!("traced by {}", tracer.name),
        evidence: vec![Evidence::new("injection.tracer", text)],
    }
}

fn by_variable(loaded: &Loaded, access: &Access) -> Option<Foreign> {
    let standing = standing(loaded, access)?;
    let grip = if loaded.always.is_some() { Grip::Runs } else { loaded.load.grip };
    // A user can say the same in their own settings.
    if grip == Grip::Helper && matches!(standing, Standing::Own | Standing::New | Standing::Gone | Standing::Tool) {
        return None;
    }
    Some(Foreign {
        injection: Injection { grip, standing },
        what: shown(loaded),
        evidence: vec![Evidence::new("injection.variable", described(loaded, Some(standing), access))],
    })
}

/// `LD_PRELOAD /tmp/x.so`. A path can hold a token like any other text.
fn shown(loaded: &Loaded) -> String {
    visible::text(&redact::redact_value(&loaded::shown(&loaded.load)))
}

/// Where the code comes from; `None` where that is in order.
fn standing(loaded: &Loaded, access: &Access) -> Option<Standing> {
    let path = match &loaded.load.source {
        Source::Code => return Some(Standing::Code),
        Source::Name(_) => return None,
        Source::Path(path) => path,
    };
    let place = loaded.place.clone().unwrap_or_default();
    let at = place.resolved.as_deref().unwrap_or(path);
    if place.kind != Kind::Directory && matches!(at.to_str(), Some("/dev/null")) {
        return None;
    }
    let untouched = place.writable == Writable::No || matches!(place.kind, Kind::Missing | Kind::Unknown);
    if below(at, SYSTEM) && untouched && place.writable != Writable::Yes {
        return None;
    }
    if below(path, TEMPORARY) || below(at, TEMPORARY) {
        return Some(Standing::Temporary);
    }
    if is_tool(&loaded.load.variable, at, access.home.as_deref()) {
        return Some(Standing::Tool);
    }
    if place.kind == Kind::Missing {
        return Some(Standing::Gone);
    }
    Some(if age_s(loaded, access).is_some_and(|age| age < NEW_S) { Standing::New } else { Standing::Own })
}

/// Seconds from the last change of the file that is loaded to the read. A directory changes with everything in it.
fn age_s(loaded: &Loaded, access: &Access) -> Option<i64> {
    let always = loaded.always.as_ref().map(|(_, place)| place);
    let file = always.or(loaded.place.as_ref()).filter(|place| place.kind == Kind::File)?;
    let now = access.wall.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    Some(i64::try_from(now.as_secs()).ok()?.saturating_sub(file.changed?).max(0))
}

fn below(path: &Path, directories: &[&str]) -> bool {
    let plain = !path.components().any(|part| part == Component::ParentDir);
    plain && directories.iter().any(|directory| path.starts_with(directory))
}

fn is_tool(variable: &str, path: &Path, home: Option<&Path>) -> bool {
    let at_home = home.is_some_and(|home| home.parent().is_some() && path.starts_with(home));
    let has = |parts: &[&str]| {
        let mut names = path.components().map(Component::as_os_str);
        let in_order = parts.iter().all(|part| {
            names.any(|name| {
                name.to_str().is_some_and(|name| {
                    name == *part || name.strip_prefix(part).is_some_and(|rest| rest.starts_with('-'))
                })
            })
        });
        in_order && names.next().is_none()
    };
    at_home && TOOLS.iter().any(|(of, parts)| *of == variable && has(parts))
}

fn described(loaded: &Loaded, standing: Option<Standing>, access: &Access) -> String {
    let mut text = shown(loaded);
    let Some(place) = &loaded.place else { return text };
    if let Some(resolved) = place.resolved.as_deref().filter(|it| loaded.load.source != Source::Path(it.to_path_buf()))
    {
        text.push_str(&format!(", which is {}", visible::path(resolved)));
    }
    text.push_str(match (place.kind, place.writable) {
        (Kind::Missing, _) => "; it is not there (any more)",
        (Kind::Unknown, _) => "; it could not be looked at",
        (_, Writable::Yes) => "; the reader's user can change it",
        (_, Writable::No) => "; the reader's user cannot change it",
        (_, Writable::Unknown) => "; whether the reader's user can change it is not known",
    });
    if let Some(age) = age_s(loaded, access).filter(|_| standing.is_some()) {
        text.push_str(&format!("; last changed {age} s before the read"));
    }
    if let Some((always, _)) = &loaded.always {
        text.push_str(&format!("; {} there is loaded whatever the reader does", visible::path(always)));
    }
    text
}

/// Which process brought the variable in: the first that has it while its parent has not.
fn origin(loaded: &Loaded, chain: &[Process]) -> Option<Evidence> {
    let value = |process: &Process| {
        process.environment.iter().find(|(name, _)| *name == loaded.load.variable).map(|(_, value)| value.clone())
    };
    let own = value(chain.first()?)?;
    let first = chain.iter().take_while(|process| value(process).as_ref() == Some(&own)).last()?;
    let parent = chain.iter().find(|process| Some(process.key) == first.parent)?;
    let text = format!("{} set by {} for {}", loaded.load.variable, words::short(parent), words::short(first));
    Some(Evidence::new("injection.origin", text))
}

fn finding(
    salt: &Salt,
    access: &Access,
    stores: &[&StoreFacts],
    (foreign, worst, repeated): (&[Foreign], Injection, u64),
) -> Option<Finding> {
    let reader = access.chain.processes.first()?;
    let store = stores.first()?;
    let assessment = severity::assess(Deed::Injection(worst), &access.actor, Manner::default());
    let what = foreign.iter().find(|it| it.injection == worst).map(|it| it.what.as_str()).unwrap_or_default();
    let mut reasons = assessment.reasons;
    reasons.push(format!("the reader itself is expected at {}", store.id));
    Some(Finding {
        uid: salt.uid(DetectorId::InjectedReader, access.time, reader.key, &format!("{} {what}", store.id)),
        detector: DetectorId::InjectedReader,
        severity: assessment.severity,
        reasons,
        time: access.time,
        wall: access.wall,
        headline: format!(
            "{} read {} with foreign code in it: {what}",
            words::reader(reader),
            visible::text(&store.title)
        ),
        target: model::Target::of(&access.target)?,
        chain: Some(access.chain.clone()),
        actor: Some(access.actor.clone()),
        user_name: access.user_name.clone(),
        evidence: evidence(access, foreign, repeated),
        verdict: Some(Verdict::Expected),
        tier: Some(access.tier),
        latency: None,
        remediation: Remediation::of(
            DetectorId::InjectedReader,
            &stores.iter().map(|store| (*store).clone()).collect::<Vec<_>>(),
        ),
        stores: stores.iter().map(|store| (*store).clone()).collect(),
        fingerprint: None,
    })
}

fn evidence(access: &Access, foreign: &[Foreign], repeated: u64) -> Vec<Evidence> {
    let mut evidence: Vec<Evidence> = foreign.iter().flat_map(|it| it.evidence.clone()).collect();
    for loaded in &access.loaded {
        match by_variable(loaded, access) {
            Some(_) => evidence.extend(origin(loaded, &access.chain.processes)),
            None => evidence.push(Evidence::new("injection.harmless", described(loaded, None, access))),
        }
    }
    evidence.extend(words::reader_evidence(&access.chain, access.user_name.as_deref()));
    if repeated > 0 {
        let text = format!("{repeated} more reads like this since it was last reported");
        evidence.push(Evidence::new("repeated", text));
    }
    evidence
}

#[cfg(test)]
mod tests;
