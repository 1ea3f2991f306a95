//! What a Docker engine keeps: images that were built with BuildKit and what stays in the cache of builds, archives in layers,
//! volumes; each with its innocent twin.

use std::process::Command;

use tokenhound_tests::{agent::Agent, docker::Docker, process, stage::Stage, store::Store};

use crate::containers::{Ann, exposures, known};

#[test]
fn tokens_in_builds_with_buildkit() {
    let stage = Stage::new();
    let Some(docker) = Docker::start(&stage) else { return };
    let Ann { mut agent, store, gh, token, innocent, .. } = Ann::new(&stage);

    // The innocent twin first: a build without a token, and one that is handed the store as a secret, which leaves nothing.
    let lines = "COPY notes /root/.aws/credentials\nENV GH_TOKEN=none\nARG TOKEN\n\
                 RUN --mount=type=secret,id=aws [\"/bin/busybox\",\"test\",\"-s\",\"/run/secrets/aws\"]\n";
    let secret = format!("id=aws,src={}", store.display());
    let args = ["--build-arg", "TOKEN=none", "--secret", &secret];
    if !docker.build_with_buildkit("th-twin:1", lines, &[("notes", &innocent)], &args) {
        return;
    }

    // In a stage of the build that does not become a part of the image: it stays in the cache.
    let lines = "COPY hosts /th-staged/hosts.yml\nRUN [\"/bin/busybox\",\"true\"]\n\
                 FROM scratch\nCOPY --from=0 /bin/busybox /bin/busybox\n";
    docker.build_with_buildkit("th-staged:1", lines, &[("hosts", &gh)], &[]);
    let found = agent.finding("/th-staged/hosts.yml of the build cache");
    assert_eq!((found.detector(), found.severity()), ("container-exposure", "Medium"), "{}", found.brief());
    for said in ["gh-hosts", "th1:", "was told to build before", "docker"] {
        assert!(found.mentions(said), "{said}: {}", found.0);
    }

    // In a layer, deleted again in the next step; in a variable; in an argument of the build.
    let argument = format!("TOKEN={token}");
    let lines = format!(
        "COPY credentials /root/.aws/credentials\nENV GH_TOKEN={token}\nARG TOKEN\n\
         RUN [\"/bin/busybox\",\"rm\",\"/root/.aws/credentials\"]\n"
    );
    docker.build_with_buildkit("th-copy:1", &lines, &[("credentials", &store)], &["--build-arg", &argument]);
    let found = agent.finding("/root/.aws/credentials of image th-copy:1");
    assert_eq!((found.detector(), found.severity()), ("container-exposure", "High"), "{}", found.brief());
    for said in ["aws-credentials", "th1:", "made by step 2 (COPY)", "of layer sha256:", "was told to build before"] {
        assert!(found.mentions(said), "{said}: {}", found.0);
    }
    let found = agent.finding("variable GH_TOKEN of image th-copy:1");
    assert_eq!(found.stores(), ["gh-hosts"], "{}", found.brief());
    agent.finding("history of step 5 (RUN) of image th-copy:1");

    for twin in ["th-twin:1", "image th-staged:1", "/run/secrets"] {
        let found = exposures(&agent, twin);
        assert!(found.is_empty(), "{twin}: {:?}", found[0].0);
    }
    drop(docker);
    let _ = agent.stop();
}

#[test]
fn tokens_in_archives_of_an_image_and_in_volumes() {
    let stage = Stage::new();
    let Some(docker) = Docker::start(&stage) else { return };
    let home = stage.directory("homes/ann");
    let store = Store::AwsCredentials.put(&stage, &home);
    let innocent = stage.file("work/innocent.txt", "nothing of interest\n");
    let mut agent = Agent::start(&stage);
    known(&mut agent, &stage, &home, &store);
    let packed = |name: &str, of: &str, what: &str| {
        let archive = stage.path(name);
        let mut tar = Command::new("tar");
        let ended = process::run(tar.arg("-C").arg(stage.path(of)).arg("-czf").arg(&archive).arg(what), b"");
        assert_eq!(ended.code(), 0, "{}", ended.err());
        archive
    };
    let backup = packed("backup.tgz", "homes/ann", ".aws");
    let other = packed("other.tgz", "work", "innocent.txt");

    // The innocent twin first: an archive without a token, a volume that is filled with it.
    docker.build("th-twin:1", "COPY other.tgz /data/other.tgz\n", &[("other.tgz", &other)], &[]);
    let run = |name: &str, volume: &str, image: &str, more: &[&str]| {
        let first = ["run", "-d", "--name", name, "--network=none", "-v", volume, image, "/bin/busybox"];
        docker.run(&[&first[..], more].concat());
    };
    run("th-twin-box", "th-twin-volume:/data", "th-twin:1", &["true"]);

    let lines = "COPY backup.tgz /data/backup.tgz\n";
    docker.build("th-archive:1", lines, &[("backup.tgz", &backup)], &[]);
    let found = agent.finding("/data/backup.tgz of image th-archive:1");
    assert_eq!((found.detector(), found.severity()), ("container-exposure", "High"), "{}", found.brief());
    for said in ["gzip: .aws/credentials in /data/backup.tgz", "aws-credentials", "th1:"] {
        assert!(found.mentions(said), "{said}: {}", found.0);
    }

    // The engine fills a new volume with what the image has there.
    run("th-filled", "th-volume:/data", "th-archive:1", &["sleep", "300"]);
    let found = agent.finding("/backup.tgz of volume th-volume");
    assert_eq!((found.detector(), found.severity()), ("container-exposure", "Medium"), "{}", found.brief());
    for said in ["gzip: .aws/credentials", "aws-credentials", "was told to run or copy before", "th-filled"] {
        assert!(found.mentions(said), "{said}: {}", found.0);
    }

    // Copied into a container that runs: into what it writes, and into its volume.
    docker.run(&["cp", innocent.to_str().unwrap(), "th-filled:/th-notes"]);
    docker.run(&["cp", store.to_str().unwrap(), "th-filled:/th-stolen"]);
    let found = agent.finding("/th-stolen of docker container th-filled");
    assert!(found.mentions("was told to copy before"), "{}", found.0);
    docker.run(&["cp", store.to_str().unwrap(), "th-filled:/data/th-kept"]);
    agent.finding("/th-kept of volume th-volume");

    for twin in ["th-twin", "th-notes", "other.tgz"] {
        let found = exposures(&agent, twin);
        assert!(found.is_empty(), "{twin}: {:?}", found[0].0);
    }
    drop(docker);
    let _ = agent.stop();
}
