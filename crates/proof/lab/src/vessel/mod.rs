//! The simulated application on the vessel: four endpoints, virtual users, traces, logs and metrics over OTLP.

mod driver;
mod fate;
mod instruments;
mod line;
mod manifest;
mod profile;
mod span;

pub(crate) use driver::{Options, Totals, Vessel};
pub(crate) use fate::{Boundary, Fate, SLOW_NS};
pub(crate) use instruments::{DURATION, PlannedPoint};
pub(crate) use line::{LINE_ID, Line, NEXT_DURATION, lines_of};
pub(crate) use manifest::{Manifest, Request};
pub(crate) use profile::Ramp;
pub(crate) use span::{resource, scope, spans_of};

#[cfg(test)]
mod tests;
