//! `decoy-read`: decoys are planted, read and removed, beside an agent and under a watched command.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use tokenhound_tests::{
    agent::Agent,
    process::{self, Ended},
    skip,
    stage::Stage,
    watch::Watch,
};

struct Decoys<'s> {
    stage: &'s Stage,
    state: PathBuf,
}

impl Decoys<'_> {
    fn call(&self, arguments: &[&str]) -> Ended {
        let mut command = Command::new(process::tokenhound());
        command.arg("decoy").args(arguments).arg("--state-dir").arg(&self.state).env_remove("SUDO_UID");
        let ended = process::run(&mut command, b"");
        self.stage.search("what decoy says", &ended.stdout);
        self.stage.search("what decoy says", &ended.stderr);
        ended
    }

    fn done(&self, arguments: &[&str]) -> String {
        let ended = self.call(arguments);
        assert_eq!(ended.code(), 0, "{arguments:?}: {}{}", ended.out(), ended.err());
        ended.out()
    }

    /// No line of a decoy's content may be seen in what tokenhound writes.
    fn hide(&self, path: &Path) {
        for line in fs::read_to_string(path).unwrap().lines() {
            for word in line.split([' ', '"', '=']).filter(|word| word.len() >= 24) {
                self.stage.hide(word);
            }
        }
    }
}

fn decoys(stage: &Stage) -> Decoys<'_> {
    Decoys { stage, state: stage.path("state") }
}

#[test]
fn what_is_planted_is_recorded_believable_and_removed() {
    let stage = Stage::new();
    let decoys = decoys(&stage);
    let (under, home) = (stage.path("homes/ann/old"), stage.directory("homes/ann"));
    fs::write(home.join("keep"), "mine").unwrap();
    let said = decoys.done(&["plant", "--under", under.to_str().unwrap()]);
    let planted: Vec<PathBuf> =
        said.lines().filter_map(|line| line.split_once("  ")).map(|(_, path)| path.into()).collect();
    assert_eq!(planted.len(), 8, "{said}");
    for path in &planted {
        let metadata = fs::metadata(path).unwrap();
        assert_eq!(metadata.mode() & 0o777, 0o600, "{}", path.display());
        assert!(metadata.size() > 40 && metadata.mtime() < fs::metadata(&home).unwrap().mtime() - 86_400);
    }
    let record = decoys.state.join("decoys.json");
    assert_eq!(fs::metadata(&record).unwrap().mode() & 0o777, 0o600);
    assert_eq!(decoys.done(&["list"]).matches("in place").count(), 8);

    // Nothing is overwritten, and no real place is taken unless asked for.
    let again = decoys.call(&["plant", "aws", "--under", under.to_str().unwrap()]);
    assert_eq!(again.code(), 2, "{}", again.err());
    let mine = stage.file("homes/ann/mine", "mine");
    let over = decoys.call(&["plant", "aws", "--at", mine.to_str().unwrap()]);
    assert!(over.code() == 1 && over.err().contains("there is a file already"), "{}", over.err());
    let real = decoys.call(&["plant", "aws", "--at", "/root/.aws/credentials"]);
    assert!(real.code() == 2 && real.err().contains("aws-credentials"), "{}", real.err());
    assert_eq!(fs::read_to_string(mine).unwrap(), "mine");

    // A file that took a decoy's place is not ours.
    fs::remove_file(&planted[0]).unwrap();
    fs::write(&planted[0], "another").unwrap();
    let removed = decoys.call(&["remove", "--all"]);
    assert_eq!(removed.code(), 1, "{}", removed.out());
    assert!(planted[0].exists() && planted[1..].iter().all(|path| !path.exists()), "{}", removed.out());
    fs::remove_file(&planted[0]).unwrap();
    decoys.done(&["remove", "--all"]);
    assert_eq!(fs::read_dir(&home).unwrap().count(), 2, "only what was there before");
    assert!(decoys.done(&["list"]).contains("no decoys"));
}

/// Under `watch`: a thief, a backup that policy names, and a program that only looks at names.
#[test]
fn any_read_is_critical_but_those_of_the_policy() {
    let stage = Stage::new();
    let decoys = decoys(&stage);
    let under = stage.path("homes/ann/old");
    decoys.done(&["plant", "aws", "--under", under.to_str().unwrap()]);
    let decoy = under.join(".aws/credentials");
    decoys.hide(&decoy);
    let tar = fs::canonicalize(skip::program("tar").unwrap()).unwrap();
    let exception =
        format!("exceptions:\n  - {{reason: nightly backup, store: 'decoy-*', reader: {}}}\n", tar.display());
    stage.file("policy.d/backup.yaml", exception);
    let script =
        "cat \"$1\" >/dev/null; tar -cf - \"$1\" 2>/dev/null | wc -c >/dev/null; ls -l \"$1\" >/dev/null; : >>\"$1\"";
    let watch = Watch::new(&stage).arg("--fail-on").arg("none").arg("--state-dir").arg(&decoys.state);
    let watched = watch.run(["dash", "-c", script, "dash", decoy.to_str().unwrap()]);
    let [found] = &watched.findings[..] else { panic!("one finding: {}", watched.story()) };
    assert_eq!((found.detector(), found.severity()), ("decoy-read", "Critical"), "{}", found.brief());
    assert_eq!((found.stores(), found.path()), (vec!["decoy-aws-1"], decoy.to_str().unwrap()));
    assert!(found.reader().ends_with("/cat"), "{}", found.brief());
    assert_eq!(watched.reads("decoy-aws-1", "tar", "tolerated"), 1, "{}", watched.summary);
}

/// An agent that runs already takes up what is planted, and lets go of what is removed.
#[test]
fn a_running_agent_takes_them_up() {
    let stage = Stage::new();
    let decoys = decoys(&stage);
    let mut agent = Agent::start(&stage);
    let under = stage.path("homes/ann/old");
    decoys.done(&["plant", "ssh", "--under", under.to_str().unwrap()]);
    let decoy = under.join(".ssh/id_ed25519");
    decoys.hide(&decoy);
    let read = |path: &Path| {
        let status = Command::new("cat").arg(path).stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
        assert!(status.success());
    };
    let found = agent.provoke(decoy.to_str().unwrap(), || read(&decoy));
    assert_eq!((found.detector(), found.severity()), ("decoy-read", "Critical"), "{}", found.brief());
    // By another name, found by its id.
    let other = stage.path("plain");
    fs::hard_link(&decoy, &other).unwrap();
    let found = agent.provoke(other.to_str().unwrap(), || read(&other));
    assert_eq!((found.detector(), found.known_as()), ("decoy-read", decoy.to_str().unwrap()), "{}", found.brief());
    fs::remove_file(&other).unwrap();
    // Removing it is no read.
    decoys.done(&["remove", "--all"]);
    let ended = agent.stop();
    let own = format!("tokenhound read {}", decoy.display());
    assert!(!ended.out().contains(&own), "{}", ended.out());
}
