//! Which container a process is in, from the text of `/proc/<pid>/cgroup`.
//!
//! A service of the host is not a container, and neither is what a runtime keeps outside of its containers (conmon, the
//! lxc monitor, the nspawn supervisor). Container ids are 64 hex digits; lxc, nspawn and some builders use names.
//!
//! The path is no proof: whoever may create cgroups (any user with a delegated subtree) can name one like a container.

use std::collections::{HashMap, VecDeque};

use super::model::{Container, Process};

/// Most cgroups remembered by [`Containers`].
const CGROUPS: usize = 4096;

/// The innermost container that `text` (all lines of `/proc/<pid>/cgroup`, v1 or v2) names.
#[must_use]
pub fn parse(text: &str) -> Option<Container> {
    // `hierarchy:controllers:path`
    text.lines().filter_map(|line| line.splitn(3, ':').nth(2)).find_map(container_of)
}

/// The container of one cgroup path.
fn container_of(path: &str) -> Option<Container> {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    for at in (0..parts.len()).rev() {
        match classify(parts[at], at.checked_sub(1).map(|before| parts[before]), parts.get(at + 1).copied()) {
            Kind::Container(runtime, id) => {
                let runtime = if runtime == "unknown" { runtime_of(&parts) } else { runtime };
                return Some(Container::new(id, runtime));
            }
            Kind::Host => return None,
            Kind::Other => {}
        }
    }
    None
}

enum Kind {
    Container(&'static str, String),
    /// A part of a runtime that runs on the host.
    Host,
    Other,
}

/// What systemd scopes and the names in them mean.
const SCOPES: &[(&str, &str)] = &[
    ("docker-", "docker"),
    ("cri-containerd-", "containerd"),
    ("containerd-", "containerd"),
    ("nerdctl-", "containerd"),
    ("crio-", "crio"),
    ("libpod-", "podman"),
];

fn classify(part: &str, before: Option<&str>, after: Option<&str>) -> Kind {
    if part.starts_with("crio-conmon-") || part.starts_with("libpod-conmon-") || part.starts_with("lxc.monitor") {
        return Kind::Host;
    }
    let name = part.strip_suffix(".scope").unwrap_or(part);
    for (prefix, runtime) in SCOPES {
        if let Some(id) = name.strip_prefix(prefix).filter(|id| is_id(id)) {
            return Kind::Container(runtime, id.to_owned());
        }
    }
    // `kubepods-besteffort-podUID.slice:cri-containerd:ID`
    if let Some((head, id)) = part.rsplit_once(':')
        && is_id(id)
    {
        let runtime = head.rsplit(':').next().unwrap_or_default();
        let known = SCOPES.iter().find(|(prefix, _)| prefix.trim_end_matches('-') == runtime);
        return Kind::Container(known.map_or("unknown", |(_, runtime)| runtime), id.to_owned());
    }
    if let Some(name) = part.strip_prefix("lxc.payload.") {
        return Kind::Container("lxc", name.to_owned());
    }
    // `systemd-nspawn@NAME.service/payload`
    if let (Some(name), Some("payload")) = (nspawn_name(part), after) {
        return Kind::Container("nspawn", name);
    }
    match before {
        Some("docker") if is_id(part) => Kind::Container("docker", part.to_owned()),
        Some("lxc" | "lxc.payload") => Kind::Container("lxc", part.to_owned()),
        Some("buildkit") => Kind::Container("unknown", part.to_owned()),
        _ if is_id(part) => Kind::Container("unknown", part.to_owned()),
        _ => Kind::Other,
    }
}

/// The runtime that the parts above an id give away.
fn runtime_of(parts: &[&str]) -> &'static str {
    let any = |wanted: &[&str]| parts.iter().any(|part| wanted.iter().any(|name| part.starts_with(name)));
    if any(&["kubepods"]) {
        "kubernetes"
    } else if any(&["docker", "moby"]) {
        "docker"
    } else if any(&["libpod"]) {
        "podman"
    } else if any(&["k8s.io", "default", "containerd"]) {
        "containerd"
    } else {
        "unknown"
    }
}

/// The innermost unit in the unified hierarchy, or in systemd's own where that is all there is.
fn unit_of(text: &str) -> Option<String> {
    let path = |line: &str| {
        let mut fields = line.splitn(3, ':');
        let controllers = fields.nth(1)?;
        let ours = controllers.is_empty() || controllers == "name=systemd";
        fields.next().filter(|_| ours).map(str::to_owned)
    };
    let is_unit = |part: &&str| part.ends_with(".service") || part.ends_with(".scope");
    text.lines().filter_map(path).find_map(|path| path.rsplit('/').find(is_unit).map(str::to_owned))
}

fn nspawn_name(part: &str) -> Option<String> {
    let name = part
        .strip_prefix("systemd-nspawn@")
        .and_then(|name| name.strip_suffix(".service"))
        .or_else(|| part.strip_prefix("machine-").and_then(|name| name.strip_suffix(".scope")))?;
    Some(name.replace("\\x2d", "-"))
}

fn is_id(id: &str) -> bool {
    id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// What starts containers, or watches over one.
const STARTERS: &[&str] = &["runc", "crun", "conmon", "conmonrs", "youki"];

/// The container that a process was started in, by what starts containers above it: that is told where the bundle lies, in
/// a directory with the id as its name. (An id by itself looks like a secret, and is redacted.) For a process in another mount
/// namespace than theirs whose cgroup is not known any more, or says nothing: containerd's clients choose their own ids.
/// `chain` has the process first.
#[must_use]
pub fn of_lineage(chain: &[Process]) -> Option<Container> {
    let (process, ancestors) = chain.split_first()?;
    ancestors.iter().find_map(|ancestor| {
        let other = process.mount_namespace != 0 && process.mount_namespace != ancestor.mount_namespace;
        let shim = ancestor.name().starts_with("containerd-shim");
        if !(other && (shim || STARTERS.contains(&ancestor.name()))) {
            return None;
        }
        let paths = || ancestor.args.iter().filter(|arg| arg.starts_with('/'));
        let named = paths().find_map(|path| of_bundle(path)).or_else(|| of_shim(&ancestor.args).filter(|_| shim));
        named.or_else(|| {
            let path = paths().find(|arg| arg.split('/').any(is_id))?;
            let id = path.split('/').find(|part| is_id(part))?;
            let podman = path.split('/').any(|part| part == "overlay-containers");
            Some(Container::new(id, if podman { "podman" } else { "containerd" }))
        })
    })
}

/// Directory of containerd's bundles: `NAMESPACE/ID` below it.
const TASKS: &str = "io.containerd.runtime.v2.task";

/// By a path in a bundle of containerd.
fn of_bundle(path: &str) -> Option<Container> {
    let mut parts = path.split('/').skip_while(|part| *part != TASKS).skip(1);
    of_containerd(parts.next()?, parts.next()?)
}

/// By the arguments of containerd's shim, which outlives what starts the container.
fn of_shim(args: &[String]) -> Option<Container> {
    let value = |name: &str| args.iter().skip_while(|arg| *arg != name).nth(1);
    of_containerd(value("-namespace")?, value("-id")?)
}

/// Longest id that containerd allows (its package `identifiers`), in bytes.
const LONGEST: usize = 76;

/// A container of containerd. No other than its own ids: they may have been redacted.
fn of_containerd(namespace: &str, id: &str) -> Option<Container> {
    let letters = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let sound = id.starts_with(|first: char| first.is_ascii_alphanumeric()) && id.bytes().all(letters);
    let runtime = match namespace {
        "moby" => "docker",
        "k8s.io" => "kubernetes",
        _ => "containerd",
    };
    (sound && id.len() <= LONGEST).then(|| Container::new(id, runtime))
}

/// What `/proc/<pid>/cgroup` says of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Membership {
    /// The innermost container.
    pub container: Option<Container>,
    /// The innermost systemd unit.
    pub unit: Option<String>,
    /// The process has a cgroup of its own in the unified hierarchy. With the old hierarchies alone the id in records is
    /// that of the unified root for everybody and says nothing.
    pub telling: bool,
}

impl Membership {
    /// From all lines of `/proc/<pid>/cgroup`.
    #[must_use]
    pub fn of(text: &str) -> Self {
        let telling = text.lines().any(|line| line.starts_with("0::/") && line != "0::/");
        Self { container: parse(text), unit: unit_of(text), telling }
    }
}

/// The containers of cgroups, asked for when a cgroup is first seen: by the time a hit is examined its process may be
/// gone.
#[derive(Debug, Default)]
pub struct Containers {
    /// `None` for a cgroup whose id says nothing.
    known: HashMap<u64, Option<Membership>>,
    /// In the order in which they were learnt; the oldest goes first.
    order: VecDeque<u64>,
    evicted: u64,
}

impl Containers {
    /// Cgroups forgotten for want of room; they are asked for again when needed.
    #[must_use]
    pub const fn evicted(&self) -> u64 {
        self.evicted
    }

    /// To be called for every exec, so that short-lived processes find their cgroup known. `ask` looks at a process that
    /// is in it; it is called once for each cgroup.
    pub fn note(&mut self, cgroup: u64, ask: impl FnOnce() -> Option<Membership>) {
        if !self.known.contains_key(&cgroup)
            && let Some(membership) = ask()
        {
            self.learn(cgroup, &membership);
        }
    }

    /// Where a process in `cgroup` belongs; `ask` looks at that process where the cgroup does not tell.
    pub fn of(&mut self, cgroup: u64, ask: impl FnOnce() -> Option<Membership>) -> Option<Membership> {
        if let Some(Some(known)) = self.known.get(&cgroup) {
            return Some(known.clone());
        }
        let membership = ask()?;
        self.learn(cgroup, &membership);
        Some(membership)
    }

    fn learn(&mut self, cgroup: u64, membership: &Membership) {
        let telling = membership.telling && cgroup != 0;
        if self.known.insert(cgroup, telling.then(|| membership.clone())).is_none() {
            self.order.push_back(cgroup);
        }
        while self.order.len() > CGROUPS {
            if let Some(oldest) = self.order.pop_front() {
                self.known.remove(&oldest);
                self.evicted += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "3f29a1c5d7e8b90a1b2c3d4e5f60718293a4b5c6d7e8f9010213243546576879";
    const INNER: &str = "aa29a1c5d7e8b90a1b2c3d4e5f60718293a4b5c6d7e8f90102132435465768bb";

    #[test]
    fn cgroup_paths() {
        let table = [
            // v2, systemd
            ("0::/system.slice/docker-ID.scope", "docker ID"),
            ("0::/system.slice/docker-ID.scope/init.scope", "docker ID"),
            ("0::/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-ID.scope/container", "podman ID"),
            ("0::/machine.slice/libpod-ID.scope", "podman ID"),
            (
                "0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1_2.slice/cri-containerd-ID.scope",
                "containerd ID",
            ),
            ("0::/kubepods.slice/kubepods-pod1_2.slice/crio-ID.scope", "crio ID"),
            ("0::/kubepods.slice/kubepods-pod1_2.slice/docker-ID.scope", "docker ID"),
            ("0::/system.slice/nerdctl-ID.scope", "containerd ID"),
            ("0::/system.slice/containerd.service/kubepods-besteffort-pod1.slice:cri-containerd:ID", "containerd ID"),
            // cgroupfs driver
            ("0::/docker/ID", "docker ID"),
            ("12:pids:/docker/ID\n11:memory:/docker/ID\n0::/system.slice/containerd.service", "docker ID"),
            ("4:memory:/kubepods/burstable/pod8d1c/ID\n0::/", "kubernetes ID"),
            ("0::/default/ID", "containerd ID"),
            ("0::/k8s.io/ID", "containerd ID"),
            ("4:memory:/ecs/a1b2c3/ID", "unknown ID"),
            ("0::/libpod_parent/libpod-ID", "podman ID"),
            // the innermost counts
            ("0::/docker/ID/docker/INNER", "docker INNER"),
            ("0::/system.slice/docker-ID.scope/kubelet.slice/kubepods.slice/crio-INNER.scope", "crio INNER"),
            ("0::/docker/ID/system.slice/ssh.service", "docker ID"),
            // names
            ("0::/lxc.payload.web/system.slice/nginx.service", "lxc web"),
            ("0::/lxc/web", "lxc web"),
            ("0::/machine.slice/systemd-nspawn@my\\x2dbox.service/payload/system.slice/cron.service", "nspawn my-box"),
            ("0::/docker/buildkit/k2f9x0", "docker k2f9x0"),
            // the host
            ("0::/", ""),
            ("", ""),
            ("nonsense", ""),
            ("0::/init.scope", ""),
            ("0::/system.slice/docker.service", ""),
            ("0::/system.slice/containerd.service", ""),
            ("0::/system.slice/docker-notanid.scope", ""),
            ("0::/user.slice/user-1000.slice/session-2.scope", ""),
            ("0::/user.slice/user-1000.slice/user@1000.service/app.slice/app-flatpak-org.x-1.scope", ""),
            ("0::/machine.slice/libpod-conmon-ID.scope", ""),
            ("0::/kubepods.slice/crio-conmon-ID.scope", ""),
            ("0::/lxc.monitor.web", ""),
            ("0::/machine.slice/systemd-nspawn@box.service/supervisor", ""),
            ("0::/machine.slice/machine-qemu\\x2d1\\x2dvm.scope", ""),
            ("9:name=systemd:/\n4:memory:/process_api/ab30c78a0659a187845f208b4e76164f\n0::/", ""),
        ];
        for (text, want) in table {
            let text = text.replace("INNER", INNER).replace("ID", ID);
            let want = want.replace("INNER", INNER).replace("ID", ID);
            let got = parse(&text).map(|it| format!("{} {}", it.runtime, it.id)).unwrap_or_default();
            assert_eq!(got, want, "{text}");
        }
    }

    #[test]
    fn what_started_it_tells_the_container_of_a_process_that_is_gone() {
        use crate::detect::fixtures::{init, process, with_args};
        let inside = |pid, parent, path| Process { mount_namespace: 7, ..process(pid, parent, path) };
        let bundle =
            |id| format!("runc --root /r create --bundle /run/d/io.containerd.runtime.v2.task/moby/{id} <redacted>");
        let shim = process(20, 1, "/usr/bin/containerd-shim-runc-v2");
        let of = |chain: &[Process]| of_lineage(chain).map(|found| format!("{} {}", found.runtime, found.id));
        let runc = with_args(process(21, 20, "/usr/sbin/runc"), &bundle(ID));
        let chain = [inside(23, 22, "/bin/cat"), inside(22, 21, "/bin/sh"), runc.clone(), shim.clone(), init()];
        assert_eq!(of(&chain), Some(format!("docker {ID}")));
        assert_eq!(of(&[runc, shim.clone(), init()]), None, "a part of the runtime is outside");
        let line = format!("conmon -c <redacted> -b /var/lib/containers/storage/overlay-containers/{INNER}/userdata");
        let conmon = with_args(process(30, 1, "/usr/bin/conmon"), &line);
        assert_eq!(of(&[inside(31, 30, "/bin/sh"), conmon, init()]), Some(format!("podman {INNER}")));
        let other = with_args(process(41, 1, "/usr/bin/less"), &bundle(ID));
        assert_eq!(of(&[inside(42, 41, "/bin/sh"), other, init()]), None, "it starts no containers");
        assert_eq!(of(&[inside(40, 1, "/usr/bin/unshared"), init()]), None);
        let own = with_args(shim.clone(), "containerd-shim-runc-v2 -namespace th -id box.1 -address /run/c.sock");
        assert_eq!(of(&[inside(51, 20, "/bin/cat"), own, init()]), Some("containerd box.1".to_owned()));
        let log = "runc --root /r --log /run/c/io.containerd.runtime.v2.task/th/box/log.json create box";
        let runc = with_args(process(21, 20, "/usr/sbin/runc"), log);
        assert_eq!(of(&[inside(51, 21, "/bin/cat"), runc, shim.clone(), init()]), Some("containerd box".to_owned()));
        let hidden = with_args(shim, "containerd-shim-runc-v2 -namespace moby -id <redacted>");
        assert_eq!(of(&[inside(51, 20, "/bin/cat"), hidden, init()]), None);
    }

    #[test]
    fn units() {
        for (text, unit) in [
            ("0::/system.slice/cron.service", Some("cron.service")),
            ("0::/user.slice/user-1000.slice/session-3.scope", Some("session-3.scope")),
            ("0::/user.slice/user-1000.slice/user@1000.service/app.slice/sync.service", Some("sync.service")),
            ("0::/system.slice/app.service/worker", Some("app.service")),
            ("4:memory:/other.service\n1:name=systemd:/system.slice/old.service\n0::/", Some("old.service")),
            ("4:memory:/other.service\n0::/", None),
            ("", None),
        ] {
            assert_eq!(Membership::of(text).unit.as_deref(), unit, "{text}");
        }
    }

    fn docker() -> Membership {
        Membership::of(&format!("0::/docker/{ID}\n"))
    }

    #[test]
    fn a_cgroup_is_asked_for_once() {
        let mut containers = Containers::default();
        containers.note(42, || None);
        containers.note(42, || Some(docker()));
        containers.note(42, || panic!("it is known"));
        let found = containers.of(42, || panic!("it is known")).unwrap().container.unwrap();
        assert_eq!((found.runtime.as_str(), found.id.as_str()), ("docker", ID));
        assert_eq!(containers.of(43, || None), None);
    }

    #[test]
    fn a_cgroup_that_tells_nothing_is_asked_for_at_every_hit_and_not_at_every_exec() {
        let old = Membership::of(&format!("4:memory:/docker/{ID}\n0::/\n"));
        let mut containers = Containers::default();
        containers.note(1, || Some(old.clone()));
        containers.note(1, || panic!("it says nothing"));
        assert_eq!(containers.of(1, || None), None, "another process of this id may be in no container");
        let found = containers.of(1, || Some(old)).and_then(|found| found.container);
        assert_eq!(found.map(|found| found.id), Some(ID.to_owned()));
    }

    #[test]
    fn memory_is_bounded() {
        let mut containers = Containers::default();
        for cgroup in 0..CGROUPS as u64 + 10 {
            containers.note(cgroup, || Some(docker()));
        }
        assert_eq!((containers.known.len(), containers.order.len(), containers.evicted()), (CGROUPS, CGROUPS, 10));
    }
}
