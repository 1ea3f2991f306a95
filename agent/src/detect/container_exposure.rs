//! `container-exposure`: a store is mounted into a container or read from inside one, or its token lies in an image or in
//! what a container has written.

use std::path::PathBuf;

use super::{
    access::{Access, Target},
    judge::{StoreFacts, Verdict},
    lifecycle::report::Moment,
    recent::Recent,
    severity::{
        Assessment,
        container::{Exposure, exposed},
    },
    words,
};
use crate::{
    container::model::{Found, Image, Place},
    finding::{
        detector::DetectorId,
        model::{self, Evidence, Finding, Remediation, Salt},
        visible,
    },
    ingest::observation::Way,
    lineage::model::{Chain, Container},
    token::fingerprint::Fingerprint,
};

/// Most containers with stores that are remembered.
const LIMIT: usize = 4096;
/// Most mounted stores that a finding names.
const NAMED: usize = 16;

/// State of the detector: which reads were told. One container tells one store once for readers that are expected, and once for
/// others: what a tool does every day must not hide a theft after it.
#[derive(Debug)]
pub struct ContainerExposure {
    read: Recent<(String, String, bool), ()>,
}

impl Default for ContainerExposure {
    fn default() -> Self {
        Self { read: Recent::new(LIMIT) }
    }
}

/// A store's file in a container.
#[derive(Clone, Debug)]
pub(crate) struct Mounted {
    /// The store.
    pub(crate) store: StoreFacts,
    /// Name on the host.
    pub(crate) outside: PathBuf,
    /// Name in the container.
    pub(crate) inside: PathBuf,
    /// It can only be read there.
    pub(crate) read_only: bool,
    /// The token in it, where that is known.
    pub(crate) fingerprint: Option<Fingerprint>,
}

/// A container that stores are mounted into.
pub(crate) struct Entry<'a> {
    /// The process by which it became known, as what accesses the first store. The actor is that of the starter.
    pub(crate) access: &'a Access,
    /// Their files, worst first. Not empty.
    pub(crate) mounted: &'a [Mounted],
    /// The socket of an engine is mounted as well: its name in the container.
    pub(crate) engine: Option<PathBuf>,
    /// Who had it started, where that is known.
    pub(crate) starter: Option<&'a Chain>,
}

/// The finding for a container with stores in it; `verdict` is what the policy says.
pub(crate) fn mounted(salt: &Salt, entry: &Entry<'_>, verdict: Verdict) -> Option<Finding> {
    let Entry { access, mounted, .. } = entry;
    let first = mounted.first()?;
    let process = access.chain.processes.first()?;
    let container = process.container.as_ref()?;
    let exposure = Exposure::Mounted { tier: first.store.tier };
    let known = entry.starter.is_some();
    let Assessment { severity, reasons } = exposed(exposure, known.then_some(&access.actor));
    let rest = match mounted.len() {
        0 | 1 => String::new(),
        count => format!(" and {} more", count - 1),
    };
    let outside = visible::path(&first.outside);
    let headline = format!(
        "{outside} ({}){rest} is mounted into {} as {}",
        visible::text(&first.store.title),
        words::container_name(container),
        visible::path(&first.inside)
    );
    let mut stores: Vec<StoreFacts> = Vec::new();
    for one in *mounted {
        if !stores.iter().any(|known| known.id == one.store.id) {
            stores.push(one.store.clone());
        }
    }
    let subject = format!("mounted {} {outside}", container.id);
    let target = model::Target::File {
        path: first.outside.clone(),
        known_as: None,
        way: Way::Open,
        path_in_root: Some(first.inside.clone()),
    };
    let evidence = mount_evidence(entry, container);
    let fingerprint = first.fingerprint.map(|fingerprint| fingerprint.to_string());
    let parts = Parts { severity, reasons, headline, stores, target, evidence, fingerprint, verdict };
    Some(finding(salt, access, &subject, parts))
}

fn mount_evidence(entry: &Entry<'_>, container: &Container) -> Vec<Evidence> {
    let mut evidence = vec![Evidence::new("container", words::container(container))];
    for one in entry.mounted.iter().take(NAMED) {
        let how = if one.read_only { "read only" } else { "for writing too" };
        let token = one.fingerprint.map_or_else(String::new, |fingerprint| format!(", with token {fingerprint}"));
        let text = format!(
            "{} of the host is {} there, {how}: {}{token}",
            visible::path(&one.outside),
            visible::path(&one.inside),
            one.store.id
        );
        evidence.push(Evidence::new("container.mount", text));
    }
    let unnamed = entry.mounted.len().saturating_sub(NAMED);
    if unnamed > 0 {
        evidence.push(Evidence::new("container.mount", format!("{unnamed} more files of stores are mounted")));
    }
    if let Some(socket) = &entry.engine {
        let text = format!(
            "the socket of a container engine is mounted as {}: whoever talks to it can mount all of the host",
            visible::path(socket)
        );
        evidence.push(Evidence::new("container.engine", text));
    }
    match entry.starter.and_then(|chain| chain.processes.first().zip(Some(chain))) {
        Some((client, chain)) => {
            let above = chain.processes.iter().skip(1).take(4).map(words::short).collect::<Vec<_>>().join(" < ");
            let text = format!("{} (pid {}) asked for it, below {above}", words::reader(client), client.key.tgid);
            evidence.push(Evidence::new("container.started_by", text));
        }
        None => evidence.push(Evidence::new("container.started_by", "who asked for it was not seen")),
    }
    evidence
}

impl ContainerExposure {
    /// The finding for a store of the host that was read in a container, unless this container's was told.
    pub(crate) fn read(
        &mut self,
        salt: &Salt,
        access: &Access,
        stores: &[&StoreFacts],
        verdict: Verdict,
    ) -> Option<Finding> {
        let process = access.chain.processes.first()?;
        let container = process.container.as_ref()?;
        // What has no name on the host is the container's own.
        let Target::Store { path, known_as: Some(outside), .. } = &access.target else { return None };
        let ids = stores.iter().map(|store| store.id.as_str()).collect::<Vec<_>>().join(" ");
        let key = (container.id.clone(), ids, verdict == Verdict::Expected);
        let told = self.read.get(&key).is_some();
        self.read.touch(&key, access.time, || ());
        let store = stores.first().filter(|_| !told)?;
        let exposure = Exposure::Read { tier: store.tier, expected: verdict == Verdict::Expected };
        let Assessment { severity, reasons } = exposed(exposure, Some(&access.actor));
        let (shown, inside) = (visible::path(outside), visible::path(path));
        let headline = format!(
            "{} in {} read {shown} ({}) of the host, as {inside}",
            words::reader(process),
            words::container_name(container),
            visible::text(&store.title)
        );
        let mut evidence = vec![
            Evidence::new("container", words::container(container)),
            Evidence::new("container.mount", format!("{shown} of the host is {inside} there")),
        ];
        evidence.extend(words::reader_evidence(&access.chain, access.user_name.as_deref()));
        let stores = stores.iter().map(|store| (*store).clone()).collect();
        let target = model::Target::of(&access.target)?;
        let subject = format!("read {} {shown}", container.id);
        let parts = Parts { severity, reasons, headline, stores, target, evidence, fingerprint: None, verdict };
        Some(finding(salt, access, &subject, parts))
    }

    /// Entries pushed out because the table was full.
    pub(crate) fn evicted(&self) -> u64 {
        self.read.evicted()
    }
}

/// A token that was found.
pub(crate) struct Exposed<'a> {
    /// Which, and where.
    pub(crate) found: &'a Found,
    /// The stores it lies in, worst first.
    pub(crate) stores: Vec<StoreFacts>,
    /// When it was found.
    pub(crate) moment: Moment,
    /// Who had it done, if that was seen.
    pub(crate) access: Option<&'a Access>,
}

/// The finding for a token in an image, or in what a container has written.
pub(crate) fn found(salt: &Salt, exposed: Exposed<'_>) -> Finding {
    let Exposed { found, stores, moment, access } = exposed;
    let exposure = match found.place {
        Place::Written { .. } => Exposure::Written,
        Place::Volume { .. } => Exposure::Volume,
        Place::Cache { .. } => Exposure::Cache,
        Place::Layer { .. } | Place::Config(_) => Exposure::Image,
    };
    let Assessment { severity, reasons } = self::exposed(exposure, access.map(|access| &access.actor));
    let (place, mut evidence) = placed(found);
    let ids = stores.iter().map(|store| store.id.as_str()).collect::<Vec<_>>().join(", ");
    for token in &found.tokens {
        evidence.push(Evidence::new("token.copy", format!("{token} is there, as it is or encoded")));
    }
    for path in stores.iter().flat_map(|store| &store.paths) {
        evidence.push(Evidence::new("token.store", format!("it belongs into {}", visible::text(path))));
    }
    match access {
        Some(access) => {
            let who = access.chain.processes.first().map_or_else(String::new, words::reader);
            evidence.push(Evidence::new("container.done_by", format!("{who} was told to {} before", told_to(found))));
            evidence.extend(words::reader_evidence(&access.chain, access.user_name.as_deref()));
        }
        None => evidence.push(Evidence::new("container.done_by", "who had it done was not seen")),
    }
    let process = access.and_then(|access| access.chain.processes.first()).map(|process| process.key);
    let outside = visible::path(&found.outside);
    Finding {
        uid: salt.uid(
            DetectorId::ContainerExposure,
            moment.time,
            process.unwrap_or_default(),
            &format!("found {ids} {place} {outside}"),
        ),
        detector: DetectorId::ContainerExposure,
        severity,
        reasons,
        time: moment.time,
        wall: moment.wall,
        headline: format!("The token of {ids} is in {place}"),
        target: model::Target::File { path: found.outside.clone(), known_as: None, way: Way::Open, path_in_root: None },
        chain: access.map(|access| access.chain.clone()),
        actor: access.map(|access| access.actor.clone()),
        user_name: access.and_then(|access| access.user_name.clone()),
        evidence,
        verdict: Some(Verdict::Unexpected),
        tier: access.map(|access| access.tier),
        latency: None,
        remediation: Remediation::of(DetectorId::ContainerExposure, &stores),
        stores,
        fingerprint: found.tokens.first().map(ToString::to_string),
    }
}

/// What the client was told that is named as who had it done.
const fn told_to(found: &Found) -> &'static str {
    match found.place {
        Place::Layer { .. } | Place::Config(_) | Place::Cache { .. } => "build",
        Place::Written { .. } => "copy",
        Place::Volume { .. } => "run or copy",
    }
}

/// Where it was found, in a few words and in detail.
fn placed(found: &Found) -> (String, Vec<Evidence>) {
    let Found { image: Image { engine, id, names }, place, member, .. } = found;
    let short: String = id.chars().take(12).collect();
    let image = if names.is_empty() {
        format!("an image without a name ({})", visible::text(&short))
    } else {
        format!("image {}", visible::text(&names.join(", ")))
    };
    let file = |inside: &PathBuf| match member {
        Some(member) => format!("{} in {}", visible::text(member), visible::path(inside)),
        None => visible::path(inside),
    };
    let engine = visible::text(engine);
    let (place, detail) = match place {
        Place::Layer { layer, inside, step } => {
            let step = step.as_ref().map_or_else(String::new, |step| format!(", made by {}", visible::text(step)));
            let detail = format!("{} of layer {}{step}", file(inside), visible::text(layer));
            (format!("{} of {image}", file(inside)), detail)
        }
        Place::Config(place) => {
            let detail = format!("{} in its configuration", visible::text(place));
            (format!("{} of {image}", visible::text(place)), detail)
        }
        Place::Written { container, named, inside } => {
            let container = Container { named: named.clone(), ..Container::new(container, &found.image.engine) };
            let detail = format!("{} of {}", file(inside), words::container(&container));
            let place = format!("{} of {}", file(inside), words::container_name(&container));
            return (place, vec![Evidence::new("container.written", detail)]);
        }
        Place::Cache { name, inside } => {
            let detail = format!("{} of {} in the cache of builds of {engine}", file(inside), visible::text(name));
            return (format!("{} of the build cache", file(inside)), vec![Evidence::new("container.cache", detail)]);
        }
        Place::Volume { name, inside } => {
            let place = format!("{} of volume {}", file(inside), visible::text(name));
            let detail = format!("{place}, of {engine}");
            return (place, vec![Evidence::new("container.volume", detail)]);
        }
    };
    let about = format!("{image}, id {}, of {engine}", visible::text(id));
    (place, vec![Evidence::new("container.image", about), Evidence::new("container.place", detail)])
}

/// What differs between these findings.
struct Parts {
    severity: crate::finding::severity::Severity,
    reasons: Vec<String>,
    headline: String,
    stores: Vec<StoreFacts>,
    target: model::Target,
    evidence: Vec<Evidence>,
    fingerprint: Option<String>,
    verdict: Verdict,
}

fn finding(salt: &Salt, access: &Access, subject: &str, parts: Parts) -> Finding {
    let Parts { severity, reasons, headline, stores, target, evidence, fingerprint, verdict } = parts;
    let process = access.chain.processes.first().map(|process| process.key).unwrap_or_default();
    Finding {
        uid: salt.uid(DetectorId::ContainerExposure, access.time, process, subject),
        detector: DetectorId::ContainerExposure,
        severity,
        reasons,
        time: access.time,
        wall: access.wall,
        headline,
        target,
        chain: Some(access.chain.clone()),
        actor: Some(access.actor.clone()),
        user_name: access.user_name.clone(),
        evidence,
        verdict: Some(verdict),
        tier: Some(access.tier),
        latency: None,
        remediation: Remediation::of(DetectorId::ContainerExposure, &stores),
        stores,
        fingerprint,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        container::model::Named,
        detect::{
            engine::Engine,
            fixtures::{access_at, expected, init, process, read_at, store, tolerated, under_shell, unexpected},
            judge::Judgement,
        },
        finding::severity::Severity,
        ingest::observation::KernelTime,
        lineage::model::Process,
    };

    /// A reader in a container, below what starts containers.
    fn inside(id: &str) -> Chain {
        let named = Named { name: Some("dev".into()), image: Some("img:1".into()), pod: None };
        let container = Container { named, ..Container::new(id, "docker") };
        let reader = Process { container: Some(container), ..process(50, 40, "/bin/cat") };
        Chain { processes: vec![reader, process(40, 1, "/usr/bin/containerd-shim-runc-v2"), init()], incomplete: false }
    }

    fn read(id: &str, known_as: Option<&str>) -> Access {
        let mut access = read_at(0.0, inside(id), "/root/.aws/credentials");
        if let Target::Store { known_as: name, .. } = &mut access.target {
            *name = known_as.map(PathBuf::from);
        }
        access
    }

    fn told(engine: &mut Engine, access: &Access, judgement: Judgement) -> Vec<Finding> {
        let findings = engine.access(access, &[judgement]).findings.into_iter();
        findings.filter(|finding| finding.detector == DetectorId::ContainerExposure).collect()
    }

    #[test]
    fn a_read_of_the_hosts_store_is_told_once_for_a_container() {
        let (mut engine, aws) = (Engine::new(Salt::new("h", "b")), || store("aws-credentials", "aws", 1));
        let hosts = Some("/home/ann/.aws/credentials");
        let found = told(&mut engine, &read("c1", hosts), unexpected(aws()));
        assert_eq!(found.iter().map(|one| one.severity).collect::<Vec<_>>(), [Severity::High]);
        let headline = "/bin/cat in docker container dev read /home/ann/.aws/credentials (the aws credentials file) of the \
                        host, as /root/.aws/credentials";
        assert_eq!(found[0].headline, headline);
        assert!(found[0].evidence.iter().any(|one| one.text.contains("of image img:1")), "{found:?}");
        assert!(told(&mut engine, &read("c1", hosts), unexpected(aws())).is_empty(), "the same container");
        let found = told(&mut engine, &read("c2", hosts), expected(aws()));
        assert_eq!(found[0].severity, Severity::Low, "its own kind of tool");
        let found = told(&mut engine, &read("c2", hosts), unexpected(aws()));
        assert_eq!(found[0].severity, Severity::High, "a theft after that");
        assert!(told(&mut engine, &read("c2", hosts), expected(aws())).is_empty(), "the tool again");
    }

    #[test]
    fn what_is_the_containers_own_or_allowed_is_not_told() {
        let (mut engine, aws) = (Engine::new(Salt::new("h", "b")), || store("aws-credentials", "aws", 1));
        assert!(told(&mut engine, &read("c1", None), unexpected(aws())).is_empty(), "no file of the host");
        let hosts = Some("/home/ann/.aws/credentials");
        assert!(told(&mut engine, &read("c1", hosts), tolerated(aws())).is_empty(), "an exception");
        let outside = read_at(0.0, under_shell(process(4242, 812, "/bin/cat")), "/home/ann/.aws/credentials");
        assert!(told(&mut engine, &outside, unexpected(aws())).is_empty(), "no container");
    }

    #[test]
    fn a_mount_says_what_is_where_and_who_asked() {
        let aws = Mounted {
            store: store("aws-credentials", "aws", 1),
            outside: "/home/ann/.aws/credentials".into(),
            inside: "/root/.aws/credentials".into(),
            read_only: true,
            fingerprint: None,
        };
        let npm = Mounted { store: store("npmrc", "npm", 2), outside: "/home/ann/.npmrc".into(), ..aws.clone() };
        let target = Target::Service {
            stores: Vec::new(),
            service: super::super::access::Service::Address { address: [127, 0, 0, 1].into(), port: 1 },
        };
        let access = access_at(0.0, inside("c1"), target);
        let starter = under_shell(process(60, 812, "/usr/bin/docker"));
        let mut entry = Entry { access: &access, mounted: &[aws.clone(), npm], engine: None, starter: None };
        let salt = Salt::new("h", "b");
        let alone = mounted(&salt, &entry, Verdict::Unexpected).unwrap();
        assert!(
            alone.headline.contains("and 1 more is mounted into docker container dev as /root/.aws/cr"),
            "{alone:?}"
        );
        assert_eq!((alone.severity, alone.stores.len()), (Severity::Medium, 2));
        entry.starter = Some(&starter);
        entry.engine = Some("/var/run/docker.sock".into());
        let found = mounted(&salt, &entry, Verdict::Unexpected).unwrap();
        for said in ["/usr/bin/docker (pid 60) asked for it", "read only", "the socket of a container engine"] {
            assert!(found.evidence.iter().any(|one| one.text.contains(said)), "{said}: {:?}", found.evidence);
        }
        entry.mounted = &[];
        assert_eq!(mounted(&salt, &entry, Verdict::Unexpected), None);
    }

    #[test]
    fn what_an_engine_keeps_is_told_by_where_it_lies() {
        let told = |place: Place, member: Option<&str>| {
            let found = Found {
                image: Image { engine: "docker".into(), ..Image::default() },
                place,
                outside: "/var/lib/docker/x".into(),
                member: member.map(str::to_owned),
                tokens: Vec::new(),
            };
            let moment = Moment { time: KernelTime(1), wall: std::time::SystemTime::UNIX_EPOCH };
            let stores = vec![store("aws-credentials", "aws", 1)];
            let finding = super::found(&Salt::new("h", "b"), Exposed { found: &found, stores, moment, access: None });
            (finding.headline, finding.severity)
        };
        let inside: PathBuf = "/root/b.tgz".into();
        let (headline, severity) = told(Place::Cache { name: "c46".into(), inside: inside.clone() }, None);
        assert_eq!(headline, "The token of aws-credentials is in /root/b.tgz of the build cache");
        assert_eq!(severity, Severity::Medium);
        let volume = Place::Volume { name: "data".into(), inside };
        let (headline, severity) = told(volume, Some("gzip: .aws/credentials"));
        let place = "gzip: .aws/credentials in /root/b.tgz of volume data";
        assert_eq!((headline, severity), (format!("The token of aws-credentials is in {place}"), Severity::Medium));
    }
}
