//! Turning rows into the blocks of packs: sorted, cut by size, origins shared per block.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;

use model::TraceId;
use prost::Message;

use super::format::{Kind, ServiceEntry};
use super::write::{BlockMeta, Frames, PackWriter};
use super::{DAY_NS, read::Pack};
use crate::error::StoreError;
use crate::proto::{
    ExemplarBlock, ExemplarBlockRow, LogBlock, LogBlockRow, MetricBlock, OriginRow, PointRow, SeriesChunk, SpanBlock,
    SpanBlockRow,
};
use crate::rows::{ExemplarRow, LogRow, Origin, Point, Records, Series, SeriesRow, SpanRow, find_text};

/// Most operations that a pack lists per service.
const MAX_OPERATIONS: usize = 1000;
/// The metric whose series name services and operations before any sampling.
const CALLS: &str = "traces.span.metrics.calls";

/// The rows of one kind and day.
pub(crate) enum RowSet {
    Traces(Vec<SpanRow>),
    Logs(Vec<LogRow>),
    Metrics(Vec<SeriesRow>),
    Exemplars(Vec<ExemplarRow>),
}

fn day(time: u64) -> u32 {
    u32::try_from(time / DAY_NS).unwrap_or(u32::MAX)
}

impl RowSet {
    pub(crate) fn kind(&self) -> Kind {
        match self {
            RowSet::Traces(_) => Kind::Traces,
            RowSet::Logs(_) => Kind::Logs,
            RowSet::Metrics(_) => Kind::Metrics,
            RowSet::Exemplars(_) => Kind::Exemplars,
        }
    }

    /// Sorts the records of many frames into kinds and days.
    pub(crate) fn split<'a>(frames: impl Iterator<Item = &'a Records>) -> Vec<(u32, RowSet)> {
        let mut spans: BTreeMap<u32, Vec<SpanRow>> = BTreeMap::new();
        let mut logs: BTreeMap<u32, Vec<LogRow>> = BTreeMap::new();
        let mut series: BTreeMap<u32, Vec<SeriesRow>> = BTreeMap::new();
        let mut exemplars: BTreeMap<u32, Vec<ExemplarRow>> = BTreeMap::new();
        for records in frames {
            for row in &records.spans {
                spans.entry(day(row.span.start_time_unix_nano)).or_default().push(row.clone());
            }
            for row in &records.logs {
                logs.entry(day(row.time())).or_default().push(row.clone());
            }
            for row in &records.series {
                let mut days: BTreeMap<u32, Vec<Point>> = BTreeMap::new();
                for point in &row.points {
                    days.entry(day(point.time())).or_default().push(point.clone());
                }
                for (day, points) in days {
                    series.entry(day).or_default().push(SeriesRow { series: Arc::clone(&row.series), points });
                }
            }
            for row in &records.exemplars {
                exemplars.entry(day(row.exemplar.time_unix_nano)).or_default().push(row.clone());
            }
        }
        let spans = spans.into_iter().map(|(day, rows)| (day, RowSet::Traces(rows)));
        let logs = logs.into_iter().map(|(day, rows)| (day, RowSet::Logs(rows)));
        let series = series.into_iter().map(|(day, rows)| (day, RowSet::Metrics(rows)));
        let exemplars = exemplars.into_iter().map(|(day, rows)| (day, RowSet::Exemplars(rows)));
        spans.chain(logs).chain(series).chain(exemplars).collect()
    }

    /// Reads all rows of packs of one kind.
    pub(crate) fn read(kind: Kind, packs: &[Arc<Pack>]) -> Result<RowSet, StoreError> {
        fn all<T>(
            packs: &[Arc<Pack>],
            read: impl Fn(&Pack, usize) -> Result<Vec<T>, StoreError>,
        ) -> Result<Vec<T>, StoreError> {
            let mut rows = Vec::new();
            for pack in packs {
                for block in 0..pack.index.blocks.len() {
                    rows.extend(read(pack, block)?);
                }
            }
            Ok(rows)
        }
        Ok(match kind {
            Kind::Traces => RowSet::Traces(all(packs, Pack::spans)?),
            Kind::Logs => RowSet::Logs(all(packs, Pack::logs)?),
            Kind::Metrics => RowSet::Metrics(all(packs, Pack::series)?),
            Kind::Exemplars => RowSet::Exemplars(all(packs, Pack::exemplars)?),
        })
    }
}

/// The origins of one block, each once.
#[derive(Default)]
struct OriginTable {
    rows: Vec<OriginRow>,
    places: HashMap<Vec<u8>, u32>,
    seen: HashMap<*const Origin, u32>,
    bytes: usize,
}

impl OriginTable {
    fn place(&mut self, origin: &Arc<Origin>) -> u32 {
        // The rows keep their origins alive while the block is built, so an address stands for one origin.
        if let Some(place) = self.seen.get(&Arc::as_ptr(origin)) {
            return *place;
        }
        let row = origin.to_row();
        let encoded = row.encode_to_vec();
        self.bytes += encoded.len();
        let place = *self.places.entry(encoded).or_insert_with(|| {
            self.rows.push(row);
            self.rows.len() as u32 - 1
        });
        self.seen.insert(Arc::as_ptr(origin), place);
        place
    }
}

/// Writes one pack file of these rows and syncs it (not its directory).
pub(crate) fn build(
    path: &Path,
    day: u32,
    rows: RowSet,
    frames: &Frames,
    block_bytes: usize,
) -> Result<(), StoreError> {
    let mut writer = PackWriter::create(path, rows.kind(), day)?;
    let services = match rows {
        RowSet::Traces(rows) => build_traces(&mut writer, rows, block_bytes)?,
        RowSet::Logs(rows) => build_logs(&mut writer, rows, block_bytes)?,
        RowSet::Metrics(rows) => build_metrics(&mut writer, rows, block_bytes)?,
        RowSet::Exemplars(rows) => build_exemplars(&mut writer, rows, block_bytes)?,
    };
    writer.finish(services, frames)
}

/// Services with their operations and devices, as a pack's index lists them.
#[derive(Default)]
struct Catalog(BTreeMap<String, (BTreeSet<String>, BTreeSet<String>)>);

impl Catalog {
    fn note(&mut self, service: &str, operation: Option<&str>, device: &str) {
        if !self.0.contains_key(service) {
            self.0.insert(service.to_owned(), Default::default());
        }
        let Some((operations, devices)) = self.0.get_mut(service) else { return };
        if let Some(operation) = operation.filter(|name| !operations.contains(*name))
            && operations.len() < MAX_OPERATIONS
        {
            operations.insert(operation.to_owned());
        }
        if !devices.contains(device) {
            devices.insert(device.to_owned());
        }
    }

    fn finish(self) -> Vec<ServiceEntry> {
        let entries = self.0.into_iter().map(|(name, (operations, devices))| ServiceEntry {
            name,
            operations: operations.into_iter().collect(),
            devices: devices.into_iter().collect(),
        });
        entries.collect()
    }
}

fn build_traces(
    writer: &mut PackWriter,
    mut rows: Vec<SpanRow>,
    block_bytes: usize,
) -> Result<Vec<ServiceEntry>, StoreError> {
    let mut starts: HashMap<TraceId, u64> = HashMap::new();
    for row in &rows {
        let start = starts.entry(row.trace_id()).or_insert(u64::MAX);
        *start = (*start).min(row.span.start_time_unix_nano);
    }
    let start = |row: &SpanRow| starts.get(&row.trace_id()).copied().unwrap_or_default();
    rows.sort_by_cached_key(|row| (start(row), row.trace_id(), row.span.start_time_unix_nano, row.order, row.index));
    let mut catalog = Catalog::default();
    let mut rows = rows.iter().peekable();
    while rows.peek().is_some() {
        let mut block = SpanBlock::default();
        let mut origins = OriginTable::default();
        let (mut bytes, mut min_time, mut max_time) = (0, u64::MAX, 0);
        while bytes + origins.bytes < block_bytes
            && let Some(row) = rows.next()
        {
            let encoded = SpanBlockRow {
                origin: origins.place(&row.origin),
                order: row.order,
                span: Some(row.span.clone()),
                index: row.index,
            };
            bytes += encoded.encoded_len();
            block.rows.push(encoded);
            min_time = min_time.min(start(row));
            max_time = max_time.max(start(row));
            writer.note_trace(row.trace_id());
            let (from, to) = (row.span.start_time_unix_nano, row.span.end_time_unix_nano);
            writer.note_row(from, to.max(from), row.order);
            catalog.note(&row.origin.service, Some(&row.span.name), &row.origin.device);
        }
        block.origins = origins.rows;
        let meta = BlockMeta { min_time, max_time, rows: block.rows.len() as u32, name: String::new() };
        writer.add_block(&block, meta)?;
    }
    Ok(catalog.finish())
}

fn build_logs(
    writer: &mut PackWriter,
    mut rows: Vec<LogRow>,
    block_bytes: usize,
) -> Result<Vec<ServiceEntry>, StoreError> {
    rows.sort_by_key(|row| (row.time(), row.order, row.index));
    let mut catalog = Catalog::default();
    let mut rows = rows.iter().peekable();
    while rows.peek().is_some() {
        let mut block = LogBlock::default();
        let mut origins = OriginTable::default();
        let (mut bytes, mut min_time, mut max_time) = (0, u64::MAX, 0);
        while bytes + origins.bytes < block_bytes
            && let Some(row) = rows.next()
        {
            let encoded = LogBlockRow {
                origin: origins.place(&row.origin),
                order: row.order,
                index: row.index,
                record: Some(row.record.clone()),
            };
            bytes += encoded.encoded_len();
            block.rows.push(encoded);
            min_time = min_time.min(row.time());
            max_time = max_time.max(row.time());
            if let Some(trace) = row.trace_id() {
                writer.note_trace(trace);
            }
            writer.note_row(row.time(), row.time(), row.order);
            catalog.note(&row.origin.service, None, &row.origin.device);
        }
        block.origins = origins.rows;
        let meta = BlockMeta { min_time, max_time, rows: block.rows.len() as u32, name: String::new() };
        writer.add_block(&block, meta)?;
    }
    Ok(catalog.finish())
}

/// Joins the chunks of each series, sorts its points, and keeps of points with one time the one that came last.
fn join_series(rows: Vec<SeriesRow>) -> Vec<(Arc<Series>, Vec<Point>)> {
    // A series' key begins with its name, so that the series of a metric lie together.
    let mut by_key: BTreeMap<Vec<u8>, (Arc<Series>, Vec<Point>)> = BTreeMap::new();
    for SeriesRow { series, points } in rows {
        let entry = by_key.entry(series.key.clone()).or_insert_with(|| (series, Vec::new()));
        entry.1.extend(points);
    }
    let mut joined: Vec<_> = by_key.into_values().collect();
    for (_, points) in &mut joined {
        sort_points(points);
    }
    joined
}

/// Sorts points by time; of points with one time the one with the highest place in the order of intake stays.
pub(crate) fn sort_points(points: &mut Vec<Point>) {
    points.sort_by_key(|point| (point.time(), std::cmp::Reverse(point.order)));
    points.dedup_by_key(|point| point.time());
}

/// Points per chunk of a series.
const CHUNK_POINTS: usize = 1024;

fn build_metrics(
    writer: &mut PackWriter,
    rows: Vec<SeriesRow>,
    block_bytes: usize,
) -> Result<Vec<ServiceEntry>, StoreError> {
    let mut catalog = Catalog::default();
    let joined = join_series(rows);
    let mut chunks = joined
        .iter()
        .flat_map(|(series, points)| points.chunks(CHUNK_POINTS).map(move |points| (series, points)))
        .peekable();
    while let Some((first, _)) = chunks.peek() {
        let name = first.name.clone();
        let mut block = MetricBlock::default();
        let mut origins = OriginTable::default();
        let (mut bytes, mut rows, mut min_time, mut max_time) = (0, 0, u64::MAX, 0);
        while bytes + origins.bytes < block_bytes
            && let Some((series, points)) = chunks.next_if(|(series, _)| series.name == name)
        {
            let operation = (name == CALLS).then(|| find_text(&series.attributes, "span.name")).flatten();
            catalog.note(&series.origin.service, operation, &series.origin.device);
            let chunk = SeriesChunk {
                origin: origins.place(&series.origin),
                name: series.name.clone(),
                description: series.description.clone(),
                unit: series.unit.clone(),
                metadata: series.metadata.clone(),
                kind: series.kind.to_number(),
                attributes: series.attributes.clone(),
                points: points
                    .iter()
                    .map(|point| PointRow { order: point.order, data: Some(point.data.clone()) })
                    .collect(),
            };
            bytes += chunk.encoded_len();
            rows += points.len() as u32;
            block.series.push(chunk);
            for point in points {
                min_time = min_time.min(point.time());
                max_time = max_time.max(point.time());
                writer.note_row(point.time(), point.time(), point.order);
            }
        }
        block.origins = origins.rows;
        writer.add_block(&block, BlockMeta { min_time, max_time, rows, name })?;
    }
    for (series, _) in &joined {
        writer.note_metric(series);
    }
    Ok(catalog.finish())
}

fn build_exemplars(
    writer: &mut PackWriter,
    mut rows: Vec<ExemplarRow>,
    block_bytes: usize,
) -> Result<Vec<ServiceEntry>, StoreError> {
    rows.sort_by_key(|row| (row.exemplar.time_unix_nano, row.order));
    let mut rows = rows.iter().peekable();
    while rows.peek().is_some() {
        let mut block = ExemplarBlock::default();
        let mut origins = OriginTable::default();
        let (mut bytes, mut min_time, mut max_time) = (0, u64::MAX, 0);
        while bytes + origins.bytes < block_bytes
            && let Some(row) = rows.next()
        {
            let encoded = ExemplarBlockRow {
                origin: origins.place(&row.origin),
                order: row.order,
                metric_name: row.metric.clone(),
                unit: row.unit.clone(),
                attributes: row.attributes.clone(),
                exemplar: Some(row.exemplar.clone()),
            };
            bytes += encoded.encoded_len();
            block.rows.push(encoded);
            let time = row.exemplar.time_unix_nano;
            min_time = min_time.min(time);
            max_time = max_time.max(time);
            if let Some(trace) = row.trace_id() {
                writer.note_trace(trace);
            }
            writer.note_row(time, time, row.order);
        }
        block.origins = origins.rows;
        let meta = BlockMeta { min_time, max_time, rows: block.rows.len() as u32, name: String::new() };
        writer.add_block(&block, meta)?;
    }
    Ok(Vec::new())
}
