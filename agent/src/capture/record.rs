//! Records for a capture: the bytes of the wire, without what the decoder does not let pass.
//!
//! Only sections that are known are written, and of them only what is used: what a kernel buffer held before never gets
//! into a file.

use tokenhound_common::{limits::ANSWER_BYTES, record};
use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::ingest::{
    answer,
    observation::{Answer, Exec, Observation},
};

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
        Observation::Connect(_) => connect(bytes, out),
        Observation::Dump(_) => dump(bytes, out),
        Observation::Written(_) => written(bytes, out),
        Observation::Answer(of) => answer(bytes, of, out),
    }
    Ok(())
}

/// The record with another sequence number.
#[must_use]
pub(super) fn renumbered(bytes: &[u8], sequence: u64) -> Vec<u8> {
    let Some(mut header) = head::<record::Header>(bytes) else { return bytes.to_vec() };
    header.sequence = sequence;
    [header.as_bytes(), bytes.get(size_of::<record::Header>()..).unwrap_or_default()].concat()
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
    let mut rest = Rest::of::<record::Access>(bytes);
    let (path, root) = (rest.take(head.path_len), rest.take(head.root_len));
    put(&head, &[path, root], out);
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

fn connect(bytes: &[u8], out: &mut Vec<u8>) {
    let Some(mut head) = head::<record::Connect>(bytes) else { return };
    wipe(&mut head.task.comm);
    put(&head, &[Rest::of::<record::Connect>(bytes).take(head.path_len)], out);
}

fn written(bytes: &[u8], out: &mut Vec<u8>) {
    let Some(mut head) = head::<record::Written>(bytes) else { return };
    wipe(&mut head.task.comm);
    let mut rest = Rest::of::<record::Written>(bytes);
    let (path, root) = (rest.take(head.path_len), rest.take(head.root_len));
    put(&head, &[path, root], out);
}

/// A message of our own that says what was understood of it, and nothing else that it held.
fn answer(bytes: &[u8], of: &Answer, out: &mut Vec<u8>) {
    let Some(mut head) = head::<record::Answer>(bytes) else { return };
    wipe(&mut head.task.comm);
    let mut message = answer::build(&of.name, &of.addresses).unwrap_or_default();
    message.truncate(ANSWER_BYTES);
    head.bytes_len = message.len() as u16;
    put(&head, &[&message], out);
}

fn dump(bytes: &[u8], out: &mut Vec<u8>) {
    let Some(head) = head::<record::Dump>(bytes) else { return };
    put(&head, &[Rest::of::<record::Dump>(bytes).take(head.cwd_len)], out);
}

fn exec(bytes: &[u8], exec: &Exec, out: &mut Vec<u8>) -> Result<(), TooLong> {
    let Some(mut head) = head::<record::Exec>(bytes) else { return Ok(()) };
    wipe(&mut head.task.comm);
    let mut rest = Rest::of::<record::Exec>(bytes);
    let (path, cwd) = (rest.take(head.path_len), rest.take(head.cwd_len));
    let script = if exec.texts.script().is_some() { text(rest.take(head.script_len)) } else { &[] };
    let (args, environment) = (exec.texts.args_bytes(), exec.texts.environment_bytes());
    head.script_len = script.len() as u16;
    head.args_len = u16::try_from(args.len()).map_err(|_| TooLong)?;
    head.env_len = u16::try_from(environment.len()).map_err(|_| TooLong)?;
    put(&head, &[path, cwd, script, args, environment], out);
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::{collections::HashSet, path::Path};

    use super::*;
    use crate::ingest::{decode::Decoder, texts::Texts};

    const SECRET: &[u8] = b"gho_111111111111111111111111111111111111";

    fn bytes(head: &(impl IntoBytes + Immutable), sections: &[&[u8]]) -> Vec<u8> {
        let mut bytes = Vec::new();
        put(head, sections, &mut bytes);
        // What a buffer held before.
        bytes.extend_from_slice(SECRET);
        bytes
    }

    fn header(kind: record::Kind, flags: u16) -> record::Header {
        record::Header { kind: kind.0, flags, lane: 3, sequence: 7, time_ns: 5_000 }
    }

    fn task() -> record::Task {
        let mut task = record::Task { uid: 1000, tty: 5, ..record::Task::default() };
        task.comm = *b"cat\0gho_1111111\0";
        task
    }

    /// A capture's decoder makes of the clean record what the live one made of the record, and nothing that the live one
    /// did not let pass is in it.
    fn check(live: &[u8]) {
        let mut decoder = Decoder::new(HashSet::from(["HOME".to_owned(), "AWS_CONFIG_FILE".to_owned()]));
        let seen = decoder.decode(live).unwrap();
        let mut clean = Vec::new();
        super::clean(live, &seen.observation, &mut clean).unwrap();
        let again = Decoder::of_capture().decode(&clean).unwrap();
        assert_eq!(again.observation, seen.observation);
        assert_eq!(again.header.as_bytes(), seen.header.as_bytes());
        assert!(!clean.windows(8).any(|part| SECRET.windows(8).any(|secret| secret == part)), "{clean:?}");
    }

    #[test]
    fn life() {
        check(&bytes(&record::Fork { header: header(record::Kind::FORK, 0), ..record::Fork::default() }, &[]));
        check(&bytes(&record::Exit { header: header(record::Kind::EXIT, 0), ..record::Exit::default() }, &[]));
    }

    #[test]
    fn programs() {
        let secret = String::from_utf8(SECRET.to_vec()).unwrap();
        let lines: [(&str, u16); 6] = [
            ("", 0),
            ("\0", 0),
            ("curl\0-H\0Authorization: Bearer SECRET\0--data\0\0x\0", 0),
            ("sh\0-c\0cat SECRE", record::Exec::ARGS_TRUNCATED),
            ("a\0b\0", record::Exec::ARGS_TRUNCATED | record::Exec::ENV_TRUNCATED),
            ("\u{fffd}\0", record::Exec::SCRIPT | record::Exec::ARGS_UNREADABLE),
        ];
        for (args, flags) in lines {
            let args = args.replace("SECRET", &secret).replace("SECRE", &secret[..secret.len() - 1]);
            for environment in ["", "HOME=/h\0GH_TOKEN=SECRET\0AWS_CONFIG_FILE=\0x\0", "HOME=/h\0TOKEN=SECR"] {
                let environment = environment.replace("SECR", &secret);
                let (path, cwd) = (b"python3\0bin\0usr\0".as_slice(), b"h\0".as_slice());
                let script = [b"./x.py\0".as_slice(), SECRET].concat();
                let head = record::Exec {
                    header: header(record::Kind::EXEC, flags),
                    task: task(),
                    path_len: path.len() as u16,
                    cwd_len: cwd.len() as u16,
                    script_len: script.len() as u16,
                    args_len: args.len() as u16,
                    env_len: environment.len() as u16,
                    ..record::Exec::default()
                };
                check(&bytes(&head, &[path, cwd, &script, args.as_bytes(), environment.as_bytes()]));
            }
        }
    }

    #[test]
    fn hits() {
        let (path, root) = (b"hosts.yml\0gh\0jail\0srv\0".as_slice(), b"jail\0srv\0".as_slice());
        for (flags, root) in [(0, root), (record::Access::PATH_TRUNCATED | record::Access::UNLINKED, &[])] {
            let head = record::Access {
                header: header(record::Kind::ACCESS, flags),
                task: task(),
                object: record::Object::FILE.0,
                way: record::Way::RECEIVE.0,
                path_len: path.len() as u16,
                root_len: root.len() as u16,
                ..record::Access::default()
            };
            check(&bytes(&head, &[path, root]));
            let head = record::Written {
                header: header(record::Kind::WRITTEN, flags),
                task: task(),
                moment: record::Moment::ENDED.0,
                path_len: path.len() as u16,
                root_len: root.len() as u16,
                ..record::Written::default()
            };
            check(&bytes(&head, &[path, root]));
        }
        let text = [b"../hosts.yml\0".as_slice(), SECRET].concat();
        for (what, flags, other) in [
            (record::What::SYMLINK, record::Change::OTHER_IS_TEXT, &text[..]),
            (record::What::RENAME, record::Change::OTHER_IN_FILE_SYSTEM, b"x\0h\0"),
            (record::What::UNLINK, record::Change::PATH_TRUNCATED, b""),
        ] {
            let head = record::Change {
                header: header(record::Kind::CHANGE, flags),
                task: task(),
                what: what.0,
                path_len: path.len() as u16,
                other_len: other.len() as u16,
                ..record::Change::default()
            };
            check(&bytes(&head, &[path, other]));
        }
        let message = answer::build("api.invalid", &["203.0.113.7".parse().unwrap()]).unwrap();
        let message = [&message, SECRET].concat();
        let head = record::Answer {
            header: header(record::Kind::ANSWER, 0),
            task: task(),
            bytes_len: message.len() as u16,
            ..record::Answer::default()
        };
        check(&bytes(&head, &[&message]));
    }

    #[test]
    fn arguments_that_do_not_fit_any_more_are_not_cut_in_silence() {
        let head = record::Exec { header: header(record::Kind::EXEC, 0), ..record::Exec::default() };
        let mut seen = Decoder::default().decode(head.as_bytes()).unwrap();
        let Observation::Exec(exec) = &mut seen.observation else { panic!() };
        exec.texts = Texts::new(Path::new(""), Path::new(""), None, ["x".repeat(70_000).as_str()], []);
        let mut out = Vec::new();
        assert_eq!(clean(head.as_bytes(), &seen.observation, &mut out), Err(TooLong));
        assert!(out.is_empty());
    }
}
