//! Other names for the file: links, renames, and the names that procfs gives.

use std::{
    fs,
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::fs::{OpenOptionsExt, symlink},
    },
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
};

use rustix::{
    fs::{AtFlags, CWD, FileType, Mode, OFlags, RenameFlags, fstat, linkat, openat, renameat_with},
    io::Errno,
};

use tokenhound_tests::evasion::Start;

use crate::{
    place::{Place, Undo, check, got, open, read, take},
    stop::{At, Outcome, fail},
    sys::{fork, hold_for, in_child, own_mounts, partner},
    technique::Technique,
    tell,
};

pub(crate) const TABLE: &[Technique] = &[
    Technique::opens("symlink", "through a symbolic link to the file", by_symlink),
    Technique::opens("symlink-directory", "through a symbolic link to its directory", by_directory_symlink),
    Technique::opens("symlink-swapped", "through a symbolic link that changes its target all the time", swapped),
    Technique::opens("hard-link", "by a hard link beside it", hard_link),
    Technique::opens("hard-link-only", "by a hard link in another directory, the first name gone", only_hard_link),
    Technique::opens("moved-aside", "while another file has its name", moved_aside).started(Start::Held),
    Technique::opens("renamed-file", "while the file has another name", renamed_file),
    Technique::opens("moved-file", "while the file lies in another directory", moved_file),
    Technique::opens("renamed-directory", "while its directory has another name", renamed_directory),
    Technique::opens("renamed-parent", "while the home has another name", renamed_home),
    Technique::opens("exchanged", "after RENAME_EXCHANGE with a harmless file", exchanged),
    Technique::opens("deep-directory", "from 60 directories deep, by relative steps", deep),
    Technique::opens("long-path", "under a path of more than 2 KiB", long),
    Technique::opens("tmpfile-copy", "copied to an O_TMPFILE that gets a name later", tmpfile),
    Technique::opens("dev-fd", "through /dev/fd of another's descriptor that was inherited", dev_fd)
        .by(&["open", "read"]),
    Technique::opens("proc-fd", "through /proc/PID/fd/N of a process that has it open", proc_fd),
    Technique::opens("proc-cwd", "through /proc/PID/cwd of a process in its directory", proc_cwd),
    Technique::opens("proc-root", "through /proc/PID/root of a process in another mount namespace", proc_root),
    Technique::opens("proc-map-files", "through /proc/PID/map_files of a process that has it mapped", map_files),
];

fn by_symlink(place: &Place) -> Outcome {
    let link = place.at("link");
    symlink(&place.store, &link).at("make a link")?;
    take(&link)
}

fn by_directory_symlink(place: &Place) -> Outcome {
    let link = place.at("link");
    symlink(place.parent(), &link).at("make a link")?;
    take(&link.join(place.name()))
}

/// A thread points the link here and there, until the reader has met the store behind it.
fn swapped(place: &Place) -> Outcome {
    let (link, next, harmless) = (place.at("link"), place.at("next"), place.at("harmless"));
    fs::write(&harmless, "nothing").at("write a file")?;
    symlink(&harmless, &link).at("make a link")?;
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let swapper = scope.spawn(|| {
            for target in [&place.store, &harmless].into_iter().cycle() {
                if done.load(Ordering::Relaxed) {
                    return Ok(());
                }
                symlink(target, &next).and_then(|()| fs::rename(&next, &link))?;
            }
            Ok::<(), std::io::Error>(())
        });
        let mut outcome = Ok(Vec::new());
        while !swapper.is_finished() && outcome.as_ref().is_ok_and(|bytes| check(bytes).is_err()) {
            outcome = open(&link).and_then(content);
        }
        done.store(true, Ordering::Relaxed);
        let swapper = swapper.join();
        match swapper {
            Ok(Ok(())) => got(&outcome?),
            _ => fail("the link could not be changed"),
        }
    })
}

/// Of a link that is being removed the kernel may read an empty text, which leads to the directory it lies in (seen on
/// ext4, 6.12).
fn content(file: OwnedFd) -> Outcome<Vec<u8>> {
    let kind = FileType::from_raw_mode(fstat(&file).at("ask about the file")?.st_mode);
    if kind == FileType::Directory { Ok(Vec::new()) } else { read(file) }
}

fn hard_link(place: &Place) -> Outcome {
    let link = place.at("link");
    fs::hard_link(&place.store, &link).at("make a link")?;
    let _undo = Undo(|| drop(fs::remove_file(&link)));
    tell::seen_path(&link);
    take(&link)
}

fn only_hard_link(place: &Place) -> Outcome {
    let link = place.at("link");
    fs::hard_link(&place.store, &link).at("make a link")?;
    fs::remove_file(&place.store).at("remove a name")?;
    let _undo = Undo(|| drop(fs::rename(&link, &place.store)));
    tell::seen_path(&link);
    take(&link)
}

/// Reads `inside` of what is called `to` for the time being.
fn renamed(from: &Path, to: &Path, inside: &Path) -> Outcome {
    fs::rename(from, to).at("rename")?;
    let _undo = Undo(|| drop(fs::rename(to, from)));
    let path = to.join(inside);
    // A path that ends in a slash would be another one.
    let path = path.components().collect::<PathBuf>();
    tell::seen_path(&path);
    take(&path)
}

/// The other file stays there until the read has been told: whoever looks what the name leads to finds that one.
fn moved_aside(place: &Place) -> Outcome {
    let aside = place.at("aside");
    fs::rename(&place.store, &aside).at("rename")?;
    let _undo = Undo(|| drop(fs::rename(&aside, &place.store)));
    fs::write(&place.store, "nothing").at("write a file")?;
    tell::seen_path(&aside);
    let reader = fork(|| take(&aside))?;
    let pid = reader.pid();
    reader.wait()?;
    hold_for(pid);
    Ok(())
}

fn renamed_file(place: &Place) -> Outcome {
    renamed(&place.store, &place.parent().join("notes"), Path::new(""))
}

fn moved_file(place: &Place) -> Outcome {
    renamed(&place.store, &place.at("notes"), Path::new(""))
}

fn renamed_directory(place: &Place) -> Outcome {
    renamed(place.parent(), &place.home().join("notes"), place.name())
}

fn renamed_home(place: &Place) -> Outcome {
    let Ok(inside) = place.store.strip_prefix(place.home()) else { return fail("the store is not in its home") };
    renamed(place.home(), &place.home().with_extension("moved"), inside)
}

fn exchanged(place: &Place) -> Outcome {
    let other = place.at("harmless");
    fs::write(&other, "nothing").at("write a file")?;
    let exchange = || renameat_with(CWD, &place.store, CWD, &other, RenameFlags::EXCHANGE);
    exchange().offered("exchange two names", &[Errno::INVAL])?;
    let _undo = Undo(|| _ = exchange());
    tell::seen_path(&other);
    take(&other)
}

/// The whole directory of the store lies deep down for the time being.
fn deep(place: &Place) -> Outcome {
    const DEPTH: usize = 60;
    std::env::set_current_dir(place.at(".")).at("chdir")?;
    for _ in 0..DEPTH {
        fs::create_dir("deep").at("make a directory")?;
        std::env::set_current_dir("deep").at("chdir")?;
    }
    let here = Path::new("moved");
    fs::rename(place.parent(), here).at("rename")?;
    let _undo = Undo(|| drop(fs::rename(here, place.parent())));
    let path = here.join(place.name());
    tell::seen_end(&path);
    take(&path)
}

fn long(place: &Place) -> Outcome {
    const STEPS: usize = 12;
    let step = "long-".repeat(50);
    std::env::set_current_dir(place.at(".")).at("chdir")?;
    for _ in 0..STEPS {
        fs::create_dir(&step).at("make a directory")?;
        std::env::set_current_dir(&step).at("chdir")?;
    }
    let link = Path::new("link");
    fs::hard_link(&place.store, link).at("make a link")?;
    let _undo = Undo(|| drop(fs::remove_file(link)));
    tell::seen_end(link);
    take(link)
}

fn tmpfile(place: &Place) -> Outcome {
    let content = read(open(&place.store)?)?;
    let flags = OFlags::TMPFILE | OFlags::RDWR;
    let copy = openat(CWD, place.at("."), flags, Mode::RUSR | Mode::WUSR);
    let copy = copy.offered("open with O_TMPFILE", &[Errno::OPNOTSUPP])?;
    rustix::io::write(&copy, &content).at("write")?;
    let name = place.at("copy");
    let unnamed = format!("/proc/self/fd/{}", copy.as_raw_fd());
    linkat(CWD, unnamed, CWD, &name, AtFlags::SYMLINK_FOLLOW).at("give it a name")?;
    got(&fs::read(&name).at("read the copy")?)
}

/// `cat /dev/fd/N`, N inherited: opening it anew is an open of its own.
fn dev_fd(place: &Place) -> Outcome {
    let fd = open(&place.store)?;
    tell::helper();
    in_child(|| take(Path::new(&format!("/dev/fd/{}", fd.as_raw_fd()))))
}

fn proc_fd(place: &Place) -> Outcome {
    let other = partner(|| {
        tell::helper();
        let fd = open(&place.store)?;
        Ok((fd.as_raw_fd().to_string(), fd))
    })?;
    take(Path::new(&format!("/proc/{}/fd/{}", other.pid(), other.said)))
}

fn proc_cwd(place: &Place) -> Outcome {
    let other = partner(|| {
        std::env::set_current_dir(place.parent()).at("chdir")?;
        Ok(("there".into(), ()))
    })?;
    take(&Path::new(&format!("/proc/{}/cwd", other.pid())).join(place.name()))
}

fn proc_root(place: &Place) -> Outcome {
    let elsewhere = place.directory("elsewhere")?;
    let other = partner(|| {
        own_mounts()?;
        rustix::mount::mount_bind(place.parent(), &elsewhere).at("bind a directory")?;
        Ok(("there".into(), ()))
    })?;
    let inside = elsewhere.join(place.name());
    tell::seen_path(&inside);
    let inside = inside.strip_prefix("/").unwrap_or(&inside);
    take(&Path::new(&format!("/proc/{}/root", other.pid())).join(inside))
}

fn map_files(place: &Place) -> Outcome {
    let other = partner(|| {
        tell::helper();
        let map = crate::calls::Map::new(&open(&place.store)?, false)?;
        let start = map.bytes().as_ptr().addr();
        Ok((format!("{start:x}-{:x}", start + crate::calls::PAGE), map))
    })?;
    let path = format!("/proc/{}/map_files/{}", other.pid(), other.said);
    let file = fs::OpenOptions::new().read(true).custom_flags(0).open(&path);
    let file = file.offered("open an entry of map_files", &[Errno::NOENT])?;
    got(&read(file.into())?)
}
