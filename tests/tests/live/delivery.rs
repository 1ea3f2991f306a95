//! What is found reaches every sink: one that is down when the agent is killed, and one whose state directory is on a full
//! disk.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};
use tokenhound_tests::{
    agent::{self, Agent},
    finding::Finding,
    http,
    process::{self, Background},
    skip,
    stage::Stage,
    store::Store,
};

/// Reads while the sink is down, and after.
const READS: usize = 12;

fn read(store: &Path, home: &Path) {
    let status = Command::new("cat").arg(store).env("HOME", home).stdout(Stdio::null()).status().unwrap();
    assert!(status.success());
}

/// Uids in the order in which they were delivered; what was delivered twice counts once.
fn uids(file: &Path) -> Vec<String> {
    let text = fs::read_to_string(file).unwrap_or_default();
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    let mut seen = BTreeSet::new();
    let uid = |finding: &Finding| finding.0["finding_info"]["uid"].as_str().expect("a uid").to_owned();
    Finding::all(whole).iter().map(uid).filter(|uid| seen.insert(uid.clone())).collect()
}

/// Findings about that store by `cat`, each once.
fn reads(file: &Path, store: &Path) -> usize {
    let text = fs::read_to_string(file).unwrap_or_default();
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    let of_it: Vec<Finding> = Finding::all(whole)
        .into_iter()
        .filter(|finding| finding.path() == store.display().to_string() && finding.reader().ends_with("/cat"))
        .collect();
    let pids: BTreeSet<_> = of_it.iter().map(Finding::pid).collect();
    pids.len()
}

#[test]
fn a_sink_that_was_down_at_a_kill_gets_everything() {
    let stage = Stage::new();
    let home = stage.directory("homes/victim");
    let store = Store::GhHosts.put(&stage, &home);
    let (soc, all) = (stage.directory("soc").join("findings.jsonl"), stage.path("out/agent-findings"));
    let sinks =
        format!("history: {{alike: 1000000}}\nsinks:\n  - {{name: soc, type: file, path: {}}}\n", soc.display());
    let config = stage.file("etc/tokenhound.yaml", sinks);
    let start = || {
        Agent::start_with(&stage, |command| {
            command.arg("--config").arg(&config);
        })
    };

    let mut agent = start();
    read(&store, &home);
    agent.until("the first read", |_| reads(&soc, &store) == 1);
    // Its place is taken by a directory: nothing can be appended, as on a receiver that is down.
    let taken = stage.path("soc/before.jsonl");
    fs::rename(&soc, &taken).unwrap();
    fs::create_dir(&soc).unwrap();
    for _ in 0..READS {
        read(&store, &home);
    }
    agent.until("the reads", |_| reads(&all, &store) == READS + 1);
    agent.process.until("the failure", || {
        let (_, metrics) = http::get(agent.port, "/metrics")?;
        let failed =
            metrics.lines().find_map(|line| line.strip_prefix("tokenhound_sink_failed_total{sink=\"soc\"} "))?;
        (failed != "0").then_some(())
    });
    // It is counted before it is written down for others.
    agent.process.until("word of it by doctor", || {
        let mut doctor = Command::new(process::tokenhound());
        let said = process::run(doctor.arg("doctor").arg("--state-dir").arg(stage.path("state")), b"").out();
        let line = said.lines().find(|line| line.contains("sink soc:"))?;
        ["behind", "fails since", "Is a directory"].iter().all(|part| line.contains(part)).then_some(())
    });
    let _ = agent.kill();

    fs::remove_dir(&soc).unwrap();
    fs::rename(&taken, &soc).unwrap();
    let mut agent = start();
    read(&store, &home);
    agent.until("everything", |_| reads(&soc, &store) == READS + 2 && reads(&all, &store) == READS + 2);
    agent.stop();
    // What other tests did meanwhile is there as well: both ends have the same, in the same order.
    assert_eq!(uids(&soc), uids(&all));
}

/// Where the state directory is, as the agent sees it.
fn inside(pid: u32, path: &Path) -> PathBuf {
    Path::new(&format!("/proc/{pid}/root")).join(path.strip_prefix("/").expect("an absolute path"))
}

#[test]
fn a_full_disk_stops_nothing_that_fits_into_the_file() {
    if !skip::has(&["unshare", "mount"]) {
        return;
    }
    let stage = Stage::new();
    let _one = agent::alone();
    let home = stage.directory("homes/victim");
    let store = Store::GhHosts.put(&stage, &home);
    let (state, findings, port) = (stage.directory("state"), stage.path("out/agent-findings"), http::free_port());
    // A disk of its own, in a mount namespace that ends with the agent.
    let mut command = Command::new("unshare");
    let script = "mount -t tmpfs -o size=48m,mode=0700 tokenhound \"$1\" && shift && exec \"$@\"";
    command.args(["--mount", "sh", "-c", script, "sh"]).arg(&state);
    let run = agent::command(&stage, port);
    command.arg(run.get_program()).args(run.get_args()).arg("--findings").arg(&findings);
    command.env("TOKENHOUND_LOG", "info");
    let mut agent = Background::start(&mut command);
    agent.until("readiness", || http::get(port, "/readyz").filter(|(status, _)| *status == 200));
    read(&store, &home);
    agent.until("the first read", || (reads(&findings, &store) == 1).then_some(()));

    let ballast = inside(agent.pid(), &state).join("ballast");
    let mut file = File::create(&ballast).unwrap();
    while file.write_all(&[0x5a; 1 << 12]).is_ok() {}
    for _ in 0..READS {
        read(&store, &home);
    }
    agent.until("the reads on a full disk", || (reads(&findings, &store) == READS + 1).then_some(()));
    drop(file);
    fs::remove_file(&ballast).unwrap();
    let ended = agent.stop();
    assert_eq!(ended.code(), 0, "{}", ended.err());
}

#[test]
fn sighup_reads_the_sinks_anew_and_a_mistake_leaves_them() {
    let stage = Stage::new();
    let home = stage.directory("homes/victim");
    let store = Store::GhHosts.put(&stage, &home);
    let directory = stage.directory("soc");
    let [old, new] = ["old.jsonl", "new.jsonl"].map(|name| directory.join(name));
    let config =
        |sinks: &str| stage.file("etc/tokenhound.yaml", format!("history: {{alike: 1000000}}\nsinks: {sinks}\n"));
    let file = config(&format!("[{{name: old, type: file, path: {}}}]", old.display()));
    let mut agent = Agent::start_with(&stage, |command| {
        command.arg("--config").arg(&file);
    });
    // Waits until it was obeyed: the policy is read after the sinks. A second one before that is one with the first.
    let hangup = |agent: &mut Agent<'_>| {
        let loads = |port| {
            let (_, metrics) = http::get(port, "/metrics")?;
            let mut lines = metrics.lines();
            lines.find_map(|line| line.strip_prefix("tokenhound_policy_loads_total{outcome=\"loaded\"} ")?.parse().ok())
        };
        let port = agent.port;
        let before: u64 = agent.process.until("its metrics", || loads(port));
        kill_process(Pid::from_child(&agent.process.child), Signal::HUP).unwrap();
        agent.process.until("the policy anew", || (loads(port)? > before).then_some(()));
    };
    read(&store, &home);
    agent.until("the first read", |_| reads(&old, &store) == 1);
    config(&format!("[{{name: old, type: file, path: {}}}, {{name: new, type: flie}}]", old.display()));
    hangup(&mut agent);
    read(&store, &home);
    agent.until("the second read, by the sinks of before", |_| reads(&old, &store) == 2);
    config(&format!("[{{name: new, type: file, path: {}}}]", new.display()));
    hangup(&mut agent);
    assert!(new.exists(), "it is made with the sink");
    read(&store, &home);
    agent.until("the third read", |_| reads(&new, &store) == 1);
    let ended = agent.stop();
    assert!(ended.err().contains("the sinks stay as they were") && ended.err().contains("flie"), "{}", ended.err());
    assert_eq!(reads(&old, &store), 2, "it is not configured any more");
}
