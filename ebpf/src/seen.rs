//! What has been told already.

use aya_ebpf::{helpers::generated::bpf_ktime_get_boot_ns, macros::map, maps::LruHashMap};
use tokenhound_common::{
    limits::{MAX_SEEN, REPEAT_NS},
    process::ProcessKey,
    record::FileId,
    watch::Address,
};

use crate::kernel::{Copied, Load, Pointer, offset};

/// One program of one process, and what it did to one file or process.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Key {
    actor: ProcessKey,
    /// Changes with every exec.
    exec_id: u64,
    /// Inode, or the start time of a process.
    subject: u64,
    /// Device, or the pid of a process.
    device: u32,
    what: u32,
}

/// When it was told last.
#[map]
static SEEN: LruHashMap<Key, u64> = LruHashMap::with_max_entries(MAX_SEEN, 0);

impl Key {
    #[inline(always)]
    fn new(actor: ProcessKey, task: Pointer, (subject, device): (u64, u32), what: u32) -> Self {
        Self { actor, exec_id: Copied::load(task, offset!(task_exec_id)), subject, device, what }
    }

    /// `what` done to a file.
    #[inline(always)]
    pub fn file(actor: ProcessKey, task: Pointer, file: FileId, what: u32) -> Self {
        Self::new(actor, task, (file.inode, file.device), what)
    }

    /// `what` done to an address.
    #[inline(always)]
    pub fn address(actor: ProcessKey, task: Pointer, address: Address, what: u32) -> Self {
        // The halves of watched addresses differ in what is mixed here.
        Self::new(actor, task, (address.words[0] ^ address.words[1].rotate_left(1), 0), what)
    }

    /// `what` done to a process.
    #[inline(always)]
    pub fn process(actor: ProcessKey, task: Pointer, target: ProcessKey, what: u32) -> Self {
        Self::new(actor, task, (target.start_ns, target.tgid), what)
    }

    /// Notes it; whether it is new.
    #[inline(always)]
    pub fn once(&self) -> bool {
        // SAFETY: the value is not read.
        let new = unsafe { SEEN.get(self) }.is_none();
        if new {
            self.note(now());
        }
        new
    }

    /// Notes it; whether it was not told within the last [`REPEAT_NS`].
    #[inline(always)]
    pub fn due(&self) -> bool {
        self.due_after(REPEAT_NS)
    }

    /// Notes it; whether it was not told within so many nanoseconds.
    #[inline(always)]
    pub fn due_after(&self, nanoseconds: u64) -> bool {
        let now = now();
        // SAFETY: one word.
        if let Some(last) = unsafe { SEEN.get(self) } {
            if now.wrapping_sub(*last) < nanoseconds {
                return false;
            }
        }
        self.note(now);
        true
    }

    /// A table without room means that something is told twice.
    #[inline(always)]
    fn note(&self, now: u64) {
        let _ = SEEN.insert(self, &now, 0);
    }
}

#[inline(always)]
fn now() -> u64 {
    // SAFETY: helper without arguments.
    unsafe { bpf_ktime_get_boot_ns() }
}
