//! The descriptor by which a pipeline is woken.

use std::{io, os::fd::OwnedFd};

use super::WAKE_ORDER;

/// Takes what was written to `wake`. Is it to end?
pub(super) fn stops(wake: &OwnedFd) -> io::Result<bool> {
    let mut bytes = [0; 64];
    if !readable(wake)? {
        return Ok(false);
    }
    let count = rustix::io::read(wake, &mut bytes)?;
    Ok(count == 0 || bytes[..count].iter().any(|byte| *byte != WAKE_ORDER))
}

fn readable(wake: &OwnedFd) -> io::Result<bool> {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let mut fds = [PollFd::new(wake, PollFlags::IN)];
    poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }))?;
    Ok(!fds[0].revents().is_empty())
}
