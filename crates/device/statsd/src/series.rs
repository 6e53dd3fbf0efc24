//! A series, and what its values came to.

use foldhash::fast::FixedState;
use hashbrown::HashSet;

use crate::line::Kind;

/// Upper bounds of the buckets of timers and histograms: those of OpenTelemetry's SDKs.
pub const BOUNDS: [f64; 15] =
    [0.0, 5.0, 10.0, 25.0, 50.0, 75.0, 100.0, 250.0, 500.0, 750.0, 1000.0, 2500.0, 5000.0, 7500.0, 10000.0];
/// Where a series stands in the order in which series are written.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) name: Box<str>,
    pub(crate) kind: Kind,
    /// Keys and values, sorted, each with a NUL behind it.
    pub(crate) tags: Box<str>,
}

/// What a series came to.
#[derive(Debug)]
pub(crate) enum Value {
    /// Its sum since its start, and whether it ever fell.
    Counter {
        sum: f64,
        fell: bool,
    },
    Gauge(f64),
    Histogram {
        count: u64,
        sum: f64,
        buckets: Box<[u64; BOUNDS.len() + 1]>,
    },
    /// Of this interval.
    Set(HashSet<u64, FixedState>),
}

/// A series.
#[derive(Debug)]
pub(crate) struct Series {
    pub(crate) value: Value,
    /// When it began, Unix nanoseconds.
    pub(crate) start_ns: u64,
    /// When a value came last, Unix nanoseconds.
    pub(crate) last_ns: u64,
}

impl Series {
    /// Whether nothing came of it since this time, Unix nanoseconds.
    pub(crate) fn is_idle(&self, since_ns: u64) -> bool {
        self.last_ns < since_ns
    }
}
