//! From the package to its removal, in a throw-away copy of this machine's Debian (an overlay over its root). Run by
//! `cargo xtask test packages`.
//!
//! There is no systemd in it to start the unit (xtask boots a guest for that): the agent runs with what of the unit's sandbox
//! other programs can make: the read-only file systems, the bounding set and `no_new_privs`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests: a failure is a panic")]

mod image;

use std::{env, fs, path::PathBuf, process::Command};

use tokenhound_tests::{
    http,
    process::{Background, Ended, run},
};

const TOKEN: &str = "gho_16C7e42F292c6912E7710c838347Ae178B4a";
const STORE: &str = "/root/.config/gh/hosts.yml";

/// A root that this machine's is the ground of. Nothing of what happens there reaches the machine.
struct Root {
    /// Holds the overlay; all mounts are gone with the process that keeps the namespace.
    keeper: Background,
    port: u16,
}

/// Makes the overlay in a mount namespace of its own, and keeps it until its input ends.
const KEEP: &str = r#"
set -e
mount -t tmpfs none /mnt
mkdir /mnt/upper /mnt/work /mnt/root
mount -t overlay overlay -o lowerdir=/,upperdir=/mnt/upper,workdir=/mnt/work /mnt/root
for one in proc sys dev; do mount --rbind "/$one" "/mnt/root/$one"; done
mount -t tmpfs none /mnt/root/run
printf '#!/bin/sh\nexit 101\n' > /mnt/root/usr/sbin/policy-rc.d
chmod 755 /mnt/root/usr/sbin/policy-rc.d
touch /mnt/made
cat > /dev/null
"#;

impl Root {
    fn make() -> Self {
        let mut keep = Command::new("unshare");
        keep.args(["--mount", "--propagation", "private", "sh", "-c", KEEP]);
        let mut root = Self { keeper: Background::start(&mut keep), port: http::free_port() };
        let made = format!("/proc/{}/root/mnt/made", root.keeper.pid());
        root.keeper.until("a root", || fs::metadata(&made).ok());
        root
    }

    fn enter(&self, script: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--mount=/proc/{}/ns/mnt", self.keeper.pid()));
        command.args(["chroot", "/mnt/root", "/bin/sh", "-ec", script]);
        command.env("DEBIAN_FRONTEND", "noninteractive");
        command
    }

    fn does(&self, script: &str) -> String {
        let ended = run(&mut self.enter(script), b"");
        assert_eq!(ended.code(), 0, "{script}:\n{}{}", ended.out(), ended.err());
        ended.out()
    }

    /// The machine's side of a file in it.
    fn path(&self, file: &str) -> PathBuf {
        format!("/proc/{}/root/mnt/root{file}", self.keeper.pid()).into()
    }

    /// Starts what the unit starts, as far as it can be confined without systemd, and waits until it is ready.
    fn start(&self) -> Background {
        let unit = fs::read_to_string(self.path("/lib/systemd/system/tokenhound.service")).unwrap();
        let of = |name: &str| {
            let values: Vec<&str> =
                unit.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix('=')).collect();
            values.join(" ")
        };
        let capabilities = of("CapabilityBoundingSet").to_lowercase().replace("cap_", "+").replace(' ', ",");
        let script = format!(
            "mkdir -p -m 700 /var/lib/tokenhound /run/tokenhound /var/log/tokenhound
             exec unshare --mount --propagation private /bin/sh -ec '
               for one in /var/lib/tokenhound /run/tokenhound /var/log/tokenhound; do mount --bind $one $one; done
               mount -o remount,bind,ro /
               exec setpriv --no-new-privs --bounding-set=-all,{capabilities} {} --listen 127.0.0.1:{}'",
            of("ExecStart"),
            self.port
        );
        let mut agent = Background::start(&mut self.enter(&script));
        agent.until("readiness", || http::get(self.port, "/readyz").filter(|(status, _)| *status == 200));
        agent
    }
}

fn stop(mut agent: Background) -> Ended {
    let ended = agent.stop();
    assert_eq!(ended.code(), 0, "{}", ended.err());
    assert!(ended.err().contains("rights were given up"), "{}", ended.err());
    assert!(!ended.err().contains(TOKEN) && !ended.out().contains(TOKEN), "the token was written down");
    ended
}

/// Starts it, has a token stolen, and stops it.
fn detects(root: &Root) {
    let mut agent = root.start();
    root.does(&format!(
        "mkdir -p -m 700 /root/.config/gh; umask 077; printf 'github.com:\\n    oauth_token: {TOKEN}\\n' > {STORE}"
    ));
    agent.until("the theft in the metrics", || {
        root.does(&format!("HOME=/root cat {STORE}"));
        let (_, metrics) = http::get(root.port, "/metrics")?;
        let told = |line: &&str| line.starts_with("tokenhound_findings_total{detector=\"unexpected-reader\"");
        metrics.lines().any(|line| told(&line) && !line.ends_with(" 0")).then_some(())
    });
    let ended = stop(agent);
    assert!(ended.out().contains("hosts.yml"), "{}", ended.out());
}

/// What is left of it, but the package itself.
fn left(root: &Root) -> Vec<String> {
    let found = root.does("find /etc /usr /var /run /lib/systemd -xdev -name '*tokenhound*' 2>/dev/null || :");
    found.lines().filter(|path| !path.starts_with("/run/tokenhound.")).map(str::to_owned).collect()
}

/// A history of the first version, with a token in it.
const OLD: &str = r#"
import sqlite3
db = sqlite3.connect("/var/lib/tokenhound/history.db")
db.executescript("""CREATE TABLE tokens (path TEXT NOT NULL, store TEXT NOT NULL, field TEXT NOT NULL,
  fingerprint TEXT NOT NULL, body TEXT NOT NULL, PRIMARY KEY (path, store, field)) STRICT, WITHOUT ROWID;
  CREATE INDEX tokens_by_fingerprint ON tokens (fingerprint);
  PRAGMA user_version = 1;""")
db.close()
"#;

fn version(root: &Root) -> u32 {
    let ask = r#"python3 -c 'import sqlite3; print(sqlite3.connect("/var/lib/tokenhound/history.db").execute("PRAGMA user_version").fetchone()[0])'"#;
    root.does(ask).trim().parse().unwrap()
}

#[test]
fn install_start_detect_upgrade_remove_purge() {
    let package =
        PathBuf::from(env::var_os("TOKENHOUND_DEB").expect("TOKENHOUND_DEB: use `cargo xtask test packages`"));
    let root = Root::make();
    fs::copy(&package, root.path("/run/tokenhound.deb")).unwrap();
    root.does("dpkg --install /run/tokenhound.deb");
    root.does("test -L /etc/systemd/system/multi-user.target.wants/tokenhound.service; man -w tokenhound-run || test -f /usr/share/man/man1/tokenhound-run.1.gz");
    root.does("test -f /usr/share/bash-completion/completions/tokenhound; tokenhound --version");

    root.does(&format!(
        "mkdir -p -m 700 /var/lib/tokenhound; python3 - <<'E'\n{OLD}\nE\nchmod 600 /var/lib/tokenhound/history.db"
    ));
    assert_eq!(version(&root), 1);
    detects(&root);
    let migrated = version(&root);
    assert!(migrated > 1, "the history stays at version {migrated}");

    root.does("echo '# mine' >> /etc/tokenhound/tokenhound.yaml; dpkg --install /run/tokenhound.deb");
    root.does("grep -q '^# mine$' /etc/tokenhound/tokenhound.yaml; test -f /var/lib/tokenhound/history.db");
    stop(root.start());

    root.does("dpkg --remove tokenhound; test ! -e /usr/bin/tokenhound; test -f /etc/tokenhound/tokenhound.yaml");
    root.does("dpkg --purge tokenhound");
    // Only what dpkg writes of everything it does.
    assert_eq!(left(&root), [] as [&str; 0]);
}

fn rpm() -> PathBuf {
    PathBuf::from(env::var_os("TOKENHOUND_RPM").expect("TOKENHOUND_RPM: use `cargo xtask test packages`"))
}

/// In a Debian, whose rpm knows nothing of what else is installed.
#[test]
fn the_rpm_is_installed_detects_is_upgraded_and_erased() {
    let root = Root::make();
    fs::copy(rpm(), root.path("/run/tokenhound.rpm")).unwrap();
    let rpm = |what: &str| root.does(&format!("rpm --force-debian --nodeps {what}"));
    rpm("--install /run/tokenhound.rpm");
    root.does("tokenhound --version; test -f /usr/lib/systemd/system/tokenhound.service");
    detects(&root);

    root.does("echo '# mine' >> /etc/tokenhound/tokenhound.yaml");
    rpm("--upgrade --replacepkgs /run/tokenhound.rpm");
    root.does("grep -q '^# mine$' /etc/tokenhound/tokenhound.yaml; test -f /var/lib/tokenhound/history.db");
    stop(root.start());

    rpm("--erase tokenhound");
    root.does("test ! -e /usr/bin/tokenhound; grep -q '^# mine$' /etc/tokenhound/tokenhound.yaml.rpmsave");
    assert_eq!(left(&root), ["/etc/tokenhound", "/etc/tokenhound/tokenhound.yaml.rpmsave"]);
    // A configuration that nobody has changed goes as well.
    root.does("rm -r /etc/tokenhound");
    rpm("--install /run/tokenhound.rpm");
    rpm("--erase tokenhound");
    assert_eq!(left(&root), [] as [&str; 0]);
}

#[test]
fn the_rpm_holds_the_same() {
    let package = rpm();
    let list = run(Command::new("rpm").args(["-qpl"]).arg(&package), b"").out();
    for file in [
        "/usr/bin/tokenhound",
        "/usr/lib/systemd/system/tokenhound.service",
        "/etc/tokenhound/tokenhound.yaml",
        "/usr/share/man/man1/tokenhound-run.1.gz",
        "/usr/share/bash-completion/completions/tokenhound",
        "/usr/share/licenses/tokenhound/LICENSE-MIT",
    ] {
        assert!(list.lines().any(|line| line == file), "{file} is not in\n{list}");
    }
    let configuration = run(Command::new("rpm").args(["-qpc"]).arg(&package), b"").out();
    assert_eq!(configuration.trim(), "/etc/tokenhound/tokenhound.yaml");
    let scripts = run(Command::new("rpm").args(["-qp", "--scripts"]).arg(&package), b"").out();
    assert!(scripts.contains("systemctl preset tokenhound.service"), "{scripts}");
}
