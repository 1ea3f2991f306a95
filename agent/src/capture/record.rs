//! Records for a capture: the bytes of the wire, without what the decoder does not let pass.
//!
//! Only sections that are known are written, and of them only what is used: what a kernel buffer held before never gets
//! into a file.

use std::os::unix::ffi::OsStrExt;

use tokenhound_common::record;
use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::ingest::observation::{Exec, Observation};

/// A record that the decoder took, but of which not all can be written: an argument list that does not fit any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong;

/// Appends the record `bytes`, which was decoded to `observation`, to `out`.
///
/// # Errors
/// When arguments or environment have become longer than a record can say.
pub fn clean(bytes: &[u8], observation: &Observation, out: &mut Vec<u8>) -> Result<(), TooLong> {
    match observation {
        Observation::Fork(_) => only::<record::Fork>(bytes, out),
        Observation::Exit(_) => only::<record::Exit>(bytes, out),
        Observation::Exec(exec) => return self::exec(bytes, exec, out),
        Observation::Open(_) => access(bytes, out),
        Observation::Change(_) => change(bytes, out),
    }
    Ok(())
}

fn head<T: FromBytes>(bytes: &[u8]) -> Option<T> {
    T::read_from_prefix(bytes).ok().map(|(head, _)| head)
}

/// The head `T` and nothing else.
fn only<T>(bytes: &[u8], out: &mut Vec<u8>) {
    // The decoder has seen that it is there.
    out.extend_from_slice(bytes.get(..size_of::<T>()).unwrap_or(bytes));
}

fn put(head: &(impl IntoBytes + Immutable), sections: &[&[u8]], out: &mut Vec<u8>) {
    out.extend_from_slice(head.as_bytes());
    sections.iter().for_each(|section| out.extend_from_slice(section));
}

/// What follows the head of a record, section by section.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn of<T>(bytes: &'a [u8]) -> Self {
        Self(bytes.get(size_of::<T>()..).unwrap_or_default())
    }

    fn take(&mut self, length: u16) -> &'a [u8] {
        let (section, rest) = self.0.split_at_checked(length.into()).unwrap_or((self.0, &[]));
        self.0 = rest;
        section
    }
}

/// The bytes up to and with the first NUL: behind it is what was there before.
fn text(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().position(|byte| *byte == 0).map_or(bytes.len(), |nul| nul + 1);
    &bytes[..end]
}

fn wipe(comm: &mut [u8]) {
    let end = text(comm).len();
    comm[end..].fill(0);
}

fn access(bytes: &[u8], out: &mut Vec<u8>) {
    let Some(mut head) = head::<record::Access>(bytes) else { return };
    wipe(&mut head.task.comm);
    put(&head, &[Rest::of::<record::Access>(bytes).take(head.path_len)], out);
}

fn change(bytes: &[u8], out: &mut Vec<u8>) {
    let Some(mut head) = head::<record::Change>(bytes) else { return };
    wipe(&mut head.task.comm);
    let mut rest = Rest::of::<record::Change>(bytes);
    let (path, mut other) = (rest.take(head.path_len), rest.take(head.other_len));
    if head.header.flags & record::Change::OTHER_IS_TEXT != 0 {
        other = text(other);
        head.other_len = other.len() as u16;
    }
    put(&head, &[path, other], out);
}

fn exec(bytes: &[u8], exec: &Exec, out: &mut Vec<u8>) -> Result<(), TooLong> {
    let Some(mut head) = head::<record::Exec>(bytes) else { return Ok(()) };
    wipe(&mut head.task.comm);
    let mut rest = Rest::of::<record::Exec>(bytes);
    let (path, cwd) = (rest.take(head.path_len), rest.take(head.cwd_len));
    let script = if exec.script.is_some() { text(rest.take(head.script_len)) } else { &[] };
    let mut args = Vec::new();
    for arg in &exec.args {
        args.extend_from_slice(arg.as_bytes());
        args.push(0);
    }
    let mut environment = Vec::new();
    for (name, value) in &exec.environment {
        environment.extend_from_slice(name.as_bytes());
        environment.push(b'=');
        environment.extend_from_slice(value.as_bytes());
        environment.push(0);
    }
    head.script_len = script.len() as u16;
    head.args_len = u16::try_from(args.len()).map_err(|_| TooLong)?;
    head.env_len = u16::try_from(environment.len()).map_err(|_| TooLong)?;
    put(&head, &[path, cwd, script, &args, &environment], out);
    Ok(())
}
