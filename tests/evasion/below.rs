//! Below the file: the blocks that it lies in, and devices made of it.

use std::{
    fs::{self, File, OpenOptions},
    io::Read,
    os::{
        fd::AsRawFd,
        unix::fs::{FileExt, MetadataExt, OpenOptionsExt},
    },
    path::{Path, PathBuf},
};

use rustix::{
    fs::{CWD, FileType, Mode, mknodat},
    io::Errno,
};

use crate::{
    place::{Place, Undo, got, open},
    stop::{At, Outcome, absent, fail},
    sys::call,
    technique::{Technique, Unseen},
    tell,
};

pub(crate) const TABLE: &[Technique] = &[
    Technique::opens("loop-device", "through a block device made of the file", loop_device),
    Technique::opens("block-device", "from the block device that the file system lies on", block_device)
        .unseen(&[Unseen(&[], &[], "below the file system no file of the catalogue is opened")]),
];

/// The file system that a file lies on.
pub(crate) struct FileSystem {
    pub(crate) name: String,
    pub(crate) mounted_at: PathBuf,
}

/// From `/proc/self/mountinfo`: the longest mount point above the file.
pub(crate) fn file_system(path: &Path) -> Outcome<FileSystem> {
    let text = fs::read_to_string("/proc/self/mountinfo").at("read the mounts")?;
    let mounts = text.lines().filter_map(|line| {
        let (mount, kind) = line.split_once(" - ")?;
        let point = PathBuf::from(mount.split(' ').nth(4)?);
        Some((point, kind.split(' ').next()?.to_owned()))
    });
    let above = mounts.filter(|(point, _)| path.starts_with(point)).max_by_key(|(point, _)| point.components().count());
    let Some((mounted_at, name)) = above else { return fail("the store is on no file system") };
    Ok(FileSystem { name, mounted_at })
}

/// `LOOP_*` (include/uapi/linux/loop.h).
const LOOP_SET_FD: u64 = 0x4c00;
const LOOP_CLR_FD: u64 = 0x4c01;
const LOOP_GET_FREE: u64 = 0x4c82;

fn control(file: &File, request: u64, argument: u64) -> std::io::Result<i64> {
    // SAFETY: these requests take numbers.
    unsafe { call(libc::SYS_ioctl, [file.as_raw_fd() as u64, request, argument, 0, 0, 0]) }
}

fn loop_device(place: &Place) -> Outcome {
    let hub = OpenOptions::new().read(true).write(true).open("/dev/loop-control");
    let hub = hub.offered("open /dev/loop-control", &[Errno::NOENT, Errno::NODEV, Errno::NXIO])?;
    let number = control(&hub, LOOP_GET_FREE, 0).at("find a free device")?;
    let device = File::open(format!("/dev/loop{number}")).at("open the device")?;
    let store = open(&place.store)?;
    control(&device, LOOP_SET_FD, store.as_raw_fd() as u64).at("make a device of the file")?;
    let _undo = Undo(|| drop(control(&device, LOOP_CLR_FD, 0)));
    let mut bytes = vec![0; 512];
    let mut reader = &device;
    let count = reader.read(&mut bytes).at("read the device")?;
    if count == 0 {
        return fail("the file is smaller than a block");
    }
    got(&bytes[..count])
}

/// `FS_IOC_FIEMAP` and `FIEMAP_FLAG_SYNC` (include/uapi/linux/fiemap.h).
const FIEMAP: u64 = 0xc020_660b;
const SYNC: u32 = 1;

/// `struct fiemap` with one `struct fiemap_extent` behind it.
#[repr(C)]
#[derive(Default)]
struct Extents {
    start: u64,
    length: u64,
    flags: u32,
    mapped: u32,
    count: u32,
    reserved: u32,
    logical: u64,
    physical: u64,
    extent_length: u64,
    more: [u64; 4],
}

/// `BLKFLSBUF` (include/uapi/linux/fs.h).
const FLUSH_BUFFERS: u64 = 0x1261;

/// Asks where the blocks are through a descriptor that cannot read, and reads them from the device.
fn block_device(place: &Place) -> Outcome {
    let store = OpenOptions::new().write(true).custom_flags(libc::O_NOFOLLOW).open(&place.store).at("open to write")?;
    let mut extents = Extents { length: u64::MAX, flags: SYNC, count: 1, ..Extents::default() };
    let pointer = (&raw mut extents).addr() as u64;
    // SAFETY: there is room for as many extents as it says.
    unsafe { call(libc::SYS_ioctl, [store.as_raw_fd() as u64, FIEMAP, pointer, 0, 0, 0]) }
        .offered("ask for the blocks", &[Errno::OPNOTSUPP, Errno::NOTTY])?;
    if extents.mapped == 0 {
        return absent("the file has no block of its own");
    }
    let node = place.at("device");
    let device = fs::metadata(&place.store).at("ask about the store")?.dev();
    mknodat(CWD, &node, FileType::BlockDevice, Mode::RUSR, device).at("make a device node")?;
    let blocks = File::open(&node).offered("open the device", &[Errno::NXIO, Errno::NODEV, Errno::PERM])?;
    // What was read from the block before is kept apart from what files write to it.
    // SAFETY: no pointers.
    unsafe { call(libc::SYS_ioctl, [blocks.as_raw_fd() as u64, FLUSH_BUFFERS, 0, 0, 0, 0]) }
        .offered("forget what was read of the device", &[Errno::NOTTY, Errno::ACCESS])?;
    let mut bytes = [0; 512];
    blocks.read_exact_at(&mut bytes, extents.physical).at("read the device")?;
    tell::seen_end(Path::new(""));
    got(&bytes)
}
