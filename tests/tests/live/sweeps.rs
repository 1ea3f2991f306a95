//! `credential-sweep`: one lineage, three families. The twin: three tools, each at its own store.

use tokenhound_tests::{scene::Scene, skip, stage::Stage, store::Store, watch::Watch};

use crate::actor;

const STORES: [Store; 4] = [Store::GhHosts, Store::AwsCredentials, Store::DockerConfig, Store::Npmrc];

/// As thieves do it: another process for each file.
#[test]
fn a_loop_over_many_stores() {
    let stage = Stage::new();
    let home = stage.directory("homes/victim");
    for store in STORES {
        store.put(&stage, &home);
    }
    let script = stage.file(
        "collect.sh",
        "for file in .config/gh/hosts.yml .aws/credentials .docker/config.json .npmrc; do\n\
         cat \"$HOME/$file\" >/dev/null\ndone\n",
    );
    let watch = Watch::new(&stage).env("HOME", &home).arg("--fail-on").arg("none");
    let watched = watch.run(["dash".as_ref(), script.as_os_str()]);
    assert_eq!(watched.ended.code(), 0, "{}", watched.ended.err());
    let sweeps = watched.of("credential-sweep");
    let [sweep] = &sweeps[..] else { panic!("one sweep: {}", watched.story()) };
    for store in &STORES[..3] {
        assert!(sweep.stores().contains(&store.id()), "{}", sweep.brief());
    }
    assert!(matches!(sweep.severity(), "High" | "Critical"), "{}", sweep.brief());
    assert!(sweep.lineage().contains(&"dash") && sweep.lineage().contains(&"tokenhound"), "{}", sweep.brief());
    assert!(sweep.mentions(&script.display().to_string()), "the script is named: {}", sweep.brief());
    assert_eq!(watched.of("unexpected-reader").len(), STORES.len(), "{}", watched.story());
}

#[test]
fn three_tools_each_at_its_own() {
    let stage = Stage::new();
    let mut scene = Scene::new(&stage);
    for (name, store) in [("gh", STORES[0]), ("aws", STORES[1]), ("docker", STORES[2])] {
        let tool = actor(&stage, name);
        scene.add(scene.innocent(name, store, &format!("exec \"$STAGE/bin/{name}\"")).reader(tool));
    }
    // Two families are not a sweep.
    for (name, store) in [("theft-gh", STORES[0]), ("theft-npm", STORES[3])] {
        scene.add(scene.theft(name, store, r#"exec cat "$STORE""#).reader(skip::program("cat").unwrap()));
    }
    scene.play();
}
