//! Stores in pods, as a kubelet makes them with containerd; with their innocent twin.

use tokenhound_tests::{containerd::Containerd, pods::Pods, stage::Stage};

use crate::containers::{Ann, exposures};

#[test]
fn a_store_of_the_host_in_a_pod() {
    let stage = Stage::new();
    let Some(containerd) = Containerd::start_for_pods(&stage) else { return };
    let pods = Pods::connect(&containerd.socket());
    let Ann { mut agent, home, store, .. } = Ann::new(&stage);
    let pod = pods.make("web-0");
    let start = |name: &str, host: &std::path::Path, inside: &str, command: &[&str]| {
        pods.start(&pod, name, "docker.io/library/pause:1", (host, inside), command)
    };

    // The innocent twin first: another directory is mounted and read.
    let work = stage.path("work");
    let twin = start("twin", &work, "/work", &["/bin/busybox", "cat", "/work/notes.txt"]);

    let _ = start("web", &home.join(".aws"), "/root/.aws", &["/bin/busybox", "sleep", "300"]);
    let found = agent.finding("is mounted into kubernetes container web");
    assert_eq!((found.detector(), found.severity()), ("container-exposure", "Medium"), "{}", found.brief());
    assert_eq!((found.path(), found.path_in_root()), (store.to_str().unwrap(), Some("/root/.aws/credentials")));
    for said in ["read only", "aws-credentials", "th1:", "image docker.io/library/pause:1", "prod/web-0"] {
        assert!(found.mentions(said), "{said}: {}", found.0);
    }

    // It reads once it is known what it is called: for a name a finding does not wait long.
    let script = "until [ -e /root/.aws/go ]; do :; done; exec /bin/busybox cat /root/.aws/credentials";
    let _ = start("reader", &home.join(".aws"), "/root/.aws", &["/bin/busybox", "sh", "-c", script]);
    agent.finding("is mounted into kubernetes container reader");
    stage.file("homes/ann/.aws/go", "");
    let found = agent.finding("/bin/busybox in kubernetes container reader read");
    assert_eq!((found.detector(), found.severity()), ("container-exposure", "High"), "{}", found.brief());
    for said in ["of the host, as /root/.aws/credentials", "prod/web-0"] {
        assert!(found.mentions(said), "{said}: {}", found.0);
    }
    for twin in ["container twin", &twin] {
        let found = exposures(&agent, twin);
        assert!(found.is_empty(), "{twin}: {:?}", found[0].0);
    }
    pods.remove(&pod);
    drop(containerd);
    let _ = agent.stop();
}
