//! Exemplars, each with what is known of its trace (P5).

use std::collections::{BTreeMap, HashMap};

use model::{Lane, SpanId, TraceId};

use opentelemetry_proto::tonic::metrics::v1::exemplar::Value as Number;

use super::Scoped;
use super::red::is_error;
use super::{TimeRange, budget};
use crate::incoming::OTLP_DEVICE;
use crate::pack::Kind;
use crate::rows::{ExemplarRow, find_text};
use crate::view::Snapshot;

/// Which exemplars are asked for.
#[derive(Debug, Clone)]
pub struct ExemplarQuery {
    /// Their time.
    pub range: TimeRange,
    /// Of series of this service.
    pub service: Option<String>,
    /// Of series with this `span.name`.
    pub operation: Option<String>,
    /// Of this metric.
    pub name: Option<String>,
    /// From this device.
    pub device: Option<String>,
    /// For a chart: of each stretch of this many nanoseconds (counted from the epoch, so that they stay the same when the
    /// range moves) only the two highest, one among the errors and one among the rest.
    pub highest_per_ns: Option<u64>,
    /// At most this many: the newest.
    pub limit: usize,
}

/// What is known of an exemplar's trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExemplarState {
    /// It can be opened.
    Stored,
    /// The device still holds traces of that time.
    OnDevice,
    /// It is not here and will not come.
    Missing,
}

impl ExemplarState {
    /// The word of the API.
    pub fn name(self) -> &'static str {
        match self {
            ExemplarState::Stored => "stored",
            ExemplarState::OnDevice => "on_device",
            ExemplarState::Missing => "missing",
        }
    }
}

/// An exemplar and the state of its trace.
#[derive(Debug, Clone)]
pub struct FoundExemplar {
    /// The exemplar.
    pub row: ExemplarRow,
    /// What is known of its trace.
    pub state: ExemplarState,
}

/// The answer, by time.
#[derive(Debug, Clone, Default)]
pub struct ExemplarPage {
    /// The oldest first.
    pub exemplars: Vec<FoundExemplar>,
}

type Key = (u64, TraceId, SpanId, String, Vec<u8>);

/// The same exemplar that came twice (a producer's repeat) is one.
fn key(row: &ExemplarRow) -> Key {
    let span = SpanId::from_bytes(&row.exemplar.span_id).unwrap_or_default();
    let attributes = row.attributes.iter().flat_map(prost::Message::encode_to_vec).collect();
    (row.exemplar.time_unix_nano, row.trace_id().unwrap_or_default(), span, row.metric.clone(), attributes)
}

fn matches(query: &ExemplarQuery, row: &ExemplarRow) -> bool {
    query.range.contains(row.exemplar.time_unix_nano)
        && query.service.as_ref().is_none_or(|service| *service == row.origin.service)
        && query.name.as_ref().is_none_or(|name| *name == row.metric)
        && query.device.as_ref().is_none_or(|device| **device == *row.origin.device)
        && query
            .operation
            .as_ref()
            .is_none_or(|operation| find_text(&row.attributes, "span.name") == Some(operation.as_str()))
}

/// The value, for comparison; one without comes last.
fn value(row: &ExemplarRow) -> f64 {
    match row.exemplar.value {
        Some(Number::AsDouble(value)) if !value.is_nan() => value,
        Some(Number::AsInt(value)) => value as f64,
        _ => f64::NEG_INFINITY,
    }
}

/// What stays of the exemplars that match, within bounded memory.
struct Found<'q> {
    query: &'q ExemplarQuery,
    rows: BTreeMap<Key, ExemplarRow>,
    /// With `highest_per_ns`: the key of the row that stays, by stretch and whether it is an error.
    highest: BTreeMap<(u64, bool), (f64, Key)>,
}

impl Found<'_> {
    fn consider(&mut self, row: &ExemplarRow) {
        if !matches(self.query, row) {
            return;
        }
        let key = key(row);
        let Some(length) = self.query.highest_per_ns else {
            self.rows.insert(key, row.clone());
            if self.rows.len() > self.query.limit {
                self.rows.pop_first();
            }
            return;
        };
        let place = (row.exemplar.time_unix_nano / length.max(1), is_error(&row.attributes));
        let candidate = (value(row), key.clone());
        if let Some(former) = self.highest.get(&place) {
            // Of equals the later one: the answer does not depend on the order of reading.
            if former.0.total_cmp(&candidate.0).then_with(|| former.1.cmp(&candidate.1)).is_ge() {
                return;
            }
            self.rows.remove(&former.1);
        }
        self.highest.insert(place, candidate);
        self.rows.insert(key, row.clone());
        if self.highest.len() > self.query.limit
            && let Some((_, (_, oldest))) = self.highest.pop_first()
        {
            self.rows.remove(&oldest);
        }
    }
}

fn collect(store: Scoped<'_>, snapshot: &Snapshot, query: &ExemplarQuery) -> BTreeMap<Key, ExemplarRow> {
    let mut found = Found { query, rows: BTreeMap::new(), highest: BTreeMap::new() };
    let mut consider = |row: &ExemplarRow| found.consider(row);
    snapshot.frames.iter().flat_map(|frame| &frame.records.exemplars).for_each(&mut consider);
    for pack in snapshot.packs.iter().filter(|pack| pack.kind == Kind::Exemplars) {
        for (number, block) in pack.index.blocks.iter().enumerate() {
            if budget::goes_on() && block.min_time < query.range.to && block.max_time >= query.range.from {
                store.readable(pack, Some(number), pack.exemplars(number)).iter().for_each(&mut consider);
            }
        }
    }
    found.rows
}

impl Scoped<'_> {
    /// Finds exemplars; of more than `limit` the newest.
    pub fn exemplars(&self, query: &ExemplarQuery) -> ExemplarPage {
        // The exemplars are looked at before the traces: a trace that comes between the two only helps.
        let found = collect(*self, &self.inner.snapshot(), query);
        let frontiers: HashMap<String, u64> = {
            let registry = self.inner.registry();
            let devices = registry.devices().filter(|device| device.name != OTLP_DEVICE);
            devices
                .map(|device| {
                    (device.name.clone(), device.lane(Lane::Traces).map_or(u64::MAX, |lane| lane.complete_to))
                })
                .collect()
        };
        let mut known: HashMap<TraceId, bool> = HashMap::new();
        let exemplars = found.into_values().map(|row| {
            let trace = row.trace_id();
            let is_stored = trace.is_some_and(|trace| *known.entry(trace).or_insert_with(|| self.has_trace(trace)));
            let time = row.exemplar.time_unix_nano;
            let state = if is_stored {
                ExemplarState::Stored
            } else if trace.is_some() && frontiers.get(&*row.origin.device).is_some_and(|frontier| time > *frontier) {
                ExemplarState::OnDevice
            } else {
                ExemplarState::Missing
            };
            FoundExemplar { row, state }
        });
        ExemplarPage { exemplars: exemplars.collect() }
    }
}
