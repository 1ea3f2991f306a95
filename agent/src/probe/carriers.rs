//! The kernel's marks on processes that carry the content of stores.

use aya::maps::{Array, HashMap, Map, MapData, MapError};
use tokenhound_common::{limits::CARRIES_NS, process::ProcessKey, watch::Carrier};

use crate::ingest::observation::KernelTime;

/// The map of marks. The kernel keeps it; the agent adds itself while it proves its probes.
pub struct Carriers {
    map: HashMap<MapData, u32, Carrier>,
    armed: Array<MapData, u32>,
}

impl Carriers {
    /// Takes over the maps.
    ///
    /// # Errors
    ///
    /// When they have other types than expected.
    pub fn new(map: Map, armed: Map) -> Result<Self, MapError> {
        Ok(Self { map: map.try_into()?, armed: armed.try_into()? })
    }

    /// Marks a process, as if it had read a store at `now`.
    ///
    /// # Errors
    ///
    /// When the kernel refuses.
    pub fn mark(&mut self, process: ProcessKey, now: KernelTime) -> Result<(), MapError> {
        let carrier = Carrier { start_ns: process.start_ns, until_ns: now.0.saturating_add(CARRIES_NS) };
        self.map.insert(process.tgid, carrier, 0)?;
        self.armed.set(0, 1, 0)
    }

    /// Takes marks away, and has the kernel ask no more where none is left.
    pub fn forget(&mut self, processes: impl IntoIterator<Item = ProcessKey>, now: KernelTime) {
        for process in processes {
            // That there is none is as good.
            let _ = self.map.remove(&process.tgid);
        }
        self.any(now);
    }

    /// Whether any process counts as a carrier at `now`. Where there is none the kernel need not ask any more.
    pub fn any(&mut self, now: KernelTime) -> bool {
        if self.is_any(now) {
            return true;
        }
        // One may come between the look and the end of asking.
        let stopped = self.armed.set(0, 0, 0);
        let any = self.is_any(now);
        let armed = if any { self.armed.set(0, 1, 0) } else { stopped };
        if let Err(error) = armed {
            tracing::warn!(%error, "whether the kernel asks for carriers could not be set");
        }
        any
    }

    fn is_any(&self, now: KernelTime) -> bool {
        self.map.iter().flatten().any(|(_, carrier)| carrier.until_ns > now.0)
    }
}
