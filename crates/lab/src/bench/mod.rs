//! Benchmarks: figures as JSON, with the limits they are held against.

mod footprint;
mod host;
mod load;
mod outage;
mod process;
mod wire;

pub(crate) use footprint::{FootprintArgs, footprint};
pub(crate) use outage::{OutageArgs, outage};
pub(crate) use wire::{WireArgs, wire_figures};
