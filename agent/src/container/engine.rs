//! Which container engines run, and where they keep their files: from what their daemons were started with. Pure.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::facts::lookup::Places;

/// What a program has to do with containers, by its name. That files are looked at is all that follows from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// Docker's daemon.
    Dockerd,
    /// containerd, by itself or below another engine.
    Containerd,
    /// A program that asks an engine, or is one without a daemon.
    Client,
}

impl Program {
    /// By the name of the program.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "dockerd" => Some(Self::Dockerd),
            "containerd" => Some(Self::Containerd),
            "docker" | "podman" | "nerdctl" | "ctr" | "buildah" | "docker-compose" | "buildctl" | "crictl" => {
                Some(Self::Client)
            }
            _ => None,
        }
    }
}

/// What the client of an engine was told to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Task {
    /// Start a container.
    Run,
    /// Build an image, or make one of a container.
    Build,
    /// Copy files into or out of a container.
    Copy,
}

impl Task {
    /// From the arguments of a client, its own name first. Options stand before the command, with or without a value of
    /// their own: the first word that is a command counts.
    #[must_use]
    pub fn of(args: &[String]) -> Option<Self> {
        let words = args.iter().skip(1).take(16);
        words.filter(|word| !word.starts_with('-')).find_map(|word| match word.as_str() {
            "run" | "start" | "create" | "up" | "exec" => Some(Self::Run),
            "build" | "bake" | "commit" | "import" | "load" => Some(Self::Build),
            "cp" => Some(Self::Copy),
            _ => None,
        })
    }
}

/// Where a daemon keeps its files, by its arguments. The configuration file, which arguments win over, is read by `read`.
#[must_use]
pub fn places(daemon: Program, args: &[String], read: impl FnOnce(&Path) -> Option<Vec<u8>>) -> Vec<Places> {
    match daemon {
        Program::Dockerd => dockerd(args, read),
        Program::Containerd => vec![containerd(args, read)],
        Program::Client => Vec::new(),
    }
}

fn absolute(args: &[String], names: &[&str]) -> Option<PathBuf> {
    option(args, names).map(PathBuf::from).filter(|path| path.is_absolute())
}

/// A Docker daemon's, and those of the containerd that it starts where none of the system's is used: with the containerd image
/// store its images lie there.
fn dockerd(args: &[String], read: impl FnOnce(&Path) -> Option<Vec<u8>>) -> Vec<Places> {
    let of = |names: &[&str]| absolute(args, names);
    let file = of(&["--config-file"]).unwrap_or_else(|| "/etc/docker/daemon.json".into());
    let config: DaemonFile = read(&file).and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
    let data = of(&["--data-root", "-g", "--graph"]).or(config.data_root).or(config.graph);
    let exec = of(&["--exec-root"]).or(config.exec_root);
    let data = data.unwrap_or_else(|| "/var/lib/docker".into());
    let own = Places::docker(data.clone(), exec.unwrap_or_else(|| "/var/run/docker".into()));
    let inner = Places::containerd(data.join("containerd/daemon"), own.state.clone());
    vec![own, inner]
}

/// What is needed of containerd's `config.toml` (containerd-config.toml(5)).
#[derive(Default, Deserialize)]
struct ContainerdFile {
    root: Option<PathBuf>,
    state: Option<PathBuf>,
}

fn containerd(args: &[String], read: impl FnOnce(&Path) -> Option<Vec<u8>>) -> Places {
    let of = |names: &[&str]| absolute(args, names);
    let file = of(&["--config", "-c"]).unwrap_or_else(|| "/etc/containerd/config.toml".into());
    let config: ContainerdFile = read(&file).and_then(|bytes| toml::from_slice(&bytes).ok()).unwrap_or_default();
    let root = of(&["--root"]).or(config.root).unwrap_or_else(|| "/var/lib/containerd".into());
    let state = of(&["--state"]).or(config.state).unwrap_or_else(|| "/run/containerd".into());
    Places::containerd(root, state)
}

/// Where a client without a daemon keeps its files, if it was told (`--root` of podman and Buildah).
#[must_use]
pub fn storage(args: &[String]) -> Option<Places> {
    let program = Path::new(args.first()?).file_name()?.to_str()?;
    matches!(program, "podman" | "buildah").then(|| absolute(args, &["--root"]).map(Places::storage)).flatten()
}

/// What is needed of `daemon.json`.
#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct DaemonFile {
    data_root: Option<PathBuf>,
    graph: Option<PathBuf>,
    exec_root: Option<PathBuf>,
}

/// The value of an option: `--name value` or `--name=value`.
fn option<'a>(args: &'a [String], names: &[&str]) -> Option<&'a str> {
    args.iter().enumerate().skip(1).find_map(|(at, arg)| match arg.split_once('=') {
        Some((name, value)) if names.contains(&name) => Some(value),
        None if names.contains(&arg.as_str()) => args.get(at + 1).map(String::as_str),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(line: &str) -> Vec<String> {
        line.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn a_daemon_tells_where_its_files_are() {
        let none = |_: &Path| None;
        let file = |_: &Path| Some(br#"{"data-root":"/big/docker","log-level":"warn"}"#.to_vec());
        for (line, read, data) in [
            ("dockerd", &none as &dyn Fn(&Path) -> Option<Vec<u8>>, "/var/lib/docker"),
            ("dockerd --data-root /srv/d --iptables=false", &none, "/srv/d"),
            ("dockerd -H fd:// --data-root=/srv/d", &none, "/srv/d"),
            ("dockerd --data-root relative", &none, "/var/lib/docker"),
            ("dockerd", &file, "/big/docker"),
            ("dockerd --data-root /srv/d", &file, "/srv/d"),
        ] {
            let found = places(Program::Dockerd, &args(line), read);
            assert_eq!(found[0].data, Path::new(data), "{line}");
            assert_eq!(found[1].data, Path::new(data).join("containerd/daemon"), "{line}");
        }
        let file = |_: &Path| Some(b"version = 2\nroot = \"/big/c\"\n[grpc]\naddress = \"/run/x\"\n".to_vec());
        for (line, read, data, state) in [
            ("containerd", &none as &dyn Fn(&Path) -> Option<Vec<u8>>, "/var/lib/containerd", "/run/containerd"),
            ("containerd --config /c.toml --state /s", &file, "/big/c", "/s"),
            ("containerd --root=/r --config=/c.toml", &file, "/r", "/run/containerd"),
        ] {
            let found = places(Program::Containerd, &args(line), read);
            assert_eq!((&*found[0].data, &*found[0].state), (Path::new(data), Path::new(state)), "{line}");
        }
        let own = |line: &str| storage(&args(line)).map(|places| places.data);
        assert_eq!(own("/usr/bin/podman --root /srv/p run x"), Some("/srv/p".into()));
        assert_eq!(own("podman run x"), None);
        assert_eq!(own("docker --root /srv/p run x"), None);
    }

    #[test]
    fn a_client_is_told_to() {
        for (line, task) in [
            ("docker run -v /a:/b i", Some(Task::Run)),
            ("docker -H unix:///run/d.sock build -t a .", Some(Task::Build)),
            ("docker container cp a b:/c", Some(Task::Copy)),
            ("podman --root /srv/p --runroot /run/p build -t a .", Some(Task::Build)),
            ("ctr -n k8s.io images import a.tar", Some(Task::Build)),
            ("docker compose up -d", Some(Task::Run)),
            ("docker pull alpine", None),
            ("docker login", None),
            ("docker", None),
        ] {
            assert_eq!(Task::of(&args(line)), task, "{line}");
        }
    }
}
