//! From accesses to findings.
pub mod access;
pub mod agent_socket_access;
pub mod change;
pub mod credential_sweep;
pub mod decoy_read;
pub mod engine;
#[cfg(test)]
pub(crate) mod fixtures;
pub mod injected_reader;
pub mod judge;
pub mod lifecycle;
pub mod process_inspection;
mod ps_arguments;
pub mod reader_changed;
pub mod recent;
pub mod repeats;
pub mod secret_in_arguments;
pub mod sensor_degraded;
pub mod severity;
pub mod stale_token;
pub mod store_exposed;
pub mod token_outlived_session;
pub mod token_printed;
pub mod token_reused_by_automation;
pub mod unexpected_reader;
pub(crate) mod words;
