//! An attached program is not a live one: each must report a thing that we do on purpose.

use std::{
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use tokenhound_common::watch::FileWatch;

use crate::{
    ingest::{
        decode::{Decoded, Decoder},
        observation::Observation,
        sequence::Ring,
    },
    kernel::file_id,
    probe::{canary::Canary, load::Sensor, plan::Hook},
};

/// How long a probe has to report.
const DEADLINE: Duration = Duration::from_secs(3);

/// Outcome for one probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// Which.
    pub hook: Hook,
    /// `None` when it is live, otherwise what is wrong.
    pub failure: Option<String>,
}

/// Makes each probe prove itself. Records of others that arrive meanwhile are kept in [`Sensor::early`].
#[must_use]
pub fn prove(sensor: &mut Sensor, directory: &Path) -> Vec<Proof> {
    let canary = Canary::create(directory)
        .map_err(|error| format!("create the canary file in {}: {error}", directory.display()))
        .and_then(|canary| watch(sensor, &canary).map(|()| canary));
    let hooks = sensor.plan.hooks.clone();
    let child = provoke_life();
    let proofs = hooks
        .into_iter()
        .map(|hook| {
            let outcome = match (&canary, &child, hook) {
                (_, Err(error), Hook::Life { .. }) => Err(error.clone()),
                (_, Ok(pid), Hook::Life { program, .. }) => expect(sensor, |seen| is_life(seen, program, *pid)),
                (Err(error), ..) => Err(error.clone()),
                (Ok(canary), _, Hook::FileOpen) => provoke_open(sensor, canary, "openat"),
                (Ok(canary), _, Hook::Exit { call, .. }) => provoke_open(sensor, canary, call),
            };
            Proof { hook, failure: outcome.err() }
        })
        .collect();
    if let Ok(canary) = &canary
        && let Ok(id) = file_id::of(canary.path())
    {
        // The bit stays set until the next scan; the exact map no longer knows the file.
        let _ = sensor.keys.forget(tokenhound_common::watch::FileKey::of(id));
    }
    proofs
}

fn watch(sensor: &mut Sensor, canary: &Canary) -> Result<(), String> {
    let id = file_id::of(canary.path()).map_err(|error| format!("identify the canary file: {error}"))?;
    sensor.keys.watch(id, FileWatch::ITSELF | FileWatch::CANARY).map(drop).map_err(|error| error.to_string())
}

/// Starts a program that ends at once, and returns its pid.
fn provoke_life() -> Result<u32, String> {
    let mut child = Command::new("/proc/self/exe")
        .arg("--version")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| format!("start a child: {error}"))?;
    let pid = child.id();
    child.wait().map_err(|error| format!("wait for the child: {error}"))?;
    Ok(pid)
}

fn is_life(seen: &Decoded, program: &str, pid: u32) -> bool {
    match (&seen.observation, program) {
        (Observation::Fork(fork), "process_fork") => fork.child.tgid == pid,
        (Observation::Exec(exec), "process_exec") => exec.task.key.tgid == pid,
        (Observation::Exit(exit), "process_exit") => exit.process.tgid == pid,
        _ => false,
    }
}

fn provoke_open(sensor: &mut Sensor, canary: &Canary, call: &str) -> Result<(), String> {
    // Each call is answered by one record: those before it cannot answer for it. They all stay among the early ones,
    // or their sequence numbers would be missed later.
    let from = sensor.early.len();
    canary.open(call).map_err(|error| format!("open the canary file with {call}: {error}"))?;
    let own = std::process::id();
    find(
        sensor,
        from,
        |seen| matches!(&seen.observation, Observation::Open(open) if open.canary && open.task.key.tgid == own),
    )
}

/// Waits for a record, wherever it is among the early ones.
fn expect(sensor: &mut Sensor, wanted: impl Fn(&Decoded) -> bool) -> Result<(), String> {
    find(sensor, 0, wanted)
}

/// Waits for a record at `from` or later among the early ones.
fn find(sensor: &mut Sensor, from: usize, wanted: impl Fn(&Decoded) -> bool) -> Result<(), String> {
    let decoder = Decoder::default();
    let start = Instant::now();
    let mut examined = from;
    loop {
        let early = &mut sensor.early;
        sensor.rings.drain(|ring: Ring, bytes| early.push((ring, bytes.to_vec())));
        let matches = |bytes: &[u8]| decoder.decode(bytes).is_ok_and(|decoded| wanted(&decoded));
        if early[examined..].iter().any(|(_, bytes)| matches(bytes)) {
            return Ok(());
        }
        examined = early.len();
        let Some(left) = DEADLINE.checked_sub(start.elapsed()) else {
            return Err(format!("attached, but did not report within {} s", DEADLINE.as_secs()));
        };
        sensor.rings.wait(None, left).map_err(|error| format!("poll the rings: {error}"))?;
    }
}
