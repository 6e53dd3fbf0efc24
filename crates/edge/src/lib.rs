//! Builds a running pipeline from a configuration: the only crate of the device that knows clocks, tasks and sockets.

mod batch;
mod exemplars;
mod pipeline;
mod recorder;

pub use batch::Batch;
pub use pipeline::{Counters, Pipeline};
