//! Copies of tokens where there is much to look into: a large file beside small ones, ten thousand files at once, and a token
//! that has left its store.

use std::{fs, path::Path, process::Command};

use tokenhound_tests::{
    agent::Agent,
    finding::Finding,
    http,
    process::{self, Background},
    skip,
    stage::Stage,
    store::Store,
    token,
};

use crate::lifecycle::is_known;

/// Files that one process writes at once.
const FILES: usize = 10_000;

/// Bytes of a file that nobody waits for.
const LARGE: u64 = 48 << 20;

struct Scene<'s> {
    home: std::path::PathBuf,
    agent: Agent<'s>,
    _resident: Background,
}

/// An agent that knows the token in a store of a home in which somebody lives.
fn scene<'s>(stage: &'s Stage, name: &str) -> Scene<'s> {
    let home = stage.directory(&format!("homes/{name}"));
    let store = Store::GhHosts.put(stage, &home);
    let resident = Background::start(Command::new("sleep").arg("3600").env("HOME", &home));
    let mut agent = Agent::start(stage);
    agent.process.until("the token", || is_known(stage, &store).then_some(()));
    Scene { home, agent, _resident: resident }
}

/// Runs it in the home.
fn bash(home: &Path, script: &str) {
    let ended = process::run(Command::new("bash").args(["-c", script]).env("HOME", home).current_dir(home), b"");
    assert_eq!(ended.code(), 0, "{}", ended.err());
}

#[test]
fn a_large_file_is_looked_into_and_holds_up_nobody() {
    let stage = Stage::new();
    let mut scene = scene(&stage, "large");
    let script = format!(
        "{{ head -c {LARGE} /dev/zero | tr '\\0' x; cat .config/gh/hosts.yml; }} >large; cp .config/gh/hosts.yml small"
    );
    bash(&scene.home, &script);
    let about = |name: &str| format!("/homes/large/{name}, ");
    let (large, small) = (about("large"), about("small"));
    scene.agent.until("the small file", |all| all.iter().any(|one| one.mentions(&small)));
    scene.agent.until("the large file", |all| all.iter().any(|one| one.mentions(&large)));
    let all = scene.agent.findings("token-copied");
    let latency = |text: &str| all.iter().find(|one| one.mentions(text)).and_then(Finding::latency_ms);
    println!("large after {:?} ms, small after {:?} ms", latency(&large), latency(&small));
    scene.agent.stop();
}

/// Nobody has looked there: it is known by its name once it is opened. Its own program may print it, and the copy is one.
#[test]
fn a_token_deep_in_a_tree_is_known_from_its_first_read_on() {
    if !skip::has(&["git"]) {
        return;
    }
    let stage = Stage::new();
    let url = |token: &str| format!("https://a:{token}@git.invalid/x.git");
    let token = token::plain("ghp_", 36);
    stage.hide(&token);
    for (project, url) in [("src/deep/project", url(&token)), ("src/deep/twin", "https://git.invalid/y.git".into())] {
        let project = stage.directory(project);
        bash(&project, &format!("git init --quiet && git remote add origin {url}"));
    }
    let mut agent = Agent::start(&stage);
    let remotes =
        |project: &str, to: &str| bash(&stage.path(project), &format!("git remote -v >{}", stage.path(to).display()));
    remotes("src/deep/twin", "twin.txt");
    remotes("src/deep/project", "first.txt");
    let found = agent.finding("/first.txt, ");
    assert_eq!(found.detector(), "token-copied", "{}", found.brief());
    assert!(found.mentions("src/deep/project/.git/config") && found.reader().ends_with("/git"), "{}", found.0);
    remotes("src/deep/project", "second.txt");
    agent.finding("/second.txt, ");
    for twin in ["src/deep/twin", "twin.txt"] {
        let others = agent.findings(&stage.path(twin).display().to_string());
        assert!(others.is_empty(), "{others:?}");
    }
    agent.stop();
}

#[test]
fn ten_thousand_files_are_looked_into_or_named() {
    if !skip::has(&["python3"]) {
        return;
    }
    let stage = Stage::new();
    let mut scene = scene(&stage, "many");
    let script = format!(
        "import os\nhosts = open('.config/gh/hosts.yml').read()\nos.mkdir('many')\n\
         for number in range({FILES}):\n    with open(f'many/{{number}}', 'w') as out:\n        \
         out.write(hosts if number % 1000 == 999 else 'nothing of interest')\n"
    );
    let script = stage.file("many.py", script);
    bash(&scene.home, &format!("python3 {}", script.display()));
    let agent = &mut scene.agent;
    let metric = |text: &str, name: &str| -> u64 {
        let of = text.lines().filter(|line| line.starts_with(&format!("tokenhound_{name}")));
        of.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
    };
    let port = agent.port;
    let missing =
        |text: &str| (metric(text, "files_scanned_total{outcome=\"queue_full\"}"), metric(text, "records_lost_total"));
    agent.process.until("all files", || {
        let (_, text) = http::get(port, "/metrics")?;
        (metric(&text, "files_scanned_total") + missing(&text).1 >= FILES as u64).then_some(())
    });
    // A file can be looked into more than once: others may still wait, and be missed.
    agent.until("every copy, or word of what is missing", |all| {
        let copies = all.iter().filter(|one| one.mentions("/homes/many/many/")).count();
        let is_missing = || http::get(port, "/metrics").is_some_and(|(_, text)| missing(&text) != (0, 0));
        copies >= FILES / 1000 || (all.iter().any(|one| one.detector() == "sensor-degraded") && is_missing())
    });
    let (missed, lost) = missing(&agent.metrics());
    let memory = fs::read_to_string(format!("/proc/{}/status", agent.process.pid())).unwrap();
    let memory = memory.lines().find(|line| line.starts_with("VmHWM")).unwrap_or_default().to_owned();
    println!("{FILES} files: {missed} found no room, {lost} records lost; {memory}");
    scene.agent.stop();
}

/// Logged out, and restored from a backup: the token may be good all the same.
#[test]
fn a_token_that_has_left_its_store_is_known() {
    let stage = Stage::new();
    let mut scene = scene(&stage, "left");
    let store = scene.home.join(Store::GhHosts.place());
    bash(&scene.home, "cp .config/gh/hosts.yml first; rm .config/gh/hosts.yml");
    scene.agent.process.until("its end", || (!is_known(&stage, &store)).then_some(()));
    // Nobody who reads a store: a history is looked into whoever writes it.
    bash(&scene.home, "cat first >.bash_history");
    scene.agent.until("the copy", |all| all.iter().any(|one| one.mentions("/homes/left/.bash_history, a history")));
    scene.agent.stop();
}
