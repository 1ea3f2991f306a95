//! A store is watched whatever name leads to it, wherever a variable has put it, and from the moment it is there.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use tokenhound_tests::{
    process::Background,
    scene::{Act, Scene},
    skip,
    stage::Stage,
    store::Store,
    watch::Watch,
};

use crate::actor;

/// Acts in one home, which tokenhound knows from the start; each has a key of its own there.
struct Home {
    path: PathBuf,
}

impl Home {
    fn new(stage: &Stage) -> Self {
        Self { path: stage.directory("homes/main") }
    }

    fn key(&self, act: &str) -> PathBuf {
        self.path.join(format!(".ssh/id_{act}"))
    }

    /// A theft of `$KEY`.
    fn theft(&self, stage: &Stage, scene: &Scene<'_>, act: &str, script: &str) -> Act {
        Store::SshKey.put_at(stage, &self.key(act));
        self.coming(scene, act, script)
    }

    /// The same, with a key that is not there yet.
    fn coming(&self, scene: &Scene<'_>, act: &str, script: &str) -> Act {
        let home = self.path.display();
        let script = format!("export HOME='{home}' KEY='{home}/.ssh/id_{act}' OWN=\"$HOME\"; cd \"$HOME\"\n{script}");
        scene.other_theft(act, &script).mark(format!("id_{act}")).reader(skip::program("cat").unwrap())
    }
}

#[test]
fn other_names_for_the_same_file() {
    let stage = Stage::new();
    let mut scene = Scene::new(&stage);
    let home = Home::new(&stage);
    let path = actor(&stage, "actor");
    for (act, other_name, script) in [
        ("hardlink", true, r#"ln "$KEY" "$OWN/plain"; exec cat "$OWN/plain""#),
        ("moved", true, r#"mv "$KEY" "$OWN/plain"; exec cat "$OWN/plain""#),
        ("symlink", false, r#"ln -s "$KEY" "$OWN/plain"; exec cat "$OWN/plain""#),
        ("linkdir", false, r#"ln -s "$HOME/.ssh" "$OWN/dir"; exec cat "$OWN/dir/id_linkdir""#),
        ("relative", false, r#"cd "$HOME/.ssh"; exec cat id_relative"#),
        ("dots", false, r#"exec cat "$HOME/.ssh/../.ssh/./id_dots""#),
        ("by-root", false, r#"cd /; exec cat "/proc/self/root/$KEY""#),
    ] {
        let theft = home.theft(&stage, &scene, act, script);
        scene.add(if other_name { theft.known_as(home.key(act)) } else { theft });
    }
    for (act, script) in [
        ("handle", r#"exec "$STAGE/bin/actor" handle "$KEY""#),
        ("dirfd", r#"exec "$STAGE/bin/actor" dirfd "$HOME/.ssh" id_dirfd"#),
        ("openat2", r#"exec "$STAGE/bin/actor" openat2 "$KEY""#),
    ] {
        scene.add(home.theft(&stage, &scene, act, script).reader(&path));
    }
    // The directory above it gets another name, last of all.
    let theft =
        home.theft(&stage, &scene, "parent", r#"mv "$HOME/.ssh" "$HOME/other"; exec cat "$HOME/other/id_parent""#);
    scene.add(theft.known_as(home.key("parent")));
    let watch = Watch::new(&stage).env("HOME", &home.path);
    scene.play_under(watch);
}

#[test]
fn through_a_bind_mount() {
    if !skip::has(&["unshare", "mount"]) {
        return;
    }
    let stage = Stage::new();
    let mut scene = Scene::new(&stage);
    let home = Home::new(&stage);
    for (act, script) in [
        ("directory", r#"mkdir "$OWN/m"; mount --bind "$HOME/.ssh" "$OWN/m" && exec cat "$OWN/m/id_directory""#),
        ("file", r#": >"$OWN/m"; mount --bind "$KEY" "$OWN/m" && exec cat "$OWN/m""#),
    ] {
        let script = format!("export OWN; exec unshare --mount dash -c '{script}'");
        scene.add(home.theft(&stage, &scene, act, &script).known_as(home.key(act)));
    }
    let watch = Watch::new(&stage).env("HOME", &home.path);
    scene.play_under(watch);
}

#[test]
fn stores_that_come_later() {
    let stage = Stage::new();
    let mut scene = Scene::new(&stage);
    let home = Home::new(&stage);
    let content = |act: &str| {
        let content = Store::SshKey.content(&stage);
        stage.file(&format!("homes/{act}/new"), content)
    };
    for (act, script) in [
        ("created", r#"dash -c 'umask 077; read -r x <"$0"; echo "$x" >"$KEY"' "$OWN/new"; exec cat "$KEY""#),
        ("renamed", r#"mv "$OWN/new" "$KEY"; exec cat "$KEY""#),
        // Not the file that was there at the start.
        ("replaced", r#": >"$KEY"; mv "$OWN/new" "$KEY"; exec cat "$KEY""#),
        ("linked", r#"ln "$OWN/new" "$KEY"; exec cat "$KEY""#),
    ] {
        content(act);
        scene.add(home.coming(&scene, act, &format!("mkdir -p \"$HOME/.ssh\"; export KEY OWN; {script}")));
    }
    let watch = Watch::new(&stage).env("HOME", &home.path);
    scene.play_under(watch);
}

/// Variables of a running process move its stores; a service has its home where nobody would look.
#[test]
fn stores_that_variables_have_moved() {
    let stage = Stage::new();
    let mut scene = Scene::new(&stage);
    let place = |name: &str| stage.path(&format!("moved/{name}"));
    let path = actor(&stage, "actor");
    let mut service = Command::new(&path);
    service.arg("hold").env("HOME", place("service")).env("GH_CONFIG_DIR", place("of-gh"));
    service.env("AWS_SHARED_CREDENTIALS_FILE", place("aws-file")).env("XDG_CONFIG_HOME", place("xdg"));
    let service = Background::start(&mut service);
    let marker = format!("/proc/{}/comm", service.pid());
    assert!(fs::read_to_string(marker).is_ok());
    for (act, store, file) in [
        ("config-dir", Store::GhHosts, "of-gh/hosts.yml"),
        ("file", Store::AwsCredentials, "aws-file"),
        ("xdg", Store::GitCredentials, "xdg/git/credentials"),
        ("service", Store::Netrc, "service/.netrc"),
    ] {
        let file = store.put_at(&stage, &place(file));
        scene.add(stolen(&scene, act, &file));
    }
    // Nobody has moved anything here.
    Store::GhHosts.put_at(&stage, &place("elsewhere/hosts.yml"));
    let script = format!("exec cat '{}'", place("elsewhere/hosts.yml").display());
    scene.add(scene.nothing("elsewhere", None, &script).mark(place("elsewhere/").display().to_string()));
    scene.sweeps(1).play();
    drop(service);
}

fn stolen(scene: &Scene<'_>, act: &str, file: &Path) -> Act {
    let file = file.display().to_string();
    scene.other_theft(act, &format!("exec cat '{file}'")).mark(file).reader(skip::program("cat").unwrap())
}
