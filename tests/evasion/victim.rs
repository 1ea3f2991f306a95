//! A process that has a token in its environment and the store's content in its memory.

use std::{
    io::{BufRead, BufReader, Read},
    path::Path,
    process::{Child, Stdio},
};

use tokenhound_tests::evasion::{VICTIM_TOKEN, VICTIM_VARIABLE};

use crate::{
    place::{self, START},
    stop::{At, Outcome, fail},
    sys::role,
    tell,
};

/// Ended when dropped.
pub(crate) struct Victim {
    process: Child,
    /// Where the content lies in its memory.
    pub(crate) address: u64,
}

impl Victim {
    pub(crate) fn start(store: &Path) -> Outcome<Self> {
        let mut command = role("victim")?;
        command.arg(store).env(VICTIM_VARIABLE, VICTIM_TOKEN).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().at("start the victim")?;
        let mut line = String::new();
        let Some(output) = process.stdout.take() else { return fail("no output of the victim") };
        BufReader::new(output).read_line(&mut line).at("listen to the victim")?;
        let Ok(address) = line.trim().parse() else { return fail(format!("the victim said {line:?}")) };
        Ok(Self { process, address })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The victim's own part: reads the store, says where the content lies, stays until its input ends.
pub(crate) fn play(store: &Path) -> Outcome {
    let content = place::read(place::open(store)?)?;
    place::check(&content)?;
    println!("{}", content.as_ptr().addr());
    std::io::stdin().read_to_end(&mut Vec::new()).at("wait for the end of the input")?;
    // It is still there.
    place::check(&content)
}

/// The caller has looked into its victim and has these bytes of its memory.
pub(crate) fn got_memory(victim: &Victim, bytes: &[u8]) -> Outcome {
    if bytes.len() > START.len() {
        return fail("more than is compared");
    }
    tell::target(victim.pid());
    place::got(bytes)
}

/// The caller has these bytes of its victim's environment.
pub(crate) fn got_environment(victim: &Victim, bytes: &[u8]) -> Outcome {
    let wanted = format!("{VICTIM_VARIABLE}={VICTIM_TOKEN}");
    if !bytes.split(|byte| *byte == 0).any(|variable| variable == wanted.as_bytes()) {
        return fail("that is not the victim's environment");
    }
    tell::target(victim.pid());
    tell::reader();
    Ok(())
}
