//! Plays stories one after the other, each in a session of its own.

use std::{
    env,
    fs::{self, File},
    path::Path,
    process::{Command, Stdio},
};

use tokenhound_tests::{
    process::{Background, patience},
    skip,
    stage::Stage,
};

use crate::story::Story;

/// What became of a story.
pub(crate) struct Played {
    /// The process that all of it descends from.
    pub(crate) root: u64,
    pub(crate) code: i32,
    /// What it wrote.
    pub(crate) said: String,
}

pub(crate) fn play(stage: &Stage, name: &str, story: &Story) -> Played {
    let home = stage.path(&format!("homes/{name}"));
    let script = stage.file(&format!("scripts/{name}.sh"), format!("{}\n", story.script));
    let said = stage.path(&format!("out/{name}.said"));
    let file = || File::options().append(true).create(true).open(&said).expect("make a file");
    let mut command = Command::new("bash");
    command.args(["--noprofile", "--norc", "-eo", "pipefail"]).arg(script);
    command.env_clear().env("PATH", path()).env("LANG", "C.UTF-8").env("HOME", &home).current_dir(&home);
    command.env("STAGE", stage.path("")).env("OUT", stage.directory(&format!("out/{name}")));
    command.env("TOKEN", home.join(".token")).env("OTHER", home.join(".other"));
    command.stdin(Stdio::null()).stdout(file()).stderr(file());
    // A session of its own, so that what is told once in a session is told of each.
    let mut setsid = Command::new("setsid");
    setsid.arg("--wait").arg(command.get_program()).args(command.get_args()).env_clear();
    setsid.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?)))).current_dir(&home);
    setsid.stdin(Stdio::null()).stdout(file()).stderr(file());
    let mut child = setsid.spawn().expect("start a story");
    let root = u64::from(child.id());
    let status = wait(&mut child, name);
    Played { root, code: status, said: fs::read_to_string(&said).unwrap_or_default() }
}

fn wait(child: &mut std::process::Child, name: &str) -> i32 {
    use rustix::{
        event::{PollFd, PollFlags, Timespec, poll},
        process::{Pid, PidfdFlags, pidfd_open},
    };
    let pidfd = pidfd_open(Pid::from_child(child), PidfdFlags::empty()).expect("open a pidfd");
    let time = Timespec { tv_sec: patience().as_secs() as i64, tv_nsec: 0 };
    let ended = poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(&time)).is_ok_and(|ready| ready > 0);
    if !ended {
        let _ = child.kill();
    }
    let status = child.wait().expect("wait for the child");
    assert!(ended, "{name} takes too long");
    status.code().unwrap_or(-1)
}

fn path() -> String {
    let venv = env::var("TOKENHOUND_VENV").map(|venv| format!(":{venv}/bin")).unwrap_or_default();
    format!("/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin{venv}")
}

/// A tool of the story that is not here.
pub(crate) fn missing(story: &Story) -> Option<&'static str> {
    story.tools.iter().copied().find(|tool| skip::program(tool).is_none())
}

/// Somebody who lives in the home of a story: the agent knows it before it happens, as it knows those of all users.
pub(crate) fn resident(home: &Path) -> Background {
    Background::start(Command::new("sleep").arg("3600").env_clear().env("HOME", home).env("PATH", path()))
}
