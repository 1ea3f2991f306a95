//! Ways to open it by its own name, or without any.

use std::{
    arch::asm,
    fs::{self, File},
    io::Read,
    mem::MaybeUninit,
    os::fd::{AsRawFd, OwnedFd},
    path::Path,
};

use rustix::{
    fs::{CWD, Mode, OFlags, ResolveFlags, openat, openat2},
    io::Errno,
};

use tokenhound_tests::evasion::Start;

use crate::{
    place::{Place, check, got, open, open_with, read},
    stop::{At, Outcome, absent, fail},
    sys::{c_path, call, fork, hold_for, owned, partner},
    technique::{Technique, Unseen},
    tell,
};

pub(crate) const TABLE: &[Technique] = &[
    Technique::opens("open", "open(2), the old call", plain),
    Technique::opens("openat", "openat(2), which libc uses for nearly every open", by_openat),
    Technique::opens("openat2", "openat2(2)", by_openat2),
    Technique::opens("openat2-in-root", "openat2(2) with the home as its root", in_root),
    Technique::opens("open-create", "openat(2) that would create the file if it were not there", creating),
    Technique::opens("read-write", "opened for reading and writing, as SQLite does", read_write),
    Technique::opens("direct", "opened with O_DIRECT, past the page cache", direct),
    Technique::opens("dirfd", "by a name that counts from an open directory", by_directory),
    Technique::opens("chdir", "by a relative name after chdir", by_chdir),
    Technique::opens("dots", "by a name full of double slashes, dots and detours", dotted),
    Technique::opens("path-reopen", "O_PATH first, then /proc/self/fd/N", reopened),
    Technique::opens("handle", "open_by_handle_at while the kernel remembers the name", by_handle),
    Technique::opens("handle-cold", "open_by_handle_at when the kernel has forgotten the name", by_cold_handle),
    Technique::opens("fanotify", "through the descriptor that fanotify hands out with an event", by_fanotify)
        .by(&["open", "read"])
        .started(Start::Held)
        .sometimes_unseen(&[Unseen(
            &["tracepoint"],
            &[],
            "no call returns the descriptor: only hooks on reads see it, and they miss it at times",
        )]),
    Technique::opens("compat", "system calls of 32-bit programs (int 0x80)", compat).unseen(&[Unseen(
        &["tracepoint"],
        &[],
        "the kernel hides 32-bit system calls from these events",
    )]),
    Technique::opens("x32", "system calls of the x32 interface", x32),
];

fn plain(place: &Place) -> Outcome {
    let path = c_path(&place.store)?;
    // SAFETY: the path ends with a zero.
    let fd = unsafe { call(libc::SYS_open, [path.as_ptr() as u64, libc::O_RDONLY as u64, 0, 0, 0, 0]) };
    got(&read(owned(fd.at("open")?))?)
}

fn by_openat(place: &Place) -> Outcome {
    got(&read(open(&place.store)?)?)
}

fn by_openat2(place: &Place) -> Outcome {
    let fd = openat2(CWD, &place.store, OFlags::RDONLY, Mode::empty(), ResolveFlags::empty());
    got(&read(fd.offered("openat2", &[Errno::NOSYS])?)?)
}

fn in_root(place: &Place) -> Outcome {
    let home = open_with(place.home(), OFlags::PATH | OFlags::DIRECTORY)?;
    let Ok(inside) = place.store.strip_prefix(place.home()) else { return fail("the store is not in its home") };
    let fd = openat2(&home, Path::new("/").join(inside), OFlags::RDONLY, Mode::empty(), ResolveFlags::IN_ROOT);
    got(&read(fd.offered("openat2", &[Errno::NOSYS])?)?)
}

fn creating(place: &Place) -> Outcome {
    let fd = openat(CWD, &place.store, OFlags::RDONLY | OFlags::CREATE, Mode::RUSR | Mode::WUSR);
    got(&read(fd.at("open")?)?)
}

fn read_write(place: &Place) -> Outcome {
    got(&read(open_with(&place.store, OFlags::RDWR)?)?)
}

fn direct(place: &Place) -> Outcome {
    #[repr(align(4096))]
    struct Page([u8; 4096]);
    let mut page = Box::new(Page([0; 4096]));
    let fd = openat(CWD, &place.store, OFlags::RDONLY | OFlags::DIRECT, Mode::empty());
    let fd = fd.offered("open with O_DIRECT", &[Errno::INVAL])?;
    let count = rustix::io::read(&fd, &mut page.0).at("read")?;
    got(&page.0[..count])
}

fn by_directory(place: &Place) -> Outcome {
    let directory = open_with(place.parent(), OFlags::RDONLY | OFlags::DIRECTORY)?;
    got(&read(openat(&directory, place.name(), OFlags::RDONLY, Mode::empty()).at("openat")?)?)
}

fn by_chdir(place: &Place) -> Outcome {
    std::env::set_current_dir(place.parent()).at("chdir")?;
    got(&read(open(place.name())?)?)
}

fn dotted(place: &Place) -> Outcome {
    let (home, parent) = (place.home().display(), place.parent().file_name().unwrap_or_default().display());
    let name = format!("//{home}//.//{parent}/../{parent}///.//{}", place.name().display());
    got(&read(open(Path::new(&name))?)?)
}

fn reopened(place: &Place) -> Outcome {
    let fd = open_with(&place.store, OFlags::PATH)?;
    got(&read(open(Path::new(&format!("/proc/self/fd/{}", fd.as_raw_fd())))?)?)
}

/// A `struct file_handle` with room behind it.
#[repr(C)]
struct Handle {
    head: libc::file_handle,
    room: MaybeUninit<[u8; 128]>,
}

fn handle(path: &Path) -> Outcome<Handle> {
    let path = c_path(path)?;
    // SAFETY: all zeros is a valid handle without content.
    let mut handle: Handle = unsafe { std::mem::zeroed() };
    handle.head.handle_bytes = size_of_val(&handle.room) as u32;
    let mut mount = 0;
    // SAFETY: the handle has as much room as it says, and all pointers are ours.
    let made =
        unsafe { libc::name_to_handle_at(libc::AT_FDCWD, path.as_ptr(), &raw mut handle.head, &raw mut mount, 0) };
    let made = if made < 0 { Err(std::io::Error::last_os_error()) } else { Ok(()) };
    made.offered("name_to_handle_at", &[Errno::OPNOTSUPP])?;
    Ok(handle)
}

fn open_handle(directory: &OwnedFd, handle: &mut Handle) -> Outcome<OwnedFd> {
    // SAFETY: the handle was filled by the kernel.
    let fd = unsafe { libc::open_by_handle_at(directory.as_raw_fd(), &raw mut handle.head, libc::O_RDONLY) };
    if fd < 0 { Err(std::io::Error::last_os_error()).at("open_by_handle_at") } else { Ok(owned(fd.into())) }
}

fn by_handle(place: &Place) -> Outcome {
    let mut handle = handle(&place.store)?;
    let directory = open_with(place.parent(), OFlags::RDONLY | OFlags::DIRECTORY)?;
    got(&read(open_handle(&directory, &mut handle)?)?)
}

fn by_cold_handle(place: &Place) -> Outcome {
    const TRIES: usize = 20;
    let mut handle = handle(&place.store)?;
    let directory = open_with(&place.at("."), OFlags::RDONLY | OFlags::DIRECTORY)?;
    // The agent knows the file, and no name that it could be opened by.
    tell::seen_end(Path::new(""));
    for _ in 0..TRIES {
        // 2: names and inodes that nobody uses.
        fs::write("/proc/sys/vm/drop_caches", "2").at("drop caches")?;
        let fd = open_handle(&directory, &mut handle)?;
        let name = fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd())).at("ask for the name")?;
        if name == Path::new("/") {
            return got(&read(fd)?);
        }
    }
    absent("this file system keeps its names in memory")
}

/// Another process opens the store by name; the event brings a descriptor.
fn by_fanotify(place: &Place) -> Outcome {
    let path = c_path(&place.store)?;
    // SAFETY: no pointers.
    let queue = unsafe { call(libc::SYS_fanotify_init, [libc::FAN_CLASS_NOTIF.into(), 0, 0, 0, 0, 0]) };
    let queue = owned(queue.offered("fanotify_init", &[Errno::NOSYS])?);
    let (add, open) = (u64::from(libc::FAN_MARK_ADD), libc::FAN_OPEN);
    let mark = [queue.as_raw_fd() as u64, add, open, libc::AT_FDCWD as u64, path.as_ptr() as u64, 0];
    // SAFETY: the path ends with a zero.
    unsafe { call(libc::SYS_fanotify_mark, mark) }.at("fanotify_mark")?;
    let other = partner(|| {
        tell::helper();
        Ok(("open".into(), self::open(&place.store)?))
    })?;
    hold_for(other.pid());
    let mut event = [0; size_of::<libc::fanotify_event_metadata>()];
    File::from(queue).read_exact(&mut event).at("read an event")?;
    // SAFETY: the kernel filled it with such an event.
    let event: libc::fanotify_event_metadata = unsafe { std::mem::transmute(event) };
    if u32::try_from(event.pid) != Ok(other.pid()) {
        return fail("an event of somebody else");
    }
    got(&read(owned(event.fd.into()))?)
}

/// Registers of 32-bit calls are 32 bits wide: path and buffer must lie low.
fn compat(place: &Place) -> Outcome {
    let child = fork(|| {
        let path = c_path(&place.store)?;
        let mut low = crate::calls::Map::low()?;
        let (start, room) = (low.bytes_mut(), 2048);
        let bytes = path.as_bytes_with_nul();
        if bytes.len() > room {
            return fail("the path is too long");
        }
        start[..bytes.len()].copy_from_slice(bytes);
        let address = start.as_ptr().addr() as u32;
        // SAFETY: open of a path that ends with a zero; read into a buffer with that much room.
        let fd = unsafe { int80(5, address, 0, 0) };
        if fd < 0 {
            return fail(format!("open by int 0x80: {fd}"));
        }
        // SAFETY: as above.
        let count = unsafe { int80(3, fd as u32, address + room as u32, room as u32) };
        let count = usize::try_from(count).unwrap_or(0);
        check(&low.bytes()[room..room + count])
    })?;
    match child.code()? {
        Some(0) => {
            tell::reader_is(child.pid());
            Ok(())
        }
        // The interrupt is not there: the kernel was built, or booted, without it.
        None => absent("this kernel runs no 32-bit programs"),
        Some(code) => fail(format!("the child ended with {code}")),
    }
}

/// A system call by the old interrupt, numbered as on i386.
///
/// # Safety
///
/// The arguments must be what the call expects.
unsafe fn int80(number: u32, first: u32, second: u32, third: u32) -> i32 {
    let mut result = u64::from(number);
    // SAFETY: the interrupt keeps all registers but the result; rbx is the compiler's, so it is put back. The rest is
    // the caller's word.
    unsafe {
        asm!(
            "xchg {first:r}, rbx",
            "int 0x80",
            "xchg {first:r}, rbx",
            first = inout(reg) u64::from(first) => _,
            inout("rax") result,
            in("rcx") u64::from(second),
            in("rdx") u64::from(third),
            out("r8") _, out("r9") _, out("r10") _, out("r11") _,
        );
    }
    result as i32
}

fn x32(place: &Place) -> Outcome {
    const X32: i64 = 0x4000_0000;
    let path = c_path(&place.store)?;
    let arguments = [libc::AT_FDCWD as u64, path.as_ptr() as u64, libc::O_RDONLY as u64, 0, 0, 0];
    // SAFETY: openat with a path that ends with a zero.
    let fd = unsafe { call(X32 | libc::SYS_openat, arguments) }.offered("openat of x32", &[Errno::NOSYS])?;
    got(&sys_read(&owned(fd))?)
}

fn sys_read(fd: &OwnedFd) -> Outcome<Vec<u8>> {
    let mut bytes = vec![0; 4096];
    let count = rustix::io::read(fd, &mut bytes).at("read")?;
    bytes.truncate(count);
    Ok(bytes)
}
