//! containerd by itself, with everything it keeps on the stage: nothing is fetched, and images are archives made here of nothing
//! but a static busybox.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    docker::busybox,
    podman,
    process::{Background, Ended, run},
    skip,
    stage::Stage,
};

/// The daemon, ended when dropped: its containers first.
pub struct Containerd<'s> {
    stage: &'s Stage,
    daemon: Background,
    namespace: String,
}

/// What is asked of the plugin for Kubernetes: no network, no profiles, and pods that wait with an image of ours.
const CRI: &str = r#"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "docker.io/library/pause:1"
stream_server_address = "127.0.0.1"
stream_server_port = "0"
disable_apparmor = true
restrict_oom_score_adj = true
"#;

impl<'s> Containerd<'s> {
    /// Starts one; `None`, and the test counts as skipped, where there is none.
    ///
    /// # Panics
    /// When it hangs.
    #[must_use]
    pub fn start(stage: &'s Stage) -> Option<Self> {
        // Of this program alone: what runc knows of containers is the same for every containerd. Without what Kubernetes asks,
        // which listens on a port.
        let config = "disabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n";
        Self::start_with(stage, config, format!("th-{}", std::process::id()))
    }

    /// The same with its plugin for Kubernetes.
    ///
    /// # Panics
    /// When it hangs.
    #[must_use]
    pub fn start_for_pods(stage: &'s Stage) -> Option<Self> {
        let started = Self::start_with(stage, CRI, "k8s.io".to_owned())?;
        started.import("pause:1", &[], &[]);
        Some(started)
    }

    fn start_with(stage: &'s Stage, more: &str, namespace: String) -> Option<Self> {
        let programs = ["containerd", "ctr", "runc", "tar", "gzip", "sha256sum"];
        if !skip::native("no containerd in a guest") || !skip::has(&programs) {
            return None;
        }
        let Some(busybox) = busybox() else {
            skip::skip("no static busybox");
            return None;
        };
        fs::copy(busybox, stage.directory("images/root/bin").join("busybox")).expect("copy a program");
        let [root, state] = ["root", "state"].map(|name| stage.directory(&format!("containerd/{name}")));
        let config = format!("version = 2\nroot = \"{}\"\nstate = \"{}\"\n{more}", root.display(), state.display());
        let config = stage.file("containerd/config.toml", config);
        let mut command = Command::new("containerd");
        command.arg("--config").arg(config).arg("--address").arg(stage.path("containerd.sock"));
        let mut started = Self { stage, daemon: Background::start(command.arg("--log-level=error")), namespace };
        let mut version = started.command(&["version"]);
        started.daemon.until("answer", || (run(&mut version, b"").code() == 0).then_some(()));
        Some(started)
    }

    /// A command of its client.
    #[must_use]
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new("ctr");
        command.arg("--address").arg(self.socket()).arg("--namespace").arg(&self.namespace).args(args);
        command
    }

    /// Where it listens.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.stage.path("containerd.sock")
    }

    /// Runs a command of its client.
    ///
    /// # Panics
    /// When it fails.
    pub fn run(&self, args: &[&str]) -> String {
        let Ended { status, stdout, stderr } = run(&mut self.command(args), b"");
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        let (out, err) = (text(stdout), text(stderr));
        assert!(status.success(), "ctr {args:?}: {out}{err}");
        out
    }

    /// Imports an image `docker.io/library/NAME` of a busybox and these files in a compressed layer of their own, with these
    /// variables.
    ///
    /// # Panics
    /// When it cannot be made.
    pub fn import(&self, name: &str, files: &[(&str, &Path)], variables: &[&str]) {
        let short = name.replace(':', "-");
        let image = self.stage.directory(&format!("images/{short}"));
        let added = self.stage.directory(&format!("images/{short}-files"));
        for (name, from) in files {
            let to = added.join(name);
            fs::create_dir_all(to.parent().expect("below")).expect("make a directory");
            fs::copy(from, to).expect("copy a file");
        }
        let [low, top] =
            ["images/root", &format!("images/{short}-files")].map(|name| podman::archive(self.stage, name));
        let digests = [&low, &top].map(|file| format!("\"sha256:{}\"", sum(file)));
        fs::copy(low, image.join("low.tar")).expect("copy a file");
        fs::copy(&top, image.join("top.tar")).expect("copy a file");
        let packed = run(Command::new("gzip").arg("-n").arg(image.join("top.tar")), b"");
        assert_eq!(packed.code(), 0, "{}", packed.err());
        let variables: Vec<String> = variables.iter().map(|text| format!("\"{text}\"")).collect();
        let config = format!(
            "{{\"architecture\":\"amd64\",\"os\":\"linux\",\"config\":{{\"Env\":[{}],\
             \"Cmd\":[\"/bin/busybox\",\"sleep\",\"300\"]}},\
             \"rootfs\":{{\"type\":\"layers\",\"diff_ids\":[{}]}}}}",
            variables.join(","),
            digests.join(",")
        );
        fs::write(image.join("config.json"), config).expect("write a file");
        let manifest = format!(
            "[{{\"Config\":\"config.json\",\"RepoTags\":[\"docker.io/library/{name}\"],\
             \"Layers\":[\"low.tar\",\"top.tar.gz\"]}}]"
        );
        fs::write(image.join("manifest.json"), manifest).expect("write a file");
        let archive = podman::archive(self.stage, &format!("images/{short}"));
        self.run(&["images", "import", &archive.display().to_string()]);
    }
}

fn sum(file: &Path) -> String {
    let said = run(Command::new("sha256sum").arg(file), b"").out();
    said.split_whitespace().next().expect("a digest").to_owned()
}

impl Drop for Containerd<'_> {
    fn drop(&mut self) {
        for what in ["tasks", "containers"] {
            let all = run(&mut self.command(&[what, "ls", "-q"]), b"").out();
            for id in all.split_whitespace() {
                let force: &[&str] = if what == "tasks" { &["rm", "-f", id] } else { &["rm", id] };
                let _ = run(&mut self.command(&[&[what], force].concat()), b"");
            }
        }
        let _ = self.daemon.stop();
        let _ = fs::remove_dir(Path::new("/run/containerd/runc").join(&self.namespace));
    }
}
