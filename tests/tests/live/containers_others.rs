//! Stores in containers and images of other engines than Docker: podman, and containerd by itself; each with its innocent twin.

use tokenhound_tests::{containerd::Containerd, podman::Podman, stage::Stage};

use crate::containers::{Ann, exposures};

#[test]
fn podman_mounts_builds_and_copies() {
    let stage = Stage::new();
    let Some(podman) = Podman::start(&stage) else { return };
    let Ann { mut agent, home, store, token, innocent, .. } = Ann::new(&stage);

    // Mounted, and nothing is read. By this the agent learns of the storage.
    let mount = format!("{}:/root/.aws:ro", home.join(".aws").display());
    let run = |name: &str, mount: &str, more: &[&str]| {
        let first = ["run", "--name", name, "--network=none", "-v", mount];
        podman.run(&[&first[..], more].concat());
    };
    run("th-mounted", &mount, &["-d", "plain:1", "/bin/busybox", "sleep", "300"]);
    let found = agent.finding("is mounted into podman container th-mounted");
    assert_eq!((found.detector(), found.severity()), ("container-exposure", "Medium"), "{}", found.brief());
    assert_eq!((found.path(), found.path_in_root()), (store.to_str().unwrap(), Some("/root/.aws/credentials")));
    for said in ["image localhost/plain:1", "read only", "aws-credentials", "th1:", "podman (pid"] {
        assert!(found.mentions(said), "{said}: {}", found.0);
    }

    // The innocent twin: another directory is mounted and read, and an image is built without a token.
    let work = format!("{}:/work", stage.path("work").display());
    run("th-twin", &work, &["plain:1", "/bin/busybox", "cat", "/work/notes.txt"]);
    let copy = "COPY notes /root/.aws/credentials\nENV GH_TOKEN=none\n";
    podman.build("th-twin:1", copy, &[("notes", &innocent)], &["--build-arg", "TOKEN=none"]);

    // Mounted and read by a program that lives for a moment.
    run("th-read", &mount, &["--rm", "plain:1", "/bin/busybox", "cat", "/root/.aws/credentials"]);
    let found = agent.finding("/bin/busybox in podman container th-read read");
    assert_eq!((found.detector(), found.severity()), ("container-exposure", "High"), "{}", found.brief());
    for said in ["of the host, as /root/.aws/credentials", "of image localhost/plain:1"] {
        assert!(found.mentions(said), "{said}: {}", found.0);
    }

    // A store in a layer, deleted again in the next step, and a token in a variable.
    let lines = format!(
        "COPY credentials /root/.aws/credentials\nENV GH_TOKEN={token}\n\
         RUN [\"/bin/busybox\",\"rm\",\"/root/.aws/credentials\"]\n"
    );
    podman.build("th-copy:1", &lines, &[("credentials", &store)], &[]);
    let found = agent.finding("/root/.aws/credentials of image localhost/th-copy:1");
    assert_eq!((found.detector(), found.severity()), ("container-exposure", "High"), "{}", found.brief());
    for said in ["aws-credentials", "th1:", "(COPY)", "podman", "was told to build before"] {
        assert!(found.mentions(said), "{said}: {}", found.0);
    }
    let found = agent.finding("variable GH_TOKEN of image localhost/th-copy:1");
    assert_eq!(found.stores(), ["gh-hosts"], "{}", found.brief());

    podman.run(&["cp", store.to_str().unwrap(), "th-mounted:/th-stolen"]);
    agent.finding("/th-stolen of containers/storage container th-mounted");

    let found = exposures(&agent, "th-twin");
    assert!(found.is_empty(), "{:?}", found[0].0);
    drop(podman);
    let _ = agent.stop();
}

#[test]
fn containerd_mounts_and_imports() {
    let stage = Stage::new();
    let Some(containerd) = Containerd::start(&stage) else { return };
    let Ann { mut agent, store, token, innocent, .. } = Ann::new(&stage);

    // The innocent twin first: an image without a token, and another directory that is mounted and read.
    containerd.import("th-twin:1", &[("root/.aws/credentials", &innocent)], &["GH_TOKEN=none"]);
    let run = |directory: &str, target: &str, more: &[&str], args: &[&str]| {
        let source = stage.path(directory).display().to_string();
        let mount = format!("type=bind,src={source},dst={target},options=rbind:ro");
        let first = [&["run", "--mount", &mount], more, &["docker.io/library/th-twin:1"]].concat();
        containerd.run(&[&first[..], args].concat())
    };
    run("work", "/work", &["--rm"], &["th-twin-box", "/bin/busybox", "cat", "/work/notes.txt"]);

    run("homes/ann/.aws", "/root/.aws", &["-d"], &["th-mounted", "/bin/busybox", "sleep", "300"]);
    let found = agent.finding("is mounted into containerd container th-mounted");
    assert_eq!((found.detector(), found.severity()), ("container-exposure", "Medium"), "{}", found.brief());
    assert_eq!((found.path(), found.path_in_root()), (store.to_str().unwrap(), Some("/root/.aws/credentials")));
    for said in ["read only", "aws-credentials", "th1:", "ctr (pid"] {
        assert!(found.mentions(said), "{said}: {}", found.0);
    }

    // Mounted and read.
    let args = ["th-read", "/bin/busybox", "cat", "/root/.aws/credentials"];
    run("homes/ann/.aws", "/root/.aws", &["--rm"], &args);
    let found = agent.finding("/bin/busybox in containerd container th-read read");
    assert_eq!((found.detector(), found.severity()), ("container-exposure", "High"), "{}", found.brief());
    assert!(found.mentions("of the host, as /root/.aws/credentials"), "{}", found.0);

    // A store in a compressed layer, and a token in a variable.
    let variable = format!("GH_TOKEN={token}");
    containerd.import("th-copy:1", &[("root/.aws/credentials", &store)], &[&variable]);
    let found = agent.finding("/root/.aws/credentials of image docker.io/library/th-copy:1");
    assert_eq!((found.detector(), found.severity()), ("container-exposure", "High"), "{}", found.brief());
    for said in ["aws-credentials", "th1:", "of layer sha256:", "of containerd", "ctr"] {
        assert!(found.mentions(said), "{said}: {}", found.0);
    }
    let found = agent.finding("variable GH_TOKEN of image docker.io/library/th-copy:1");
    assert_eq!(found.stores(), ["gh-hosts"], "{}", found.brief());

    for twin in ["th-twin-box", "of image docker.io/library/th-twin:1"] {
        let found = exposures(&agent, twin);
        assert!(found.is_empty(), "{twin}: {:?}", found[0].0);
    }
    drop(containerd);
    let _ = agent.stop();
}
