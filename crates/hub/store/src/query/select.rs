//! Series by their labels, with their points in a time, as columns: over heads and packs, for whoever evaluates them.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use columns::join::Part;
use columns::{Chunk, Matcher, join};

use super::{QueryError, Scoped, TimeRange, budget};
use crate::error::StoreError;
use crate::pack::{Descriptions, Kind as PackKind, Label, Pack, Question, chunk_of, each_chunk, labels_of};
use crate::rows::{Point, Series, find, value_text};

/// Most series that one query works on.
const MAX_SERIES: usize = 20_000;
/// Most points that one query works on.
const MAX_POINTS: usize = 4_000_000;
/// Bytes that a number takes as columns, and what a histogram's row takes beside its buckets.
const NUMBER_BYTES: usize = 48;
const ROW_BYTES: usize = 200;

/// A condition on a label.
pub struct LabelMatcher {
    /// The label, or several that stand for one: it is enough that one of them fits. A series that has none of them has the
    /// empty value.
    pub labels: Vec<Label>,
    /// The only value that fits, where there is only one.
    pub exact: Option<String>,
    /// Whether a value fits.
    pub fits: Box<dyn Fn(&str) -> bool + Send + Sync>,
}

impl LabelMatcher {
    /// The series of a metric.
    pub fn name(name: &str) -> Self {
        let wanted = name.to_owned();
        Self { labels: vec![Label::Name], exact: Some(wanted.clone()), fits: Box::new(move |value| value == wanted) }
    }

    /// Whether a series has a value that fits.
    pub fn takes(&self, series: &Series) -> bool {
        let mut values = self.labels.iter().filter_map(|label| match label {
            Label::Name => Some(series.name.clone()),
            Label::Device => Some(series.origin.device.to_string()),
            Label::Attribute(key) => find(&series.attributes, key).and_then(text_of),
            Label::Resource(key) => find(&series.origin.resource.attributes, key).and_then(text_of),
        });
        let mut is_there = false;
        let fits = values.any(|value| {
            is_there = true;
            (self.fits)(&value)
        });
        fits || (!is_there && (self.fits)(""))
    }
}

fn text_of(value: &opentelemetry_proto::tonic::common::v1::any_value::Value) -> Option<String> {
    value_text(&opentelemetry_proto::tonic::common::v1::AnyValue { value: Some(value.clone()) })
}

/// A series with its points.
#[derive(Debug, Clone)]
pub struct SelectedSeries {
    /// What it is.
    pub series: Arc<Series>,
    /// Its points in the order of time, one per time: of several the one that was taken in last.
    pub points: Chunk,
}

/// What was found of a series.
struct Found<'s> {
    series: Arc<Series>,
    heads: Vec<&'s Point>,
    parts: Vec<Part>,
}

/// What was found of all, within the bounds of a query.
struct Gathered<'s> {
    what: &'s str,
    series: HashMap<Vec<u8>, Found<'s>>,
    points: usize,
}

impl<'s> Gathered<'s> {
    fn of(&mut self, series: &Arc<Series>) -> &mut Found<'s> {
        self.series.entry(series.key.clone()).or_insert_with(|| Found {
            series: Arc::clone(series),
            heads: Vec::new(),
            parts: Vec::new(),
        })
    }

    /// Counts points; whether there may be more.
    fn count(&mut self, points: usize) -> bool {
        self.points += points;
        self.series.len() <= MAX_SERIES && self.points <= MAX_POINTS
    }

    fn finish(self) -> Result<Vec<SelectedSeries>, QueryError> {
        if self.series.len() > MAX_SERIES || self.points > MAX_POINTS {
            return Err(QueryError::new(
                format!("more than {MAX_SERIES} series or {MAX_POINTS} points of {} match", self.what),
                "ask for a shorter time or add match=key=value",
            ));
        }
        let mut selected: Vec<SelectedSeries> = Vec::with_capacity(self.series.len());
        for Found { series, heads, mut parts } in self.series.into_values() {
            if !heads.is_empty() {
                parts.push((0, chunk_of(heads)));
            }
            if let Some(points) = join(parts, false) {
                selected.push(SelectedSeries { series, points });
            }
        }
        selected.sort_unstable_by(|a, b| a.series.key.cmp(&b.series.key));
        Ok(selected)
    }
}

fn held_bytes(chunk: &Chunk) -> usize {
    match &chunk.values {
        columns::Values::Numbers(rows) => rows.len() * NUMBER_BYTES,
        columns::Values::Histograms(rows) => {
            rows.iter().map(|row| ROW_BYTES + 8 * (row.bounds.len() + row.buckets.len())).sum()
        }
        columns::Values::Exponentials(rows) => {
            let side = |side: &Option<columns::Buckets>| side.as_ref().map_or(0, |side| side.counts.len());
            rows.iter().map(|row| ROW_BYTES + 8 * (side(&row.positive) + side(&row.negative))).sum()
        }
        columns::Values::Summaries(rows) => rows.iter().map(|row| ROW_BYTES + 16 * row.quantiles.len()).sum(),
    }
}

impl Scoped<'_> {
    /// The series that all matchers take, with their points in `range`.
    ///
    /// # Errors
    /// [`QueryError`] when there are more than a query may work on.
    pub fn select(&self, matchers: &[LabelMatcher], range: TimeRange) -> Result<Vec<SelectedSeries>, QueryError> {
        self.select_wanted("the selector", matchers, range, &|_| true)
    }

    /// The same, of `what`, and only the series that are `wanted`.
    pub(super) fn select_wanted(
        &self,
        what: &str,
        matchers: &[LabelMatcher],
        range: TimeRange,
        wanted: &dyn Fn(&Series) -> bool,
    ) -> Result<Vec<SelectedSeries>, QueryError> {
        let snapshot = self.inner.snapshot();
        let mut gathered = Gathered { what, series: HashMap::new(), points: 0 };
        let wanted = |series: &Series| matchers.iter().all(|matcher| matcher.takes(series)) && wanted(series);
        for row in snapshot.frames.iter().flat_map(|frame| &frame.records.series) {
            if !wanted(&row.series) {
                continue;
            }
            let inside: Vec<&Point> = row.points.iter().filter(|point| range.contains(point.time())).collect();
            if inside.is_empty() {
                continue;
            }
            let goes_on = inside.iter().all(|point| budget::hold(point.held_bytes())) && gathered.count(inside.len());
            gathered.of(&row.series).heads.extend(inside);
            if !goes_on {
                return gathered.finish();
            }
        }
        let labels: Vec<Vec<Vec<u8>>> =
            matchers.iter().map(|matcher| matcher.labels.iter().map(Label::to_bytes).collect()).collect();
        let labels: Vec<Vec<&[u8]>> = labels.iter().map(|labels| labels.iter().map(Vec::as_slice).collect()).collect();
        let fits: Vec<_> =
            matchers.iter().map(|matcher| |value: &[u8]| (matcher.fits)(&String::from_utf8_lossy(value))).collect();
        let matchers: Vec<Matcher<'_>> = matchers
            .iter()
            .zip(&labels)
            .zip(&fits)
            .map(|((matcher, labels), fits)| Matcher {
                labels,
                exact: matcher.exact.as_ref().map(String::as_bytes),
                fits,
            })
            .collect();
        let question = Question { matchers: &matchers, range: (range.from, range.to), wanted: &wanted };
        let mut descriptions = Descriptions::default();
        let mut goes_on = true;
        for pack in snapshot.packs.iter().filter(|pack| pack.kind == PackKind::Metrics) {
            if !pack.overlaps(range.from, range.to) || !goes_on || !budget::goes_on() {
                continue;
            }
            let mut take = |series: &Arc<Series>, (order, chunk): Part| {
                let chunk = chunk.clip(range.from, range.to);
                goes_on = budget::hold(held_bytes(&chunk)) && gathered.count(chunk.len());
                if !chunk.is_empty() {
                    gathered.of(series).parts.push((order, chunk));
                }
                goes_on
            };
            for (number, error) in each_chunk(pack, &question, &mut descriptions, &mut take) {
                self.readable::<()>(pack, number, Err(error));
            }
            for (number, block) in pack.index.blocks.iter().enumerate() {
                if block.min_time >= range.to || block.max_time < range.from || !budget::goes_on() {
                    continue;
                }
                for row in self.readable(pack, Some(number), pack.series(number)) {
                    if wanted(&row.series) && !take(&row.series, (0, chunk_of(row.points.iter().collect()))) {
                        break;
                    }
                }
            }
        }
        gathered.finish()
    }

    /// The labels of the series of metrics (of packs: that lie in a pack which overlaps `range`).
    pub fn metric_labels(&self, range: TimeRange) -> BTreeSet<Label> {
        let mut found = BTreeSet::new();
        self.each_label(
            range,
            |pack, found: &mut BTreeSet<Label>| {
                let labels = pack.columns.as_ref().map(|columns| columns.labels(&**pack)).transpose();
                let labels = labels.map_err(|fault| pack.fault(fault))?.unwrap_or_default();
                found.extend(labels.iter().filter_map(|label| Label::from_bytes(label)));
                Ok(())
            },
            |label, _, found| {
                found.insert(label);
            },
            &mut found,
        );
        found
    }

    /// The values of a label (of packs: of those which overlap `range`).
    pub fn metric_label_values(&self, label: &Label, range: TimeRange) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        let bytes = label.to_bytes();
        self.each_label(
            range,
            |pack, found: &mut BTreeSet<String>| {
                let Some(columns) = &pack.columns else { return Ok(()) };
                let show = |value: &[u8], _| {
                    found.insert(String::from_utf8_lossy(value).into_owned());
                };
                columns.each_value(&**pack, &bytes, show).map_err(|fault| pack.fault(fault))
            },
            |other, value, found| {
                if other == *label {
                    found.insert(value);
                }
            },
            &mut found,
        );
        found
    }

    fn each_label<T>(
        &self,
        range: TimeRange,
        of_pack: impl Fn(&Arc<Pack>, &mut T) -> Result<(), StoreError>,
        of_row: impl Fn(Label, String, &mut T),
        found: &mut T,
    ) {
        let snapshot = self.inner.snapshot();
        let mut of_series = |series: &Series| {
            for (label, value) in labels_of(series) {
                if let (Some(label), Ok(value)) = (Label::from_bytes(&label), String::from_utf8(value)) {
                    of_row(label, value, found);
                }
            }
        };
        let mut seen = HashSet::new();
        for row in snapshot.frames.iter().flat_map(|frame| &frame.records.series) {
            if row.points.iter().any(|point| range.contains(point.time())) && seen.insert(&row.series.key) {
                of_series(&row.series);
            }
        }
        for pack in snapshot.packs.iter().filter(|pack| pack.kind == PackKind::Metrics) {
            if !pack.overlaps(range.from, range.to) || !budget::goes_on() {
                continue;
            }
            for number in 0..pack.index.blocks.len() {
                self.readable(pack, Some(number), pack.series(number)).iter().for_each(|row| of_series(&row.series));
            }
        }
        for pack in snapshot.packs.iter().filter(|pack| pack.kind == PackKind::Metrics) {
            if pack.overlaps(range.from, range.to) && budget::goes_on() {
                let read = of_pack(pack, found);
                self.readable(pack, None, read);
            }
        }
    }
}
