//! What the agent may not do once it runs, it cannot.

use std::{fs, process::Command};

use tokenhound_tests::{
    agent::Agent,
    process::{self, Background},
    stage::Stage,
    store::Store,
};

/// `CAP_BPF`, `CAP_PERFMON`, `CAP_SYS_ADMIN`, `CAP_SYS_PTRACE`, `CAP_DAC_READ_SEARCH` (include/uapi/linux/capability.h).
const MAY: u64 = 1 << 39 | 1 << 38 | 1 << 21 | 1 << 19 | 1 << 2;
const SYS_ADMIN: u64 = 1 << 21;

fn field(status: &str, name: &str) -> String {
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("no {name} in {status}")).trim().to_owned()
}

/// Every thread by itself: the kernel keeps rights for each.
fn statuses(pid: u32) -> Vec<String> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).unwrap().map(|entry| entry.unwrap().path().join("status"));
    threads.filter_map(|path| fs::read_to_string(path).ok()).collect()
}

#[test]
fn every_thread_of_the_agent_has_given_up_its_rights() {
    let stage = Stage::new();
    let home = stage.directory("homes/victim");
    let store = Store::GhHosts.put(&stage, &home);
    let mut agent = Agent::start(&stage);
    // All of it is at work by then.
    agent.provoke(&store.display().to_string(), || {
        assert!(Command::new("cat").arg(&store).env("HOME", &home).output().unwrap().status.success());
    });
    let statuses = statuses(agent.process.pid());
    assert!(statuses.len() > 5, "{} threads", statuses.len());
    for status in &statuses {
        let name = field(status, "Name");
        for set in ["CapInh", "CapAmb"] {
            assert_eq!(u64::from_str_radix(&field(status, set), 16), Ok(0), "{set} of {name}");
        }
        for set in ["CapEff", "CapPrm", "CapBnd"] {
            let has = u64::from_str_radix(&field(status, set), 16).unwrap();
            assert_eq!(has & !MAY, 0, "{set} of {name}");
            // This one only where the kernel insists on it.
            let strict = fs::read_to_string("/proc/sys/kernel/perf_event_paranoid").unwrap();
            let insists = strict.trim().parse::<i32>().unwrap() > 2;
            assert!(insists || has & SYS_ADMIN == 0, "{set} of {name} has CAP_SYS_ADMIN");
        }
        assert_eq!(field(status, "NoNewPrivs"), "1", "{name}");
        assert_eq!(field(status, "Seccomp"), "2", "{name}");
    }
    let ended = agent.stop();
    assert!(ended.err().contains("rights were given up"), "{}", ended.err());
}

#[test]
fn what_doctor_tries_is_refused() {
    let stage = Stage::new();
    let _one = tokenhound_tests::agent::alone();
    let mut doctor = Command::new(process::tokenhound());
    let ended = process::run(doctor.arg("doctor").arg("--state-dir").arg(stage.path("state")), b"");
    let out = ended.out();
    assert!(!out.contains("\n  NO "), "{out}");
    let tried = out.lines().find(|line| line.contains("tried, and refused:")).unwrap_or_else(|| panic!("{out}"));
    for what in
        ["start a program", "trace a process", "load a kernel module", "open a raw socket", "mount a file system"]
    {
        assert!(tried.contains(what), "{what} is not in {tried}");
    }
    if fs::read_to_string("/sys/kernel/security/lsm").is_ok_and(|active| active.contains("landlock")) {
        assert!(tried.contains("write a file that is not its own"), "{tried}");
    }
    assert!(out.contains("can write to its own directory and look into other processes"), "{out}");
}

/// What `watch` starts is the user's: nothing of it may be taken away, or `sudo` would not work there.
#[test]
fn a_watched_command_keeps_its_rights() {
    let stage = Stage::new();
    let mut watch = Command::new(process::tokenhound());
    watch.arg("watch").arg("--catalogue").arg(stage.path("catalogue.d")).arg("--policy").arg(stage.path("policy.d"));
    watch.args(["--", "cat", "/proc/self/status"]);
    let ended = Background::start(&mut watch).wait();
    assert_eq!(ended.code(), 0, "{}", ended.err());
    let (out, own) = (ended.out(), fs::read_to_string("/proc/self/status").unwrap());
    for what in ["NoNewPrivs", "Seccomp", "CapBnd", "CapEff"] {
        assert_eq!(field(&out, what), field(&own, what), "{what}");
    }
}
