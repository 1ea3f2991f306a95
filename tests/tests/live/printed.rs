//! `token-printed`: a store's own program prints, for somebody who has no business with it; and the innocent twins.

use std::path::{Path, PathBuf};

use tokenhound_tests::{scene::Scene, skip, stage::Stage};

/// A program of that name that only repeats what it is told, or a shell of that name.
fn program(stage: &Stage, name: &str, like: &str) -> PathBuf {
    stage.program(name, &std::fs::canonicalize(skip::program(like).unwrap()).unwrap())
}

#[test]
fn a_tool_prints_for_a_stranger_and_for_those_who_may_ask() {
    let stage = Stage::new();
    let gh = program(&stage, "gh", "echo");
    let helper = program(&stage, "docker-credential-x", "echo");
    for shell in ["docker", "thief"] {
        program(&stage, shell, "dash");
    }
    let mut scene = Scene::new(&stage);
    let theft = |act: &str, script: &str, printer: &Path| {
        let script = script.replace("GH", "\"$STAGE/bin/gh\"");
        scene
            .other_theft(act, &script)
            .mark(format!("--act {act}"))
            .detector("token-printed")
            .severity("Medium")
            .reader(printer)
    };
    let file = theft("into-a-file", "exec GH auth token --act into-a-file", &gh);
    let pipe = theft("into-a-pipe", "GH auth token --act into-a-pipe | cat >/dev/null", &gh).below(&["dash"]);
    let word = theft("into-a-word", "x=$(GH auth token --act into-a-word); test -n \"$x\"", &gh).below(&["dash"]);
    let status = theft("status", "exec GH auth status --show-token --act status", &gh);
    let ask = "printf 'registry' | \"$STAGE/bin/thief\" -c '\"$STAGE/bin/docker-credential-x\" get --act helper; :'";
    let helper = theft("helper", ask, &helper).below(&["thief", "dash"]);
    // It goes nowhere; it prints no token; it is asked by the program whose helper it is; it is another program.
    let nowhere = scene.nothing("nowhere", None, "exec \"$STAGE/bin/gh\" auth token >/dev/null");
    let harmless = scene.nothing("harmless", None, "exec \"$STAGE/bin/gh\" auth status");
    let twin = "printf 'registry' | \"$STAGE/bin/docker\" -c '\"$STAGE/bin/docker-credential-x\" get; :'";
    let twin = scene.nothing("twin", None, twin);
    let other = scene.nothing("other", None, "exec echo auth token");
    for act in [file, pipe, word, status, helper, nowhere, harmless, twin, other] {
        scene.add(act);
    }
    let watched = scene.play();
    let outputs: Vec<_> = watched
        .of("token-printed")
        .iter()
        .filter_map(|found| found.0.pointer("/unmapped/tokenhound/service/output")?.as_str().map(str::to_owned))
        .collect();
    assert_eq!(outputs, ["file", "pipe", "pipe", "file", "file"], "{}", watched.story());
}

/// A copy in a place that its user can write is not the tool, whatever it is called.
#[test]
fn a_name_alone_prints_nothing() {
    let stage = Stage::new();
    let mut scene = Scene::new(&stage).by_nobody();
    let own = "mkdir bin; cp \"$STAGE/bin/gh\" bin/gh; exec bin/gh auth token";
    program(&stage, "gh", "echo");
    scene.add(scene.nothing("own", None, own));
    scene.play();
}
