//! The GitHub Action's scripts, as a runner would start them: a step that starts the agent, steps beside it, a step that
//! closes it.

use std::{
    fs::{self, File},
    io::{Read, Write},
    os::unix::fs::{FileTypeExt, PermissionsExt},
    path::{Path, PathBuf},
    process::Command,
    thread,
};

use tokenhound_tests::{
    process::{self, Ended},
    skip,
    stage::Stage,
    store::Store,
    watch,
};

use crate::actor;

const SCRIPTS: [(&str, &str); 3] = [
    ("common.sh", include_str!("../../../packaging/action/common.sh")),
    ("start.sh", include_str!("../../../packaging/action/start.sh")),
    ("close.sh", include_str!("../../../packaging/action/close.sh")),
];

/// A job as the runner plays it: each step with its own id and its own file for a summary.
struct Job<'s> {
    stage: &'s Stage,
    home: PathBuf,
    script: String,
    steps: usize,
}

/// What came of it.
struct Done {
    ended: Ended,
    summary: String,
    sarif: String,
}

impl<'s> Job<'s> {
    fn new(stage: &'s Stage) -> Self {
        for (name, text) in SCRIPTS {
            stage.executable(&format!("action/{name}"), text);
        }
        // Agents of other tests look at every process when they start, this job's runner among them.
        stage.file(
            "policy.d/others.yaml",
            format!(
                "exceptions:\n  - {{reason: agents beside it, store: proc-environ, reader: {}}}\n",
                process::tokenhound().display()
            ),
        );
        let script = "failed=0\nexport GITHUB_ACTIONS=true GITHUB_JOB=build GITHUB_WORKFLOW=CI GITHUB_REPOSITORY=o/r\n";
        Self { stage, home: stage.directory("homes/job"), script: script.to_owned(), steps: 0 }
    }

    /// A step of this id that runs these lines; what fails is remembered, and the job goes on, as with `if: always()`.
    fn step(mut self, id: &str, lines: &str) -> Self {
        self.steps += 1;
        let file = self.stage.file(&format!("work/_temp/{}.sh", self.steps), format!("{lines}\n:\n"));
        let summary = self.stage.file(&format!("work/_temp/summary-{}", self.steps), "");
        self.script.push_str(&format!(
            "GITHUB_ACTION={id} GITHUB_STEP_SUMMARY='{}' bash -e '{}' || failed=$?\n",
            summary.display(),
            file.display()
        ));
        self
    }

    fn start(self) -> Self {
        let script = self.stage.path("action/start.sh");
        self.step("start", &format!("exec '{}'", script.display()))
    }

    fn close(self) -> Self {
        let script = self.stage.path("action/close.sh");
        self.step("close", &format!("exec '{}'", script.display()))
    }

    fn play(self) -> Done {
        let dash = fs::canonicalize(skip::program("dash").unwrap()).unwrap();
        let runner = self.stage.program("Runner.Worker", &dash);
        let job = self.stage.file("work/job.sh", format!("{}exit $failed\n", self.script));
        let (temp, sarif) = (self.stage.directory("work/_temp"), self.stage.path("out/sarif"));
        let output = self.stage.file("work/_temp/output", "");
        let mut command = Command::new(runner);
        command.arg(job).env_remove("SUDO_UID").env("HOME", &self.home).env("RUNNER_TEMP", temp);
        command.env("GITHUB_RUN_ID", std::process::id().to_string()).env("GITHUB_RUN_ATTEMPT", "1");
        command.env("GITHUB_OUTPUT", output).env("TOKENHOUND_SARIF", &sarif);
        command.env("TOKENHOUND_BINARY", process::tokenhound()).env("TOKENHOUND_POLICY", self.stage.path("policy.d"));
        let ended = process::run(&mut command, b"");
        let summary = format!("work/_temp/summary-{}", self.steps);
        let read = |path: &Path| fs::read_to_string(path).unwrap_or_default();
        let done = Done { ended, summary: read(&self.stage.path(&summary)), sarif: read(&sarif) };
        for (what, text) in
            [("output", done.ended.out()), ("error", done.ended.err()), ("summary", done.summary.clone())]
        {
            self.stage.search(what, text.as_bytes());
        }
        self.stage.search("SARIF", done.sarif.as_bytes());
        let left: Vec<_> = fs::read_dir("/run/tokenhound").unwrap().map(|entry| entry.unwrap().file_name()).collect();
        let ours = format!("ci-{}-1-", std::process::id());
        assert!(!left.iter().any(|name| name.to_string_lossy().starts_with(&ours)), "something is left: {left:?}");
        done
    }
}

/// Lines that the runner would obey. That a busy machine lost records may be one of them.
fn commands(text: &str) -> Vec<&str> {
    let obeyed = |line: &&str| line.trim_start().starts_with("::") || line.contains("##[");
    let lost = |line: &&str| line.starts_with("::error title=tokenhound sensor-degraded::");
    text.lines().filter(obeyed).filter(|line| !lost(line)).collect()
}

/// What a job needs, and that one of these tests at a time has the directory.
fn alone() -> Option<std::sync::MutexGuard<'static, ()>> {
    static ONE: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let able = skip::native("it does not depend on the kernel, and guests are slow")
        && skip::has(&["dash", "bash", "cat", "sed", "sha256sum", "mkfifo"]);
    able.then(|| ONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
}

#[test]
fn a_theft_in_a_step_fails_the_job() {
    let Some(_one) = alone() else { return };
    let stage = Stage::new();
    let gh = actor(&stage, "gh").display().to_string();
    let job = Job::new(&stage);
    Store::GhHosts.put(&stage, &job.home);
    Store::AwsCredentials.put(&stage, &job.home);
    // Somebody else on the machine steals as well, at the same time: none of this job's business.
    let elsewhere = stage.directory("homes/stranger");
    let others = Store::AwsCredentials.put(&stage, &elsewhere);
    let fifos = ["go", "done"].map(|name| stage.path(name));
    let made = Command::new("mkfifo").args(&fifos).status().unwrap();
    assert!(made.success() && fs::metadata(&fifos[0]).unwrap().file_type().is_fifo());
    let [go, done] = fifos.clone();
    let other = thread::spawn(move || {
        File::open(go).unwrap().read_to_string(&mut String::new()).unwrap();
        let mut command = Command::new("dash");
        command.arg("-c").arg("/bin/true; cat \"$HOME/.aws/credentials\"; :").env("HOME", elsewhere);
        let output = command.output().unwrap();
        File::create(done).unwrap().write_all(b"done").unwrap();
        output.stdout
    });
    let meet = format!("echo go >'{}'; cat '{}' >/dev/null", fifos[0].display(), fifos[1].display());
    let done = job
        .start()
        .step("release", &format!("STORE=\"$HOME/.config/gh/hosts.yml\" {gh} </dev/null"))
        .step("meet", &meet)
        .step("test", "cat \"$HOME/.aws/credentials\" >/dev/null")
        .close()
        .play();
    assert_eq!(other.join().unwrap(), fs::read(&others).unwrap(), "the other theft did happen");
    let story = format!("{}\n{}\n{}", done.ended.out(), done.ended.err(), done.summary);
    assert_eq!(done.ended.code(), 3, "{story}");
    let rows: Vec<[String; 5]> = watch::rows(&done.summary).collect();
    let wanted = [
        ["aws-credentials", "cat", "unexpected", "1", "build / test"],
        ["gh-hosts", "gh", "expected", "1", "build / release"],
    ];
    assert_eq!(rows, wanted.map(|row| row.map(str::to_owned)), "{story}");
    let out = done.ended.out();
    let [error] = commands(&out)[..] else { panic!("{story}") };
    assert!(error.starts_with("::error title=tokenhound unexpected-reader,file=/"), "{error}");
    assert!(error.contains("/homes/job/.aws/credentials") && error.contains("(in step test, job build"), "{error}");
    let sarif: serde_json::Value = serde_json::from_str(&done.sarif).unwrap();
    assert_eq!(sarif.pointer("/runs/0/results/0/properties/ci/step").unwrap(), "test", "{sarif}");
    assert!(!story.contains("stranger"), "{story}");
}

#[test]
fn an_innocent_job_passes_and_is_told_what_it_touched() {
    let Some(_one) = alone() else { return };
    let stage = Stage::new();
    let gh = actor(&stage, "gh").display().to_string();
    let job = Job::new(&stage);
    Store::GhHosts.put(&stage, &job.home);
    let done =
        job.start().step("release", &format!("STORE=\"$HOME/.config/gh/hosts.yml\" {gh} </dev/null")).close().play();
    let story = format!("{}\n{}\n{}", done.ended.out(), done.ended.err(), done.summary);
    assert_eq!(done.ended.code(), 0, "{story}");
    let rows: Vec<[String; 5]> = watch::rows(&done.summary).collect();
    assert_eq!(rows, [["gh-hosts", "gh", "expected", "1", "build / release"].map(str::to_owned)], "{story}");
    assert!(commands(&done.ended.out()).is_empty(), "{story}");
}

#[test]
fn an_agent_that_was_killed_fails_the_job() {
    let Some(_one) = alone() else { return };
    let stage = Stage::new();
    let kill = format!(
        "read -r pid </run/tokenhound/ci-{}-1-*/pid; kill -KILL \"$pid\"\n\
         until [ -e /run/tokenhound/ci-{0}-1-*/code ]; do :; done",
        std::process::id()
    );
    let done = Job::new(&stage).start().step("kill", &kill).close().play();
    let story = format!("{}\n{}", done.ended.out(), done.ended.err());
    assert_eq!(done.ended.code(), 1, "{story}");
    assert!(story.contains("::error title=tokenhound::the agent ended before the job did (exit code 137)"), "{story}");
}

#[test]
fn an_agent_that_cannot_start_fails_its_step() {
    let Some(_one) = alone() else { return };
    let stage = Stage::new();
    let wrong = stage.file("policy.d/wrong.yaml", "exceptions: ::error::x ##[add-path]/e\n");
    fs::set_permissions(&wrong, fs::Permissions::from_mode(0o644)).unwrap();
    let done = Job::new(&stage).start().play();
    let story = format!("{}\n{}", done.ended.out(), done.ended.err());
    assert_eq!(done.ended.code(), 2, "{story}");
    let out = done.ended.out();
    assert_eq!(commands(&out), ["::error title=tokenhound::the agent did not start (exit code 2): see the log above"]);
}
