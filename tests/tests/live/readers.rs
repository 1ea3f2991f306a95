//! Tools of a user's own: accepted at first use, remembered, and told of when they are another.

use std::{
    fs::{self, OpenOptions},
    io::Write,
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use tokenhound_tests::{
    process, skip,
    stage::{Stage, set_mode},
    store::Store,
    watch::{Watch, Watched},
};

/// `nobody` runs the tool, a `wc` under another name, which reads the store.
fn run(stage: &Stage, home: &Path) -> Watched {
    let watch = Watch::new(stage).env("HOME", home).arg("--fail-on").arg("none").arg("--user").arg("nobody");
    let store = home.join(Store::AwsCredentials.place());
    let watched = watch.arg("--state-dir").arg(stage.path("state")).run([
        "env".as_ref(),
        format!("HOME={}", home.display()).as_ref(),
        home.join(".local/bin/aws").as_os_str(),
        store.as_os_str(),
    ]);
    assert_eq!(watched.ended.code(), 0, "{}", watched.ended.err());
    assert!(watched.reads(Store::AwsCredentials.id(), "aws", "expected") > 0, "{}", watched.story());
    watched
}

#[test]
fn a_tool_that_was_replaced_is_told_once_and_one_that_was_not_never() {
    if !skip::has(&["env", "wc"]) {
        return;
    }
    let stage = Stage::new();
    let home = stage.directory("homes/dev");
    Store::AwsCredentials.put(&stage, &home);
    let tool = home.join(".local/bin/aws");
    fs::create_dir_all(tool.parent().unwrap()).unwrap();
    fs::copy(skip::program("wc").unwrap(), &tool).unwrap();
    set_mode(&tool, 0o755);
    stage.open_to_others();
    Stage::give_to_nobody(&home);
    // What a file holds is not always known in time; then it is remembered at the next read.
    until(|| {
        let watched = run(&stage, &home);
        assert!(watched.findings.is_empty(), "{}", watched.story());
        listed(&stage).contains("/.local/bin/aws  since ")
    });
    assert!(run(&stage, &home).findings.is_empty(), "it is what it was");
    // What is behind its end an executable does not care for.
    OpenOptions::new().append(true).open(&tool).unwrap().write_all(b"changed").unwrap();
    let mut told = None;
    until(|| {
        told = run(&stage, &home).of("reader-changed").first().map(|finding| (*finding).clone());
        told.is_some()
    });
    let finding = told.unwrap();
    assert!(finding.reader().ends_with("/.local/bin/aws"), "{}", finding.brief());
    assert_eq!(finding.stores(), [Store::AwsCredentials.id()]);
    assert!(finding.mentions("is not what it was"), "{}", finding.0);
    assert!(run(&stage, &home).findings.is_empty(), "it was told");
    assert!(listed(&stage).contains("1 change before"), "{}", listed(&stage));
}

/// The real AWS CLI's script at a place of nobody's, with the record that pip wrote of it, reads another's store. The first
/// reads may be too early for an answer: each home is a finding of its own.
#[test]
fn what_pip_recorded_of_a_reader_is_told_and_makes_it_no_more_expected() {
    let venv = std::env::var_os("TOKENHOUND_VENV").map(PathBuf::from).filter(|venv| venv.join("bin/aws").exists());
    let Some(venv) = venv.filter(|_| skip::has(&["/usr/bin/dash"])) else {
        return skip::skip("the AWS CLI is not here");
    };
    let site = directory(&venv.join("lib"), |name| name.starts_with("python")).join("site-packages");
    let package = directory(&site, |name| name.starts_with("awscli-") && name.ends_with(".dist-info"));
    let stage = Stage::new();
    let tool = stage.executable("tools/bin/aws", fs::read(venv.join("bin/aws")).unwrap());
    let record = Path::new("tools").join(package.strip_prefix(&venv).unwrap()).join("RECORD");
    let record = stage.file(&record.display().to_string(), fs::read(package.join("RECORD")).unwrap());
    Stage::give_to_nobody(&record);
    for state in ["unchanged since", "CHANGED since: it is not what the record says"] {
        let homes: Vec<PathBuf> = (0..6).map(|home| stage.directory(&format!("homes/{home}"))).collect();
        let mut script = String::new();
        for home in &homes {
            let store = Store::GhHosts.put(&stage, home);
            // It is no JSON, which ends it before it would call anybody.
            let run = format!("{} sts get-caller-identity --cli-input-json file://{}", tool.display(), store.display());
            script.push_str(&format!("HOME={} AWS_DEFAULT_REGION=none {run} >/dev/null 2>&1\n", home.display()));
        }
        let watch = Watch::new(&stage).arg("--fail-on").arg("none");
        let watched = watch.run(["/usr/bin/dash", "-c", &format!("{script}true")]);
        let stated = format!("by pip's record in {}, which its user can write; {state}", record.display());
        let found = watched.of("unexpected-reader");
        assert!(found.iter().any(|finding| finding.mentions(&stated)), "{stated}: {}", watched.story());
        OpenOptions::new().append(true).open(&tool).unwrap().write_all(b"# changed\n").unwrap();
    }
}

/// The one directory of such a name.
fn directory(above: &Path, wanted: impl Fn(&str) -> bool) -> PathBuf {
    let entries = fs::read_dir(above).unwrap().map(|entry| entry.unwrap().path());
    let named = |path: &PathBuf| path.file_name().and_then(|name| name.to_str()).is_some_and(&wanted);
    entries.into_iter().find(named).unwrap()
}

/// What is remembered.
fn listed(stage: &Stage) -> String {
    let mut list = Command::new(process::tokenhound());
    process::run(list.arg("readers").arg("--state-dir").arg(stage.path("state")), b"").out()
}

fn until(mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + process::patience();
    while !done() {
        assert!(Instant::now() < deadline, "not in time");
    }
}
