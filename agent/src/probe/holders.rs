//! The kernel's marks on processes that have a watched file open.

use aya::maps::{HashMap, Map, MapData, MapError};
use tokenhound_common::process::ProcessKey;

/// The map of marks. The kernel keeps it; the agent adds those who had a file open before it started.
pub struct Holders {
    map: HashMap<MapData, u32, u64>,
}

impl Holders {
    /// Takes over the map.
    ///
    /// # Errors
    ///
    /// When it has another type than expected.
    pub fn new(map: Map) -> Result<Self, MapError> {
        Ok(Self { map: map.try_into()? })
    }

    /// Marks a process.
    ///
    /// # Errors
    ///
    /// When the map is full or the kernel refuses.
    pub fn mark(&mut self, process: ProcessKey) -> Result<(), MapError> {
        self.map.insert(process.tgid, process.start_ns, 0)
    }

    /// The marked processes. One that ends while the map is read may be left out or come twice.
    pub fn marked(&self) -> impl Iterator<Item = ProcessKey> {
        self.map.iter().flatten().map(|(tgid, start_ns)| ProcessKey::new(start_ns, tgid))
    }
}
