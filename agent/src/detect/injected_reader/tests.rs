//! Each way to bring code into a reader, and its innocent twin.

use std::{ffi::OsString, os::unix::ffi::OsStringExt, path::PathBuf};

use super::*;
use crate::{
    detect::{
        engine::Engine,
        fixtures::{access_at, expected, process, read_at, store, tolerated, under_shell, with_args, with_script},
    },
    finding::severity::Severity,
    ingest::loading,
    lineage::{
        loaded::{Linkage, Place},
        model::Script,
    },
};

/// Now, in `read_at`.
const NOW: i64 = 1_764_000_000;

/// A made-up file system. A user `ann` (uid 1000) reads.
fn place(path: &Path) -> Place {
    let text = path.to_str().unwrap();
    let old = NOW - 90 * 24 * 3600;
    let (writable, kind, changed) = match text {
        _ if text.contains("/gone") => (Writable::Unknown, Kind::Missing, None),
        "/usr/lib/mine.so" | "/usr/lib/link.so" | "/usr/lib/../../tmp/x.so" | "/opt/open/x.so" => {
            (Writable::Yes, Kind::File, Some(old))
        }
        _ if text.starts_with("/home/ann/new") => (Writable::Yes, Kind::File, Some(NOW - 60)),
        "/home/ann/site/sitecustomize.py" | "/home/ann/libs/libc.so.6" => (Writable::Yes, Kind::File, Some(old)),
        _ if text.ends_with(".py") || text.ends_with(".so.6") => (Writable::Unknown, Kind::Missing, None),
        _ if text.starts_with("/usr") || text.starts_with("/opt") => (Writable::No, Kind::File, Some(old)),
        _ if text.ends_with(".so") || text.ends_with("js") => (Writable::Yes, Kind::File, Some(old)),
        _ if text.starts_with("/home/bob") => (Writable::No, Kind::Directory, Some(NOW - 60)),
        _ => (Writable::Yes, Kind::Directory, Some(NOW - 60)),
    };
    let linked = ["/usr/lib/link.so", "/usr/lib/../../tmp/x.so"].contains(&text);
    let resolved = if linked { "/tmp/x.so" } else { text };
    Place { writable, resolved: (kind != Kind::Missing).then(|| PathBuf::from(resolved)), kind, changed }
}

fn reader(line: &str) -> Process {
    let mut words = line.split(' ');
    let program = words.next().unwrap();
    let mut process = with_args(process(4242, 812, program), line);
    if let Some(script) = words.find(|word| word.starts_with('/')) {
        process = with_script(process, script, Writable::No);
    }
    process
}

fn access(mut reader: Process, variables: &[(&str, &str)], linkage: Linkage) -> Access {
    for (name, value) in variables {
        if let Some(value) = loading::clean(name, value.as_bytes()) {
            reader.environment.push(((*name).to_owned(), OsString::from_vec(value.into_owned())));
        }
    }
    let mut access = read_at(0.0, under_shell(reader), "/home/ann/.aws/credentials");
    let loads = loaded::loads(&access.chain.processes[0], access.home.as_deref(), || linkage);
    access.loaded = loaded::look(loads, place);
    access
}

fn engine() -> Engine {
    Engine::new(Salt::new("test host", "test boot"))
}

fn found(access: &Access) -> Option<Finding> {
    let outcome = engine().access(access, &[expected(store("aws", "aws", 1))]);
    assert!(outcome.findings.len() <= 1);
    assert_eq!(outcome.verdicts, [("aws".to_owned(), Verdict::Expected)]);
    outcome.findings.into_iter().next()
}

fn dynamic() -> Linkage {
    Linkage::Dynamic(vec!["libc.so.6".to_owned()])
}

const AWS: &str = "/usr/bin/python3.11 /usr/bin/aws s3 ls";
const NPM: &str = "/usr/bin/node /usr/lib/npm/npm.js whoami";
const GIT: &str = "/usr/lib/git-core/git-credential-store get";

#[test]
fn what_is_foreign_and_how_much_it_matters() {
    use Severity::{High, Informational, Low, Medium};
    let silent = None;
    let cases: &[(&str, &str, &str, Option<Severity>)] = &[
        // The loader.
        ("/usr/bin/gh auth", "LD_PRELOAD", "/tmp/x.so", Some(High)),
        ("/usr/bin/gh auth", "LD_PRELOAD", "libgtk3-nocsd.so.0", silent),
        ("/usr/bin/gh auth", "LD_PRELOAD", "/usr/lib/x86_64-linux-gnu/libjemalloc.so", silent),
        ("/usr/bin/gh auth", "LD_PRELOAD", "/snap/core/current/usr/lib/gone.so", silent),
        ("/usr/bin/gh auth", "LD_PRELOAD", "/usr/lib/mine.so", Some(Medium)),
        ("/usr/bin/gh auth", "LD_PRELOAD", "/usr/lib/link.so", Some(High)),
        ("/usr/bin/gh auth", "LD_PRELOAD", "/usr/lib/../../tmp/x.so", Some(High)),
        ("/usr/bin/gh auth", "LD_PRELOAD", "libfoo.so:/home/ann/old.so", Some(Medium)),
        ("/usr/bin/gh auth", "LD_PRELOAD", "/home/ann/new.so", Some(High)),
        ("/usr/bin/gh auth", "LD_PRELOAD", "./x/old.so", Some(Medium)),
        ("/usr/bin/gh auth", "LD_PRELOAD", "/home/ann/$LIB/x.so", Some(Medium)),
        ("/usr/bin/gh auth", "LD_PRELOAD", "/usr/$LIB/x.so", silent),
        ("/usr/bin/gh auth", "LD_PRELOAD", "/proc/self/fd/3", Some(High)),
        ("/usr/bin/gh auth", "LD_PRELOAD", "/home/ann/gone.so", Some(High)),
        ("/usr/bin/gh auth", "LD_AUDIT", "/tmp/audit.so", Some(High)),
        (AWS, "LD_PRELOAD", "/tmp/x.so", Some(High)),
        // As `fakeroot` sets it.
        ("/usr/bin/gh auth", "LD_LIBRARY_PATH", "/usr/lib/x86_64-linux-gnu/libfakeroot:/usr/lib64/gone", silent),
        ("/usr/bin/gh auth", "LD_LIBRARY_PATH", "/home/ann/cuda/lib64", silent),
        ("/usr/bin/gh auth", "LD_LIBRARY_PATH", "/tmp/.mount_cursor/usr/lib", Some(Low)),
        ("/usr/bin/gh auth", "LD_LIBRARY_PATH", "/home/ann/libs", Some(Medium)),
        // Python.
        (AWS, "PYTHONPATH", "/home/ann/project/src", Some(Low)),
        (AWS, "PYTHONPATH", "/home/bob/shared", Some(Low)),
        (AWS, "PYTHONPATH", "/home/ann/site", Some(Medium)),
        (AWS, "PYTHONPATH", "/tmp/modules", Some(High)),
        (AWS, "PYTHONPATH", "/usr/share/ansible", silent),
        ("/usr/bin/python3 -I /usr/bin/aws s3", "PYTHONPATH", "/tmp/modules", silent),
        ("/usr/bin/python3 -Es /usr/bin/aws s3", "PYTHONPATH", "/tmp/modules", silent),
        ("/usr/bin/python3 /usr/bin/aws -I", "PYTHONPATH", "/tmp/modules", Some(High)),
        (NPM, "PYTHONPATH", "/tmp/modules", silent),
        ("/usr/bin/gh auth", "PYTHONPATH", "/tmp/modules", silent),
        (AWS, "PYTHONHOME", "/home/ann/python", Some(Medium)),
        (AWS, "PYTHONSTARTUP", "/tmp/x.py", silent),
        // Node.
        (NPM, "NODE_OPTIONS", "--require /tmp/x.js", Some(High)),
        (NPM, "NODE_OPTIONS", "--max-old-space-size=4096", silent),
        (NPM, "NODE_OPTIONS", "--import=data:text/javascript,0", Some(High)),
        (
            NPM,
            "NODE_OPTIONS",
            "--require=/home/ann/.vscode/extensions/ms-vscode.js-debug-1.9/src/bootloader.js",
            Some(Informational),
        ),
        (NPM, "NODE_OPTIONS", "--require=/tmp/ms-vscode.js-debug/bootloader.js", Some(High)),
        (
            NPM,
            "NODE_OPTIONS",
            "--require=/usr/share/code/resources/app/extensions/ms-vscode.js-debug/src/bootloader.js",
            silent,
        ),
        (
            NPM,
            "NODE_OPTIONS",
            "--require /home/ann/p/.pnp.cjs --loader file:///home/ann/p/.pnp.loader.mjs",
            Some(Informational),
        ),
        (NPM, "NODE_OPTIONS", "--require dd-trace/init", Some(Low)),
        (NPM, "NODE_OPTIONS", "--require ./old.js", Some(Medium)),
        (NPM, "NODE_PATH", "/home/ann/node", silent),
        (AWS, "NODE_OPTIONS", "--require /tmp/x.js", silent),
        ("/usr/bin/bun install", "BUN_OPTIONS", "--preload /tmp/x.js", Some(High)),
        // Java, Ruby, Perl, shells.
        ("/usr/bin/java /usr/share/m.jar", "JAVA_TOOL_OPTIONS", "-javaagent:/tmp/a.jar=x", Some(High)),
        ("/usr/bin/java /usr/share/m.jar", "JAVA_TOOL_OPTIONS", "-javaagent:/opt/apm/a.jar -Dx=/tmp/y", silent),
        ("/usr/bin/java /usr/share/m.jar", "_JAVA_OPTIONS", "-Xmx4g -Dawt.useSystemAAFontSettings=on", silent),
        ("/usr/bin/ruby3.1 /usr/bin/gem", "RUBYOPT", "-r/tmp/x", Some(High)),
        ("/usr/bin/ruby3.1 /usr/bin/gem", "RUBYOPT", "-rbundler/setup -W0", silent),
        ("/usr/bin/ruby3.1 /usr/bin/gem", "RUBYOPT", "-r/home/ann/.rbenv/lib/bundler/setup", Some(Informational)),
        ("/usr/bin/perl /usr/bin/duck", "PERL5LIB", "/home/ann/perl5/lib/perl5", Some(Low)),
        ("/usr/bin/perl -T /usr/bin/duck", "PERL5LIB", "/tmp/p", silent),
        ("/usr/bin/perl /usr/bin/duck", "PERL5OPT", "-Mlib=/tmp/p", Some(High)),
        ("/usr/bin/perl /usr/bin/duck", "PERL5OPT", "-Mbase;0", Some(High)),
        ("/usr/bin/perl /usr/bin/duck", "PERL5OPT", "-MDevel::Cover", silent),
        ("/usr/bin/bash /usr/bin/pass", "BASH_ENV", "/tmp/env", Some(High)),
        ("/usr/bin/bash -p /usr/bin/pass", "BASH_ENV", "/tmp/env", silent),
        ("/usr/bin/bash /usr/bin/pass", "BASH_ENV", "/usr/share/modules/init/bash", silent),
        ("/usr/bin/dash /usr/bin/pass", "BASH_ENV", "/tmp/env", silent),
        // Git.
        (GIT, "GIT_EXEC_PATH", "/tmp/core", Some(High)),
        (GIT, "GIT_EXEC_PATH", "/usr/lib/git-core", silent),
        (GIT, "GIT_ASKPASS", "/home/ann/.vscode-server/bin/0/extensions/git/dist/askpass.sh", silent),
        (GIT, "GIT_ASKPASS", "/tmp/pass.sh", Some(Low)),
        (GIT, "GIT_SSH_COMMAND", "ssh -i /tmp/key", silent),
        (GIT, "GIT_SSH_COMMAND", "/tmp/ssh", Some(Low)),
        (GIT, "GIT_CONFIG_GLOBAL", "/dev/null", silent),
        (GIT, "GIT_CONFIG_GLOBAL", "/tmp/config", Some(Low)),
        ("/usr/bin/gh auth", "GIT_EXEC_PATH", "/tmp/core", silent),
    ];
    for (line, name, value, severity) in cases {
        let access = access(reader(line), &[(name, value)], dynamic());
        let finding = found(&access);
        let is = finding.as_ref().map(|finding| finding.severity);
        assert_eq!(is, *severity, "{line} with {name}={value}: {finding:#?}");
        assert_eq!(finding.is_some(), engine().is_injected(&access) && finding.is_some());
        if let Some(finding) = finding {
            assert_eq!(finding.detector, DetectorId::InjectedReader);
            assert!(finding.headline.contains(&format!("foreign code in it: {name}")), "{}", finding.headline);
            assert!(finding.evidence.iter().any(|it| it.key == "injection.variable" && it.text.starts_with(name)));
        }
    }
    assert!(cases.iter().filter(|case| case.3.is_none()).count() >= 20);
}

#[test]
fn settings_of_git_count_by_their_key() {
    for (key, value, severity) in [
        ("credential.helper", "/tmp/helper", Some(Severity::High)),
        ("credential.https://ann:pass@x.invalid.helper", "!/home/ann/new-helper x", Some(Severity::High)),
        ("credential.helper", "!gh auth git-credential", None),
        ("core.sshCommand", "/tmp/ssh", Some(Severity::Low)),
        ("http.sslCAInfo", "/tmp/ca.pem", None),
        ("http.extraHeader", "Authorization: bearer hunter2", None),
    ] {
        let git = [("GIT_CONFIG_COUNT", "1"), ("GIT_CONFIG_KEY_0", key), ("GIT_CONFIG_VALUE_0", value)];
        let finding = found(&access(reader(GIT), &git, dynamic()));
        assert_eq!(finding.as_ref().map(|it| it.severity), severity, "{key} {value}: {finding:#?}");
        assert!(!format!("{finding:?}").contains("pass@"));
    }
}

#[test]
fn the_loader_ignores_its_variables_for_static_and_privileged_programs() {
    let preload = [("LD_PRELOAD", "/tmp/x.so")];
    let plain = reader("/usr/bin/gh auth");
    assert!(found(&access(plain.clone(), &preload, Linkage::Unknown)).is_some());
    assert!(found(&access(plain.clone(), &preload, Linkage::Static)).is_none());
    for (mode, uid, euid, told) in
        [(0o104_755, 0, 0, false), (0o104_755, 1000, 1000, true), (0o102_755, 0, 1000, false), (0o100_755, 0, 0, false)]
    {
        let mut program = plain.clone();
        (program.executable.mode, program.executable.uid, program.euid) = (mode, uid, euid);
        assert_eq!(found(&access(program, &preload, dynamic())).is_some(), told, "{mode:o} {uid} {euid}");
    }
}

#[test]
fn the_worst_counts_and_what_is_harmless_is_named_as_such() {
    let variables =
        [("LD_PRELOAD", "/usr/lib/libjemalloc.so"), ("PYTHONPATH", "/home/ann/src:/tmp/x"), ("HOME", "/home/ann")];
    let finding = found(&access(reader(AWS), &variables, dynamic())).unwrap();
    assert_eq!(finding.severity, Severity::High);
    assert!(finding.headline.ends_with("PYTHONPATH /tmp/x"), "{}", finding.headline);
    let texts: Vec<_> = finding.evidence.iter().map(|it| (it.key, it.text.as_str())).collect();
    let harmless = ("injection.harmless", "LD_PRELOAD /usr/lib/libjemalloc.so; the reader's user cannot change it");
    assert!(texts.contains(&harmless), "{texts:#?}");
    assert!(texts.contains(&("injection.origin", "PYTHONPATH set by bash (pid 812) for python3.11 (pid 4242)")));
}

#[test]
fn a_path_that_holds_a_token_is_not_shown() {
    let token = format!("ghp_{}", "a1B2c3D4e5F6".repeat(3));
    let finding = found(&access(reader(AWS), &[("LD_PRELOAD", &format!("/tmp/{token}/x.so"))], dynamic())).unwrap();
    assert!(!format!("{:?}{:?}", finding.headline, finding.evidence).contains(&token));
}

#[test]
fn the_same_is_told_once_an_hour_and_counted() {
    let mut engine = engine();
    let judgements = [expected(store("aws", "aws", 1))];
    let mut told = |seconds: f64, value: &str, pid: u32| {
        let mut access = access(reader(AWS), &[("LD_PRELOAD", value)], dynamic());
        access.chain.processes[0].key = ProcessKey::new(u64::from(pid), pid);
        access.time = KernelTime(1_000_000_000_000 + (seconds * 1e9) as u64);
        engine.access(&access, &judgements).findings.into_iter().next()
    };
    assert!(told(0.0, "/tmp/x.so", 1).is_some());
    assert!(told(1800.0, "/tmp/x.so", 2).is_none());
    assert!(told(1801.0, "/tmp/y.so", 3).is_some(), "other code");
    let again = told(3601.0, "/tmp/x.so", 4).unwrap();
    assert!(again.evidence.iter().any(|it| it.key == "repeated" && it.text.starts_with("1 more")), "{again:#?}");
}

#[test]
fn policy_and_strangers_are_not_its_business() {
    let access = access(reader(AWS), &[("LD_PRELOAD", "/tmp/x.so")], dynamic());
    assert_eq!(engine().access(&access, &[tolerated(store("aws", "aws", 1))]).findings, []);
    let unexpected = crate::detect::fixtures::unexpected(store("aws", "aws", 1));
    let findings = engine().access(&access, &[unexpected]).findings;
    assert_eq!(findings.iter().map(|it| it.detector).collect::<Vec<_>>(), [DetectorId::UnexpectedReader]);
}

fn attach(tracer: Process, target: &Process) -> Access {
    let target = Target::Process(Inspection::PtraceAttach, Some(Box::new(target.clone())), None);
    access_at(0.0, under_shell(tracer), target)
}

#[test]
fn a_traced_reader_is_told_of_but_for_what_a_debugger_started() {
    let gh = reader("/usr/bin/gh auth");
    let child_of = |parent: &Process| Process { parent: Some(parent.key), ..gh.clone() };
    let stranger = process(77, 812, "/home/ann/evil");
    let strace = process(78, 812, "/usr/bin/strace");
    for (name, tracer, target, severity) in [
        ("a stranger", &stranger, gh.clone(), Some(Severity::High)),
        ("its parent, a stranger", &stranger, child_of(&stranger), Some(Severity::High)),
        ("strace -p", &strace, gh.clone(), Some(Severity::High)),
        ("strace gh", &strace, child_of(&strace), None),
    ] {
        let mut engine = engine();
        engine.access(&attach(tracer.clone(), &target), &[]);
        let read = access(target.clone(), &[], dynamic());
        assert_eq!(engine.is_injected(&read), severity.is_some(), "{name}");
        let outcome = engine.access(&read, &[expected(store("gh", "gh", 1))]);
        assert_eq!(outcome.findings.first().map(|it| it.severity), severity, "{name}");
        let other = access(Process { key: ProcessKey::new(1, 1), ..target }, &[], dynamic());
        assert_eq!(engine.access(&other, &[expected(store("gh", "gh", 1))]).findings, [], "{name}: another process");
    }
    // Other looks into it are no tracing.
    let mut engine = engine();
    let look = Target::Process(Inspection::Environ, Some(Box::new(gh.clone())), None);
    engine.access(&access_at(0.0, under_shell(stranger), look), &[]);
    assert!(!engine.is_injected(&access(gh, &[], dynamic())));
}

#[test]
fn code_of_a_package_in_a_reader_is_high() {
    let chain = |reader: Process| {
        let mut chain = crate::lineage::actor::tests::lineage("/usr/bin/cat < /usr/bin/sh ! < NPM < SSH");
        chain.processes[0] = Process { key: chain.processes[0].key, parent: chain.processes[0].parent, ..reader };
        chain
    };
    let mut access = access(reader(NPM), &[("NODE_OPTIONS", "--require ./old.js")], dynamic());
    assert_eq!(found(&access).unwrap().severity, Severity::Medium);
    let by_package = access_at(0.0, chain(access.chain.processes[0].clone()), access.target.clone());
    access.actor = by_package.actor;
    assert_eq!(found(&access).unwrap().severity, Severity::High, "{:?}", access.actor);
    assert!(!matches!(access.chain.processes[0].script, Some(Script::Inline)));
}
