//! The policy of a running agent: read anew without a gap, and kept where the new one is wrong.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use tokenhound_tests::{agent::Agent, stage::Stage, store::Store, watch};

/// The agent, asked to read its policy anew.
fn hang_up(agent: &Agent<'_>) {
    let pid = rustix::process::Pid::from_child(&agent.process.child);
    rustix::process::kill_process(pid, rustix::process::Signal::HUP).unwrap();
}

/// All reads of the store, and those with this verdict.
fn of(metrics: &str, verdict: &str) -> (u64, u64) {
    let lines = metrics.lines().filter(|line| line.starts_with("tokenhound_store_reads_total{"));
    let of_store: Vec<&str> = lines.filter(|line| line.contains(&format!("store=\"{STORE}\""))).collect();
    let sum = |with: &str| {
        let lines = of_store.iter().filter(|line| line.contains(with));
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
    };
    (sum(""), sum(&format!("verdict=\"{verdict}\"")))
}

fn reads(agent: &Agent<'_>, verdict: &str) -> (u64, u64) {
    of(&agent.metrics(), verdict)
}

struct Rules {
    file: PathBuf,
    loads: u64,
}

impl Rules {
    /// As an editor does it: the file is never half there.
    fn write(&self, text: &str) {
        let next = self.file.with_extension("next");
        fs::write(&next, text).unwrap();
        fs::rename(next, &self.file).unwrap();
    }

    /// Writes the file, and waits until the agent has read it.
    fn change(&mut self, agent: &mut Agent<'_>, text: &str, outcome: &str) {
        self.write(text);
        self.loads += u64::from(outcome == "loaded");
        hang_up(agent);
        let (loads, refused) = (self.loads, u64::from(outcome == "refused"));
        let port = agent.port;
        agent.process.until(&format!("a policy that is {outcome}"), || {
            let (_, metrics) = tokenhound_tests::http::get(port, "/metrics")?;
            let is = |series: &str, value: u64| metrics.lines().any(|line| line == format!("{series} {value}"));
            let counted = is("tokenhound_policy_loads_total{outcome=\"loaded\"}", loads);
            (counted && is("tokenhound_policy_refused", refused)).then_some(())
        });
    }
}

fn read(program: &Path, store: &Path, home: &Path) {
    let mut command = Command::new(program);
    let status = command.arg(store).env("HOME", home).stdout(Stdio::null()).status().unwrap();
    assert!(status.success(), "{}: {status}", program.display());
}

/// A store that nobody else on this machine has, so that its reads can be counted.
const STORE: &str = "story-of-the-policy";

fn catalogue(stage: &Stage) -> PathBuf {
    let path = stage.path("vault/credentials");
    let text = format!(
        "stores:\n  - {{id: {STORE}, tool: a tool, vendor: nobody, family: story, role: store, tier: 1, kind: [access_token],\n     \
         paths: ['{}'], format: plain, readers: [{{role: owner, exe: [nobody-at-all]}}], reader_scope: narrow,\n     \
         session_scope: cli_login, staleness: none, verification: unverified, source: this test}}\n",
        path.display()
    );
    stage.file("catalogue.d/story.yaml", text);
    path
}

#[test]
fn it_is_read_anew_without_a_gap() {
    let stage = Stage::new();
    let reader = stage.program("story-backup", Path::new("/usr/bin/head"));
    let vault = catalogue(&stage);
    let store = Store::Netrc.put_at(&stage, &vault);
    let home = stage.directory("homes/victim");
    let capture = stage.path("out/capture");
    let mut rules = Rules { file: stage.file("policy.d/rules.yaml", ""), loads: 1 };
    let mut agent = Agent::start_with(&stage, |command| {
        command.arg("--record").arg(&capture);
    });
    let exception = format!(
        "exceptions:\n  - reason: the backup of this test\n    store: {STORE}\n    reader: {}\n",
        reader.display()
    );
    let mut count = 0;
    let mut read_by = |agent: &mut Agent<'_>, program: &Path, verdict: &str| {
        count += 1;
        let (_, before) = reads(agent, verdict);
        read(program, &store, &home);
        let port = agent.port;
        agent.process.until(&format!("a read that is {verdict}"), || {
            let (_, metrics) = tokenhound_tests::http::get(port, "/metrics")?;
            (of(&metrics, verdict).1 > before).then_some(())
        });
        count
    };

    read_by(&mut agent, &reader, "unexpected");
    rules.change(&mut agent, &exception, "loaded");
    read_by(&mut agent, &reader, "tolerated");
    // The thief is another program at the same store.
    read_by(&mut agent, Path::new("/usr/bin/head"), "unexpected");
    // A bad one changes nothing, and says so.
    rules.change(&mut agent, &exception.replace("store:", "stroe:"), "refused");
    read_by(&mut agent, &reader, "tolerated");
    rules.change(&mut agent, "# nothing\n", "loaded");
    let so_far = read_by(&mut agent, &reader, "unexpected");

    // While it changes again and again, each read is judged once, by one of the two.
    const READS: u64 = 60;
    for at in 0..READS {
        let text = if at % 2 == 0 { exception.as_str() } else { "# nothing\n" };
        rules.write(text);
        hang_up(&agent);
        read(&reader, &store, &home);
    }
    let port = agent.port;
    agent.process.until("each of the reads", || {
        let (_, metrics) = tokenhound_tests::http::get(port, "/metrics")?;
        (of(&metrics, "tolerated").0 >= so_far + READS).then_some(())
    });
    assert_eq!(reads(&agent, "tolerated").0, so_far + READS);

    let findings = stage.path("out/agent-findings");
    let ended = agent.stop();
    for said in ["did you mean \\\"store\\\"?", "the one of before holds"] {
        assert!(ended.err().contains(said), "{said}: {}", ended.err());
    }
    // The capture knows which policy held when. At the start the file was empty.
    rules.write("");
    let (replayed, said) = watch::replay(&stage, &capture);
    assert!(replayed == fs::read_to_string(findings).unwrap(), "a replay gives other findings; {said}");
    assert!(!said.contains("another") && !said.contains("read anew"), "{said}");
}
