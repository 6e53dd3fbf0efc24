//! The host as OTLP metrics, sans-IO: texts of `/proc` and `/sys` in, an export request out, under the names of OpenTelemetry's semantic
//! conventions ([sources.md](../../../docs/sources.md#host)).
//!
//! | module | concept |
//! |---|---|
//! | [`Round`] | one round: what is told of each part of the host |
//! | `kernel` | processor, load, memory, paging, pressure, uptime, processes |
//! | `devices` | disks, file systems, interfaces |
//! | `hardware` | temperatures, fans, power supplies, flash |
//! | `programs` | processes that are chosen by name |
//! | [`Filter`] | which devices are left out |
//! | `writer` | metrics as OTLP, into one buffer |
//!
//! A [`Round`] keeps its buffer: once it is as large as it becomes, a round allocates nothing.

mod devices;
mod filter;
mod hardware;
mod kernel;
mod programs;
mod round;
mod writer;

pub use devices::FileSystem;
pub use filter::Filter;
pub use hardware::{Power, Sensor};
pub use programs::Programs;
pub use round::Round;
