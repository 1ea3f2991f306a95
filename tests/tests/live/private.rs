//! The memory of tokenhound is its own: no core of it is dumped, and nobody but root looks into it.

use std::{
    fs::{self, File},
    io::{self, PipeReader, Read, Seek, SeekFrom},
    os::unix::fs::MetadataExt,
    path::Path,
    process::{Child, Command, Stdio},
    time::Instant,
};

use rustix::{
    pipe,
    process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, setrlimit},
};
use tokenhound_tests::{
    agent::Agent,
    http,
    process::{self, Background, patience},
    skip,
    stage::{NOBODY, Stage},
    store::Store,
};

/// Where a core goes is the machine's own affair; only a plain name is looked for here.
fn cores_are_files() -> bool {
    let pattern = fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap();
    if pattern.starts_with(['|', '/']) || pattern.contains('%') {
        skip::skip("core_pattern is no plain name");
        return false;
    }
    // Programs started from here on may dump; the agent has to see to it itself.
    let limit = getrlimit(Resource::Core);
    setrlimit(Resource::Core, Rlimit { current: limit.maximum, ..limit }).unwrap();
    true
}

/// Makes a process dump its core, if it does.
fn crash(process: &mut Background) {
    kill_process(Pid::from_child(&process.child), Signal::ABORT).unwrap();
    process.child.wait().unwrap();
}

fn files(directory: &Path) -> Vec<String> {
    let names = fs::read_dir(directory).unwrap();
    names.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
}

#[test]
fn no_core_is_dumped_of_the_agent_and_one_is_of_what_watch_starts() {
    if !cores_are_files() {
        return;
    }
    let stage = Stage::new();
    let (of_agent, of_watch, of_command) =
        (stage.directory("of-agent"), stage.directory("of-watch"), stage.directory("of-command"));

    let mut agent = Agent::start_with(&stage, |command| {
        command.current_dir(&of_agent);
    });
    crash(&mut agent.process);
    assert_eq!(files(&of_agent), Vec::<String>::new());
    drop(agent);

    let ready = stage.path("ready");
    let script = format!("touch '{}'; cd '{}'; kill -ABRT $$", ready.display(), of_command.display());
    let mut watch = Background::start(
        Command::new(process::tokenhound()).args(["watch", "--", "sh", "-c", &script]).current_dir(&of_watch),
    );
    watch.wait();
    assert!(ready.exists());
    assert_eq!(files(&of_command).len(), 1, "the command has its own limits");

    let mut watch = Background::start(
        Command::new(process::tokenhound())
            .args(["watch", "--", "sh", "-c", &format!("rm '{}'; read line", ready.display())])
            .current_dir(&of_watch),
    );
    watch.until("its command", || (!ready.exists()).then_some(()));
    crash(&mut watch);
    assert_eq!(files(&of_watch), Vec::<String>::new());
}

/// A program that waits: it has more to say than its pipe takes.
struct Waiting {
    child: Child,
    _reader: PipeReader,
}

impl Waiting {
    fn start(command: &mut Command) -> Self {
        let (reader, writer) = io::pipe().unwrap();
        pipe::fcntl_setpipe_size(&writer, 4096).unwrap();
        let mut child = command.stdin(Stdio::null()).stdout(writer).spawn().unwrap();
        let deadline = Instant::now() + patience();
        while rustix::io::ioctl_fionread(&reader).unwrap() < 4096 {
            assert!(child.try_wait().unwrap().is_none() && Instant::now() < deadline, "it does not wait");
            std::thread::yield_now();
        }
        Self { child, _reader: reader }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn nobody_but_root_looks_into_it() {
    let stage = Stage::new();
    stage.open_to_others();
    let tokenhound = stage.program("tokenhound", &process::tokenhound());
    let as_nobody = |program: &Path| {
        let mut command = Command::new("setpriv");
        command.args(["--reuid", &NOBODY.to_string(), "--regid", &NOBODY.to_string(), "--clear-groups"]).arg(program);
        command
    };
    let looks = |pid: u32| {
        let environ = format!("/proc/{pid}/environ");
        let looked = process::run(as_nobody(Path::new("cat")).arg(environ), b"");
        (looked.code() == 0, fs::metadata(format!("/proc/{pid}/maps")).unwrap().uid())
    };
    let other = Waiting::start(&mut as_nobody(Path::new("yes")));
    assert_eq!(looks(other.child.id()), (true, NOBODY), "one of nobody's is open to nobody");
    let own = Waiting::start(as_nobody(&tokenhound).args(["catalogue", "list"]));
    assert_eq!(looks(own.child.id()), (false, 0), "tokenhound is not");
}

/// What a process has written into its memory, mapping by mapping.
fn memory(pid: u32) -> Vec<(String, Vec<u8>)> {
    let mut memory = File::open(format!("/proc/{pid}/mem")).unwrap();
    let mut all = Vec::new();
    for line in fs::read_to_string(format!("/proc/{pid}/maps")).unwrap().lines() {
        let mut words = line.split_whitespace();
        let (range, rights) = (words.next().unwrap(), words.next().unwrap());
        let (from, to) = range.split_once('-').unwrap();
        let (from, to) = (u64::from_str_radix(from, 16).unwrap(), u64::from_str_radix(to, 16).unwrap());
        let mut bytes = vec![0; (to - from) as usize];
        memory.seek(SeekFrom::Start(from)).unwrap();
        // What cannot be read is the kernel's, or gone by now.
        if rights.starts_with("rw") && memory.read_exact(&mut bytes).is_ok() {
            all.push((line.to_owned(), bytes));
        }
    }
    all
}

#[test]
fn the_agent_has_no_token_in_its_memory_once_it_knows_it() {
    let stage = Stage::new();
    let home = stage.directory("homes/ann");
    let stores = [Store::AwsCredentials, Store::GhHosts, Store::GitCredentials, Store::Netrc, Store::Npmrc];
    for store in stores {
        store.put(&stage, &home);
    }
    let mut agent = Agent::start(&stage);
    let seen = process::run(Command::new("true").env("HOME", &home), b"");
    assert_eq!(seen.code(), 0);
    let port = agent.port;
    for store in stores {
        let tracked = format!("tokenhound_tokens_tracked{{store=\"{}\"}}", store.id());
        agent.process.until(&tracked, || {
            http::get(port, "/metrics").filter(|(_, metrics)| metrics.contains(&tracked)).map(drop)
        });
    }
    let memory = memory(agent.process.pid());
    let path = home.display().to_string();
    assert!(memory.iter().any(|(_, bytes)| bytes.windows(path.len()).any(|part| part == path.as_bytes())));
    for (mapping, bytes) in memory {
        stage.search(&mapping, &bytes);
    }
    let _ = agent.stop();
}
