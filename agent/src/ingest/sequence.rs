//! Finds gaps in the per-CPU sequence numbers: records that the kernel wrote and nobody read.

use std::collections::HashMap;

use foldhash::fast::RandomState;
use tokenhound_common::record::Header;

/// A ring, for counting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ring {
    /// Opens of watched files.
    Hits = 0,
    /// Process life.
    Life = 1,
    /// What carriers do.
    Trail = 2,
}

impl Ring {
    /// As it is written in output.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hits => "hits",
            Self::Life => "life",
            Self::Trail => "trail",
        }
    }
}

/// Highest sequence number seen by ring and CPU.
#[derive(Debug, Default)]
pub struct Sequences {
    last: HashMap<(Ring, u32), u64, RandomState>,
    missing: HashMap<Ring, u64>,
}

impl Sequences {
    /// Notes a record and returns how many before it on its CPU are missing.
    ///
    /// The first record of a CPU sets the mark: what was written before the agent read is not a loss.
    pub fn note(&mut self, ring: Ring, header: &Header) -> u64 {
        let last = self.last.entry((ring, header.lane)).or_insert(header.sequence.saturating_sub(1));
        let missing = header.sequence.saturating_sub(*last).saturating_sub(1);
        *last = (*last).max(header.sequence);
        if missing > 0 {
            *self.missing.entry(ring).or_default() += missing;
        }
        missing
    }

    /// Records of `ring` that were missing so far.
    #[must_use]
    pub fn missing(&self, ring: Ring) -> u64 {
        self.missing.get(&ring).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(lane: u32, sequence: u64) -> Header {
        Header { lane, sequence, ..Header::default() }
    }

    #[test]
    fn counts_gaps_by_cpu_and_ring() {
        let mut sequences = Sequences::default();
        for (ring, cpu, sequence, missing) in [
            (Ring::Hits, 0, 5, 0),
            (Ring::Hits, 0, 6, 0),
            (Ring::Hits, 1, 1, 0),
            (Ring::Life, 0, 9, 0),
            (Ring::Hits, 0, 9, 2),
            (Ring::Hits, 1, 2, 0),
            (Ring::Life, 0, 11, 1),
        ] {
            assert_eq!(sequences.note(ring, &header(cpu, sequence)), missing, "{ring:?} {cpu} {sequence}");
        }
        assert_eq!((sequences.missing(Ring::Hits), sequences.missing(Ring::Life)), (2, 1));
    }
}
