//! Builds a running pipeline from a configuration: the only crate of the device that knows clocks, tasks and sockets.

mod access;
mod admin;
mod admin_body;
mod agent;
mod build;
mod clock;
mod commands;
mod commits;
mod consumers;
mod core_dumps;
mod dead_letters;
mod delivery;
mod descriptors;
mod destinations;
mod disk_state;
mod disk_thread;
mod doctor;
mod error;
mod exposition;
mod feeds;
mod fetch_requests;
#[cfg(feature = "source-files")]
mod files;
mod gate;
mod guarding;
mod heart;
#[cfg(feature = "source-host")]
mod hosting;
mod intake;
mod limiting;
#[cfg(any(feature = "source-files", feature = "stream-lines"))]
mod lines;
mod listeners;
mod log;
mod memory;
#[cfg(feature = "mutants")]
mod mutants;
mod opening;
mod outlets;
mod own_telemetry;
mod policies;
#[cfg(test)]
mod pressure_tests;
mod probe;
#[cfg(feature = "source-exec")]
mod programs;
mod reading;
mod remaining_file;
mod remote_writing;
mod renewal;
#[cfg(test)]
mod renewal_tests;
mod replay;
mod replay_files;
mod resume;
mod run;
#[cfg(feature = "source-prometheus")]
mod scraping;
mod shared;
mod sockets;
#[cfg(test)]
mod stall_tests;
#[cfg(feature = "source-stdin")]
mod standard_input;
mod starting;
#[cfg(feature = "source-statsd")]
mod statsd;
mod status;
mod storage;
#[cfg(feature = "system-logs")]
mod system_logs;
mod tell;
mod thinning;
mod why;

pub use build::{check, journal_options, storage_options};
pub use clock::Clock;
pub use core_dumps::forbid_core_dumps;
pub use dead_letters::{DeadLetter, DeadLetterCounts};
pub use disk_state::{Committed, DiskState, DiskStatus, Opened, Passed};
pub use doctor::{Diagnosis, doctor};
pub use error::StartError;
pub use guarding::{exception_file, guard};
pub use memory::cut_program_pages;
pub use probe::connect;
pub use replay::replay;
pub use run::{SOCKET, run};
pub use storage::{StorageOptions, renew};
pub use why::why;
