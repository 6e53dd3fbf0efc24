//! Benchmarks: figures as JSON, with the limits they are held against.

mod footprint;
mod host;
mod load;
mod process;

pub(crate) use footprint::{FootprintArgs, footprint};
