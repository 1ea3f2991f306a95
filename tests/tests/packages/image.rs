//! The container image: made of nothing but the program, and run with what docs/install.md gives it, it watches the host.
//!
//! The engine builds the image; runc, which is what engines and Kubernetes run containers with, runs it here: Debian's Docker is
//! too old to know `CAP_BPF`.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::{Value, json};
use tokenhound_tests::{
    agent,
    docker::Docker,
    http,
    process::{Background, run},
    stage::Stage,
    store::Store,
};

/// `CAP_BPF`, `CAP_PERFMON`, `CAP_SYS_PTRACE`, `CAP_DAC_READ_SEARCH` (include/uapi/linux/capability.h).
const KEPT: u64 = 1 << 39 | 1 << 38 | 1 << 19 | 1 << 2;

/// `CAP_SYS_RESOURCE`, which kernels before 5.11 ask for, and the root of some machines does not have.
const RESOURCE: u64 = 1 << 24;

/// The bounding set of a process.
fn bounding(pid: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let set = status.lines().find_map(|line| line.strip_prefix("CapBnd:")).unwrap();
    u64::from_str_radix(set.trim(), 16).unwrap()
}

/// What the command of the page gives the container: capabilities and volumes.
fn documented() -> (Vec<String>, Vec<String>) {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("docs/install.md");
    let page = fs::read_to_string(page).unwrap();
    let command = page.split("```sh\ndocker run").nth(1).unwrap().split("```").next().unwrap();
    let words: Vec<&str> = command.split_whitespace().filter(|word| *word != "\\").collect();
    let of = |option: &str| {
        let given = words.windows(2).filter(|pair| pair[0] == option);
        given.map(|pair| pair[1].to_owned()).collect::<Vec<_>>()
    };
    for given in ["--read-only", "no-new-privileges", "seccomp=unconfined"] {
        assert!(words.contains(&given), "{given} is not in {command}");
    }
    assert_eq!(
        (of("--pid"), of("--network"), of("--cap-drop")),
        (vec!["host".into()], vec!["host".into()], vec!["ALL".into()])
    );
    (of("--cap-add"), of("--volume"))
}

/// The same, as runc takes it (OCI runtime specification 1.0), with the state on the stage.
fn bundle(stage: &Stage, entry: &[String]) -> Value {
    let (capabilities, volumes) = documented();
    let there = |name: &&String| bounding("self") & RESOURCE != 0 || *name != "SYS_RESOURCE";
    let capabilities: Vec<String> = capabilities.iter().filter(there).map(|name| format!("CAP_{name}")).collect();
    let state = stage.directory("image-state").display().to_string();
    let volume = |volume: &String| {
        let parts: Vec<&str> = volume.split(':').collect();
        let source = if parts[0] == "/var/lib/tokenhound" { state.as_str() } else { parts[0] };
        let mut options = vec!["rbind"];
        options.extend(parts.get(2).into_iter().flat_map(|given| given.split(',')));
        json!({"destination": parts[1], "type": "none", "source": source, "options": options})
    };
    let mut mounts = vec![json!({"destination": "/proc", "type": "proc", "source": "proc"})];
    mounts.extend(volumes.iter().map(volume));
    json!({
        "ociVersion": "1.0.2",
        "process": {
            "terminal": false, "user": {"uid": 0, "gid": 0}, "cwd": "/", "args": entry, "noNewPrivileges": true,
            "capabilities": {"bounding": capabilities, "effective": capabilities, "permitted": capabilities},
        },
        "root": {"path": "rootfs", "readonly": true},
        "mounts": mounts,
        "linux": {"namespaces": [{"type": "mount"}, {"type": "ipc"}, {"type": "uts"}]},
    })
}

/// The image's files and entry point, taken out of the engine that has built it.
fn unpacked(stage: &Stage, directory: &Path) -> Option<Vec<String>> {
    let docker = Docker::start(stage)?;
    docker.run(&["build", "--network=none", "--tag", "tokenhound", &directory.display().to_string()]);
    let entry = docker.run(&["inspect", "--format", "{{json .Config.Entrypoint}}", "tokenhound"]);
    docker.run(&["create", "--name", "tokenhound", "tokenhound"]);
    let archive = stage.path("image.tar").display().to_string();
    docker.run(&["export", "--output", &archive, "tokenhound"]);
    let root = stage.directory("bundle/rootfs");
    assert_eq!(run(Command::new("tar").arg("-xf").arg(archive).arg("-C").arg(root), b"").code(), 0);
    Some(serde_json::from_str(&entry).unwrap())
}

#[test]
fn the_image_watches_the_host_with_the_rights_that_are_documented() {
    let directory = env::var_os("TOKENHOUND_IMAGE").expect("TOKENHOUND_IMAGE: use `cargo xtask test packages`");
    let stage = Stage::new();
    let Some(entry) = unpacked(&stage, &PathBuf::from(directory)) else { return };
    let home = stage.directory("homes/victim");
    let store = Store::GhHosts.put(&stage, &home);
    let _one = agent::alone();
    let port = http::free_port();
    let with =
        |arguments: &[&str]| entry.iter().cloned().chain(arguments.iter().map(|one| (*one).to_owned())).collect();
    let listen = format!("127.0.0.1:{port}");
    let all: Vec<String> = with(&["run", "--listen", &listen]);
    fs::write(stage.path("bundle/config.json"), bundle(&stage, &all).to_string()).unwrap();
    let name = format!("tokenhound-{port}");
    let runc = |arguments: &[&str]| {
        let mut command = Command::new("runc");
        command.arg("--root").arg(stage.directory("runc")).args(arguments).current_dir(stage.path("bundle"));
        command
    };
    // They are there on every host, made by who runs the container.
    ["/var/lib/tokenhound", "/run/tokenhound"].iter().for_each(|place| fs::create_dir_all(place).unwrap());
    let mut container = Background::start(&mut runc(&["run", &name]));
    container.until("readiness", || http::get(port, "/readyz").filter(|(status, _)| *status == 200));
    let state: Value = serde_json::from_str(&run(&mut runc(&["state", &name]), b"").out()).unwrap();
    assert_eq!(bounding(&state["pid"].to_string()), KEPT);
    container.until("the theft on the host", || {
        assert_eq!(run(Command::new("cat").arg(&store).env("HOME", &home), b"").code(), 0);
        let (_, metrics) = http::get(port, "/metrics")?;
        let told = |line: &&str| line.starts_with("tokenhound_findings_total{detector=\"unexpected-reader\"");
        metrics.lines().any(|line| told(&line) && !line.ends_with(" 0")).then_some(())
    });
    let ask: Vec<String> = with(&["doctor"]);
    let mut doctor = runc(&["exec", &name]);
    let doctor = run(doctor.args(ask), b"").out();
    assert!(doctor.contains("sink stdout: has everything"), "{doctor}");
    assert_eq!(run(&mut runc(&["kill", &name, "TERM"]), b"").code(), 0);
    let ended = container.wait();
    assert_eq!(ended.code(), 0, "{}", ended.err());
    assert!(ended.out().contains(&store.display().to_string()), "{}", ended.out());
    assert!(ended.err().contains("rights were given up"), "{}", ended.err());
    stage.search("the container's log", &[ended.stdout, ended.stderr].concat());
}
