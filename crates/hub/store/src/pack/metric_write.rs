//! Metrics into a pack of columns: from rows, and from other packs series by series, so that a merge holds one series at a
//! time.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use columns::{Chunk, Entry, Writer, join};

use super::catalog::Catalog;
use super::description::{Descriptions, describe, labels_of};
use super::format::{HEAD_LEN, ServiceEntry};
use super::points::chunk_of;
use super::read::Pack;
use super::write::PackWriter;
use crate::error::StoreError;
use crate::rows::{Point, Series, SeriesRow, find_text};

/// The metric whose series name services and operations before any sampling.
const CALLS: &str = "traces.span.metrics.calls";
/// Bytes that are gathered before they are written.
const WRITE_BYTES: usize = 1 << 20;

/// The points of each series, by its key.
#[derive(Debug, Default)]
pub(crate) struct MetricRows<'a> {
    series: HashMap<&'a [u8], (&'a Arc<Series>, Vec<&'a Point>)>,
    /// The places in the order of intake of the frames that they came in; rising, but for repeats.
    orders: Vec<u64>,
    /// Whether each point keeps its place in the order of intake.
    with_orders: bool,
}

impl<'a> MetricRows<'a> {
    /// The rows of packs of the first hubs, whose places in the order of intake may lie between those of other packs.
    pub(crate) fn with_orders(rows: &'a [SeriesRow]) -> Self {
        let mut all = Self { with_orders: true, ..Self::default() };
        for row in rows {
            row.points.iter().for_each(|point| all.add(&row.series, point));
        }
        all
    }

    /// Takes a point of a series.
    pub(crate) fn add(&mut self, series: &'a Arc<Series>, point: &'a Point) {
        let entry = self.series.entry(&series.key).or_insert_with(|| (series, Vec::new()));
        entry.1.push(point);
        if self.orders.last() != Some(&point.order) {
            self.orders.push(point.order);
        }
    }
}

/// Where series go.
struct Builder<'w> {
    pack: &'w mut PackWriter,
    columns: Writer,
    catalog: Catalog,
}

impl<'w> Builder<'w> {
    fn new(pack: &'w mut PackWriter) -> Self {
        Self { pack, columns: Writer::new(HEAD_LEN), catalog: Catalog::default() }
    }

    fn add(&mut self, series: &Series, description: &[u8], chunk: Chunk) -> Result<(), StoreError> {
        let (Some(first), Some(last)) = (chunk.times.first().copied(), chunk.times.last().copied()) else {
            return Ok(());
        };
        let operation = (series.name == CALLS).then(|| find_text(&series.attributes, "span.name")).flatten();
        self.catalog.note(&series.origin.service, operation, &series.origin.device);
        self.pack.note_times(first, last);
        self.pack.note_metric(series);
        let labels = labels_of(series);
        let labels = labels.iter().map(|(label, value)| (label.as_slice(), value.as_slice()));
        let sorted = self.columns.add(&series.key, description, labels, chunk);
        sorted.map_err(|error| StoreError::Row { keyspace: "packs", what: error.to_string() })?;
        if self.columns.pending() >= WRITE_BYTES {
            self.pack.put(&self.columns.take())?;
        }
        Ok(())
    }

    fn finish(self) -> Result<Vec<ServiceEntry>, StoreError> {
        let (rest, directory) = self.columns.finish();
        self.pack.put(&rest)?;
        self.pack.set_columns(&directory);
        Ok(self.catalog.finish())
    }
}

/// Writes rows.
pub(super) fn write_rows(pack: &mut PackWriter, rows: MetricRows<'_>) -> Result<Vec<ServiceEntry>, StoreError> {
    pack.note_orders(rows.orders.iter().copied());
    let mut series: Vec<_> = rows.series.into_values().collect();
    series.sort_unstable_by(|a, b| a.0.key.cmp(&b.0.key));
    let mut builder = Builder::new(pack);
    for (series, points) in series {
        let mut chunk = chunk_of(points);
        if !rows.with_orders {
            chunk.orders = None;
        }
        builder.add(series, &describe(series), chunk)?;
    }
    builder.finish()
}

/// The series of a pack, one after the other.
struct SeriesOf<'p> {
    pack: &'p Pack,
    block: usize,
    entries: VecDeque<Entry>,
}

impl SeriesOf<'_> {
    fn fill(&mut self) -> Result<(), StoreError> {
        let Some(columns) = &self.pack.columns else { return Ok(()) };
        while self.entries.is_empty() && self.block < columns.series_blocks() {
            let entries = columns.entries(self.pack, self.block).map_err(|fault| self.pack.fault(fault))?;
            self.entries = entries.into();
            self.block += 1;
        }
        Ok(())
    }
}

/// Writes what packs of columns hold. With `with_orders` each point keeps its place in the order of intake: other packs have
/// places between these.
pub(super) fn write_merged(
    writer: &mut PackWriter,
    packs: &[Arc<Pack>],
    with_orders: bool,
) -> Result<Vec<ServiceEntry>, StoreError> {
    let mut cursors: Vec<SeriesOf<'_>> = Vec::new();
    for pack in packs {
        writer.note_order_range(pack.index.min_order, pack.index.max_order);
        let mut cursor = SeriesOf { pack, block: 0, entries: VecDeque::new() };
        cursor.fill()?;
        cursors.push(cursor);
    }
    let mut descriptions = Descriptions::default();
    let mut builder = Builder::new(writer);
    loop {
        let next = cursors.iter().filter_map(|cursor| cursor.entries.front()).map(|entry| &entry.key).min().cloned();
        let Some(key) = next else { break };
        let (mut parts, mut description) = (Vec::new(), Vec::new());
        for cursor in &mut cursors {
            if cursor.entries.front().is_none_or(|entry| entry.key != key) {
                continue;
            }
            let Some(entry) = cursor.entries.pop_front() else { continue };
            for chunk in &entry.chunks {
                let chunk = chunk.read(cursor.pack).map_err(|fault| cursor.pack.fault(fault))?;
                parts.push((cursor.pack.index.max_order, chunk));
            }
            description = entry.description;
            cursor.fill()?;
        }
        let series = descriptions.read(key, &description);
        let series = series.map_err(|what| StoreError::Row { keyspace: "packs", what })?;
        if let Some(chunk) = join(parts, with_orders) {
            builder.add(&series, &description, chunk)?;
        }
    }
    builder.finish()
}
