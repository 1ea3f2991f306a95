//! Plays entries of one context after the other, each in a home and with an output directory of its own.

use std::{collections::HashMap, fmt::Write, fs, path::Path, process::Command};

use tokenhound_tests::{
    process::{self, Background, patience},
    skip,
    stage::{Stage, set_mode},
};

use crate::entry::{Context, Entry};

const RUNNER: &str = "Runner.Worker";
const CRON: &str = "cron";
const TYPIST: &str = "typist";

/// How a command is run by somebody else.
const NOBODY: &str = "setpriv --reuid=65534 --regid=65534 --clear-groups";

/// Lines that are typed in one login. A terminal takes 4 KiB before somebody must read.
const TYPED: usize = 12;

/// What became of the entries of a context.
#[derive(Debug, Default)]
pub(crate) struct Played {
    /// The process that all of an entry descends from.
    pub(crate) roots: HashMap<String, u64>,
    pub(crate) codes: HashMap<String, i32>,
}

/// Where an entry's home is, and what its shell says goes.
pub(crate) fn home_name(context: Context, entry: &Entry) -> String {
    format!("{context}-{}", entry.name)
}

/// The programs that stand above an entry. All are made before anything runs: a file that a fork of ours has open for
/// writing cannot be started.
pub(crate) fn stand_ins(stage: &Stage) {
    let dash = fs::canonicalize(skip::program("dash").expect("dash")).expect("dash");
    for name in [RUNNER, CRON] {
        let shell = stage.program(name, &dash);
        set_mode(&shell, 0o755);
    }
    stage.program(TYPIST, env!("CARGO_BIN_EXE_actor").as_ref());
}

pub(crate) fn play(stage: &Stage, context: Context, entries: &[&Entry]) -> Played {
    if entries.is_empty() {
        return Played::default();
    }
    match context {
        Context::Interactive => entries.chunks(TYPED).for_each(|some| typed(stage, some)),
        // Each attack has a job of its own: a lineage is told once that it sweeps.
        Context::Job | Context::Cron => {
            let (attacks, everyday): (Vec<&Entry>, Vec<&Entry>) =
                entries.iter().partition(|entry| !entry.is_everyday());
            below(stage, context, &everyday);
            attacks.chunks(1).for_each(|one| below(stage, context, one));
        }
    }
    let read = |name: &str| fs::read_to_string(stage.path(&format!("out/{name}-{context}"))).unwrap_or_default();
    Played { roots: pairs(&read("pids")), codes: pairs(&read("codes")) }
}

fn pairs<T: std::str::FromStr>(text: &str) -> HashMap<String, T> {
    let pair = |line: &str| {
        let (name, value) = line.split_once(' ')?;
        Some((name.to_owned(), value.parse().ok()?))
    };
    text.lines().filter_map(pair).collect()
}

/// The shell function that plays one entry by its name; `how` is how its script is run.
fn function(context: Context, how: &str, output: &str) -> String {
    format!(
        "play() {{ ( HOME=$STAGE/homes/{context}-$1; OUT=$HOME.out; export HOME OUT; cd; \
         echo \"$1 $(exec sh -c 'echo $PPID')\" >>$STAGE/out/pids-{context}; {how} ) </dev/null {output}; \
         echo \"$1 $?\" >>$STAGE/out/codes-{context}; }}"
    )
}

/// Logs in as root in a terminal and types the name of each.
fn typed(stage: &Stage, entries: &[&Entry]) {
    let mut command = clean(stage, &stage.path("bin").join(TYPIST));
    command.args(["type", "unset HISTFILE"]);
    command.arg(format!("export STAGE={}", stage.path("").display()));
    for (name, value) in variables() {
        command.arg(format!("export {name}='{value}'"));
    }
    command.arg(function(Context::Interactive, ". $STAGE/scripts/$1.sh", ""));
    command.args(entries.iter().map(|entry| format!("play {}", entry.name)));
    command.args(["--", "login", "-f", "root"]);
    let ended = process::run(&mut command, b"");
    assert_eq!(ended.code(), 0, "{}{}", ended.out(), ended.err());
    fs::write(stage.path("out/terminal"), ended.stdout).expect("write a file");
}

/// Plays them below a stand-in for a runner or a daemon.
fn below(stage: &Stage, context: Context, entries: &[&Entry]) {
    let (name, how, more) = match context {
        Context::Job => {
            (RUNNER, "exec $2 bash --noprofile --norc -eo pipefail $STAGE/scripts/$1.sh", job_variables(stage))
        }
        _ => (CRON, "exec $2 setsid --wait dash -c \"$(cat $STAGE/scripts/$1.sh)\"", Vec::new()),
    };
    // A runner and cron take what is said from a pipe. Here it leads nowhere: `git remote -v` says a token, and in a file or a
    // log that would be a copy.
    let mut director = function(context, how, "2>&1");
    director.push_str("\n{");
    for entry in entries {
        let user = if entry.is_trick() { NOBODY } else { "" };
        write!(director, "\nplay {} '{user}'", entry.name).expect("text takes text");
    }
    let director = stage.file(&format!("director-{context}"), director + "\n} | cat >/dev/null\n");
    // What an init starts has nothing to do with what it started before.
    let mut command = clean(stage, Path::new("/usr/bin/tini"));
    command.args(["-s", "--"]).arg(stage.path("bin").join(name));
    let mut played = Background::start(command.envs(more.iter().map(|(name, value)| (name, value))).arg(director));
    drop(played.child.stdin.take());
    // So many take longer than one program may.
    let _ = entries.chunks(TYPED).any(|_| played.ends_within(patience()));
    let ended = played.wait();
    assert_eq!(ended.code(), 0, "{}{}", ended.out(), ended.err());
}

/// A command that knows nothing of how the test was started.
fn clean(stage: &Stage, program: &Path) -> Command {
    let mut command = Command::new(program);
    command.env_clear().envs(variables()).env("STAGE", stage.path("")).env("HOME", stage.directory("homes/nobody"));
    command.current_dir("/");
    command
}

/// Where programs are. Cargo's are in the home of whoever installed it.
fn variables() -> Vec<(&'static str, String)> {
    let venv = std::env::var("TOKENHOUND_VENV").map(|venv| format!("{venv}/bin:")).unwrap_or_default();
    let path = std::env::var("PATH").unwrap_or_default();
    let home = std::env::var("HOME").unwrap_or_default();
    let rustup = std::env::var("RUSTUP_HOME").unwrap_or_else(|_| format!("{home}/.rustup"));
    let fixed = [("LANG", "C.UTF-8"), ("PAGER", "cat")].map(|(name, value)| (name, value.to_owned()));
    [("PATH", format!("{path}:{venv}")), ("RUSTUP_HOME", rustup)].into_iter().chain(fixed).collect()
}

/// What a runner of GitHub's sets, as far as programs care.
fn job_variables(stage: &Stage) -> Vec<(&'static str, String)> {
    let temporary = stage.directory("out/runner-temp").display().to_string();
    vec![("CI", "true".into()), ("GITHUB_ACTIONS", "true".into()), ("RUNNER_TEMP", temporary)]
}

/// Whether all programs that an entry needs are here.
pub(crate) fn missing(entry: &Entry) -> Option<&'static str> {
    let venv = std::env::var_os("TOKENHOUND_VENV").map(|venv| Path::new(&venv).join("bin"));
    let here = |tool: &str| {
        skip::program(tool).is_some() || venv.as_ref().is_some_and(|directory| directory.join(tool).is_file())
    };
    entry.tools.iter().copied().find(|tool| !here(tool))
}
