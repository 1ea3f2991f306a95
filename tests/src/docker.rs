//! A Docker engine of a test's own, from the distribution's package: everything it keeps lies on the stage, nothing is
//! fetched, and no network is made. Images come from nothing but a static busybox.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    process::{Background, Ended, run},
    skip,
    stage::Stage,
};

/// The engine, ended when dropped: its containers first, then itself with its containerd.
pub struct Docker<'s> {
    stage: &'s Stage,
    daemon: Background,
    socket: PathBuf,
}

/// A client that can build with BuildKit without a plugin: the one of Debian, before 23.0. There may be others on `PATH`.
fn client_with_buildkit() -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    let clients = env::split_paths(&path).map(|directory| directory.join("docker")).filter(|file| file.is_file());
    let major = |client: &PathBuf| {
        let said = run(Command::new(client).arg("--version"), b"").out();
        let version = said.split_whitespace().find(|word| word.starts_with(|first: char| first.is_ascii_digit()))?;
        version.split('.').next()?.parse::<u32>().ok()
    };
    clients.into_iter().find(|client| major(client).is_some_and(|major| (19..23).contains(&major)))
}

/// A busybox that needs no shared library.
pub(crate) fn busybox() -> Option<PathBuf> {
    let is_static = |file: &PathBuf| {
        let ended = run(Command::new("ldd").arg(file), b"");
        ended.code() != 0 || ended.out().contains("statically linked")
    };
    ["busybox", "busybox-static"].iter().filter_map(|name| skip::program(name)).find(is_static)
}

impl<'s> Docker<'s> {
    /// Starts one; `None`, and the test counts as skipped, where there is none or it does not start.
    ///
    /// # Panics
    /// When it hangs.
    #[must_use]
    pub fn start(stage: &'s Stage) -> Option<Self> {
        if !skip::native("no Docker engine in a guest") || !skip::has(&["dockerd", "containerd", "runc", "docker"]) {
            return None;
        }
        if busybox().is_none() {
            skip::skip("no static busybox");
            return None;
        }
        let socket = stage.path("docker.sock");
        let mut command = Command::new("dockerd");
        command.arg("--data-root").arg(stage.directory("engine/data"));
        command.arg("--exec-root").arg(stage.directory("engine/exec"));
        command.arg("--pidfile").arg(stage.path("engine/pid"));
        command.arg("--host").arg(format!("unix://{}", socket.display()));
        command.args(["--bridge=none", "--iptables=false", "--storage-driver=overlay2", "--log-level=warn"]);
        let mut daemon = Background::start(&mut command);
        daemon.until("answer", || {
            let asked = run(&mut client(stage, &socket, &["version"]), b"");
            (asked.code() == 0).then_some(())
        });
        Some(Self { stage, daemon, socket })
    }

    /// A command of the client.
    #[must_use]
    pub fn command(&self, args: &[&str]) -> Command {
        client(self.stage, &self.socket, args)
    }

    /// Runs a command of the client. What it says is its output without the last line end.
    ///
    /// # Panics
    /// When it fails.
    pub fn run(&self, args: &[&str]) -> String {
        let Ended { status, stdout, stderr } = run(&mut self.command(args), b"");
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        let (out, err) = (text(stdout), text(stderr));
        assert!(status.success(), "docker {args:?}: {out}{err}");
        out.trim_end().to_owned()
    }

    /// Builds an image from these lines and files, on top of nothing but a busybox in `/bin`.
    pub fn build(&self, name: &str, lines: &str, files: &[(&str, &Path)], args: &[&str]) {
        self.build_with(self.command(&[]), name, lines, files, args);
    }

    /// As [`Self::build`], with BuildKit; a client that has it is looked for first. `false`, and the test counts as skipped, where
    /// there is none.
    pub fn build_with_buildkit(&self, name: &str, lines: &str, files: &[(&str, &Path)], args: &[&str]) -> bool {
        let Some(client) = client_with_buildkit() else {
            skip::skip("no Docker client with BuildKit in it");
            return false;
        };
        let mut command = Command::new(client);
        set(&mut command, self.stage, &self.socket);
        command.env("DOCKER_BUILDKIT", "1");
        self.build_with(command, name, lines, files, args);
        true
    }

    fn build_with(&self, mut command: Command, name: &str, lines: &str, files: &[(&str, &Path)], args: &[&str]) {
        let context = self.stage.directory(&format!("contexts/{}", name.replace(':', "-")));
        fs::copy(busybox().expect("looked for at the start"), context.join("busybox")).expect("copy a program");
        for (name, from) in files {
            fs::copy(from, context.join(name)).expect("copy a file");
        }
        let first = "FROM scratch\nCOPY busybox /bin/busybox\n";
        fs::write(context.join("Dockerfile"), format!("{first}{lines}")).expect("write a file");
        command.args(["build", "--network=none", "-t", name]).args(args).arg(&context);
        let ended = run(&mut command, b"");
        assert_eq!(ended.code(), 0, "{command:?}: {}{}", ended.out(), ended.err());
    }

    /// An image `NAME` with nothing but a busybox.
    pub fn plain(&self, name: &str) {
        self.build(name, "CMD [\"/bin/busybox\", \"true\"]\n", &[], &[]);
    }

    /// Path of the socket.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }
}

impl Drop for Docker<'_> {
    fn drop(&mut self) {
        let all = run(&mut self.command(&["ps", "-aq"]), b"").out();
        let ids: Vec<&str> = all.split_whitespace().collect();
        if !ids.is_empty() {
            let _ = run(&mut self.command(&[&["rm", "-f"], &ids[..]].concat()), b"");
        }
        // It ends its containerd as well.
        let _ = self.daemon.stop();
        let _ = run(Command::new("umount").arg(self.stage.path("engine/data")), b"");
    }
}

fn client(stage: &Stage, socket: &Path, args: &[&str]) -> Command {
    let mut command = Command::new("docker");
    set(&mut command, stage, socket);
    command.args(args);
    command
}

fn set(command: &mut Command, stage: &Stage, socket: &Path) {
    command.arg("--host").arg(format!("unix://{}", socket.display()));
    // Its own home, in which nothing lies: the client reads its configuration there.
    command.env("HOME", stage.directory("client")).env("DOCKER_BUILDKIT", "0");
}
