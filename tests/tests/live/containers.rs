//! Stores in containers, with a real Docker engine: mounted, read, and each with its innocent twin.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use tokenhound_tests::{
    agent::Agent, docker::Docker, finding::Finding, process, stage::Stage, standin, store::Store, token,
};

use crate::lifecycle::is_known;

/// Has the agent learn of a home, and waits until it knows the token in that store.
pub(crate) fn known(agent: &mut Agent<'_>, stage: &Stage, home: &Path, store: &Path) {
    let ended = process::run(Command::new("true").env("HOME", home), b"");
    assert_eq!(ended.code(), 0);
    agent.process.until("the token", || is_known(stage, store).then_some(()));
}

/// A home with two stores, of which the agent knows the tokens, and a file without one.
pub(crate) struct Ann<'s> {
    pub(crate) agent: Agent<'s>,
    pub(crate) home: PathBuf,
    pub(crate) store: PathBuf,
    /// The other store, and what lies in it.
    pub(crate) gh: PathBuf,
    pub(crate) token: String,
    pub(crate) innocent: PathBuf,
}

impl<'s> Ann<'s> {
    pub(crate) fn new(stage: &'s Stage) -> Self {
        let home = stage.directory("homes/ann");
        let store = Store::AwsCredentials.put(stage, &home);
        let token = token::plain("gho_", 36);
        stage.hide(&token);
        let gh = stage.file("homes/ann/.config/gh/hosts.yml", format!("github.com:\n    oauth_token: {token}\n"));
        let innocent = stage.file("work/notes.txt", "nothing of interest\n");
        let mut agent = Agent::start(stage);
        known(&mut agent, stage, &home, &store);
        known(&mut agent, stage, &home, &gh);
        Self { agent, home, store, gh, token, innocent }
    }
}

/// What of `container-exposure` says this.
pub(crate) fn exposures(agent: &Agent<'_>, text: &str) -> Vec<Finding> {
    agent.findings(text).into_iter().filter(|found| found.detector() == "container-exposure").collect()
}

#[test]
fn a_store_that_is_mounted_and_read() {
    let stage = Stage::new();
    let Some(docker) = Docker::start(&stage) else { return };
    let home = stage.directory("homes/ann");
    let store = Store::AwsCredentials.put(&stage, &home);
    stage.file("work/notes.txt", "nothing of interest\n");
    docker.plain("plain:1");
    let mut agent = Agent::start(&stage);
    known(&mut agent, &stage, &home, &store);

    let run = |name: &str, directory: &Path, inside: &str, more: &[&str]| {
        let mount = format!("{}:{inside}", directory.display());
        docker.run(&[&["run", "--name", name, "--network=none", "-v", &mount], more].concat());
    };
    let read = |place: &'static str| ["plain:1", "/bin/busybox", "cat", place];

    // The innocent twin first: another directory is mounted, and read.
    run("th-twin", &stage.path("work"), "/work", &read("/work/notes.txt"));

    // Mounted, and nothing is read.
    run("th-mounted", &home.join(".aws"), "/root/.aws:ro", &["-d", "plain:1", "/bin/busybox", "sleep", "300"]);
    let found = agent.finding("is mounted into docker container th-mounted");
    assert_eq!((found.detector(), found.severity()), ("container-exposure", "Medium"), "{}", found.brief());
    assert_eq!((found.path(), found.path_in_root()), (store.to_str().unwrap(), Some("/root/.aws/credentials")));
    for said in ["image plain:1", "read only", "aws-credentials", "th1:", "docker (pid"] {
        assert!(found.mentions(said), "{said}: {}", found.0);
    }

    // Somebody has a program started in it; the twin looks at names only.
    docker.run(&["exec", "th-mounted", "/bin/busybox", "ls", "-l", "/root/.aws"]);
    docker.run(&["exec", "th-mounted", "/bin/busybox", "cat", "/root/.aws/credentials"]);
    let found = agent.finding("/bin/busybox in docker container th-mounted read");
    assert_eq!((found.detector(), found.severity()), ("container-exposure", "High"), "{}", found.brief());
    assert_eq!((found.known_as(), found.actor()), (store.to_str().unwrap(), "container"), "{}", found.0);
    assert_eq!(exposures(&agent, "th-mounted read").len(), 1);

    // Mounted and read by a program that lives for a moment.
    run("th-read", &home, "/root", &[&["--rm"][..], &read("/root/.aws/credentials")].concat());
    // Not what was told of the one before.
    let exposed = |one: &&Finding| {
        let read = one.detector() == "container-exposure" && one.mentions("of the host, as /root/.aws/credentials");
        read && !one.mentions("th-mounted")
    };
    agent.until("both", |all| {
        let read = all.iter().find(exposed);
        read.is_some_and(|read| all.iter().any(|one| one.detector() == "unexpected-reader" && one.pid() == read.pid()))
    });
    let found = agent.findings("");
    let read = found.iter().find(exposed).expect("a read");
    assert_eq!((read.severity(), read.known_as()), ("High", store.to_str().unwrap()), "{}", read.0);

    let twins = exposures(&agent, "th-twin");
    assert!(twins.is_empty(), "{:?}", twins[0].0);
    drop(docker);
    let _ = agent.stop();
}

#[test]
fn tokens_in_images_and_in_what_a_container_holds() {
    let stage = Stage::new();
    let Some(docker) = Docker::start(&stage) else { return };
    let Ann { mut agent, store, token, innocent, .. } = Ann::new(&stage);

    // The innocent twin first: a build and a copy without a token.
    let copy = "COPY notes /root/.aws/credentials\nENV GH_TOKEN=none\n";
    docker.build("th-twin:1", copy, &[("notes", &innocent)], &["--build-arg", "TOKEN=none"]);

    // A store in the build's directory, deleted again in the next step.
    let lines = "COPY credentials /root/.aws/credentials\nRUN [\"/bin/busybox\", \"rm\", \"/root/.aws/credentials\"]\n";
    docker.build("th-copy:1", lines, &[("credentials", &store)], &[]);
    let found = agent.finding("/root/.aws/credentials of image th-copy:1");
    assert_eq!((found.detector(), found.severity()), ("container-exposure", "High"), "{}", found.brief());
    for said in ["aws-credentials", "th1:", "made by step 2 (COPY)", "of layer sha256:", "docker"] {
        assert!(found.mentions(said), "{said}: {}", found.0);
    }

    // In a variable and in an argument of the build.
    docker.build("th-env:1", &format!("ENV GH_TOKEN={token}\n"), &[], &[]);
    let found = agent.finding("variable GH_TOKEN of image th-env:1");
    assert_eq!((found.detector(), found.stores()), ("container-exposure", vec!["gh-hosts"]), "{}", found.brief());
    let argument = format!("TOKEN={token}");
    let lines = "ARG TOKEN\nRUN [\"/bin/busybox\", \"true\"]\n";
    docker.build("th-arg:1", lines, &[], &["--build-arg", &argument]);
    let found = agent.finding("of image th-arg:1");
    assert!(found.mentions("history of step 3 (RUN)"), "{}", found.0);

    // Copied into a container, and the image that is made of that.
    docker.run(&["create", "--name", "th-box", "--network=none", "th-twin:1", "/bin/busybox", "true"]);
    docker.run(&["cp", innocent.to_str().unwrap(), "th-box:/tmp-notes"]);
    docker.run(&["cp", store.to_str().unwrap(), "th-box:/stolen"]);
    let found = agent.finding("/stolen of docker container th-box");
    assert_eq!((found.detector(), found.severity()), ("container-exposure", "Medium"), "{}", found.brief());
    docker.run(&["commit", "th-box", "th-commit:1"]);
    let found = agent.finding("/stolen of image th-commit:1");
    assert_eq!(found.severity(), "High", "{}", found.brief());

    for twin in ["image th-twin:1, id", "/tmp-notes"] {
        let found = exposures(&agent, twin);
        assert!(found.is_empty(), "{twin}: {:?}", found[0].0);
    }
    let metrics = agent.metrics();
    assert!(metrics.contains("tokenhound_layers_scanned_total{outcome=\"whole\"}"), "{metrics}");
    drop(docker);
    let _ = agent.stop();
}

#[test]
fn a_container_that_the_policy_names() {
    let stage = Stage::new();
    let Some(docker) = Docker::start(&stage) else { return };
    let home = stage.directory("homes/ann");
    let store = Store::AwsCredentials.put(&stage, &home);
    stage.file("policy.d/dev.yaml", POLICY);
    docker.plain("plain:1");
    let mut agent = Agent::start(&stage);
    known(&mut agent, &stage, &home, &store);
    let mount = format!("{}:/root/.aws:ro", home.join(".aws").display());
    let read = ["plain:1", "/bin/busybox", "cat", "/root/.aws/credentials"];
    for name in ["th-dev", "th-other"] {
        let run = ["run", "--name", name, "--network=none", "-v", &mount];
        docker.run(&[&run[..], &read].concat());
    }
    // A volume of the engine's own is nothing of the host's.
    docker.run(&[
        "run",
        "--name",
        "th-ci",
        "--network=none",
        "-v",
        "cache:/root/.aws",
        "plain:1",
        "/bin/busybox",
        "true",
    ]);
    let _ = agent.finding("is mounted into docker container th-other");
    agent.finding("in docker container th-other read");
    for name in ["th-dev", "th-ci"] {
        let found = agent.findings(name);
        assert!(found.is_empty(), "{name}: {:?}", found[0].0);
    }
    drop(docker);
    let _ = agent.stop();
}

/// A development container may have the store.
const POLICY: &str = "exceptions:
  - reason: our development container works with AWS
    store: aws-credentials
    when: container_name == \"th-dev\" && container_image == \"plain:1\"
";

#[test]
fn a_copy_that_is_made_in_a_container() {
    let stage = Stage::new();
    let Some(docker) = Docker::start(&stage) else { return };
    let home = stage.directory("homes/ann");
    let store = Store::AwsCredentials.put(&stage, &home);
    docker.plain("plain:1");
    let mut agent = Agent::start(&stage);
    known(&mut agent, &stage, &home, &store);
    let mount = format!("{}:/root/.aws:ro", home.join(".aws").display());
    let script = "mkdir /tmp /bare; cat /root/.aws/credentials > /tmp/th-copy; cat /root/.aws/credentials > /data/th-volume; \
                  echo nothing > /bare/th-nothing; exec sleep 300";
    let run = ["run", "-d", "--name", "th-copies", "--network=none", "-v", &mount, "-v", "th-data:/data", "plain:1"];
    docker.run(&[&run[..], &["/bin/busybox", "sh", "-c", script]].concat());
    for (name, place) in
        [("/diff/tmp/th-copy", "engine/data/overlay2/"), ("/_data/th-volume", "engine/data/volumes/th-data/")]
    {
        agent.until(name, |all| all.iter().any(|one| one.detector() == "token-copied" && one.mentions(name)));
        let found = agent.findings(name);
        let found = found.iter().find(|one| one.detector() == "token-copied").unwrap();
        for said in [place, "a file of a container", "th-copies", "plain:1", "aws-credentials", "th1:"] {
            assert!(found.mentions(said), "{said}: {}", found.0);
        }
    }
    assert!(
        agent.findings("/diff/bare/th-nothing").iter().all(|one| one.detector() != "token-copied"),
        "nothing was copied"
    );
    drop(docker);
    let _ = agent.stop();
}

/// Its own tool writes the store anew with each login. The same file elsewhere is a copy.
#[test]
fn a_login_rewrites_its_own_store() {
    let stage = Stage::new();
    let Some(docker) = Docker::start(&stage) else { return };
    let home = stage.directory("homes/ann");
    let store = Store::DockerConfig.put(&stage, &home);
    let mut agent = Agent::start(&stage);
    known(&mut agent, &stage, &home, &store);
    let registry = format!("127.0.0.1:{}", standin::start());
    for _ in 0..2 {
        let password = token::plain("", 20);
        stage.hide(&password);
        let mut login = docker.command(&["login", "-u", "ann", "--password-stdin", &registry]);
        let ended = process::run(login.env("HOME", &home), password.as_bytes());
        assert_eq!(ended.code(), 0, "{}{}", ended.out(), ended.err());
    }
    let written = std::fs::read_to_string(&store).unwrap();
    assert!(written.contains(&registry), "the login has gone there");
    let ended = process::run(Command::new("cp").arg(&store).arg(home.join("kept")), b"");
    assert_eq!(ended.code(), 0);
    let copied = |one: &Finding| one.detector() == "token-copied" && one.mentions("homes/ann/kept");
    agent.until("the copy", |all| all.iter().any(copied));
    let login = |one: &Finding| one.mentions("login -u ann") && one.severity() != "Informational";
    let loud: Vec<String> = agent.findings("").into_iter().filter(login).map(|one| one.brief()).collect();
    assert!(loud.is_empty(), "{loud:?}");
    drop(docker);
    let _ = agent.stop();
}
