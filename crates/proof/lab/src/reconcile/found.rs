//! What was found at the hub.

use crate::vessel::PlannedPoint;
use model::{SpanId, TraceId};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// One trace as stored.
#[derive(Debug, Clone, Default)]
pub(crate) struct FoundTrace {
    pub(crate) spans: BTreeSet<SpanId>,
    /// Rows, which are more than `spans` when one was stored twice.
    pub(crate) rows: u64,
}

/// One log row as stored.
#[derive(Debug, Clone)]
pub(crate) struct FoundLine {
    /// The vessel's id of the line, when the row has one.
    pub(crate) id: Option<String>,
    pub(crate) trace: Option<TraceId>,
}

/// One exemplar as stored.
#[derive(Debug, Clone)]
pub(crate) struct FoundExemplar {
    pub(crate) trace: TraceId,
    /// The hub's own word: `stored`, `on_device` or `missing`.
    pub(crate) state: String,
}

/// The series of one metric over steps of time.
#[derive(Debug, Clone, Default)]
pub(crate) struct FoundMetric {
    /// Where each step begins.
    pub(crate) times: Vec<u64>,
    pub(crate) series: Vec<FoundSeries>,
}

/// One series of a metric: its attributes, and the last value in each step.
#[derive(Debug, Clone, Default)]
pub(crate) struct FoundSeries {
    pub(crate) attributes: BTreeMap<String, String>,
    pub(crate) values: Vec<Option<f64>>,
}

/// Everything that was found.
#[derive(Debug, Clone, Default)]
pub(crate) struct Found {
    pub(crate) traces: HashMap<TraceId, FoundTrace>,
    pub(crate) lines: Vec<FoundLine>,
    pub(crate) exemplars: Vec<FoundExemplar>,
    pub(crate) metrics: BTreeMap<&'static str, FoundMetric>,
}

impl Found {
    /// Whether a point is there with its value.
    pub(crate) fn has_point(&self, point: &PlannedPoint) -> bool {
        let Some(metric) = self.metrics.get(point.metric) else { return false };
        let Some(index) = metric.times.partition_point(|time| *time <= point.time_ns).checked_sub(1) else {
            return false;
        };
        let series = metric.series.iter();
        series.filter(|series| is_series_of(series, point)).any(|series| {
            let value = series.values.get(index).copied().flatten();
            value.is_some_and(|value| (value - point.value).abs() < 1e-6)
        })
    }
}

fn is_series_of(series: &FoundSeries, point: &PlannedPoint) -> bool {
    point.attributes.iter().all(|(key, value)| series.attributes.get(*key) == Some(value))
}
