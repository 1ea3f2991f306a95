//! Reads the kernel's ring buffers.

use std::{io, os::fd::AsFd, time::Duration};

use aya::maps::{MapData, RingBuf};
use rustix::event::{PollFd, PollFlags, poll};

use crate::ingest::sequence::Ring;

/// Most records taken from one ring before the other one and the rest of the agent get their turn: a producer that
/// never pauses must not starve the reader.
pub const BATCH: usize = 1024;

/// How many records were taken from each ring.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drained {
    hits: usize,
    life: usize,
    trail: usize,
}

impl Drained {
    /// Whether there was nothing.
    #[must_use]
    pub const fn is_nothing(self) -> bool {
        self.hits + self.life + self.trail == 0
    }

    /// Whether a ring may hold more records that were written before this.
    #[must_use]
    pub const fn may_be_left(self, ring: Ring) -> bool {
        match ring {
            Ring::Hits => self.hits == BATCH,
            Ring::Life => self.life == BATCH,
            Ring::Trail => self.trail == BATCH,
        }
    }
}

/// All rings.
pub struct Rings {
    hits: RingBuf<MapData>,
    life: RingBuf<MapData>,
    trail: RingBuf<MapData>,
}

impl Rings {
    /// Takes the rings of a loaded object.
    #[must_use]
    pub fn new(hits: RingBuf<MapData>, life: RingBuf<MapData>, trail: RingBuf<MapData>) -> Self {
        Self { hits, life, trail }
    }

    /// Waits until a ring has records, `wake` becomes readable or `timeout` is over.
    ///
    /// # Errors
    ///
    /// When the kernel refuses to poll.
    pub fn wait(&self, wake: Option<&dyn AsFd>, timeout: Duration) -> io::Result<()> {
        let mut fds: Vec<_> =
            [&self.hits, &self.life, &self.trail].into_iter().map(|ring| PollFd::new(ring, PollFlags::IN)).collect();
        fds.extend(wake.map(|wake| PollFd::from_borrowed_fd(wake.as_fd(), PollFlags::IN)));
        let timeout = rustix::time::Timespec {
            tv_sec: timeout.as_secs().try_into().unwrap_or(i64::MAX),
            tv_nsec: timeout.subsec_nanos().into(),
        };
        match poll(&mut fds, Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Hands out up to [`BATCH`] records of each ring and returns how many there were. Process life comes last, so that
    /// its records that were written before a hit are in the same batch or an earlier one, unless some are left.
    pub fn drain(&mut self, mut take: impl FnMut(Ring, &[u8])) -> Drained {
        let hits = drain_one(&mut self.hits, |bytes| take(Ring::Hits, bytes));
        let trail = drain_one(&mut self.trail, |bytes| take(Ring::Trail, bytes));
        Drained { hits, trail, life: drain_one(&mut self.life, |bytes| take(Ring::Life, bytes)) }
    }
}

fn drain_one(ring: &mut RingBuf<MapData>, mut take: impl FnMut(&[u8])) -> usize {
    for count in 0..BATCH {
        match ring.next() {
            Some(record) => take(&record),
            None => return count,
        }
    }
    BATCH
}
