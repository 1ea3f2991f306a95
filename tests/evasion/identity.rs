//! Readers that look like others, or are hard to look at. Each reads in the plainest way.

use std::{
    env, fs,
    io::Read,
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use rustix::{
    fs::{MemfdFlags, memfd_create},
    process::Uid,
    thread::{CapabilitySet, CapabilitySets, set_capabilities, set_keep_capabilities, set_thread_res_uid},
};

use crate::{
    place::{Place, check, got, open, read, take},
    stop::{At, Outcome, absent, fail},
    sys::{c_path, child, finish, fork, role, this_program},
    technique::Technique,
    tell,
};

pub(crate) const TABLE: &[Technique] = &[
    Technique::opens("comm", "a process that calls itself aws (prctl)", comm),
    Technique::opens("argv0", "a program whose first argument says /usr/bin/aws", argv0),
    Technique::opens("thread", "by a thread that is not the first", thread),
    Technique::opens("short-life", "by a child that lives for three system calls", short),
    Technique::opens("orphan", "by a grandchild whose parent is gone", orphan),
    Technique::opens("double-exec", "by a program that another one became", double_exec),
    Technique::opens("other-user", "by another user, who kept a capability", other_user),
    Technique::opens("memfd", "by a program that is in no file", memfd),
    Technique::opens("deleted", "by a program that removed its own file", deleted),
    Technique::opens("loader", "by a program that was started through the loader", loader),
    Technique::opens("script", "by a shell script's own redirection", script),
    Technique::opens("busybox", "by an applet of busybox", busybox),
    Technique::opens("cat", "by cat", |place| tool(place, "cat", &["{}"])),
    Technique::opens("cat-relative", "by cat, under a relative name", |place| {
        env::set_current_dir(place.parent()).at("chdir")?;
        tool(place, "cat", &["credentials"])
    }),
    Technique::opens("dd", "by dd", |place| tool(place, "dd", &["if={}", "status=none"])),
    Technique::opens("tar", "by tar", |place| tool(place, "tar", &["-cf", "-", "{}"])),
    Technique::opens("cp", "by cp", cp),
];

fn comm(place: &Place) -> Outcome {
    rustix::thread::set_name(c"aws").at("set the name")?;
    take(&place.store)
}

fn argv0(place: &Place) -> Outcome {
    finish(role("read")?.arg(&place.store).arg0("/usr/bin/aws"))
}

fn thread(place: &Place) -> Outcome {
    let bytes = std::thread::scope(|scope| scope.spawn(|| read(open(&place.store)?)).join());
    bytes.map_or_else(|_| fail("the thread panicked"), |bytes| got(&bytes?))
}

fn short(place: &Place) -> Outcome {
    let path = c_path(&place.store)?;
    // SAFETY: this process has one thread; the child makes three system calls with memory that was made before.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        let mut bytes = [0_u8; 9];
        // SAFETY: the path ends with a zero, and the buffer has the room.
        unsafe {
            let fd = libc::open(path.as_ptr(), libc::O_RDONLY);
            let count = libc::read(fd, bytes.as_mut_ptr().cast(), bytes.len());
            libc::_exit(i32::from(count != 9 || bytes != *b"[default]"))
        }
    }
    let child = child(pid)?;
    let pid = child.pid();
    child.wait()?;
    tell::reader_is(pid);
    Ok(())
}

fn orphan(place: &Place) -> Outcome {
    let (done, hold) = rustix::pipe::pipe().at("make a pipe")?;
    let middle = fork(|| {
        rustix::process::setsid().at("setsid")?;
        let middle = rustix::process::getpid();
        fork(|| {
            while rustix::process::getppid() == Some(middle) {
                std::thread::yield_now();
            }
            take(&place.store)?;
            rustix::io::write(&hold, b"!").at("say that it is done")?;
            Ok(())
        })?;
        Ok(())
    })?;
    middle.wait()?;
    drop(hold);
    // The end of the pipe is the end of the grandchild.
    if read(done)? == b"!" { Ok(()) } else { fail("the grandchild did not read it") }
}

fn double_exec(place: &Place) -> Outcome {
    let shell = program("sh")?;
    let mut command = Command::new(shell);
    command.args(["-c", "exec \"$0\" role read \"$1\""]).arg(this_program()?).arg(&place.store);
    finish(&mut command)
}

fn other_user(place: &Place) -> Outcome {
    let nobody = Uid::from_raw(65534);
    set_keep_capabilities(true).at("keep capabilities")?;
    set_thread_res_uid(nobody, nobody, nobody).at("become another user")?;
    let kept = CapabilitySet::DAC_READ_SEARCH;
    let sets = CapabilitySets { effective: kept, permitted: kept, inheritable: CapabilitySet::empty() };
    set_capabilities(None, sets).at("set capabilities")?;
    take(&place.store)
}

fn memfd(place: &Place) -> Outcome {
    let copy = memfd_create("tool", MemfdFlags::empty()).at("memfd_create")?;
    let program = fs::read(this_program()?).at("read this program")?;
    std::io::Write::write_all(&mut fs::File::from(copy.try_clone().at("copy a descriptor")?), &program).at("write")?;
    let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&copy));
    finish(Command::new(path).args(["role", "read"]).arg(&place.store))
}

/// A copy of this program.
fn copied(place: &Place, name: &str) -> Outcome<PathBuf> {
    let copy = place.at(name);
    fs::copy(this_program()?, &copy).at("copy this program")?;
    Ok(copy)
}

fn deleted(place: &Place) -> Outcome {
    finish(Command::new(copied(place, "gone")?).args(["role", "delete-and-read"]).arg(&place.store))
}

fn loader(place: &Place) -> Outcome {
    let loader = Path::new("/lib64/ld-linux-x86-64.so.2");
    if !loader.exists() {
        return absent("no loader at its usual place");
    }
    finish(Command::new(loader).arg(this_program()?).args(["role", "read"]).arg(&place.store))
}

/// Where a program is on `PATH`, without links.
pub(crate) fn program(name: &str) -> Outcome<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let found = env::split_paths(&path).map(|directory| directory.join(name)).find(|file| file.is_file());
    found.map_or_else(|| absent(format!("{name} is not here")), |file| fs::canonicalize(file).at("resolve a link"))
}

/// Runs a command in which `reader` reads the store and writes its content, among other things, to standard output.
pub(crate) fn output_of(mut command: Command, reader: &Path) -> Outcome {
    let mut running = command.stdout(Stdio::piped()).spawn().at("start a program")?;
    let mut bytes = Vec::new();
    if let Some(mut output) = running.stdout.take() {
        output.read_to_end(&mut bytes).at("listen")?;
    }
    if !running.wait().at("wait")?.success() {
        return fail(format!("{command:?} failed"));
    }
    let Some(at) = bytes.windows(9).position(|part| part == b"[default]") else { return fail("no content came") };
    check(&bytes[at..])?;
    tell::reader_runs(running.id(), reader);
    Ok(())
}

/// A program of this machine with these arguments, `{}` for the store.
fn tool(place: &Place, name: &str, arguments: &[&str]) -> Outcome {
    let reader = program(name)?;
    let store = place.store.to_string_lossy();
    let mut command = Command::new(&reader);
    command.args(arguments.iter().map(|word| word.replace("{}", &store))).stderr(Stdio::null());
    // Several programs may be one file that goes by its name.
    command.arg0(name);
    output_of(command, &reader)
}

fn busybox(place: &Place) -> Outcome {
    let reader = program("busybox")?;
    let mut command = Command::new(&reader);
    command.arg("cat").arg(&place.store);
    output_of(command, &reader)
}

fn cp(place: &Place) -> Outcome {
    let (reader, copy) = (program("cp")?, place.at("copy"));
    let mut running = Command::new(&reader).arg0("cp").arg(&place.store).arg(&copy).spawn().at("start cp")?;
    if !running.wait().at("wait")?.success() {
        return fail("cp failed");
    }
    check(&fs::read(copy).at("read the copy")?)?;
    tell::reader_runs(running.id(), &reader);
    Ok(())
}

fn script(place: &Place) -> Outcome {
    let shell = program("sh")?;
    let script = place.at("steal.sh");
    fs::write(&script, "#!/bin/sh\nwhile read -r line; do printf '%s\\n' \"$line\"; done <\"$1\"\n").at("write")?;
    fs::set_permissions(&script, fs::Permissions::from_mode(0o700)).at("make it executable")?;
    let mut command = Command::new(script);
    command.arg(&place.store);
    output_of(command, &shell)
}
