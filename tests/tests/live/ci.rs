//! What `watch` tells a CI system, and that nothing which a process names becomes a command to it.

use std::{
    fs,
    path::{Path, PathBuf},
};

use tokenhound_tests::{
    skip,
    stage::Stage,
    store::Store,
    watch::{self, Watch, Watched},
};

use crate::actor;

/// A job of GitHub Actions as its runner plays it: steps with their variables, below a program of the runner's name.
struct Job<'s> {
    stage: &'s Stage,
    home: PathBuf,
    script: String,
}

impl<'s> Job<'s> {
    fn new(stage: &'s Stage, home: &str) -> Self {
        let home = stage.directory(&format!("homes/{home}"));
        Self { stage, home, script: String::new() }
    }

    /// A step of this id that runs these lines.
    fn step(mut self, id: &str, lines: &str) -> Self {
        let number = self.script.lines().count();
        let file = self.stage.file(&format!("work/_temp/step-{number}.sh"), format!("{lines}\n:\n"));
        self.script.push_str(&format!("GITHUB_ACTION={id} bash -e '{}'\n", file.display()));
        self
    }

    /// A step with so many bytes in its environment that a record does not reach its variables.
    fn crowded(mut self, id: &str, lines: &str) -> Self {
        let file = self.stage.file(&format!("work/_temp/{id}.sh"), format!("{lines}\n:\n"));
        self.script.push_str(&format!(
            "env -i PATH=\"$PATH\" HOME=\"$HOME\" CROWD={} GITHUB_ACTIONS=true GITHUB_JOB=build GITHUB_ACTION={id} \
             GITHUB_RUN_ID=77 bash -e '{}'\n",
            "x".repeat(9000),
            file.display()
        ));
        self
    }

    /// Below a program of this name, under `watch` with these further arguments, as a step of the job would start it.
    fn play(self, runner: &str, arguments: &[&str]) -> (Watched, String) {
        let dash = fs::canonicalize(skip::program("dash").unwrap()).unwrap();
        let runner = self.stage.program(runner, &dash);
        let job = self.stage.file("work/job.sh", format!("{}:\n", self.script));
        let summary = self.stage.file("work/_temp/step_summary", "before\n");
        let mut watch = Watch::new(self.stage).arg("--fail-on").arg("none").env("HOME", &self.home);
        for (name, value) in [
            ("GITHUB_ACTIONS", "true"),
            ("GITHUB_REPOSITORY", "o/r"),
            ("GITHUB_WORKFLOW", "CI"),
            ("GITHUB_JOB", "build"),
            ("GITHUB_ACTION", "tokenhound"),
            ("GITHUB_RUN_ID", "77"),
            ("GITHUB_SERVER_URL", "https://github.com"),
        ] {
            watch = watch.env(name, value);
        }
        watch = watch.env("GITHUB_STEP_SUMMARY", &summary);
        for argument in arguments {
            watch = watch.arg(argument);
        }
        let watched = watch.run([runner.as_os_str(), job.as_os_str()]);
        assert_eq!(watched.ended.code(), 0, "{}", watched.ended.err());
        (watched, fs::read_to_string(summary).unwrap())
    }
}

/// Lines that the runner of GitHub would obey: `ActionCommand.cs`. That a busy machine lost records may be one of them.
fn commands(text: &str) -> Vec<&str> {
    let obeyed = |line: &&str| line.trim_start().starts_with("::") || line.contains("##[") || line.contains("##vso[");
    let lost = |line: &&str| line.starts_with("::error title=tokenhound sensor-degraded::");
    text.lines().filter(obeyed).filter(|line| !lost(line)).collect()
}

#[test]
fn every_step_is_told_with_what_it_touched() {
    if !skip::has(&["dash", "bash", "cat"]) {
        return;
    }
    let stage = Stage::new();
    let gh = actor(&stage, "gh").display().to_string();
    let job = Job::new(&stage, "job");
    Store::GhHosts.put(&stage, &job.home);
    Store::AwsCredentials.put(&stage, &job.home);
    let (watched, summary) = job
        .step("release", &format!("STORE=\"$HOME/.config/gh/hosts.yml\" {gh} </dev/null"))
        // What a step says of itself to its own children is not believed.
        .step("test", "GITHUB_ACTION=release GITHUB_JOB=other cat \"$HOME/.aws/credentials\" >/dev/null")
        .play("Runner.Worker", &[]);
    let [finding] = watched.of("unexpected-reader")[..] else { panic!("{}", watched.story()) };
    for (fact, wanted) in [
        ("system", "github-actions"),
        ("proof", "place"),
        ("repository", "o/r"),
        ("workflow", "CI"),
        ("job", "build"),
        ("step", "test"),
        ("run", "77"),
        ("url", "https://github.com/o/r/actions/runs/77"),
    ] {
        assert_eq!(finding.told_of_ci(fact), wanted, "{}", finding.0);
    }
    assert_eq!((finding.actor(), finding.severity()), ("ci-job", "High"), "{}", finding.brief());
    assert!(summary.starts_with("before\n## tokenhound\n"), "added to what is there: {summary}");
    let rows: Vec<[String; 5]> = watch::rows(&summary).collect();
    let row = |cells: [&str; 5]| assert!(rows.contains(&cells.map(str::to_owned)), "{cells:?}: {rows:?}");
    row(["gh-hosts", "gh", "expected", "1", "build / release"]);
    row(["aws-credentials", "cat", "unexpected", "1", "build / test"]);
    let said = watched.ended.err();
    assert!(said.contains("gh-hosts: expected once, by gh in build / release\n"), "{said}");
    let [error] = commands(&said)[..] else { panic!("{said}") };
    assert!(error.starts_with("::error title=tokenhound unexpected-reader,file=/"), "{error}");
    assert!(error.contains("(in step test, job build, workflow CI, repository o/r, run 77)"), "{error}");
}

#[test]
fn a_step_with_a_large_environment_is_told_as_well() {
    if !skip::has(&["dash", "bash", "cat", "env"]) {
        return;
    }
    let stage = Stage::new();
    let job = Job::new(&stage, "job");
    Store::AwsCredentials.put(&stage, &job.home);
    // What a record does not hold is asked of the step while it lives: this one lives until it is found.
    let read = "cat \"$HOME/.aws/credentials\" >/dev/null; until [ -s \"$(echo \"$HOME\"/../../out/findings-*)\" ]; do :; done";
    let (watched, _) = job.crowded("late", read).play("Runner.Worker", &[]);
    let [finding] = watched.of("unexpected-reader")[..] else { panic!("{}", watched.story()) };
    assert_eq!((finding.told_of_ci("step"), finding.told_of_ci("run")), ("late", "77"), "{}", finding.0);
}

/// The twin: the same without a runner, and without the variables being believed where that is not wanted.
#[test]
fn nothing_is_told_where_that_is_not_wanted() {
    if !skip::has(&["dash", "bash"]) {
        return;
    }
    let stage = Stage::new();
    let gh = actor(&stage, "gh").display().to_string();
    let job = Job::new(&stage, "job");
    Store::GhHosts.put(&stage, &job.home);
    let read = format!("STORE=\"$HOME/.config/gh/hosts.yml\" {gh} </dev/null");
    let (watched, summary) = job.step("release", &read).play("Runner.Walker", &["--ci=never"]);
    assert!(watched.findings.is_empty(), "{}", watched.story());
    assert_eq!(summary, "before\n");
    assert!(!watched.ended.err().contains("stores that were touched"), "{}", watched.ended.err());
}

#[test]
fn no_name_becomes_a_command() {
    if !skip::has(&["dash", "bash", "cat"]) {
        return;
    }
    let stage = Stage::new();
    let job = Job::new(&stage, "job");
    // Long enough to be wrapped wherever it stands, with commands at every place where a line may begin.
    let hostile = "x ::stop-commands::t ::add-path::/e\n::set-output name=a::b\r\n ::error::c ##[add-path]/e \
                   ##vso[task.setvariable variable=PATH]/e ::group::d ::warning::e";
    let home = stage.directory(&format!("homes/{hostile}"));
    let store = Store::AwsCredentials.put(&stage, &home);
    let link = stage.directory("work").join("link");
    std::os::unix::fs::symlink(&home, &link).unwrap();
    let hostile_program = stage.path("bin/").join(Path::new("::error::p"));
    fs::copy(skip::program("cat").unwrap(), &hostile_program).unwrap();
    let read = format!(
        "HOME=$(readlink '{}') '{}' \"$HOME/.aws/credentials\" >/dev/null",
        link.display(),
        hostile_program.display()
    );
    let twice = format!("export HOME=\"$(readlink '{}')\"\n/bin/true\n{read}", link.display());
    assert!(store.exists());
    let (watched, summary) = job.step("::error::s", &twice).play("Runner.Worker", &[]);
    assert_eq!(watched.of("unexpected-reader").len(), 1, "{}", watched.story());
    let said = watched.ended.err();
    let [error] = commands(&said)[..] else { panic!("{:#?}", commands(&said)) };
    assert!(error.starts_with("::error title=tokenhound unexpected-reader,file=/"), "{error}");
    assert!(commands(&summary).is_empty(), "{summary}");
    assert!(!summary.contains("::"), "{summary}");
}
