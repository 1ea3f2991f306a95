//! One struct per fact: log line and metric together.
#[cfg(test)]
pub(crate) mod bless;
pub mod catalogue;
pub mod events;
pub mod http;
pub mod metrics;
