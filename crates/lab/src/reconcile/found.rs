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

/// One series of a metric: its attributes, and the last value in each step of the grid that was asked for.
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
    /// The series of each metric, on the grid below.
    pub(crate) series: BTreeMap<&'static str, Vec<FoundSeries>>,
    pub(crate) grid_start_ns: u64,
    pub(crate) grid_step_ns: u64,
    /// Rows of points that were stored beyond one for each point delivered.
    pub(crate) surplus_points: u64,
}

impl Found {
    /// Whether a point is there with its value.
    pub(crate) fn has_point(&self, point: &PlannedPoint) -> bool {
        let Some(index) = point
            .time_ns
            .checked_sub(self.grid_start_ns)
            .and_then(|since| since.checked_div(self.grid_step_ns))
            .and_then(|index| usize::try_from(index).ok())
        else {
            return false;
        };
        let series = self.series.get(point.metric).into_iter().flatten();
        series.filter(|series| is_series_of(series, point)).any(|series| {
            let value = series.values.get(index).copied().flatten();
            value.is_some_and(|value| (value - point.value).abs() < 1e-6)
        })
    }
}

fn is_series_of(series: &FoundSeries, point: &PlannedPoint) -> bool {
    point.attributes.iter().all(|(key, value)| series.attributes.get(*key) == Some(value))
}
