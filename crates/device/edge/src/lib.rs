//! Builds a running pipeline from a configuration: the only crate of the device that knows clocks, tasks and sockets.

mod access;
mod admin;
mod admin_body;
mod agent;
mod build;
mod clock;
mod commands;
mod commits;
mod dead_letters;
#[cfg(feature = "sink-otlp")]
mod deliver_otlp;
mod descriptors;
mod destination_status;
mod disk_state;
mod disk_thread;
mod drain;
mod error;
mod fetch_requests;
mod gate;
mod greeting;
mod intake;
mod log;
mod memory;
#[cfg(feature = "mutants")]
mod mutants;
mod outage;
mod policies;
#[cfg(test)]
mod pressure_tests;
mod probe;
mod remaining_file;
#[cfg(test)]
mod renewal_tests;
mod replay;
mod replay_files;
mod resume;
mod run;
#[cfg(test)]
mod stall_tests;
mod starting;
mod status;
mod status_intake;
mod storage;
mod tell;
mod thinning;
mod why;

pub use build::{check, journal_options, storage_options};
pub use clock::Clock;
pub use dead_letters::{DeadLetter, DeadLetterCounts};
pub use disk_state::{Committed, DiskState, DiskStatus, Opened, Range};
pub use error::StartError;
pub use outage::{Rates, outage};
pub use probe::connect;
pub use replay::replay;
pub use run::{SOCKET, run};
pub use storage::{StorageOptions, renew};
pub use why::why;
