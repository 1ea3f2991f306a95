//! Marks the structs that the agent writes into the kernel as plain bytes.
#![allow(unsafe_code)]

use crate::{
    fields::Offsets,
    watch::{Address, Carrier, FileKey, FileWatch, Filter, NameKey},
};

// SAFETY: all of them are `repr(C)`, made of integers and arrays of integers, without padding, and any bits are valid.
unsafe impl aya::Pod for Offsets {}
// SAFETY: as above.
unsafe impl aya::Pod for Filter {}
// SAFETY: as above.
unsafe impl aya::Pod for NameKey {}
// SAFETY: as above.
unsafe impl aya::Pod for FileKey {}
// SAFETY: as above.
unsafe impl aya::Pod for FileWatch {}
// SAFETY: as above.
unsafe impl aya::Pod for Address {}
// SAFETY: as above.
unsafe impl aya::Pod for Carrier {}
