//! Does to the agent's own canary everything that a probe must see.
#![allow(unsafe_code)]

pub mod child;
pub mod descriptors;
pub mod messages;
pub mod names;
pub mod sockets;

use std::{
    ffi::{CStr, CString},
    fs::{self, File, OpenOptions},
    io,
    os::{
        fd::{AsRawFd, FromRawFd, OwnedFd},
        unix::{ffi::OsStrExt, fs::OpenOptionsExt},
    },
    path::{Path, PathBuf},
};

/// A file of ours, watched by id, that is removed when dropped.
pub struct Canary {
    path: PathBuf,
    name: CString,
}

impl Canary {
    /// Creates it in `directory`.
    ///
    /// # Errors
    ///
    /// When the directory cannot be written.
    pub fn create(directory: &Path) -> io::Result<Self> {
        let path = directory.join(format!("tokenhound-canary-{}", std::process::id()));
        let _ = fs::remove_file(&path);
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        let name = CString::new(path.as_os_str().as_bytes())?;
        Ok(Self { path, name })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Opens it through the system call `call`.
    ///
    /// # Errors
    ///
    /// The system call's error, or `Unsupported` for a call that this architecture does not have.
    pub fn open(&self, call: &str) -> io::Result<()> {
        let result = match call {
            "openat" => openat(&self.name),
            "openat2" => openat2(&self.name),
            "open_by_handle_at" => open_by_handle(&self.name),
            other => legacy(other, &self.name),
        };
        result.map(drop)
    }
}

impl Drop for Canary {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.path) {
            tracing::debug!(path = %self.path.display(), %error, "the canary file could not be removed");
        }
    }
}

fn descriptor(result: libc::c_long) -> io::Result<OwnedFd> {
    let fd = i32::try_from(result).map_err(|_| io::Error::other("descriptor out of range"))?;
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a descriptor that the kernel has just given us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn openat(name: &CStr) -> io::Result<OwnedFd> {
    // SAFETY: a NUL-terminated name that outlives the call.
    descriptor(unsafe {
        libc::syscall(libc::SYS_openat, libc::AT_FDCWD, name.as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC)
    })
}

/// `struct open_how` (include/uapi/linux/openat2.h).
#[repr(C)]
struct OpenHow {
    flags: u64,
    mode: u64,
    resolve: u64,
}

fn openat2(name: &CStr) -> io::Result<OwnedFd> {
    let how = OpenHow { flags: (libc::O_RDONLY | libc::O_CLOEXEC) as u64, mode: 0, resolve: 0 };
    // SAFETY: name and structure outlive the call; its size is passed.
    descriptor(unsafe {
        libc::syscall(libc::SYS_openat2, libc::AT_FDCWD, name.as_ptr(), &raw const how, size_of::<OpenHow>())
    })
}

/// `struct file_handle` with room for every file system (`MAX_HANDLE_SZ`).
#[repr(C)]
struct Handle {
    bytes: u32,
    kind: i32,
    data: [u8; 128],
}

fn open_by_handle(name: &CStr) -> io::Result<OwnedFd> {
    let mut handle = Handle { bytes: 128, kind: 0, data: [0; 128] };
    let mut mount = 0i32;
    // SAFETY: all three pointers are live locals; the handle says how much room it has.
    let status = unsafe {
        libc::syscall(libc::SYS_name_to_handle_at, libc::AT_FDCWD, name.as_ptr(), &raw mut handle, &raw mut mount, 0)
    };
    if status < 0 {
        return Err(io::Error::last_os_error());
    }
    let path = Path::new(std::ffi::OsStr::from_bytes(name.to_bytes()));
    let directory = File::open(path.parent().unwrap_or(Path::new("/")))?;
    // SAFETY: the handle was filled by the kernel above.
    descriptor(unsafe {
        libc::syscall(
            libc::SYS_open_by_handle_at,
            directory.as_raw_fd(),
            &raw const handle,
            libc::O_RDONLY | libc::O_CLOEXEC,
        )
    })
}

#[cfg(target_arch = "x86_64")]
fn legacy(call: &str, name: &CStr) -> io::Result<OwnedFd> {
    let result = match call {
        // SAFETY: a NUL-terminated name that outlives the call.
        "open" => unsafe { libc::syscall(libc::SYS_open, name.as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC) },
        // SAFETY: as above; the file exists, creat truncates our own empty file.
        "creat" => unsafe { libc::syscall(libc::SYS_creat, name.as_ptr(), 0o600) },
        _ => return Err(io::ErrorKind::Unsupported.into()),
    };
    descriptor(result)
}

#[cfg(not(target_arch = "x86_64"))]
fn legacy(_call: &str, _name: &CStr) -> io::Result<OwnedFd> {
    Err(io::ErrorKind::Unsupported.into())
}
