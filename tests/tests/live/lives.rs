//! Readers that are gone before anybody could look: each is named, with its lineage.

use std::{collections::BTreeSet, fs};

use tokenhound_tests::{scene::Scene, skip, stage::Stage, store::Store};

use crate::actor;

const GH: Store = Store::GhHosts;

#[test]
fn short_lives_and_cut_lineages() {
    let stage = Stage::new();
    let mut scene = Scene::new(&stage);
    let path = actor(&stage, "actor");
    // One that never was more than a fork of its parent.
    let act = scene.theft("fork", GH, r#"exec "$STAGE/bin/actor" fork-read "$STORE""#);
    scene.add(act.reader(&path).below(&["actor"]));
    // A child in a session of its own, whose parent is gone: init is its parent now, its lineage is what it was.
    let act = scene.theft("orphan", GH, r#"exec "$STAGE/bin/actor" orphan "$STORE""#);
    scene.add(act.reader(&path).below(&["actor", "actor"]));
    // The shell that started it is gone when it reads.
    let act = scene.theft(
        "detached",
        GH,
        r#"mkfifo "$HOME/go" "$HOME/done"
        dash -c '(setsid dash -c "read -r x <\"$HOME/go\"; cat \"$STORE\"; : >\"$HOME/done\"" &) ; :'
        echo >"$HOME/go"; exec dash -c 'read -r x <"$HOME/done"; :'"#,
    );
    scene.add(act.reader(skip::program("cat").unwrap()).below(&["dash", "dash", "dash", "dash"]));
    scene.play();
}

/// Every child of the actor opened the store, up to one that lived for less than a millisecond.
#[test]
fn less_than_a_millisecond() {
    let stage = Stage::new();
    let home = stage.directory("homes/victim");
    let store = GH.put(&stage, &home);
    let path = actor(&stage, "actor");
    let watch = tokenhound_tests::watch::Watch::new(&stage).env("HOME", &home).arg("--fail-on").arg("none");
    // An emulated processor is that much slower.
    let microseconds = if skip::in_guest() { "30000" } else { "1000" };
    let watched = watch.run([path.as_os_str(), "brief".as_ref(), microseconds.as_ref(), store.as_os_str()]);
    assert_eq!(watched.ended.code(), 0, "{}", watched.ended.err());
    let pid: u64 = watched.ended.out().trim().parse().expect("the pid of the shortest life");
    let of_it: Vec<_> = watched.findings.iter().filter(|finding| finding.pid() == Some(pid)).collect();
    assert_eq!(of_it.len(), 1, "{pid}: {}", watched.story());
    assert_eq!(of_it[0].reader(), path.display().to_string());
    assert_eq!(of_it[0].lineage()[..3], ["actor", "actor", "tokenhound"]);
}

#[test]
fn two_hundred_at_once() {
    const COUNT: usize = 200;
    let stage = Stage::new();
    let home = stage.directory("homes/victim");
    let store = GH.put(&stage, &home);
    let path = actor(&stage, "actor");
    let cat = fs::canonicalize(skip::program("cat").unwrap()).unwrap();
    let count = COUNT.to_string();
    let watch = tokenhound_tests::watch::Watch::new(&stage).env("HOME", &home).arg("--fail-on").arg("none");
    let watched = watch.run([path.as_os_str(), "crowd".as_ref(), count.as_ref(), cat.as_os_str(), store.as_os_str()]);
    assert_eq!(watched.ended.code(), 0, "{}", watched.ended.err());
    let found = watched.of("unexpected-reader");
    let pids: BTreeSet<_> = found.iter().filter_map(|finding| finding.pid()).collect();
    assert_eq!((found.len(), pids.len()), (COUNT, COUNT), "{}", watched.summary);
    for finding in &found {
        assert_eq!(finding.lineage()[..3], ["cat", "actor", "tokenhound"], "{}", finding.brief());
        assert_eq!(finding.reader(), cat.display().to_string());
    }
    assert_eq!(watched.findings.len(), COUNT, "nothing was lost: {}", watched.summary);
}
