//! Programs that have no business with a store, each with the right reader and lineage; and their innocent twins.

use std::fs;

use tokenhound_tests::{
    scene::Scene,
    skip,
    stage::{Stage, set_mode},
    store::Store,
};

use crate::actor;

const GH: Store = Store::GhHosts;

/// What every system has.
#[test]
fn copy_tools_and_shells() {
    let stage = Stage::new();
    let mut scene = Scene::new(&stage);
    for (name, script) in [
        ("cat", r#"exec cat "$STORE""#),
        ("cp", r#"exec cp "$STORE" "$LOOT""#),
        ("tar", r#"exec tar -cf "$LOOT" -C "$HOME/.config/gh" hosts.yml"#),
        ("dd", r#"exec dd if="$STORE" of="$LOOT""#),
        ("head", r#"exec head -c 100 "$STORE""#),
        ("grep", r#"exec grep -r oauth_token "$HOME""#),
        ("tac", r#"exec tac "$STORE""#),
        ("sed", r#"exec sed -n p "$STORE""#),
    ] {
        let program = skip::program(name).expect("a program that every system has");
        scene.add(scene.theft(name, GH, script).reader(program));
    }
    let (dash, cat) = (skip::program("dash").expect("dash"), skip::program("cat").expect("cat"));
    let inline = |act: &str, script: &str| scene.theft(act, GH, script).script("inline").reader(&dash);
    // The shell itself is the reader: no other program opens the file.
    let redirected = inline("redirected", r#"exec dash -c 'while read -r line; do :; done <"$STORE"'"#);
    let by_shell = scene.theft("by-shell", GH, r#"exec dash -c 'cat "$STORE"; :'"#).reader(&cat).below(&["dash"]);
    let found = scene
        .theft("found", GH, r#"exec find "$HOME/.config" -name hosts.yml -exec cat {} ';'"#)
        .reader(&cat)
        .below(&["find"]);
    let typed = scene
        .theft("script", GH, r#"exec dash "$HOME/steal.sh""#)
        .script(stage.path("homes/script/steal.sh"))
        .reader(&dash);
    stage.file("homes/script/steal.sh", "read -r line <\"$STORE\"\n");
    // Names are not reads: a search by name opens no file.
    let listed = scene.nothing("listed", Some(GH), r#"exec find "$HOME" -name hosts.yml -size +0"#);
    for act in [redirected, by_shell, found, typed, listed] {
        scene.add(act);
    }
    scene.play();
}

#[test]
fn a_shell_that_reads_a_file_into_a_word() {
    if !skip::has(&["bash"]) {
        return;
    }
    let stage = Stage::new();
    let mut scene = Scene::new(&stage);
    let bash = skip::program("bash").expect("bash");
    let word = scene.theft("word", GH, r#"exec bash -c 'x=$(<"$STORE"); test -n "$x"'"#);
    // bash 5.2 does it without a subshell.
    scene.add(word.reader(&bash).script("inline"));
    let lines = scene.theft("lines", GH, r#"exec bash -c 'mapfile x <"$STORE"'"#);
    scene.add(lines.reader(&bash).script("inline"));
    scene.play();
}

#[test]
fn interpreters() {
    if !skip::has(&["/usr/bin/python3", "node", "perl"]) {
        return;
    }
    let stage = Stage::new();
    let mut scene = Scene::new(&stage);
    let node = skip::program("node").expect("node");
    let steal = "import os; open(os.environ['STORE']).read()\n";
    stage.file("homes/python-script/steal.py", steal);
    stage.file("homes/python-stdin/steal.py", steal);
    stage.file("homes/node-script/steal.js", "require('fs').readFileSync(process.env.STORE)\n");
    for (name, program, what, script) in [
        ("python-inline", "/usr/bin/python3", "inline".into(), "-c \"$(cat \"$STAGE/homes/python-stdin/steal.py\")\""),
        ("python-script", "/usr/bin/python3", stage.path("homes/python-script/steal.py"), "\"$HOME/steal.py\""),
        ("python-stdin", "/usr/bin/python3", "inline".into(), "<\"$HOME/steal.py\""),
        ("node-inline", "node", "inline".into(), "-e \"require('fs').readFileSync(process.env.STORE)\""),
        ("node-script", "node", stage.path("homes/node-script/steal.js"), "\"$HOME/steal.js\""),
        ("perl-inline", "perl", "inline".into(), "-e 'open(F, \"<\", $ENV{STORE}) or die; @all = <F>'"),
    ] {
        let reader = if program == "node" { node.clone() } else { skip::program(program).expect("it is here") };
        let act = scene.theft(name, GH, &format!("exec {program} {script}"));
        scene.add(act.reader(reader).script(what));
    }
    scene.play();
}

/// A name proves nothing, and neither does a place that the user can write.
#[test]
fn a_name_is_no_proof() {
    let stage = Stage::new();
    let mut scene = Scene::new(&stage).by_nobody();
    let home = |act: &str| stage.path(&format!("homes/{act}"));
    let fake = |act: &str, tool: &str| {
        let path = actor(&stage, "fake");
        let place = home(act).join("bin").join(tool);
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        fs::copy(path, &place).unwrap();
        set_mode(&place, 0o755);
        place
    };
    // As installed by root: theirs.
    for (name, store) in [("gh", GH), ("aws", Store::AwsCredentials), ("docker", Store::DockerConfig)] {
        let tool = actor(&stage, name);
        let act = scene.innocent(&format!("installed-{name}"), store, &format!("exec \"$STAGE/bin/{name}\""));
        scene.add(act.reader(tool));
    }
    // The same program under another name.
    let renamed = actor(&stage, "awz");
    scene.add(scene.theft("renamed", Store::AwsCredentials, r#"exec "$STAGE/bin/awz""#).reader(renamed));
    // One that the user put there, whatever it is called.
    for (name, store) in [("gh", GH), ("aws", Store::AwsCredentials)] {
        let act = format!("own-{name}");
        let tool = fake(&act, name);
        scene.add(scene.theft(&act, store, &format!("exec \"$HOME/bin/{name}\"")).reader(tool));
    }
    // What it calls itself counts even less.
    if skip::program("bash").is_some() {
        let act = scene.theft("argv0", GH, r#"exec bash -c 'exec -a /usr/bin/gh cat "$STORE"'"#);
        scene.add(act.reader(skip::program("cat").unwrap()));
    }
    let watched = scene.play();
    assert!(watched.findings.iter().all(|finding| finding.user() == "nobody"), "{}", watched.story());
}
