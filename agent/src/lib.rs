//! tokenhound: who touched our tokens, was that the program the token was issued to, and where did the token go next?
//!
//! Data flows one way: `probe` (kernel programs) -> `ingest` (decode) -> `lineage` -> `detect` -> `finding` -> `sink`.
//! From a decoded observation to a finding everything is pure: time is the record's time and facts about files arrive
//! as inputs.

pub mod audit;
pub mod capture;
pub mod catalogue;
pub mod cli;
pub mod config;
pub mod container;
pub mod copies;
pub mod decoy;
pub mod detect;
pub mod finding;
pub mod history;
pub mod incident;
pub mod ingest;
pub mod kernel;
pub mod lineage;
pub mod outbox;
pub mod pipeline;
pub mod policy;
pub mod posture;
pub mod privilege;
pub mod probe;
pub mod readers;
pub mod sink;
pub mod state;
pub mod telemetry;
pub mod token;
pub mod trace;
pub mod yaml;
