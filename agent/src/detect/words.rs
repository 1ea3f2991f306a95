//! How processes and files are put into words, the same in every finding.

use crate::{
    finding::{model::Evidence, visible},
    ingest::observation::{Inspection, Stream},
    lineage::{
        model::{Chain, Container, Executable, Origin, Process, Script, Writable},
        package::{Integrity, Owner, installed::Installed},
    },
};

/// `/usr/bin/python3 running /tmp/x.py`.
pub(crate) fn reader(process: &Process) -> String {
    let program = program(process);
    match &process.script {
        None => program,
        Some(script) => format!("{program} running {}", self::script(script)),
    }
}

/// `npm (pid 4100)`.
pub(crate) fn short(process: &Process) -> String {
    format!("{} (pid {})", visible::text(process.name()), process.key.tgid)
}

fn program(process: &Process) -> String {
    let path = &process.executable.path;
    if path.as_os_str().is_empty() {
        format!("an unknown program calling itself {}", visible::text(&process.comm))
    } else {
        visible::path(path)
    }
}

/// What an interpreter runs.
pub(crate) fn script(script: &Script) -> String {
    match script {
        Script::File { path, .. } => visible::path(path),
        Script::Module(name) => format!("module {}", visible::text(name)),
        Script::Inline => "code from its command line or standard input".to_owned(),
    }
}

/// Facts about the reader and its lineage that every finding with a reader carries.
pub(crate) fn reader_evidence(chain: &Chain, user_name: Option<&str>) -> Vec<Evidence> {
    let Some(process) = chain.processes.first() else { return Vec::new() };
    let mut evidence = vec![
        Evidence::new("reader.executable", executable(&process.executable)),
        Evidence::new("reader.user", user(process, user_name)),
    ];
    if let Some(script) = &process.script {
        evidence.push(Evidence::new("reader.script", self::script(script)));
    }
    if let Some((major, minor)) = process.tty {
        evidence.push(Evidence::new("reader.terminal", format!("controlling terminal {major}:{minor}")));
    }
    if let Some(container) = &process.container {
        evidence.push(Evidence::new("reader.container", self::container(container)));
    }
    if process.origin != Origin::Observed {
        let text = "the reader started before the agent: its facts come from /proc and may have changed since";
        evidence.push(Evidence::new("reader.origin", text));
    }
    if chain.incomplete {
        evidence
            .push(Evidence::new("lineage.incomplete", "ancestors between the oldest shown and pid 1 are not known"));
    }
    evidence
}

/// `docker container 3f29..., called web, of image nginx:1, of pod prod/web-0`. What it is called is its starter's choice.
pub(crate) fn container(container: &Container) -> String {
    let Container { id, runtime, named } = container;
    let mut text = format!("{} container {}", visible::text(runtime), visible::text(id));
    for (word, value) in [("called", &named.name), ("of image", &named.image), ("of pod", &named.pod)] {
        if let Some(value) = value {
            text.push_str(&format!(", {word} {}", visible::text(value)));
        }
    }
    text
}

/// What to call a container in a sentence: `docker container web`.
pub(crate) fn container_name(container: &Container) -> String {
    let id: String = container.id.chars().take(12).collect();
    let name = container.named.name.as_ref().or(container.named.pod.as_ref()).unwrap_or(&id);
    format!("{} container {}", visible::text(&container.runtime), visible::text(name))
}

/// Whose the reader's program and script are.
pub(crate) fn owners(process: &Process) -> Vec<Evidence> {
    let Some(owners) = process.owners.as_deref() else { return Vec::new() };
    let program = std::iter::once(("reader.package", "the program", &owners.executable));
    let script = owners.script.as_ref().filter(|_| process.script_path().is_some());
    let all = program.chain(script.map(|owner| ("reader.script_package", "the script", owner)));
    all.map(|(key, what, owner)| Evidence::new(key, owned(what, owner))).collect()
}

fn owned(what: &str, owner: &Owner) -> String {
    let (name, integrity) = match owner {
        Owner::Package { name, integrity } => (name, integrity),
        Owner::Nobody { digest, installed } => {
            let digest = digest.map(|digest| format!("; BLAKE3 {digest}")).unwrap_or_default();
            let installed = installed.as_ref().map(stated).unwrap_or_default();
            return format!("{what}: no package brought it{digest}{installed}");
        }
        Owner::Unknown => {
            return format!("{what}: whose package it is was not known in time, or cannot be known from here");
        }
    };
    let state = match integrity {
        Integrity::Intact => "unchanged since",
        Integrity::Changed => "and CHANGED since: it is not what the package brought",
        Integrity::Unrecorded => "which recorded no sum of it",
        Integrity::Unknown => "whether it was changed since was not known in time",
    };
    format!("{what}: from package {name}, {state}")
}

/// What a record that proves nothing says.
fn stated(installed: &Installed) -> String {
    let Installed { by, package, record, record_writable, integrity } = installed;
    let who = match record_writable {
        Writable::No => "which its user cannot write",
        Writable::Yes => "which its user can write",
        Writable::Unknown => "of which it is not known whether its user can write it",
    };
    let state = match integrity {
        Integrity::Intact => "unchanged since",
        Integrity::Changed => "CHANGED since: it is not what the record says",
        Integrity::Unrecorded => "no sum of it is recorded",
        Integrity::Unknown => "whether it was changed since was not known in time",
    };
    format!("; from {package}, by {}'s record in {}, {who}; {state}", by.name(), visible::path(record))
}

fn executable(executable: &Executable) -> String {
    let Executable { path, id, uid, mode, links, writable, .. } = executable;
    let place = match writable {
        Writable::No => "its user cannot change it",
        Writable::Yes => "its user can change it",
        Writable::Unknown => "whether its user can change it is not known",
    };
    let gone = if *links == 0 { ", without a name on disk" } else { "" };
    let (major, minor) = (id.device >> 20, id.device & 0xf_ffff);
    format!(
        "{}, device {major}:{minor}, inode {}, owner uid {uid}, mode {:04o}; {place}{gone}",
        visible::path(path),
        id.inode,
        mode & 0o7777
    )
}

fn user(process: &Process, name: Option<&str>) -> String {
    let mut text = format!("{} (uid {})", name.unwrap_or("unnamed"), process.uid);
    if process.euid != process.uid {
        text.push_str(&format!(", acting as uid {}", process.euid));
    }
    if let Some(login) = process.login_uid.filter(|login| *login != process.uid) {
        text.push_str(&format!(", logged in as uid {login}"));
    }
    text
}

/// Why looking into another process matters.
pub(crate) const fn why_inspection_matters(how: Inspection) -> &'static str {
    match how {
        Inspection::Environ => "an environment often holds tokens that were handed over in variables",
        Inspection::Mem | Inspection::PtracePeek | Inspection::ProcessVmReadv => {
            "memory holds every token that the process uses, also those it keeps nowhere else"
        }
        Inspection::PtraceAttach => {
            "a tracer can read and change all memory of the process, and with it every token it uses"
        }
        Inspection::PidfdGetfd => "a descriptor that is taken needs no permission on the file or socket behind it",
        Inspection::CoreDump => "the process had read a store: its memory, written to a file, holds the token",
    }
}

/// What becomes of a token that is printed.
pub(crate) const fn where_output_goes(output: Stream) -> &'static str {
    match output {
        Stream::Unknown => "where the output goes is not known",
        Stream::Nowhere => "the output goes nowhere",
        Stream::Terminal => "the output goes to the controlling terminal",
        Stream::OtherTerminal => {
            "the output goes to a terminal that is not the controlling one: another program may hold it"
        }
        Stream::File => "the output goes into a file: from now on the token is there as well",
        Stream::Pipe => "the output goes into a pipe: whoever started the program, or reads the pipe, has the token",
        Stream::Socket => "the output goes into a socket: whoever is at its other end has the token",
        Stream::Other => "the output goes to a device or something else that can be read",
    }
}

/// Is `process` the program at one of `paths`, in a place that its user cannot write? Never by basename.
pub(crate) fn is_program(process: &Process, paths: &[&str]) -> bool {
    let Executable { path, path_truncated, writable, .. } = &process.executable;
    *writable == Writable::No && !path_truncated && paths.iter().any(|known| path.as_os_str() == *known)
}

/// Is `process` an interpreter running one of `scripts`, both in places that its user cannot write?
pub(crate) fn is_script(process: &Process, interpreters: &[&str], scripts: &[&str]) -> bool {
    is_program(process, interpreters)
        && matches!(&process.script, Some(Script::File { path, writable: Writable::No })
            if scripts.iter().any(|known| path.as_os_str() == *known))
}
