//! Stories that are kept as captures under `tests/captures`, where the agent's own tests replay them on any machine. Here
//! they are played anew: what is found must be what the kept ones tell. `cargo xtask bless captures` keeps what was
//! recorded now.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use tokenhound_tests::{
    finding::Finding,
    process::{self, Background},
    scene::Scene,
    skip,
    stage::Stage,
    store::Store,
    watch::{Watch, Watched, replay},
};

use crate::actor;

const GH: Store = Store::GhHosts;

/// Where they are kept; a guest has none.
fn kept() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("captures")
}

/// What findings are about, without what is another each time: pids, inodes, times.
fn gist(findings: &[Finding]) -> Vec<String> {
    let gist = |finding: &Finding| {
        // Of another process the id is its key.
        let stores = if finding.detector() == "process-inspection" { Vec::new() } else { finding.stores() };
        let (reader, script) = (finding.reader(), finding.script());
        let whom = [finding.severity(), finding.detector(), finding.path(), reader, script, finding.object()];
        format!("{whom:?} {stores:?} {:?} {:?}", finding.way(), finding.lineage())
    };
    let mut all: Vec<String> = findings.iter().map(gist).collect();
    all.sort();
    all
}

/// Takes the excerpt of a story, replays it, and keeps it or compares.
fn story(stage: &Stage, name: &str, watched: &Watched) {
    let excerpt = stage.path("out/excerpt");
    let mut command = Command::new(process::tokenhound());
    command.arg("replay").arg(&watched.capture).arg("--excerpt").arg(&excerpt);
    command.arg("--catalogue").arg(stage.path("catalogue.d")).arg("--policy").arg(stage.path("policy.d"));
    let ended = process::run(&mut command, b"");
    assert_eq!(ended.code(), 0, "{}", ended.err());
    let bytes = fs::read(&excerpt).expect("an excerpt");
    stage.search("the excerpt", &bytes);
    let (lines, said) = replay(stage, &excerpt);
    assert!(!said.contains("no answer"), "{said}");
    let (whole, cut) = (gist(&watched.findings), gist(&Finding::all(&lines)));
    // Above the agent the excerpt knows nobody.
    let below = |gist: &String| gist.split("\"tokenhound\"").next().unwrap_or_default().to_owned();
    assert_eq!(whole.iter().map(below).collect::<Vec<_>>(), cut.iter().map(below).collect::<Vec<_>>());

    let file = kept().join(name);
    if env::var_os("TOKENHOUND_BLESS").is_some() {
        fs::create_dir_all(kept()).expect("make a directory");
        fs::write(file.with_extension("capture"), bytes).expect("keep a capture");
    } else if kept().is_dir() && !skip::in_guest() {
        let kept = fs::read_to_string(file.with_extension("findings")).expect("findings of a kept capture");
        assert_eq!(cut, gist(&Finding::all(&kept)), "{name} is not found as it was when it was recorded");
    }
}

#[test]
fn thieves() {
    if !skip::has(&["/usr/bin/python3"]) {
        return;
    }
    let stage = Stage::of_story("thieves");
    let mut scene = Scene::new(&stage);
    for (name, script) in [
        ("cat", r#"exec cat "$STORE""#),
        ("cp", r#"exec cp "$STORE" "$LOOT""#),
        ("tar", r#"exec tar -cf "$LOOT" -C "$HOME/.config/gh" hosts.yml"#),
        ("dd", r#"exec dd if="$STORE" of="$LOOT""#),
    ] {
        scene.add(scene.theft(name, GH, script).reader(skip::program(name).expect("every system has it")));
    }
    let python = skip::program("/usr/bin/python3").expect("it is here");
    let inline = "exec /usr/bin/python3 -c 'import os; open(os.environ[\"STORE\"]).read()'";
    scene.add(scene.theft("python", GH, inline).script("inline").reader(python));
    let thief = actor(&stage, "actor");
    let act = scene.theft("fork", GH, r#"exec "$STAGE/bin/actor" fork-read "$STORE""#);
    scene.add(act.reader(&thief).below(&["actor"]));
    let act = scene.theft("orphan", GH, r#"exec "$STAGE/bin/actor" orphan "$STORE""#);
    scene.add(act.reader(&thief).below(&["actor", "actor"]));
    scene.add(scene.nothing("listed", Some(GH), r#"exec find "$HOME" -name hosts.yml -size +0"#));
    let watched = scene.play_under(Watch::of_story(&stage));
    story(&stage, "thieves", &watched);
}

/// Whoever reads what a shell has opened.
#[test]
fn handover() {
    let stage = Stage::of_story("handover");
    let home = stage.directory("homes/victim");
    for store in [GH, Store::AwsCredentials, Store::DockerConfig, Store::Npmrc] {
        store.put(&stage, &home);
    }
    let script = stage.file(
        "take.sh",
        "(cat <\"$HOME/.config/gh/hosts.yml\" >/dev/null)\n\
         dash -c 'exec cat <\"$HOME/.aws/credentials\"' >/dev/null\n\
         (dd of=/dev/null <\"$HOME/.docker/config.json\" 2>&1)\n\
         dash -c 'while read -r line; do :; done <\"$HOME/.npmrc\"'\n",
    );
    // Known from the start: what a program is started with is told by the file's id alone.
    let watch = Watch::of_story(&stage).env("HOME", &home).arg("--fail-on").arg("none");
    let watched = watch.run(["dash".as_ref(), script.as_os_str()]);
    assert_eq!(watched.ended.code(), 0, "{}", watched.ended.err());
    let readers: Vec<_> = watched.of("unexpected-reader").iter().map(|finding| finding.reader()).collect();
    let program = |name: &str| fs::canonicalize(skip::program(name).expect("every system has it")).expect("a path");
    let wanted = ["cat", "cat", "dd", "dash"].map(|name| program(name).display().to_string());
    assert_eq!(readers, wanted, "{}", watched.story());
    story(&stage, "handover", &watched);
}

#[test]
fn inspection() {
    let stage = Stage::of_story("inspection");
    let mut scene = Scene::new(&stage);
    let mut command = Command::new(actor(&stage, "neighbour"));
    // Nothing of where the test was started is in it.
    let neighbour = Background::start(command.arg("hold").env_clear().env("HOME", "/").current_dir("/"));
    let pid = neighbour.pid();
    for (name, command, reader) in [
        ("environ", format!("cat /proc/{pid}/environ"), "cat"),
        ("copied", format!("cp /proc/{pid}/environ \"$LOOT\""), "cp"),
        ("memory", format!("dd if=/proc/{pid}/mem of=/dev/null bs=1 count=1 2>&1"), "dd"),
    ] {
        let act = scene.other_theft(name, &format!("export NAME={name}; exec dash -c '{command}; :' \"$HOME/\""));
        let act = act.detector("process-inspection").reader(skip::program(reader).expect("every system has it"));
        scene.add(act.below(&["dash"]));
    }
    actor(&stage, "actor");
    scene.add(scene.nothing("own", None, "exec \"$STAGE/bin/actor\" own-environ"));
    scene.add(scene.nothing("status", None, &format!("exec cat /proc/{pid}/status")));
    let watched = scene.play_under(Watch::of_story(&stage));
    story(&stage, "inspection", &watched);
}

/// Each tool at its own store, and one of them at another's.
#[test]
fn innocents() {
    let stage = Stage::of_story("innocents");
    let mut scene = Scene::new(&stage);
    for (name, store) in [("gh", GH), ("aws", Store::AwsCredentials), ("docker", Store::DockerConfig)] {
        let tool = actor(&stage, name);
        scene.add(scene.innocent(name, store, &format!("exec \"$STAGE/bin/{name}\"")).reader(tool));
    }
    let act = scene.theft("wrong", Store::Npmrc, r#"exec "$STAGE/bin/gh""#);
    scene.add(act.reader(stage.path("bin/gh")));
    let watched = scene.play_under(Watch::of_story(&stage));
    story(&stage, "innocents", &watched);
}

/// What a package's script does after its installation: every store it knows of.
#[test]
fn package_script() {
    let stage = Stage::of_story("package-script");
    let home = stage.directory("homes/victim");
    for store in [GH, Store::AwsCredentials, Store::DockerConfig, Store::Npmrc] {
        store.put(&stage, &home);
    }
    let script = stage.file(
        "package/postinstall.sh",
        "for file in .config/gh/hosts.yml .aws/credentials .docker/config.json .npmrc; do\n\
         cat \"$HOME/$file\" >/dev/null\ndone\n",
    );
    let watch = Watch::of_story(&stage).env("HOME", &home).arg("--fail-on").arg("none");
    let watched = watch.run(["dash".as_ref(), script.as_os_str()]);
    assert_eq!(watched.ended.code(), 0, "{}", watched.ended.err());
    assert_eq!(watched.of("credential-sweep").len(), 1, "{}", watched.story());
    assert_eq!(watched.of("unexpected-reader").len(), 4, "{}", watched.story());
    story(&stage, "package-script", &watched);
}
