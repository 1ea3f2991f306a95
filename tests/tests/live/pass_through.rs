//! `watch` must not change what it watches: input, output, exit code.

use tokenhound_tests::{scene::Scene, skip, stage::Stage, store::Store, watch::Watch};

const WHY_NOT_IN_A_GUEST: &str = "it does not depend on the kernel, and guests are slow";

#[test]
fn every_byte_and_the_exit_code() {
    if !skip::native(WHY_NOT_IN_A_GUEST) {
        return;
    }
    let stage = Stage::new();
    let bytes: Vec<u8> = (0..1_000_003_u32).map(|number| (number.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let watched = Watch::new(&stage).input(&bytes).run(["dash", "-c", "printf 'err\\000\\377\\n' >&2; cat; exit 7"]);
    assert_eq!(watched.ended.code(), 7, "{}", watched.story());
    assert!(watched.ended.stdout == bytes, "{} bytes came out", watched.ended.stdout.len());
    assert!(watched.ended.stderr.starts_with(b"err\0\xff\n"), "{:?}", watched.ended.err());
    assert!(watched.findings.is_empty());
}

#[test]
fn how_the_command_ends() {
    if !skip::native(WHY_NOT_IN_A_GUEST) {
        return;
    }
    let stage = Stage::new();
    let plain = stage.file("not-a-program", "text\n").display().to_string();
    for (command, code) in [
        (vec!["true"], 0),
        (vec!["dash", "-c", "kill -9 $$"], 128 + 9),
        (vec!["dash", "-c", "kill -TERM $$"], 128 + 15),
        (vec!["/nonexistent/program"], 127),
        (vec![&plain], 126),
    ] {
        let watched = Watch::new(&stage).run(&command);
        assert_eq!(watched.ended.code(), code, "{command:?}: {}", watched.ended.err());
        assert!(watched.ended.stdout.is_empty());
    }
}

#[test]
fn findings_fail_a_command_that_succeeded() {
    if !skip::native(WHY_NOT_IN_A_GUEST) {
        return;
    }
    let stage = Stage::new();
    let home = stage.directory("homes/victim");
    let store = Store::GhHosts.put(&stage, &home).display().to_string();
    let steal = format!("cat {store} >/dev/null");
    let steal_and_fail = format!("{steal}; exit 7");
    for (level, command, code) in [
        (None, &steal, 3),
        (None, &steal_and_fail, 7),
        (Some("none"), &steal, 0),
        (Some("critical"), &steal, 0),
        (Some("informational"), &steal, 3),
    ] {
        let mut watch = Watch::new(&stage).env("HOME", &home);
        if let Some(level) = level {
            watch = watch.arg("--fail-on").arg(level);
        }
        let watched = watch.run(["dash", "-c", command]);
        assert_eq!(watched.ended.code(), code, "{level:?}: {}", watched.story());
        assert_eq!(watched.of("unexpected-reader").len(), 1, "{}", watched.story());
        assert!(watched.ended.err().contains(&store), "the finding is told: {}", watched.ended.err());
    }
}

/// What tokenhound was handed on its own command line does not come out in a lineage.
#[test]
fn tokens_on_command_lines_are_redacted() {
    let stage = Stage::new();
    let mut scene = Scene::new(&stage);
    let token = tokenhound_tests::token::plain("ghp_", 36);
    stage.hide(&token);
    let script = format!(
        "exec dash -c 'cat \"$STORE\"; :' x --token {token} -H 'Authorization: Bearer {token}' \
         https://somebody:{token}@git.invalid/ password={token}"
    );
    let act = scene.theft("told", Store::GhHosts, &script).below(&["dash"]);
    scene.add(act.reader(skip::program("cat").unwrap()));
    scene.play();
}
