//! What is measured: the agent, and other programs with the same job. Each must prove that it sees the watched file
//! before it is measured; one that does not is reported, not measured.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail};

use crate::bench::http;
use crate::cmd::{self, Background};

/// How long one may take to start and to prove itself.
const READY_LIMIT: Duration = Duration::from_secs(30);
const AUDIT_KEY: &str = "tokenhound-bench";
const TRACEFS: &str = "/sys/kernel/tracing";

/// One thing that costs something, or nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Peer {
    /// tokenhound as it comes.
    Agent,
    /// Nothing at all, measured like the others: how far apart two measurements of the same thing are here.
    Nothing,
    /// No program at all, but one never-called system call traced: the kernel then takes its slow path for all of
    /// them. What any tracer of system calls costs before it does anything.
    SlowPath,
    /// A program that does nothing on the exit of openat: what any tracer of that call costs.
    EmptyProgram,
    Auditd,
    Bpftrace,
    Fatrace,
}

impl Peer {
    /// For single operations.
    pub(super) const ALL: [Self; 7] =
        [Self::Agent, Self::SlowPath, Self::Nothing, Self::EmptyProgram, Self::Auditd, Self::Bpftrace, Self::Fatrace];
    /// What somebody would run, and nothing.
    pub(super) const REAL: [Self; 5] = [Self::Agent, Self::Auditd, Self::Bpftrace, Self::Fatrace, Self::Nothing];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Agent => "tokenhound",
            Self::Nothing => "nothing",
            Self::SlowPath => "slow path alone",
            Self::EmptyProgram => "empty program",
            Self::Auditd => "auditd",
            Self::Bpftrace => "bpftrace",
            Self::Fatrace => "fatrace",
        }
    }

    pub(super) fn what(self) -> &'static str {
        match self {
            Self::Agent => "run, full catalogue",
            Self::Nothing => "bare against bare: the noise",
            Self::SlowPath => "tracefs: sys_exit_acct on, nothing attached",
            Self::EmptyProgram => "bpftrace: sys_exit_openat, compares the pid",
            Self::Auditd => "auditctl -w FILE -p r",
            Self::Bpftrace => "sys_enter_openat, filter on the same name",
            Self::Fatrace => "all mounts",
        }
    }

    /// Whether it only bears on processes that start after it.
    pub(super) fn wants_new_processes(self) -> bool {
        self == Self::Auditd
    }

    /// Whether it is a program that watches files.
    pub(super) fn is_rival(self) -> bool {
        matches!(self, Self::Auditd | Self::Bpftrace | Self::Fatrace)
    }

    /// Starts it and returns when it has proved that it works. It ends when the result is dropped.
    pub(super) fn start(self, scene: &Scene) -> anyhow::Result<Running> {
        match self {
            Self::Agent => agent(scene),
            Self::Nothing => Ok(Running { process: None, port: None, _undo: Vec::new() }),
            Self::SlowPath => slow_path(),
            Self::Auditd => auditd(scene),
            Self::EmptyProgram => bpftrace(scene, "sys_exit_openat", &format!("pid == {}", std::process::id())),
            Self::Bpftrace => {
                bpftrace(scene, "sys_enter_openat", &format!("str(args->filename) == \"{}\"", scene.watched.display()))
            }
            Self::Fatrace => fatrace(scene),
        }
    }
}

/// Files that the peers work with.
pub(super) struct Scene {
    pub agent: PathBuf,
    /// The agent's tier; the best one without.
    pub tier: Option<String>,
    /// The store that all of them watch.
    pub watched: PathBuf,
    /// A directory for what they write.
    pub scratch: PathBuf,
}

/// A peer at work. Fields are dropped in order: first the process, then what was set up for it.
pub(super) struct Running {
    process: Option<Background>,
    /// Where the agent listens.
    port: Option<u16>,
    _undo: Vec<Undo>,
}

impl Running {
    /// Its process, if it has one.
    pub(super) fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Background::pid)
    }

    /// The agent's metrics.
    pub(super) fn metrics(&self) -> Option<String> {
        http::get(self.port?, "/metrics").ok()
    }
}

impl Scene {
    /// A made-up store in a scratch directory.
    pub(super) fn set(agent: PathBuf, tier: Option<&str>, scratch: &Path) -> anyhow::Result<Self> {
        let home = scratch.join(".aws");
        fs::create_dir_all(&home).with_context(|| format!("cannot create {}", home.display()))?;
        let watched = home.join("credentials");
        fs::write(&watched, "[default]\naws_access_key_id = AKIAMADEUPFORTHEBENCH\n")
            .with_context(|| format!("cannot write {}", watched.display()))?;
        Ok(Self { agent, tier: tier.map(str::to_owned), watched, scratch: scratch.to_path_buf() })
    }
}

/// A command, or a write to a file, that takes back a change to the system.
enum Undo {
    Command(Command),
    RemoveDir(PathBuf),
    Write(PathBuf, &'static str),
}

impl Drop for Undo {
    fn drop(&mut self) {
        match self {
            Self::Command(command) => {
                cmd::succeeds(command);
            }
            Self::RemoveDir(dir) => {
                let _ = fs::remove_dir(dir);
            }
            Self::Write(file, text) => {
                let _ = fs::write(file, text);
            }
        }
    }
}

/// Opens the watched file until the peer's output names it: attaching takes time that nothing announces.
fn prove(process: &mut Background, watched: &Path, output: &Path, mark: &str) -> anyhow::Result<()> {
    process
        .wait_until(READY_LIMIT, || {
            let _ = fs::read(watched);
            std::thread::sleep(Duration::from_millis(100));
            fs::read(output).is_ok_and(|bytes| String::from_utf8_lossy(&bytes).contains(mark))
        })
        .context("it did not report the watched file")
}

/// What an earlier round left would prove nothing.
fn remove(file: &Path) -> std::io::Result<()> {
    if file.exists() { fs::remove_file(file) } else { Ok(()) }
}

fn agent(scene: &Scene) -> anyhow::Result<Running> {
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let mut command = Command::new(&scene.agent);
    command
        .args(["run", "--listen", &format!("127.0.0.1:{port}")])
        .arg("--findings")
        .arg(scene.scratch.join("findings.jsonl"));
    if let Some(tier) = &scene.tier {
        command.args(["--tier", tier]);
    }
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(fs::File::create(scene.scratch.join("agent.log"))?);
    let mut process = Background::start(&mut command)?;
    process.wait_until(READY_LIMIT, || http::get(port, "/readyz").is_ok()).with_context(|| {
        let log = fs::read_to_string(scene.scratch.join("agent.log")).unwrap_or_default();
        format!(
            "the agent said: {}",
            log.lines().filter(|line| !line.is_empty()).take(3).collect::<Vec<_>>().join(" / ")
        )
    })?;
    Ok(Running { process: Some(process), port: Some(port), _undo: Vec::new() })
}

/// In a tracing instance of its own, so that nobody's tracing is touched.
fn slow_path() -> anyhow::Result<Running> {
    let instance = Path::new(TRACEFS).join("instances/tokenhound-bench");
    fs::create_dir_all(&instance).with_context(|| format!("no tracing instance: is tracefs mounted at {TRACEFS}?"))?;
    let switch = instance.join("events/syscalls/sys_exit_acct/enable");
    let undo = vec![Undo::Write(switch.clone(), "0"), Undo::RemoveDir(instance)];
    fs::write(&switch, "1").context("this kernel does not trace system calls")?;
    Ok(Running { process: None, port: None, _undo: undo })
}

fn auditctl() -> Command {
    Command::new(cmd::find("auditctl").unwrap_or_else(|| "auditctl".into()))
}

/// A daemon of our own with its log in our directory. The rule is put in place first, the state is put back after.
fn auditd(scene: &Scene) -> anyhow::Result<Running> {
    let status = cmd::output(auditctl().arg("-s"))?;
    let value =
        |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim).unwrap_or("0").to_owned();
    if value("pid ") != "0" {
        bail!("an audit daemon runs here already, with rules of its own");
    }
    let mut undo = Vec::new();
    let watch = |switch: &str| {
        let mut command = auditctl();
        command.arg(switch).arg(&scene.watched).args(["-p", "r", "-k", AUDIT_KEY]);
        command
    };
    let config = scene.scratch.join("audit");
    fs::create_dir_all(config.join("plugins.d"))?;
    let log = config.join("audit.log");
    remove(&log)?;
    fs::write(
        config.join("auditd.conf"),
        format!(
            "local_events = yes\nwrite_logs = yes\nlog_file = {}\nlog_group = root\nlog_format = RAW\n\
             flush = INCREMENTAL_ASYNC\nfreq = 50\nmax_log_file = 64\nmax_log_file_action = ROTATE\nnum_logs = 2\n\
             space_left = 2\nadmin_space_left = 1\nspace_left_action = IGNORE\nadmin_space_left_action = IGNORE\ndisk_full_action = IGNORE\n\
             disk_error_action = IGNORE\nplugin_dir = {}\n",
            log.display(),
            config.join("plugins.d").display()
        ),
    )?;
    let mut command = Command::new(cmd::find("auditd").context("auditd is not installed")?);
    command.args(["-n", "-s", "enable", "-c"]).arg(&config);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(fs::File::create(scene.scratch.join("auditd.log"))?);
    let mut process = Background::start(&mut command)?;
    let mut restore = auditctl();
    restore.args(["-e", &value("enabled ")]);
    undo.push(Undo::Command(watch("-W")));
    undo.push(Undo::Command(restore));
    cmd::run(watch("-w").stdout(Stdio::null())).context("the kernel took no audit rule")?;
    // The task filter decides at a process's start whether it is audited at all: prove it with a new one.
    let watched = scene.watched.clone();
    process
        .wait_until(READY_LIMIT, || {
            cmd::succeeds(Command::new("cat").arg(&watched));
            std::thread::sleep(Duration::from_millis(100));
            fs::read(&log).is_ok_and(|bytes| String::from_utf8_lossy(&bytes).contains(AUDIT_KEY))
        })
        .context("it did not report the watched file")?;
    Ok(Running { process: Some(process), port: None, _undo: undo })
}

/// bpftrace on one event of openat; it reports what `filter` lets through, which must include our own opens.
fn bpftrace(scene: &Scene, event: &str, filter: &str) -> anyhow::Result<Running> {
    let output = scene.scratch.join("bpftrace.out");
    let program = format!("tracepoint:syscalls:{event} /{filter}/ {{ printf(\"hit %d %s\\n\", pid, comm); }}");
    let mut command = Command::new("bpftrace");
    command.args(["-B", "line", "-e", &program]).stdin(Stdio::null()).stdout(fs::File::create(&output)?);
    command.stderr(fs::File::create(scene.scratch.join("bpftrace.log"))?);
    // Its strings end after 64 bytes otherwise; 200 is the most that fits its stack.
    command.env("BPFTRACE_STRLEN", "200");
    let mut process = Background::start(&mut command)?;
    prove(&mut process, &scene.watched, &output, "hit ")?;
    Ok(Running { process: Some(process), port: None, _undo: Vec::new() })
}

fn fatrace(scene: &Scene) -> anyhow::Result<Running> {
    let output = scene.scratch.join("fatrace.out");
    remove(&output)?;
    let mut command = Command::new(cmd::find("fatrace").context("fatrace is not installed")?);
    command.arg("-o").arg(&output).stdin(Stdio::null()).stdout(Stdio::null());
    command.stderr(fs::File::create(scene.scratch.join("fatrace.log"))?);
    let mut process = Background::start(&mut command)?;
    let watched = scene.watched.to_string_lossy();
    prove(&mut process, &scene.watched, &output, &watched)?;
    Ok(Running { process: Some(process), port: None, _undo: Vec::new() })
}

/// Does something whose new processes the kernel never audits, also after auditing was switched on once.
pub(super) fn unaudited<T>(act: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<T> {
    let rule = |switch: &str| {
        let mut command = auditctl();
        command.args([switch, "never,task"]);
        command
    };
    let _undo = cmd::succeeds(&mut rule("-a")).then(|| Undo::Command(rule("-d")));
    act()
}
