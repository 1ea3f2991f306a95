//! The agent is killed while things happen, and started again.

use std::{
    collections::BTreeSet,
    fs,
    io::Write,
    path::Path,
    process::{ChildStdin, Command},
};

use tokenhound_tests::{agent::Agent, finding::Finding, process::Background, stage::Stage, store::Store};

/// A shell that does what it is told, below another one, so that there is a lineage to be lost.
struct Shell {
    process: Background,
    input: ChildStdin,
}

impl Shell {
    fn start(stage: &Stage) -> Self {
        let mut command = Command::new("dash");
        // Not the last command: the shell must not become the other one.
        command
            .args(["-c", "dash; :"])
            .env("STAGE", stage.path(""))
            .env("HOME", stage.path("homes/victim"))
            .current_dir("/");
        let mut process = Background::start(&mut command);
        let input = process.child.stdin.take().expect("a pipe");
        Self { process, input }
    }

    /// Has it do something, and waits until that is done.
    fn act(&mut self, stage: &Stage, command: &str) {
        let done = stage.path("out/done");
        writeln!(self.input, "{command}\n: >\"$STAGE/out/done\"").expect("it reads");
        self.process.until("its end", || done.exists().then_some(()));
        fs::remove_file(done).expect("remove a file");
    }

    /// Pids of both shells, the inner one first.
    fn pids(&mut self, stage: &Stage) -> Vec<u64> {
        self.act(stage, "echo \"$$ $PPID\" >\"$STAGE/out/pids\"");
        let pids = fs::read_to_string(stage.path("out/pids")).expect("a file");
        pids.split_whitespace().map(|pid| pid.parse().expect("a pid")).collect()
    }
}

/// A process and those above it that `/proc` lets itself be asked about: in a sandbox the first one may be out of reach.
fn ancestors(pid: u64) -> Vec<u64> {
    let parent = |pid: &u64| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("PPid:"))?;
        line.trim().parse().ok().filter(|parent| fs::read_link(format!("/proc/{parent}/exe")).is_ok())
    };
    std::iter::successors(Some(pid), parent).collect()
}

fn uids(findings: &[Finding]) -> Vec<String> {
    let uid = |finding: &Finding| finding.0.pointer("/finding_info/uid").map(ToString::to_string);
    findings.iter().filter_map(uid).collect()
}

/// Each finding once: what was delivered right before the kill may come again, and is recognised by its uid.
fn once(mut findings: Vec<Finding>) -> Vec<Finding> {
    let mut seen = BTreeSet::new();
    findings.retain(|finding| uids(std::slice::from_ref(finding)).into_iter().all(|uid| seen.insert(uid)));
    findings
}

/// Accesses of a store that were found, by our shell and what it starts: agents of other tests look for stores as well.
fn reads<'f>(findings: &'f [Finding], home: &Path, store: Store) -> Vec<&'f Finding> {
    let of_it = |finding: &&Finding| {
        finding.detector() == "unexpected-reader"
            && Path::new(finding.path()) == home.join(store.place())
            && !finding.reader().ends_with("/tokenhound")
    };
    findings.iter().filter(of_it).collect()
}

const BEFORE: Store = Store::GhHosts;
const HELD: Store = Store::AwsCredentials;
const BUSY: Store = Store::Npmrc;
const AFTER: Store = Store::DockerConfig;

#[test]
fn killed_and_started_again() {
    let stage = Stage::new();
    let home = stage.directory("homes/victim");
    for store in [BEFORE, HELD, BUSY, AFTER] {
        store.put(&stage, &home);
    }
    let mut shell = Shell::start(&stage);
    let mut holder = Shell::start(&stage);
    let pids = shell.pids(&stage);
    let cat = |store: Store| format!("cat \"$HOME/{}\" >/dev/null", store.place());

    let mut agent = Agent::start(&stage);
    shell.act(&stage, &cat(BEFORE));
    agent.until("the read", |findings| !reads(findings, &home, BEFORE).is_empty());
    // From now on it has a store open, and goes on with it.
    holder.act(&stage, &format!("exec 3<\"$HOME/{}\"", HELD.place()));
    agent.until("the open", |findings| !reads(findings, &home, HELD).is_empty());
    // Something happens all the time, as long as the stage is there.
    shell.act(&stage, &format!("(while [ -e \"$STAGE/out\" ]; do {}; done) & echo $! >\"$STAGE/out/busy\"", cat(BUSY)));
    agent.until("some of it", |findings| reads(findings, &home, BUSY).len() > 5);
    let first = Finding::all(&agent.kill());

    // Both write to the same file.
    let mut agent = Agent::start(&stage);
    agent.until("more of it", |findings| reads(findings, &home, BUSY).len() > reads(&first, &home, BUSY).len() + 5);
    shell.act(&stage, "kill $(cat \"$STAGE/out/busy\")");
    shell.act(&stage, &cat(AFTER));
    agent.until("the read after it", |findings| !reads(findings, &home, AFTER).is_empty());
    let all = agent.findings("");
    assert_eq!(uids(&all[..first.len()]), uids(&first), "the first ones are still there");
    let all = once(all);
    let found = reads(&all, &home, AFTER)[0];
    assert_eq!(found.lineage_pids()[1..], ancestors(pids[0]), "{}", found.brief());
    assert_eq!(found.lineage()[..3], ["cat", "dash", "dash"], "{}", found.brief());

    for store in [BEFORE, HELD, AFTER] {
        let of_it: Vec<_> = reads(&all, &home, store).into_iter().map(Finding::brief).collect();
        assert_eq!(of_it.len(), 1, "{of_it:#?}");
    }
    let busy: BTreeSet<_> = reads(&all, &home, BUSY).into_iter().map(Finding::pid).collect();
    assert_eq!(busy.len(), reads(&all, &home, BUSY).len(), "each read once: no two are by the same process");

    // What it holds it may read at last: that is new, and told.
    holder.act(&stage, "cat <&3 >/dev/null");
    agent.until("the read of what was held", |findings| reads(findings, &home, HELD).len() > 1);
    agent.stop();
}
