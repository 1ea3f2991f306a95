//! What is no read of the store, or nobody's business: nothing of it may be reported.

use std::{
    fs::{self, File, OpenOptions},
    io::Write,
    os::unix::fs::{FileExt, OpenOptionsExt, PermissionsExt},
    path::Path,
};

use rustix::{
    fs::{Access, CWD, FlockOperation, OFlags, access, fcntl_lock, flock, inotify, openat},
    io::Errno,
    process::Uid,
    thread::set_thread_res_uid,
};

use crate::{
    inspection::core_of,
    place::{Place, START, open, open_with, read},
    stop::{At, Outcome, fail},
    sys::partner,
    technique::Technique,
};

pub(crate) const TABLE: &[Technique] = &[
    Technique::innocent("stat", "asks for size and times", |place| fs::metadata(&place.store).at("stat").map(drop)),
    Technique::innocent("access", "asks whether it could read", |place| {
        access(&place.store, Access::READ_OK).at("access")
    }),
    Technique::innocent("list", "lists the directory", |place| {
        fs::read_dir(place.parent()).at("list").map(|entries| assert!(entries.count() > 0))
    }),
    Technique::innocent("path-only", "opens it with O_PATH", |place| open_with(&place.store, OFlags::PATH).map(drop)),
    Technique::innocent("flock", "locks it through a descriptor that cannot read", locked),
    Technique::innocent("fcntl-lock", "locks it through a descriptor that cannot read", fcntl_locked),
    Technique::innocent("append", "appends to it", append),
    Technique::innocent("replace", "puts a new file in its place, and the old one back", replace),
    Technique::innocent("chmod", "sets its mode", |place| {
        fs::set_permissions(&place.store, fs::Permissions::from_mode(0o600)).at("chmod")
    }),
    Technique::innocent("watch", "waits for changes of it", watch),
    Technique::innocent("link", "gives it another name and takes that away", |place| {
        let name = place.at("link");
        fs::hard_link(&place.store, &name).and_then(|()| fs::remove_file(&name)).at("link")
    }),
    Technique::innocent("create-new", "would create it, and cannot because it is there", exclusive),
    Technique::innocent("not-allowed", "would open it, and may not", not_allowed),
    Technique::innocent("sibling", "reads another file in its directory", |place| {
        let sibling = place.parent().join("notes.txt");
        fs::write(&sibling, "nothing secret").at("write")?;
        fs::read(&sibling).and_then(|_| fs::remove_file(&sibling)).at("read")
    }),
    Technique::innocent("namesake", "reads a file of the same name elsewhere", |place| {
        let namesake = place.directory("elsewhere")?.join(place.name());
        fs::write(&namesake, "nothing secret").at("write")?;
        fs::read(&namesake).at("read").map(drop)
    }),
    Technique::innocent("own-environ", "reads its own environment", |_| {
        fs::read("/proc/self/environ").at("read")?;
        fs::read(format!("/proc/{}/environ", std::process::id())).at("read").map(drop)
    }),
    Technique::innocent("own-mem", "reads its own memory through /proc/self/mem", own_memory),
    Technique::innocent("own-vm-readv", "reads its own memory with process_vm_readv", own_vm_readv),
    Technique::innocent("core-of-another", "reads the core dump of a process that had read no store", |place| {
        let (core, _) = core_of(place, |_| Ok(()))?;
        fs::read(core).at("read the core").map(drop)
    }),
    Technique::innocent("child-environ", "reads the environment that it gave to its child", child_environment),
];

fn write_only(place: &Place) -> Outcome<File> {
    OpenOptions::new().append(true).open(&place.store).at("open to append")
}

fn locked(place: &Place) -> Outcome {
    flock(write_only(place)?, FlockOperation::LockExclusive).at("flock")
}

fn fcntl_locked(place: &Place) -> Outcome {
    fcntl_lock(write_only(place)?, FlockOperation::LockExclusive).at("lock")
}

fn append(place: &Place) -> Outcome {
    let mut file = write_only(place)?;
    let before = file.metadata().at("ask for the size")?.len();
    file.write_all(b"#\n").and_then(|()| file.set_len(before)).at("append")
}

/// As a tool does that writes new tokens.
fn replace(place: &Place) -> Outcome {
    let (new, old) = (place.at("new"), place.at("old"));
    fs::hard_link(&place.store, &old).at("link")?;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new).at("create")?;
    file.write_all(START).at("write")?;
    fs::rename(&new, &place.store).and_then(|()| fs::rename(&old, &place.store)).at("rename")
}

fn watch(place: &Place) -> Outcome {
    let queue = inotify::init(inotify::CreateFlags::CLOEXEC).at("inotify_init")?;
    inotify::add_watch(&queue, &place.store, inotify::WatchFlags::ALL_EVENTS).at("inotify_add_watch").map(drop)
}

fn refused(place: &Place, flags: OFlags, expected: Errno) -> Outcome {
    match openat(CWD, &place.store, flags, rustix::fs::Mode::RUSR) {
        Err(errno) if errno == expected => Ok(()),
        other => fail(format!("opening led to {other:?}")),
    }
}

fn exclusive(place: &Place) -> Outcome {
    refused(place, OFlags::CREATE | OFlags::EXCL | OFlags::RDONLY, Errno::EXIST)
}

fn not_allowed(place: &Place) -> Outcome {
    let nobody = Uid::from_raw(65534);
    set_thread_res_uid(nobody, nobody, nobody).at("become another user")?;
    refused(place, OFlags::RDONLY, Errno::ACCESS)
}

fn own_memory(_: &Place) -> Outcome {
    let mut bytes = [0; START.len()];
    let file = File::open("/proc/self/mem").at("open")?;
    file.read_exact_at(&mut bytes, START.as_ptr().addr() as u64).at("read")?;
    if bytes == *START { Ok(()) } else { fail("that is other memory") }
}

fn own_vm_readv(_: &Place) -> Outcome {
    let mut bytes = [0_u8; START.len()];
    let to = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
    let from = libc::iovec { iov_base: START.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    // SAFETY: from our own constant to our own buffer.
    let count = unsafe { libc::process_vm_readv(std::process::id() as i32, &raw const to, 1, &raw const from, 1, 0) };
    if count == bytes.len() as isize && bytes == *START { Ok(()) } else { fail("it could not be read") }
}

fn child_environment(_: &Place) -> Outcome {
    let child = partner(|| Ok(("there".into(), ())))?;
    let environment = format!("/proc/{}/environ", child.pid());
    let bytes = read(open(Path::new(&environment))?)?;
    if bytes.is_empty() { fail("it is empty") } else { Ok(()) }
}
