//! The watch keys in the kernel: exact maps, and the filter in front of them.

use std::{collections::HashMap as Mirror, net::IpAddr};

use aya::maps::{Array, HashMap, Map, MapData, MapError};
use tokenhound_common::{
    limits::MAX_FILE_IDS,
    record::FileId,
    watch::{Address, FileKey, FileWatch, Filter, NameKey, NameWatch, Role, Shape},
};

/// Why watch keys could not be set.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// A map of the object is not what it should be.
    #[error("open map `{name}`: {source}")]
    Open {
        /// Its name.
        name: &'static str,
        /// Why.
        source: MapError,
    },
    /// The kernel refused an update.
    #[error("update map `{name}`: {source}")]
    Update {
        /// Its name.
        name: &'static str,
        /// Why.
        source: MapError,
    },
    /// More files than the kernel's map can hold.
    #[error(
        "{0} watched files are too many (limit {MAX_FILE_IDS}); exclude directories or stores in the configuration"
    )]
    TooMany(usize),
}

/// What the kernel watches, mirrored here.
pub struct Keys {
    filter: Array<MapData, Filter>,
    file_ids: HashMap<MapData, FileKey, FileWatch>,
    name_keys: HashMap<MapData, NameKey, u32>,
    addresses: HashMap<MapData, Address, u32>,
    bits: Box<Filter>,
    files: Mirror<FileKey, FileWatch>,
}

impl Keys {
    /// Takes over the maps; nothing is watched yet.
    ///
    /// # Errors
    ///
    /// When a map has another type than expected.
    pub fn new(filter: Map, file_ids: Map, name_keys: Map, addresses: Map) -> Result<Self, KeysError> {
        let open = |name| move |source| KeysError::Open { name, source };
        Ok(Self {
            filter: filter.try_into().map_err(open("filter"))?,
            file_ids: file_ids.try_into().map_err(open("FILE_IDS"))?,
            name_keys: name_keys.try_into().map_err(open("NAME_KEYS"))?,
            addresses: addresses.try_into().map_err(open("ADDRESSES"))?,
            bits: Box::new(Filter::EMPTY),
            files: Mirror::new(),
        })
    }

    /// Sets the names to watch: their keys, and the filter's words for names and directories.
    ///
    /// # Errors
    ///
    /// When the kernel refuses an update.
    pub fn watch_names(&mut self, keys: &[(NameKey, NameWatch)], bits: &Filter) -> Result<(), KeysError> {
        for (key, watch) in keys {
            let inserted = self.name_keys.insert(key, watch.0, 0);
            inserted.map_err(|source| KeysError::Update { name: "NAME_KEYS", source })?;
        }
        let merge = |all: &mut [u8], new: &[u8]| all.iter_mut().zip(new).for_each(|(byte, new)| *byte |= new);
        merge(&mut self.bits.names, &bits.names);
        merge(&mut self.bits.parents, &bits.parents);
        merge(&mut self.bits.grandparents, &bits.grandparents);
        merge(&mut self.bits.tails, &bits.tails);
        self.publish()
    }

    /// Watches a file or directory, in addition to what is watched already. Returns whether it is new.
    ///
    /// # Errors
    ///
    /// When there is no room or the kernel refuses the update.
    pub fn watch(&mut self, id: FileId, flags: u32) -> Result<bool, KeysError> {
        let key = FileKey::of(id);
        let new = !self.files.contains_key(&key);
        if self.insert(key, FileWatch { generation: id.generation, flags })? {
            self.publish()?;
        }
        Ok(new)
    }

    /// Watches these files and directories, in addition to what is watched already.
    ///
    /// # Errors
    ///
    /// When there is no room or the kernel refuses an update.
    pub fn add(&mut self, more: &Mirror<FileKey, FileWatch>) -> Result<(), KeysError> {
        let inserted = more.iter().try_for_each(|(key, watch)| self.insert(*key, *watch).map(drop));
        self.publish()?;
        inserted
    }

    /// Returns whether something changed. The filter is published by the caller.
    fn insert(&mut self, key: FileKey, watch: FileWatch) -> Result<bool, KeysError> {
        let known = self.files.get(&key).copied();
        let watch = FileWatch { flags: watch.flags | known.map_or(0, |known| known.flags), ..watch };
        if known == Some(watch) {
            return Ok(false);
        }
        if known.is_none() && self.files.len() >= MAX_FILE_IDS as usize {
            return Err(KeysError::TooMany(self.files.len() + 1));
        }
        self.file_ids.insert(key, watch, 0).map_err(|source| KeysError::Update { name: "FILE_IDS", source })?;
        self.files.insert(key, watch);
        self.bits.add_file(key.inode);
        Ok(true)
    }

    /// Watches connections to an address. Those beyond [`tokenhound_common::limits::MAX_ADDRESSES`] are refused.
    ///
    /// # Errors
    ///
    /// When the kernel refuses the update.
    pub fn watch_address(&mut self, address: IpAddr, flags: u32) -> Result<(), KeysError> {
        let failed = |source| KeysError::Update { name: "ADDRESSES", source };
        self.addresses.insert(key_of(address), flags, 0).map_err(failed)
    }

    /// Stops watching an address.
    ///
    /// # Errors
    ///
    /// When the kernel refuses the update.
    pub fn forget_address(&mut self, address: IpAddr) -> Result<(), KeysError> {
        let failed = |source| KeysError::Update { name: "ADDRESSES", source };
        self.addresses.remove(&key_of(address)).map_err(failed)
    }

    /// Lets entries of directories with these names through to the exact match: the kernel looks at the id of a
    /// directory only if the filter knows its name.
    pub fn watch_directories(&mut self, names: impl IntoIterator<Item = impl AsRef<[u8]>>) {
        for name in names {
            self.bits.add_name(name.as_ref(), Role::Parent, Shape::PARENT);
        }
    }

    /// Replaces the whole set of files and directories, except canaries and cores.
    ///
    /// New ids are added before old ones go, so that nothing which stays is unwatched in between.
    ///
    /// # Errors
    ///
    /// When there are too many, or the kernel refuses an update.
    pub fn replace(&mut self, wanted: &Mirror<FileKey, FileWatch>) -> Result<(), KeysError> {
        if wanted.len() > MAX_FILE_IDS as usize {
            return Err(KeysError::TooMany(wanted.len()));
        }
        for (key, watch) in wanted {
            if self.files.get(key) != Some(watch) {
                self.file_ids.insert(key, watch, 0).map_err(|source| KeysError::Update { name: "FILE_IDS", source })?;
                self.files.insert(*key, *watch);
                self.bits.add_file(key.inode);
            }
        }
        self.publish()?;
        let stale: Vec<FileKey> = self
            .files
            .iter()
            .filter(|(key, watch)| {
                watch.flags & (FileWatch::CANARY | FileWatch::CORE) == 0 && !wanted.contains_key(key)
            })
            .map(|(key, _)| *key)
            .collect();
        for key in &stale {
            self.forget(*key)?;
        }
        self.bits.files = Filter::EMPTY.files;
        for key in self.files.keys().copied().collect::<Vec<_>>() {
            self.bits.add_file(key.inode);
        }
        self.publish()
    }

    /// Stops watching one id. Its place in the filter stays until the next [`Keys::replace`].
    ///
    /// # Errors
    ///
    /// When the kernel refuses the update.
    pub fn forget(&mut self, key: FileKey) -> Result<(), KeysError> {
        if self.files.remove(&key).is_some() {
            match self.file_ids.remove(&key) {
                Ok(()) | Err(MapError::KeyNotFound) => {}
                Err(source) => return Err(KeysError::Update { name: "FILE_IDS", source }),
            }
        }
        Ok(())
    }

    /// Whether the file itself is watched by id. The generation is not compared.
    #[must_use]
    pub fn watches(&self, key: FileKey) -> bool {
        self.files.get(&key).is_some_and(|watch| watch.flags & FileWatch::ITSELF != 0)
    }

    /// Files and directories watched by id.
    #[must_use]
    pub fn len(&self) -> usize {
        self.files.len()
    }

    /// Whether no file is watched by id.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    fn publish(&mut self) -> Result<(), KeysError> {
        self.filter.set(0, *self.bits, 0).map_err(|source| KeysError::Update { name: "filter", source })
    }
}

fn key_of(address: IpAddr) -> Address {
    Address::of(match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    })
}
