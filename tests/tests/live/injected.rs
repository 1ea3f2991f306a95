//! `injected-reader`: the right program reads its own store, with code in it that is not its own. Each has its innocent
//! twin, which differs in what is loaded and in nothing else.

use std::{
    fs,
    path::{Path, PathBuf},
};

use tokenhound_tests::{
    scene::{Act, Scene},
    skip,
    stage::{Stage, set_mode},
    store::Store,
};

use crate::actor;

/// A library of the system that this program itself has loaded: loading it again does no harm.
fn library() -> PathBuf {
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let path = maps.lines().filter_map(|line| line.split_whitespace().nth(5)).find(|path| path.contains("/libgcc_s"));
    PathBuf::from(path.expect("this program uses libgcc_s"))
}

/// An expected reader that is not alone.
fn injected(scene: &Scene<'_>, name: &str, store: Store, script: &str) -> Act {
    scene.theft(name, store, script).detector("injected-reader")
}

#[test]
fn libraries() {
    let stage = Stage::new();
    let mut scene = Scene::new(&stage);
    let gh = actor(&stage, "gh");
    let library = library();
    let temporary = tempfile::Builder::new().prefix("th-test-").tempdir_in("/tmp").unwrap();
    let foreign = temporary.path().join("foreign.so");
    // The same code in the same reader is told once.
    let another = temporary.path().join("foreign.so.1");
    for copy in [&foreign, &another] {
        fs::copy(&library, copy).unwrap();
        set_mode(copy, 0o755);
    }
    let run = |variable: &str, path: &Path| format!("export {variable}='{}'; exec \"$STAGE/bin/gh\"", path.display());
    for (name, script) in [
        ("preload", run("LD_PRELOAD", &foreign)),
        ("audit", run("LD_AUDIT", &foreign)),
        ("among-others", run("LD_PRELOAD", Path::new(&format!("{} {}", library.display(), another.display())))),
    ] {
        scene.add(injected(&scene, name, Store::GhHosts, &script).reader(&gh));
    }
    for (name, script) in [
        ("system", run("LD_PRELOAD", &library)),
        ("none", "exec \"$STAGE/bin/gh\"".to_owned()),
        ("other", run("PYTHONPATH", &foreign)),
    ] {
        scene.add(scene.innocent(name, Store::GhHosts, &script).reader(&gh));
    }
    // The variable is set for another program than the reader.
    let script = format!("LD_PRELOAD='{}' true; exec \"$STAGE/bin/gh\"", foreign.display());
    scene.add(scene.innocent("neighbour", Store::GhHosts, &script).reader(&gh));
    let watched = scene.play();
    for finding in &watched.findings {
        assert!(finding.mentions(&foreign.display().to_string()), "{}", watched.story());
        assert!(finding.mentions("; last changed "), "{}", watched.story());
    }
}

#[test]
fn a_tracer() {
    let stage = Stage::new();
    let mut scene = Scene::new(&stage);
    let gh = actor(&stage, "gh");
    actor(&stage, "actor");
    let script = r#"exec "$STAGE/bin/actor" trace "$STAGE/bin/gh""#;
    let act = injected(&scene, "traced", Store::GhHosts, script).reader(&gh).below(&["actor"]);
    scene.add(act);
    scene.add(scene.innocent("alone", Store::GhHosts, r#"exec "$STAGE/bin/gh""#).reader(&gh));
    // That somebody attached is a finding of its own.
    let watched = scene.also("process-inspection").play();
    assert!(watched.findings.iter().any(|finding| finding.mentions("has attached to the reader")));
}

#[test]
fn node() {
    if !skip::has(&["npm", "node"]) {
        return;
    }
    let stage = Stage::new();
    let mut scene = Scene::new(&stage);
    let node = skip::program("node").unwrap();
    let temporary = tempfile::Builder::new().prefix("th-test-").tempdir_in("/tmp").unwrap();
    let foreign = temporary.path().join("x.js");
    fs::write(&foreign, "// nothing\n").unwrap();
    let run = |options: &str| format!("export NODE_OPTIONS='{options}'; exec npm config get registry");
    let act = injected(&scene, "require", Store::Npmrc, &run(&format!("--require {}", foreign.display())));
    scene.add(act.reader(&node));
    scene.add(scene.innocent("memory", Store::Npmrc, &run("--max-old-space-size=512")).reader(&node));
    scene.play();
}

#[test]
fn python() {
    let program = |name: &str| {
        let venv = std::env::var_os("TOKENHOUND_VENV").map(PathBuf::from);
        venv.map(|venv| venv.join("bin").join(name)).filter(|path| path.exists())
    };
    let Some((aws, python)) = program("aws").zip(program("python")) else {
        return skip::skip("the AWS CLI is not here");
    };
    let stage = Stage::new();
    let mut scene = Scene::new(&stage);
    let run = |place: &str| format!("export PYTHONPATH={place}; exec {} configure list", aws.display());
    let temporary = tempfile::Builder::new().prefix("th-test-").tempdir_in("/tmp").unwrap();
    for (name, place, severity) in [
        ("temporary", temporary.path().display().to_string(), "High"),
        ("own", "\"$HOME/modules\"".to_owned(), "Low"),
        ("customised", "\"$HOME/site\"".to_owned(), "High"),
    ] {
        let act = injected(&scene, name, Store::AwsCredentials, &run(&place));
        scene.add(act.reader(&python).severity(severity));
    }
    stage.directory("homes/own/modules");
    stage.file("homes/customised/site/sitecustomize.py", "");
    let library = format!("export LD_PRELOAD='{}'; exec {} configure list", library().display(), aws.display());
    for (name, script) in [("system", run("/usr/share")), ("library", library)] {
        scene.add(scene.innocent(name, Store::AwsCredentials, &script).reader(&python));
    }
    scene.play();
}
