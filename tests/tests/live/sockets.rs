//! `agent-socket-access`: agents and metadata addresses are asked, by programs that belong there and by others.

use std::{os::unix::net::UnixListener, path::Path, process::Command};

use tokenhound_tests::{agent::Agent, finding::Finding, process::Background, scene::Scene, skip, stage::Stage};

use crate::actor;

/// Listens at a path, where nobody answers.
fn listen(path: &Path) -> UnixListener {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    UnixListener::bind(path).unwrap()
}

fn asked<'f>(finding: &'f Finding, what: &str) -> &'f str {
    let pointer = format!("/unmapped/tokenhound/service/{what}");
    finding.0.pointer(&pointer).and_then(|text| text.as_str()).unwrap_or_default()
}

#[test]
fn an_agent_is_asked_by_a_stranger_and_by_its_own() {
    let stage = Stage::new();
    let mut scene = Scene::new(&stage);
    let thief = actor(&stage, "thief");
    actor(&stage, "gpg");
    let places = [("plain", ".gnupg"), ("linked", ".gnupg"), ("own", ".gnupg"), ("namesake", "work")];
    let listeners = places.map(|(act, place)| listen(&scene.home(act).join(place).join("S.gpg-agent")));
    let theft = |act: &str, script: &str| scene.other_theft(act, script).detector("agent-socket-access").reader(&thief);
    let plain = theft("plain", "exec \"$STAGE/bin/thief\" connect \"$HOME/.gnupg/S.gpg-agent\"");
    let linked = theft("linked", "ln -s \"$HOME/.gnupg\" x; exec \"$STAGE/bin/thief\" connect x/S.gpg-agent");
    let twin = scene.nothing("own", None, "exec \"$STAGE/bin/gpg\" connect \"$HOME/.gnupg/S.gpg-agent\"");
    let namesake = scene.nothing("namesake", None, "exec \"$STAGE/bin/thief\" connect \"$HOME/work/S.gpg-agent\"");
    for act in [plain, linked, twin, namesake] {
        scene.add(act);
    }
    let watched = scene.play();
    let of = |act: &str| watched.findings.iter().find(|found| found.mentions(&format!("/homes/{act}/"))).unwrap();
    assert!(asked(of("linked"), "socket").ends_with("/homes/linked/.gnupg/S.gpg-agent"), "{}", watched.story());
    assert_eq!(of("plain").stores(), ["gpg-agent-socket"], "{}", watched.story());
    drop(listeners);
}

/// Where a variable has moved it, and by another name.
#[test]
fn a_socket_is_known_by_its_file() {
    let stage = Stage::new();
    let mut agent = Agent::start(&stage);
    let (thief, ssh) = (actor(&stage, "thief"), actor(&stage, "ssh"));
    let place = stage.path("elsewhere/agent.sock");
    let _listener = listen(&place);
    let connect = |program: &Path, socket: &Path| {
        let status = Command::new(program).arg("connect").arg(socket).status().unwrap();
        assert!(status.success());
    };
    // From now on that is where it is.
    let tool = Background::start(Command::new(&ssh).arg("hold").env("SSH_AUTH_SOCK", &place));
    connect(&ssh, &place);
    let found = agent.provoke(&place.display().to_string(), || connect(&thief, &place));
    assert_eq!((found.detector(), found.stores()), ("agent-socket-access", vec!["ssh-agent-socket"]));
    assert!(found.reader().ends_with("/thief"), "{}", found.brief());
    // Now that it is watched its own program asks once more. What would be told of that comes before what is told next.
    connect(&ssh, &place);
    // A socket has the name that it was bound to, whatever leads to it; unless that is changed.
    let [linked, renamed] = ["linked", "renamed"].map(|name| stage.path(name));
    std::fs::hard_link(&place, &linked).unwrap();
    let found = agent.provoke(&linked.display().to_string(), || connect(&thief, &linked));
    assert_eq!(asked(&found, "socket"), place.display().to_string(), "{}", found.brief());
    std::fs::rename(&place, &renamed).unwrap();
    let found = agent.provoke(&renamed.display().to_string(), || connect(&thief, &renamed));
    assert_eq!(asked(&found, "known_as"), place.display().to_string(), "{}", found.brief());
    let own = agent.findings(&ssh.display().to_string());
    assert!(own.iter().all(|found| found.detector() != "agent-socket-access"), "{own:?}");
    drop(tool);
    agent.stop();
}

/// In a network of its own, in which the address is ours.
#[test]
fn a_metadata_address_is_asked_by_a_stranger_and_by_its_own() {
    if !skip::has(&["unshare", "ip", "/usr/bin/python3"]) {
        return;
    }
    let stage = Stage::new();
    let mut scene = Scene::new(&stage);
    let thief = actor(&stage, "thief");
    actor(&stage, "amazon-ssm-agent");
    let serve = "import os, socket, sys\n\
        servers = [socket.create_server(('169.254.169.254', 80)), socket.create_server(('127.0.0.1', 80))]\n\
        sys.exit(os.spawnv(os.P_WAIT, sys.argv[1], sys.argv[1:]))\n";
    for act in ["plain", "mapped", "own", "other"] {
        stage.file(&format!("homes/{act}/serve.py"), serve);
    }
    let network = |program: &str, address: &str| {
        format!(
            "exec unshare -n dash -c 'ip link set lo up; ip addr add 169.254.169.254/32 dev lo\n\
             exec /usr/bin/python3 \"$HOME/serve.py\" \"$STAGE/bin/{program}\" dial {address}'"
        )
    };
    let theft = |act: &str, address: &str| {
        let python = std::fs::canonicalize(skip::program("/usr/bin/python3").unwrap()).unwrap();
        let below = [python.file_name().unwrap().to_str().unwrap()];
        let act = scene.other_theft(act, &network("thief", address)).detector("agent-socket-access");
        act.severity("Medium").reader(&thief).below(&below)
    };
    let plain = theft("plain", "169.254.169.254:80");
    let mapped = theft("mapped", "[::ffff:169.254.169.254]:80");
    let own = scene.nothing("own", None, &network("amazon-ssm-agent", "169.254.169.254:80"));
    let other = scene.nothing("other", None, &network("thief", "127.0.0.1:80"));
    for act in [plain, mapped, own, other] {
        scene.add(act);
    }
    let watched = scene.play();
    for found in watched.of("agent-socket-access") {
        assert_eq!(asked(found, "address"), "169.254.169.254", "{}", found.brief());
    }
}
