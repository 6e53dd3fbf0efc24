//! Records that gather for the lanes until they are encoded.

use model::Lane;
use model::otlp::{ScopeGroup, Selection};

use super::batch::Sections;
use super::own_lane::OwnLane;

/// Gathers records for the lanes.
#[derive(Default)]
pub(crate) struct Builder {
    /// Spans of kept traces.
    spans: Selection,
    /// Log records of kept traces.
    trace_log_records: Selection,
    /// Exemplars of kept traces: `ExemplarsData`.
    exemplars: Vec<u8>,
    /// Log records without a trace.
    log_records: Selection,
    /// Points: `MetricsData`.
    points: Vec<u8>,
    /// What goes into lanes of their own.
    lanes: Vec<(Lane, OwnLane)>,
}

impl Builder {
    /// Takes a span of a kept trace.
    pub(crate) fn span(&mut self, scope: &ScopeGroup<'_>, span: &[u8]) {
        self.spans.push(scope, span);
    }

    /// Takes a log record of a kept trace.
    pub(crate) fn trace_log_record(&mut self, scope: &ScopeGroup<'_>, record: &[u8]) {
        self.trace_log_records.push(scope, record);
    }

    /// Takes a log record that no decision covers.
    pub(crate) fn log_record(&mut self, scope: &ScopeGroup<'_>, record: &[u8]) {
        self.log_records.push(scope, record);
    }

    /// The `ExemplarsData` of kept traces, to be appended to.
    pub(crate) fn exemplars(&mut self) -> &mut Vec<u8> {
        &mut self.exemplars
    }

    /// The `MetricsData` of the metrics lane, or of a lane of its own, to be appended to.
    pub(crate) fn points(&mut self, lane: Option<Lane>) -> &mut Vec<u8> {
        match lane {
            None => &mut self.points,
            Some(lane) => self.own_lane(lane).points(),
        }
    }

    /// What is gathered for a lane of its own.
    pub(crate) fn own_lane(&mut self, lane: Lane) -> &mut OwnLane {
        let position = self.lanes.iter().position(|(other, _)| *other == lane).unwrap_or_else(|| {
            self.lanes.push((lane, OwnLane::default()));
            self.lanes.len() - 1
        });
        &mut self.lanes[position].1
    }

    /// About how many bytes it holds.
    pub(crate) fn bytes(&self) -> usize {
        self.spans.bytes()
            + self.trace_log_records.bytes()
            + self.exemplars.len()
            + self.log_records.bytes()
            + self.points.len()
            + self.lanes.iter().map(|(_, own)| own.bytes()).sum::<usize>()
    }

    /// The batches to be, by lane; lanes without content are left out.
    pub(super) fn into_lanes(self) -> Vec<(Lane, Sections)> {
        let Self { spans, trace_log_records, exemplars, log_records, points, lanes: own_lanes } = self;
        let mut lanes = Vec::with_capacity(own_lanes.len() + 3);
        lanes.extend(own_lanes.into_iter().map(|(lane, own)| (lane, own.into_sections())));
        let traces = Sections::gathered(&spans, &trace_log_records, Vec::new(), exemplars);
        drop((spans, trace_log_records));
        let logs = Sections::gathered(&Selection::default(), &log_records, Vec::new(), Vec::new());
        drop(log_records);
        let metrics = Sections::gathered(&Selection::default(), &Selection::default(), points, Vec::new());
        lanes.extend([(Lane::Traces, traces), (Lane::Logs, logs), (Lane::Metrics, metrics)]);
        lanes.retain(|(_, sections)| !sections.is_empty());
        lanes
    }
}
