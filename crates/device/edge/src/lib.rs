//! Builds a running pipeline from a configuration: the only crate of the device that knows clocks, tasks and sockets.

mod access;
mod admin;
mod admin_body;
mod admission;
mod agent;
mod batch;
mod build;
mod carry_out;
mod clock;
mod commands;
mod dead_letters;
#[cfg(feature = "sink-otlp")]
mod deliver_otlp;
mod descriptors;
mod destination_status;
mod door;
mod drain;
mod error;
mod exemplars;
mod fetch;
mod fetch_orders;
mod gate;
mod greeting;
mod intake;
mod io;
mod lanes;
mod log;
mod marks;
mod memory;
#[cfg(feature = "mutants")]
mod mutants;
mod outage;
mod parts;
mod pipeline;
mod policies;
mod pressure;
#[cfg(test)]
mod pressure_tests;
mod probe;
#[cfg(test)]
mod renewal_tests;
mod repeats;
mod replay;
mod replay_files;
mod reserve;
mod resume;
mod run;
#[cfg(test)]
mod stall_tests;
mod starting;
mod status;
mod status_intake;
mod take;
mod tell;
mod thinning;
mod undecided;
mod vault;
mod why;

pub use admission::Admitted;
pub use batch::Batch;
pub use build::{check, journal_options};
pub use clock::Clock;
pub use dead_letters::{DeadLetter, DeadLetterCounts};
pub use error::StartError;
pub use fetch::{Fetched, NotTaken, Source, Standing, trace_of};
pub use lanes::LaneRules;
pub use outage::{Rates, outage};
pub use pipeline::{Counters, Pipeline, Rules};
pub use pressure::{LaneStanding, Watermarks};
pub use probe::connect;
pub use replay::replay;
pub use resume::Resumed;
pub use run::{SOCKET, run};
pub use vault::{Committed, Opened, Range, Rider, State, Vault};
pub use why::why;
