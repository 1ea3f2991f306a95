//! How much work each loaded program was for the kernel's verifier.
//!
//! A program that the verifier walks in ten times the instructions of yesterday is close to being refused by some
//! kernel. So the counts are kept in a table, and a test compares (`docs/verifier.md`).

use aya::programs::ProgramError;

use super::load::Sensor;

/// What was counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// Instructions that the verifier processed on all paths. Linux 5.16 and later tell.
    Processed,
    /// Instructions of the program as the kernel keeps it, for kernels that do not tell what the verifier did.
    Kept,
}

impl Measure {
    /// As it is written in output.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Processed => "processed",
            Self::Kept => "kept",
        }
    }
}

/// The count of one program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Count {
    /// Its name in our object.
    pub program: String,
    /// What was counted.
    pub measure: Measure,
    /// How many instructions.
    pub instructions: u32,
}

impl Sensor {
    /// The counts of all programs that are loaded, by name.
    ///
    /// # Errors
    ///
    /// When the kernel does not tell about a program of ours.
    pub fn verifier_counts(&self) -> Result<Vec<Count>, ProgramError> {
        /// Bytes of one instruction (`struct bpf_insn`).
        const INSTRUCTION: u32 = 8;
        let mut counts = Vec::new();
        for (program, loaded) in self.ebpf.programs() {
            let info = match loaded.info() {
                Ok(info) => info,
                Err(ProgramError::NotLoaded) => continue,
                Err(error) => return Err(error),
            };
            let (measure, instructions) = match (info.verified_instruction_count(), info.size_translated()) {
                (Some(count), _) => (Measure::Processed, count),
                (None, bytes) => (Measure::Kept, bytes.unwrap_or(0) / INSTRUCTION),
            };
            counts.push(Count { program: program.to_owned(), measure, instructions });
        }
        counts.sort_by(|a, b| a.program.cmp(&b.program));
        Ok(counts)
    }
}
