//! `process-inspection`: another process's environment and memory; and programs that do so as part of what they are for.

use std::process::Command;

use tokenhound_tests::{
    finding::Finding,
    process::Background,
    scene::{Act, Scene},
    skip,
    stage::Stage,
    token,
};

use crate::actor;

/// A process with a token in its environment, which the test started, not the thief.
fn neighbour(stage: &Stage) -> Background {
    let token = token::plain("gho_", 36);
    stage.hide(&token);
    let path = actor(stage, "neighbour");
    let mut neighbour = Background::start(Command::new(path).arg("hold").env("GH_TOKEN", token));
    let environ = format!("/proc/{}/environ", neighbour.pid());
    // From its exec on its environment is what it was started with.
    neighbour.until("its environment", || {
        std::fs::read(&environ).ok().filter(|text| text.windows(9).any(|part| part == b"GH_TOKEN="))
    });
    neighbour
}

/// Wrapped, so that each reader has a parent of its own: those of one parent are counted together.
fn wrapped(name: &str, command: &str) -> String {
    format!("export NAME={name}; exec dash -c '{command}; :' \"$HOME/\"")
}

fn theft(scene: &Scene<'_>, name: &str, command: &str, reader: &str) -> Act {
    let act = scene.other_theft(name, &wrapped(name, command)).detector("process-inspection");
    act.reader(skip::program(reader).unwrap()).below(&["dash"])
}

#[test]
fn environments_and_memory() {
    let stage = Stage::new();
    let mut scene = Scene::new(&stage);
    let neighbour = neighbour(&stage);
    let pid = neighbour.pid();
    for (name, command, reader) in [
        ("environ", format!("cat /proc/{pid}/environ"), "cat"),
        ("thread", format!("cat /proc/{pid}/task/{pid}/environ"), "cat"),
        ("relative", format!("cd /proc/{pid}; cat environ"), "cat"),
        ("link", format!("ln -s /proc/{pid} \"$HOME/l\"; cat \"$HOME/l/environ\""), "cat"),
        ("copied", format!("cp /proc/{pid}/environ \"$LOOT\""), "cp"),
        // The first page of a program is not there to be read: opening is what counts.
        ("memory", format!("dd if=/proc/{pid}/mem of=/dev/null bs=1 count=1 2>&1"), "dd"),
        ("thread-memory", format!("dd if=/proc/{pid}/task/{pid}/mem of=/dev/null bs=1 count=1 2>&1"), "dd"),
    ] {
        scene.add(theft(&scene, name, &command, reader));
    }
    let shell = scene.other_theft("shell", &format!("exec dash -c 'read -r x </proc/{pid}/environ; :' \"$HOME/\""));
    scene.add(shell.detector("process-inspection").reader(skip::program("dash").unwrap()));
    // Its own is its own.
    actor(&stage, "actor");
    scene.add(scene.nothing("own", None, "exec \"$STAGE/bin/actor\" own-environ"));
    scene.add(scene.nothing("status", None, &format!("exec cat /proc/{pid}/status /proc/{pid}/maps")));
    let watched = scene.play();
    let targets = watched.findings.iter().filter_map(Finding::target_pid);
    assert!(targets.clone().all(|target| target == u64::from(pid)), "{}", watched.story());
    assert_eq!(targets.count(), watched.findings.len());
}

#[test]
fn through_another_mount_of_procfs() {
    if !skip::has(&["unshare", "mount"]) {
        return;
    }
    let stage = Stage::new();
    let mut scene = Scene::new(&stage);
    let neighbour = neighbour(&stage);
    let command = format!(
        "exec unshare --mount dash -c 'mkdir \"$HOME/p\"; mount -t proc proc \"$HOME/p\" \
         && cat \"$HOME/p/{}/environ\"; :' \"$HOME/\"",
        neighbour.pid()
    );
    let act = scene.other_theft("mounted", &command).detector("process-inspection");
    scene.add(act.reader(skip::program("cat").unwrap()).below(&["dash"]));
    scene.play();
}

#[test]
fn ps_lists_and_ps_that_shows_environments() {
    if !skip::has(&["/usr/bin/ps"]) {
        return;
    }
    let stage = Stage::new();
    let mut scene = Scene::new(&stage);
    let _neighbour = neighbour(&stage);
    for (name, command) in [("list", "ps -ef"), ("list-bsd", "ps aux"), ("list-some", "ps -eo pid,comm,args")] {
        scene.add(scene.nothing(name, None, &wrapped(name, &format!("{command} >/dev/null"))));
    }
    for (name, command) in [("shown", "ps auxe"), ("shown-plain", "ps e")] {
        scene.add(theft(&scene, name, &format!("{command} >/dev/null"), "/usr/bin/ps"));
    }
    scene.play();
}
