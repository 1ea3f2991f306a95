//! The secrets of CI runners themselves: read by a step of a job, and by the runner that they belong to. The runners are
//! stand-ins: programs of their names in the test's own directory.

use std::{fs, path::PathBuf};

use tokenhound_tests::{
    finding::Finding,
    skip,
    stage::Stage,
    token,
    watch::{Watch, Watched},
};

use crate::actor;

const STEP: &str = "0a1b2c3d-1111-2222-3333-0123456789ab.sh";

/// A job of one step that runs these lines, below a program of this name.
fn job(stage: &Stage, runner: &str, lines: &str) -> Watched {
    let dash = fs::canonicalize(skip::program("dash").unwrap()).unwrap();
    let runner = stage.program(runner, &dash);
    let step = stage.file(&format!("work/_temp/{STEP}"), format!("{lines}\n:\n"));
    let job = stage.file("work/job.sh", format!("bash -e '{}'\n:\n", step.display()));
    let watch = Watch::new(stage).arg("--fail-on").arg("none").env("HOME", stage.directory("homes/runner"));
    let watch = watch.env("RUNNER_TEMP", stage.path("work/_temp")).env("JENKINS_HOME", stage.path("jenkins"));
    let watched = watch.run([runner.as_os_str(), job.as_os_str()]);
    assert_eq!(watched.ended.code(), 0, "{}{}", watched.ended.out(), watched.ended.err());
    watched
}

fn inspections(watched: &Watched) -> Vec<&Finding> {
    watched.of("process-inspection")
}

#[test]
fn the_memory_of_a_runner() {
    if !skip::has(&["dash", "bash", "dd", "cat"]) {
        return;
    }
    let stage = Stage::new();
    let memory = "dd if=/proc/$PPID/mem of=/dev/null bs=1 count=1 2>/dev/null || :";
    for (runner, severity) in [("Runner.Worker", "Critical"), ("gitlab-runner", "Critical"), ("Runner.Walker", "High")]
    {
        let watched = job(&stage, runner, memory);
        let [finding] = inspections(&watched)[..] else { panic!("{runner}: {}", watched.story()) };
        assert_eq!((finding.severity(), finding.object()), (severity, "mem"), "{runner}: {}", finding.brief());
        let said = finding.mentions("its memory holds every secret of its jobs");
        assert_eq!(said, severity == "Critical", "{runner}: {}", finding.0);
    }
    let watched = job(&stage, "Runner.Worker", "cat /proc/$PPID/environ >/dev/null");
    let [finding] = inspections(&watched)[..] else { panic!("{}", watched.story()) };
    assert_eq!((finding.severity(), finding.object()), ("High", "environ"), "{}", finding.brief());
    // What every build does.
    let watched =
        job(&stage, "Runner.Worker", "cat /proc/$PPID/status /proc/$PPID/cmdline /proc/self/environ >/dev/null");
    assert!(inspections(&watched).is_empty(), "{}", watched.story());
}

/// A store of a runner, its place on the stage, and what the runner itself reads it with.
struct Place {
    store: &'static str,
    file: &'static str,
    owner: &'static str,
    arguments: &'static str,
    severity: &'static str,
}

const PLACES: &[Place] = &[
    Place {
        store: "gha-runner-credentials",
        file: "actions-runner/.credentials",
        owner: "Runner.Listener",
        arguments: "",
        severity: "High",
    },
    Place {
        store: "gha-runner-credentials",
        file: "srv/first/.credentials_rsaparams",
        owner: "Runner.Listener",
        arguments: "",
        severity: "High",
    },
    Place {
        store: "gitlab-runner",
        file: "homes/runner/.gitlab-runner/config.toml",
        owner: "gitlab-runner",
        arguments: "",
        severity: "High",
    },
    Place {
        store: "jenkins-secrets",
        file: "jenkins/secrets/master.key",
        owner: "java",
        arguments: "-jar /usr/share/java/jenkins.war",
        severity: "High",
    },
    Place {
        store: "buildkite-agent",
        file: "homes/runner/.buildkite-agent/buildkite-agent.cfg",
        owner: "buildkite-agent",
        arguments: "",
        severity: "High",
    },
];

#[test]
fn the_files_of_a_runner() {
    if !skip::has(&["dash", "bash", "cat"]) {
        return;
    }
    let stage = Stage::new();
    let mut lines = String::new();
    let mut files: Vec<PathBuf> = Vec::new();
    for place in PLACES {
        let token = token::plain("", 40);
        stage.hide(&token);
        let file = stage.file(place.file, format!("token = \"{token}\"\n"));
        let owner = actor(&stage, place.owner);
        lines.push_str(&format!("STORE='{}' '{}' {} </dev/null\n", file.display(), owner.display(), place.arguments));
        lines.push_str(&format!("cat '{}' >/dev/null\n", file.display()));
        files.push(file);
    }
    let watched = job(&stage, "Runner.Worker", &lines);
    for (place, file) in PLACES.iter().zip(&files) {
        let of_file =
            |finding: &&Finding| finding.detector() == "unexpected-reader" && finding.path() == file.to_str().unwrap();
        let found: Vec<&Finding> = watched.findings.iter().filter(of_file).collect();
        let [finding] = found[..] else { panic!("{}: {}", place.file, watched.story()) };
        assert!(finding.reader().ends_with("/cat"), "{}", finding.brief());
        assert_eq!((finding.stores()[0], finding.severity()), (place.store, place.severity), "{}", finding.brief());
        assert_eq!(finding.actor(), "ci-job", "{}", finding.brief());
        assert!(watched.reads(place.store, place.owner, "expected") > 0, "{}: {}", place.file, watched.story());
    }
}

/// What a step's secrets were written into: its own shell runs it, another program only takes it.
#[test]
fn the_script_of_another_step() {
    if !skip::has(&["dash", "bash", "cat"]) {
        return;
    }
    let stage = Stage::new();
    let earlier = "ffffffff-1111-2222-3333-0123456789ab.sh";
    let token = token::plain("ghp_", 36);
    stage.hide(&token);
    let earlier = stage.file(&format!("work/_temp/{earlier}"), format!("deploy --token {token}\n"));
    let watched = job(&stage, "Runner.Worker", &format!("cat '{}' >/dev/null", earlier.display()));
    let [finding] = watched.of("unexpected-reader")[..] else { panic!("{}", watched.story()) };
    assert_eq!((finding.stores()[0], finding.severity()), ("gha-step-scripts", "Medium"), "{}", finding.brief());
    assert_eq!(finding.path(), earlier.to_str().unwrap());
    let watched = job(&stage, "Runner.Worker", "echo built >\"$RUNNER_TEMP/out\"; cat \"$RUNNER_TEMP/out\" >/dev/null");
    assert!(watched.of("unexpected-reader").is_empty(), "{}", watched.story());
    assert!(watched.reads("gha-step-scripts", "bash", "expected") > 0, "{}", watched.story());
}
