//! Findings as OCSF 1.8.0 Detection Finding (class 2004), one JSON object a line.
//!
//! Attributes that are not known are left out: OCSF has no nulls. What OCSF has no place for is in
//! `unmapped.tokenhound`. See `docs/ocsf.md`.

mod container;

use std::time::SystemTime;

use serde_json::{Map, Value, json};

use super::{
    detector::DetectorId,
    model::{Finding, Target},
    severity::Severity,
    standards::{ATTACK_VERSION, Entry, Technique},
    text, visible,
};
use crate::{
    detect::{access::Service, judge::StoreFacts},
    lineage::{
        actor::{Actor, Party},
        ci::Ci,
        model::{Chain, Process, Script, Writable},
        package::{Owner, installed::Installed},
    },
};

/// Version of the schema.
pub const VERSION: &str = "1.8.0";

const FINDINGS_CATEGORY: u32 = 2;
const DETECTION_FINDING: u32 = 2004;
const CREATE: u32 = 1;

/// Facts about this machine that go into every finding.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Host {
    /// Host name.
    pub hostname: Option<String>,
    /// Kernel release (`uname -r`).
    pub kernel_release: Option<String>,
    /// Id of the boot (`/proc/sys/kernel/random/boot_id`).
    pub boot_id: Option<String>,
}

/// The finding as one JSON object, without a newline.
#[must_use]
pub fn line(finding: &Finding, host: &Host) -> String {
    object(finding, host).to_string()
}

/// The same, of a finding that belongs to that incident: its id is `metadata.correlation_uid`, and in
/// `unmapped.tokenhound.incident`.
#[must_use]
pub fn line_in(finding: &Finding, host: &Host, incident: &str) -> String {
    let mut event = object(finding, host);
    for (at, key) in [("/metadata", "correlation_uid"), ("/unmapped/tokenhound", "incident")] {
        if let Some(map) = event.pointer_mut(at).and_then(Value::as_object_mut) {
            put(map, key, json!(incident));
        }
    }
    event.to_string()
}

/// The finding as a JSON object.
#[must_use]
pub fn object(finding: &Finding, host: &Host) -> Value {
    let mut event = Map::new();
    let severity = severity_id(finding.severity);
    put(&mut event, "activity_id", json!(CREATE));
    put(&mut event, "activity_name", json!("Create"));
    put(&mut event, "category_name", json!("Findings"));
    put(&mut event, "category_uid", json!(FINDINGS_CATEGORY));
    put(&mut event, "class_name", json!("Detection Finding"));
    put(&mut event, "class_uid", json!(DETECTION_FINDING));
    put(&mut event, "type_name", json!("Detection Finding: Create"));
    put(&mut event, "type_uid", json!(DETECTION_FINDING * 100 + CREATE));
    put(&mut event, "severity", json!(severity.1));
    put(&mut event, "severity_id", json!(severity.0));
    put(&mut event, "status", json!("New"));
    put(&mut event, "status_id", json!(1));
    put(&mut event, "is_alert", json!(finding.severity > Severity::Informational));
    put(&mut event, "time", json!(milliseconds(finding.wall)));
    put(&mut event, "message", json!(text::headline(finding, text::Style::default())));
    put(&mut event, "metadata", metadata(finding));
    put(&mut event, "finding_info", finding_info(finding));
    put(&mut event, "device", device(host));
    put(&mut event, "remediation", remediation(finding));
    put(&mut event, "evidences", evidences(finding));
    put(&mut event, "observables", observables(finding));
    put(&mut event, "resources", resources(finding, host));
    put(&mut event, "unmapped", json!({"tokenhound": unmapped(finding)}));
    if let Some(chain) = &finding.chain {
        put_some(&mut event, "actor", actor(finding, chain));
    }
    Value::Object(event)
}

pub(crate) fn put(map: &mut Map<String, Value>, key: &str, value: Value) {
    map.insert(key.to_owned(), value);
}

pub(crate) fn put_some(map: &mut Map<String, Value>, key: &str, value: Option<impl Into<Value>>) {
    if let Some(value) = value {
        map.insert(key.to_owned(), value.into());
    }
}

pub(crate) fn severity_id(severity: Severity) -> (u32, &'static str) {
    match severity {
        Severity::Informational => (1, "Informational"),
        Severity::Low => (2, "Low"),
        Severity::Medium => (3, "Medium"),
        Severity::High => (4, "High"),
        Severity::Critical => (5, "Critical"),
    }
}

fn milliseconds(wall: SystemTime) -> i64 {
    wall.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

fn metadata(finding: &Finding) -> Value {
    let mut profiles = vec!["host"];
    if containers(finding) {
        profiles.insert(0, "container");
    }
    json!({
        "uid": finding.uid,
        "version": VERSION,
        "profiles": profiles,
        "log_name": "findings",
        "product": {"name": "tokenhound", "vendor_name": "tokenhound", "version": env!("CARGO_PKG_VERSION")},
    })
}

/// Does any process shown run in a container? Only then the container profile applies.
fn containers(finding: &Finding) -> bool {
    let target =
        matches!(&finding.target, Target::Process { process: Some(process), .. } if process.container.is_some());
    target || finding.chain.iter().flat_map(|chain| &chain.processes).take(2).any(|process| process.container.is_some())
}

fn finding_info(finding: &Finding) -> Value {
    let meta = finding.detector.meta();
    let tags = |name: &str, entries: &[Entry]| {
        let values: Vec<_> = entries.iter().map(|entry| entry.uid).collect();
        // The schema types `values` as one string.
        (!values.is_empty()).then(|| json!({"name": name, "value": values.join(", ")}))
    };
    let mut info = Map::new();
    put(&mut info, "uid", json!(finding.uid));
    put(&mut info, "title", json!(finding.headline));
    put(&mut info, "desc", json!(meta.meaning));
    put(&mut info, "created_time", json!(milliseconds(finding.wall)));
    put(&mut info, "analytic", json!({"uid": meta.name, "name": meta.title, "type": "Rule", "type_id": 1}));
    put(&mut info, "attacks", finding.attacks().iter().map(attack).collect());
    let tags: Vec<_> =
        [tags("owasp-nhi", meta.nhi), tags("nist-csf-2.0", meta.csf), tags("nist-ai-rmf-1.0", finding.ai_risks())]
            .into_iter()
            .flatten()
            .collect();
    put(&mut info, "tags", json!(tags));
    Value::Object(info)
}

pub(crate) fn attack(technique: &Technique) -> Value {
    let mut attack = Map::new();
    put(&mut attack, "version", json!(ATTACK_VERSION));
    put(&mut attack, "tactic", json!({"uid": technique.tactic.uid, "name": technique.tactic.name}));
    let name = technique.parent.unwrap_or(technique.name);
    put(&mut attack, "technique", json!({"uid": technique.base(), "name": name}));
    if technique.parent.is_some() {
        put(&mut attack, "sub_technique", json!({"uid": technique.uid, "name": technique.name}));
    }
    Value::Object(attack)
}

pub(crate) fn device(host: &Host) -> Value {
    let mut os = Map::new();
    put(&mut os, "name", json!("Linux"));
    put(&mut os, "type", json!("Linux"));
    put(&mut os, "type_id", json!(200));
    put_some(&mut os, "kernel_release", host.kernel_release.clone());
    let mut device = Map::new();
    put(&mut device, "type_id", json!(0));
    put(&mut device, "type", json!("Unknown"));
    put(&mut device, "hostname", json!(host.hostname.as_deref().unwrap_or("unknown")));
    put_some(&mut device, "boot_uid", host.boot_id.clone());
    put(&mut device, "os", Value::Object(os));
    Value::Object(device)
}

fn actor(finding: &Finding, chain: &Chain) -> Option<Value> {
    let (reader, ancestors) = chain.processes.split_first()?;
    let mut process = process(reader, finding.user_name.as_deref());
    if let Some(parent) = ancestors.first() {
        put(&mut process, "parent_process", Value::Object(self::process(parent, None)));
    }
    if !ancestors.is_empty() {
        put(&mut process, "ancestry", ancestors.iter().map(entity).collect());
    }
    Some(json!({"process": process, "user": user(reader, finding.user_name.as_deref())}))
}

/// What identifies a process: the same value for every observer on this boot.
fn uid(process: &Process) -> String {
    format!("{}-{}", process.key.start_ns, process.key.tgid)
}

/// A process as `process_entity`, which is what `ancestry` holds.
fn entity(process: &Process) -> Value {
    let mut entity = Map::new();
    put(&mut entity, "pid", json!(process.key.tgid));
    put(&mut entity, "uid", json!(uid(process)));
    put(&mut entity, "name", json!(process.name()));
    if !process.executable.path.as_os_str().is_empty() {
        put(&mut entity, "path", json!(visible::lossless(&process.executable.path)));
    }
    if !process.args.is_empty() {
        put(&mut entity, "cmd_line", json!(process.args.join(" ")));
    }
    Value::Object(entity)
}

/// A process in full. Arguments were redacted before they left the decoder.
fn process(process: &Process, user_name: Option<&str>) -> Map<String, Value> {
    let Value::Object(mut map) = entity(process) else { return Map::new() };
    map.remove("path");
    if !process.executable.path.as_os_str().is_empty() {
        put(&mut map, "file", executable(process));
    }
    put(&mut map, "user", user(process, user_name));
    if process.session != 0 {
        put(&mut map, "session", json!({"uid": process.session.to_string()}));
    }
    if let Some(cwd) = &process.cwd {
        put(&mut map, "working_directory", json!(visible::lossless(cwd)));
    }
    if let Some(container) = &process.container {
        put(&mut map, "container", container::object(container));
    }
    map
}

fn executable(process: &Process) -> Value {
    let path = &process.executable.path;
    let name = path.file_name().map_or_else(|| process.name().to_owned(), |name| visible::lossless(name.as_ref()));
    json!({
        "name": name,
        "path": visible::lossless(path),
        "type": "Executable File",
        "type_id": 8,
        "uid": file_uid(process),
        "owner": {"uid": process.executable.uid.to_string()},
        "is_deleted": process.executable.links == 0,
    })
}

/// Whose a file is, by the package manager.
fn package(owner: &Owner) -> Value {
    match owner {
        Owner::Package { name, integrity } => json!({"name": name, "state": integrity.name()}),
        Owner::Nobody { digest, installed } => {
            let digest = digest.map(|digest| digest.to_string());
            let mut unowned = json!({"state": "unowned", "blake3": digest});
            if let (Some(map), Some(installed)) = (unowned.as_object_mut(), installed) {
                put(map, "installed", stated(installed));
            }
            unowned
        }
        Owner::Unknown => json!({"state": "unknown"}),
    }
}

/// What a record states that the reader's user may have written.
fn stated(installed: &Installed) -> Value {
    json!({
        "by": installed.by.name(),
        "name": installed.package.name(),
        "version": installed.package.version(),
        "state": installed.integrity.name(),
        "record": visible::lossless(&installed.record),
        "record_writable": match installed.record_writable {
            Writable::No => Some(false),
            Writable::Yes => Some(true),
            Writable::Unknown => None,
        },
    })
}

fn file_uid(process: &Process) -> String {
    let id = process.executable.id;
    format!("{}:{}:{}", id.device >> 20, id.device & 0xf_ffff, id.inode)
}

fn user(process: &Process, name: Option<&str>) -> Value {
    let mut user = Map::new();
    put(&mut user, "uid", json!(process.uid.to_string()));
    put_some(&mut user, "name", name);
    let (id, kind) = if process.uid == 0 { (2, "Admin") } else { (1, "User") };
    put(&mut user, "type_id", json!(id));
    put(&mut user, "type", json!(kind));
    Value::Object(user)
}

fn remediation(finding: &Finding) -> Value {
    let mut desc = finding.remediation.steps.join(" ");
    if !finding.remediation.commands.is_empty() {
        desc.push_str(" Commands: ");
        desc.push_str(&finding.remediation.commands.join("; "));
    }
    json!({ "desc": desc })
}

/// One entry for the accessed object, then one for each fact.
fn evidences(finding: &Finding) -> Value {
    let mut evidences = Vec::new();
    match &finding.target {
        Target::File { path, known_as, .. } => {
            let what = if finding.detector == DetectorId::TokenCopied { "copy.path" } else { "store.path" };
            evidences.push(json!({"name": what, "file": file(path)}));
            if let Some(known) = known_as {
                evidences.push(json!({"name": "store.known_path", "file": file(known)}));
            }
        }
        Target::Process { process: Some(target), how } => {
            evidences.push(json!({"name": format!("target.{}", how.name()), "process": process(target, None)}));
        }
        Target::Process { process: None, .. } | Target::Service(_) | Target::Sensor => {}
    }
    for fact in &finding.evidence {
        evidences.push(json!({"name": fact.key, "data": fact.text}));
    }
    json!(evidences)
}

fn file(path: &std::path::Path) -> Value {
    let name = path.file_name().map_or_else(|| "/".to_owned(), |name| visible::lossless(name.as_ref()));
    json!({"name": name, "path": visible::lossless(path), "type": "Regular File", "type_id": 1})
}

fn observables(finding: &Finding) -> Value {
    let mut all = Vec::new();
    let mut add = |name: &str, kind: &str, id: u32, value: String| {
        all.push(json!({"name": name, "type": kind, "type_id": id, "value": value}));
    };
    if let Target::File { path, .. } = &finding.target {
        add("evidences[].file.path", "File Path", 45, visible::lossless(path));
    }
    for store in &finding.stores {
        add("resources[].uid", "Resource UID", 10, store.id.clone());
    }
    if let Some(reader) = finding.reader() {
        add("actor.process.name", "Process Name", 9, reader.name().to_owned());
        if !reader.executable.path.as_os_str().is_empty() {
            add("actor.process.file.path", "File Path", 45, visible::lossless(&reader.executable.path));
        }
    }
    if let Some(name) = &finding.user_name {
        add("actor.user.name", "User Name", 4, name.clone());
    }
    if let Some(fingerprint) = &finding.fingerprint {
        add("unmapped.tokenhound.fingerprint", "Fingerprint", 30, fingerprint.clone());
    }
    json!(all)
}

/// The stores; for findings without one, what was looked into.
fn resources(finding: &Finding, host: &Host) -> Value {
    let path = text_path(&finding.target);
    if finding.stores.is_empty() {
        let (uid, kind) = match &finding.target {
            Target::Process { process: Some(target), .. } => (uid(target), "process"),
            Target::Process { process: None, .. } => ("unresolved".to_owned(), "process"),
            Target::File { .. } => (path.clone(), "file"),
            Target::Service(_) => (path.clone(), "service"),
            Target::Sensor => (host.hostname.clone().unwrap_or_else(|| "sensor".to_owned()), "sensor"),
        };
        return json!([{"uid": uid, "name": path, "type": kind, "role": "Target", "role_id": 1}]);
    }
    // A sweep has one store for each file, and a copy lies elsewhere.
    let name = |store: &StoreFacts| match finding.detector {
        DetectorId::CredentialSweep | DetectorId::TokenCopied => {
            store.paths.first().cloned().unwrap_or_else(|| store.id.clone())
        }
        _ => path.clone(),
    };
    let resource = |store: &StoreFacts| {
        json!({
            "uid": store.id,
            "name": name(store),
            "type": "credential store",
            "labels": [format!("tier:{}", store.tier), format!("family:{}", store.family)],
            "role": "Target",
            "role_id": 1,
        })
    };
    finding.stores.iter().map(resource).collect()
}

/// What was asked of whoever keeps the token.
fn service(service: &Service) -> Value {
    match service {
        Service::Start { place, .. } => json!({"carries": visible::text(&place.words())}),
        Service::Print { command, output } => json!({"prints": visible::text(command), "output": output.name()}),
        Service::Socket { path, known_as: None } => json!({"socket": visible::lossless(path)}),
        Service::Socket { path, known_as: Some(known) } => {
            json!({"socket": visible::lossless(path), "known_as": visible::lossless(known)})
        }
        Service::Egress { address, port, name, .. } => {
            let called = name.as_ref().map(|called| visible::text(&called.name));
            let by = name.as_ref().map(|called| called.by.name());
            json!({"connected": address.to_string(), "port": port, "name": called, "name_from": by})
        }
        Service::Address { address, port } => json!({"address": address.to_string(), "port": port}),
    }
}

fn text_path(target: &Target) -> String {
    match target {
        Target::File { path, .. } => visible::lossless(path),
        other => text::target(other),
    }
}

/// Who acts, why that is thought, and for whom.
fn whose(actor: &Actor) -> Value {
    let mut map = party(&actor.party);
    let reasons: Vec<String> = actor.reasons.iter().map(|reason| visible::text(reason)).collect();
    put(&mut map, "reasons", json!(reasons));
    put(&mut map, "at_prompt", json!(actor.at_prompt));
    if !actor.on_behalf_of.is_empty() {
        put(&mut map, "on_behalf_of", actor.on_behalf_of.iter().map(|other| Value::Object(party(other))).collect());
    }
    Value::Object(map)
}

fn party(party: &Party) -> Map<String, Value> {
    let mut map = Map::new();
    put(&mut map, "class", json!(party.class.name()));
    put(&mut map, "name", json!(visible::text(&party.name)));
    put_some(&mut map, "id", party.id.clone());
    put(&mut map, "proof", json!(party.proof.name()));
    put_some(&mut map, "process_uid", party.process.map(|key| format!("{}-{}", key.start_ns, key.tgid)));
    for (detail, value) in &party.details {
        put(&mut map, detail.name(), json!(visible::text(value)));
    }
    map
}

/// The job and step of a CI system. [`super::sarif`] writes the same.
pub(super) fn job(ci: &Ci) -> Value {
    let mut map = Map::new();
    put(&mut map, "system", json!(ci.system));
    put(&mut map, "proof", json!(ci.proof.name()));
    for (fact, value) in &ci.facts {
        put(&mut map, fact.name(), json!(visible::text(value)));
    }
    Value::Object(map)
}

fn unmapped(finding: &Finding) -> Value {
    let mut map = Map::new();
    put_some(&mut map, "actor", finding.actor.as_ref().map(whose));
    put_some(&mut map, "ci", finding.ci().map(job));
    put(&mut map, "reasons", json!(finding.reasons));
    put_some(&mut map, "verdict", finding.verdict.map(|verdict| verdict.name()));
    put_some(&mut map, "tier", finding.tier.map(|tier| tier.name()));
    put_some(&mut map, "latency_ms", finding.latency.map(|latency| latency.as_secs_f64() * 1000.0));
    put_some(&mut map, "fingerprint", finding.fingerprint.clone());
    put(&mut map, "kernel_time_ns", json!(finding.time.0));
    match &finding.target {
        Target::File { way, path_in_root, .. } => {
            let mut access = Map::new();
            put(&mut access, "way", json!(way.name()));
            put_some(&mut access, "path_in_root", path_in_root.as_deref().map(visible::lossless));
            put(&mut map, "access", Value::Object(access));
        }
        Target::Process { how, .. } => put(&mut map, "object", json!(how.name())),
        Target::Service(service) => put(&mut map, "service", self::service(service)),
        Target::Sensor => {}
    }
    if let Some(chain) = &finding.chain {
        put(&mut map, "lineage_incomplete", json!(chain.incomplete));
    }
    if let Some(owners) = finding.reader().and_then(|reader| reader.owners.as_deref()) {
        let mut all = Map::new();
        put(&mut all, "executable", package(&owners.executable));
        let script = owners.script.as_ref().filter(|_| finding.reader().and_then(Process::script_path).is_some());
        put_some(&mut all, "script", script.map(package));
        put(&mut map, "packages", Value::Object(all));
    }
    if let Some(script) = finding.reader().and_then(|reader| reader.script.as_ref()) {
        put(
            &mut map,
            "script",
            match script {
                Script::File { path, .. } => json!(visible::lossless(path)),
                Script::Module(name) => json!(format!("module {name}")),
                Script::Inline => json!("inline"),
            },
        );
    }
    Value::Object(map)
}

#[cfg(test)]
mod tests;
