//! Which programs have no business with a token in their environment.
//!
//! Whoever exports a token hands it to all they start, and most do: a person's own tools, and the steps of a job, are no
//! finding. Three kinds of programs are that run code of others, or on orders that nobody typed. That a program is the
//! tool a token belongs to is asked before.

use std::path::{Component, Path};

use crate::{
    detect::access::Access,
    lineage::{
        actor::Class,
        model::{Process, Script},
    },
};

/// Why a program has no business with a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Foreign {
    /// It is code of a package, or what that started.
    Package,
    /// An AI agent started it.
    Agent,
    /// It is where no installed program is; in words.
    Place(&'static str),
}

/// Where programs are put that are not installed.
const TEMPORARY: &[&str] = &["/tmp", "/var/tmp", "/dev/shm", "/run/user"];

/// What developers run from there on an ordinary day: mounted AppImages, what `go run` and `go test` have built, what
/// PyInstaller unpacks, sandboxes of Bazel, tests in documentation of Rust, recipes of just. Each begins the name of a
/// directory, in `TMPDIR` or anywhere below.
const ORDINARY: &[&str] = &[".mount_", "go-build", "_MEI", "bazel-", "rustdoctest", "just-"];

/// Why the reader of an access has none, if that is so.
#[must_use]
pub fn of(access: &Access) -> Option<Foreign> {
    let reader = access.chain.processes.first()?;
    match access.actor.class() {
        Class::PackageScript => return Some(Foreign::Package),
        // The agent itself was started by somebody who has exported it.
        Class::AiAgent if access.actor.party.process != Some(reader.key) => return Some(Foreign::Agent),
        _ => {}
    }
    // A runner writes the script of each step to a directory for temporary files.
    let steps = access.actor.involves(Class::CiJob);
    place(reader, access.home.as_deref(), steps).map(Foreign::Place)
}

fn place(reader: &Process, home: Option<&Path>, steps: bool) -> Option<&'static str> {
    let executable = &reader.executable;
    if executable.links == 0 && executable.id.inode != 0 && !executable.path.as_os_str().is_empty() {
        return Some("its program has no name on disk (deleted, or only in memory)");
    }
    if steps {
        return None;
    }
    let script = match &reader.script {
        Some(Script::File { path, .. }) => Some(path.as_path()),
        Some(Script::Module(_) | Script::Inline) | None => None,
    };
    let ordinary = |part: Component<'_>| {
        let part = part.as_os_str().as_encoded_bytes();
        ORDINARY.iter().any(|start| part.starts_with(start.as_bytes()))
    };
    let temporary = |path: &Path| {
        let below = TEMPORARY.iter().find_map(|top| path.strip_prefix(top).ok());
        // The last part is the program itself, which anybody may call so.
        let directories = below.and_then(Path::parent);
        below.is_some() && !directories.is_some_and(|all| all.components().any(ordinary))
    };
    let downloaded = |path: &Path| home.is_some_and(|home| path.starts_with(home.join("Downloads")));
    let places: Vec<&Path> = std::iter::once(executable.path.as_path()).chain(script).collect();
    if places.iter().any(|path| temporary(path)) {
        return Some("it lies in a directory for temporary files");
    }
    places.iter().any(|path| downloaded(path)).then_some("it lies among what was downloaded")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        detect::{
            access::Target,
            fixtures::{access_at, init, process, under_shell, with_script},
        },
        ingest::observation::Inspection,
        lineage::model::{Chain, Writable},
    };

    fn of_chain(chain: Chain) -> Option<Foreign> {
        of(&access_at(0.0, chain, Target::Process(Inspection::Environ, None, None)))
    }

    fn below(reader: Process, parent: Process) -> Chain {
        let mut chain = under_shell(reader);
        chain.processes.insert(1, parent);
        chain
    }

    #[test]
    fn a_persons_own_tools_are_in_order_wherever_they_are_installed() {
        for path in [
            "/usr/bin/terraform",
            "/home/ann/.local/bin/mytool",
            "/home/ann/go/bin/lint",
            "/home/ann/work/target/debug/thing",
            "/tmp/.mount_Editor12/AppRun",
            "/tmp/go-build77/b001/exe/main",
            "/tmp/user/1000/go-build77/b001/exe/main",
            "/run/user/1000/just/just-Xb12/deploy",
            "/tmp/rustdoctestQp1x/rust_out",
        ] {
            assert_eq!(of_chain(under_shell(process(4242, 812, path))), None, "{path}");
        }
        let script = with_script(process(4242, 812, "/usr/bin/python3"), "/home/ann/work/deploy.py", Writable::Yes);
        assert_eq!(of_chain(under_shell(script)), None);
    }

    #[test]
    fn what_lies_where_nothing_is_installed_is_not() {
        for path in [
            "/tmp/x",
            "/tmp/justice/x",
            "/tmp/go-build",
            "/tmp/my-just-1/x",
            "/dev/shm/.x/run",
            "/var/tmp/a/b",
            "/home/ann/Downloads/setup.run",
        ] {
            let found = of_chain(under_shell(process(4242, 812, path)));
            assert!(matches!(found, Some(Foreign::Place(_))), "{path}");
        }
        let script = with_script(process(4242, 812, "/usr/bin/bash"), "/tmp/install.sh", Writable::Yes);
        assert!(matches!(of_chain(under_shell(script)), Some(Foreign::Place(_))));
        let mut hidden = process(4242, 812, "/memfd:x");
        hidden.executable.links = 0;
        assert!(matches!(of_chain(under_shell(hidden)), Some(Foreign::Place(_))));
    }

    #[test]
    fn code_of_packages_and_tools_of_agents_are_not_and_the_agent_is() {
        let npm = || {
            with_script(process(4000, 812, "/usr/bin/node"), "/usr/lib/node_modules/npm/bin/npm-cli.js", Writable::No)
        };
        assert_eq!(of_chain(below(process(4242, 4000, "/usr/bin/sh"), npm())), Some(Foreign::Package));
        let npm_itself = under_shell(Process { key: process(4242, 812, "").key, ..npm() });
        assert_eq!(of_chain(npm_itself), None);
        let agent = || {
            let script = "/usr/lib/node_modules/@anthropic-ai/claude-code/cli.js";
            with_script(process(4000, 812, "/usr/bin/node"), script, Writable::No)
        };
        assert_eq!(of_chain(below(process(4242, 4000, "/usr/bin/bash"), agent())), Some(Foreign::Agent));
        assert_eq!(of_chain(under_shell(agent())), None);
    }

    #[test]
    fn a_step_of_a_job_lies_in_a_directory_for_temporary_files() {
        let runner = || process(4000, 1, "/opt/actions-runner/bin/Runner.Worker");
        let step = |path: &str| {
            let step = with_script(process(4242, 4000, "/usr/bin/bash"), path, Writable::Yes);
            Chain { processes: vec![step, runner(), init()], incomplete: false }
        };
        assert_eq!(of_chain(step("/tmp/runner/_temp/1.sh")), None);
    }
}
