//! Benchmarks: results as JSON, with the limits they are held against.

mod cost;
mod cpu;
mod false_positives;
mod footprint;
mod guard;
mod host;
mod hub;
mod load;
mod outage;
mod peers;
mod process;
mod sampling;
mod wire;

pub(crate) use cost::{CostArgs, CostResults, compare, cost};
pub(crate) use cpu::{CpuArgs, cpu};
pub(crate) use false_positives::{FalsePositiveArgs, false_positives};
pub(crate) use footprint::{FootprintArgs, footprint};
pub(crate) use guard::{GuardArgs, guard_results};
pub(crate) use host::{Host, commit};
pub(crate) use hub::{HubArgs, hub_results};
pub(crate) use outage::{OutageArgs, outage};
pub(crate) use process::{Memory, cpu_seconds};
pub(crate) use sampling::{SamplingArgs, sampling_results};
pub(crate) use wire::{WireArgs, wire_results};
