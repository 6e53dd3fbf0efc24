//! Turning rows into the blocks of packs: sorted, cut by size, origins shared per block.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;

use model::TraceId;
use prost::Message;

use super::catalog::Catalog;
use super::format::{COLUMNS, Kind, ROWS, ServiceEntry};
use super::metric_write::{MetricRows, write_merged, write_rows};
use super::write::{BlockMeta, FrameSource, Frames, PackWriter};
use super::{DAY_NS, read::Pack};
use crate::error::StoreError;
use crate::proto::{ExemplarBlock, ExemplarBlockRow, LogBlock, LogBlockRow, OriginRow, SpanBlock, SpanBlockRow};
use crate::rows::{ExemplarRow, LogRow, Origin, Records, SpanRow};

/// The rows of one kind and day.
pub(crate) enum RowSet<'a> {
    Traces(Vec<SpanRow>),
    Logs(Vec<LogRow>),
    Metrics(MetricRows<'a>),
    /// Packs of columns, and whether their points keep their places in the order of intake.
    MergedMetrics(&'a [Arc<Pack>], bool),
    Exemplars(Vec<ExemplarRow>),
}

fn day(time: u64) -> u32 {
    u32::try_from(time / DAY_NS).unwrap_or(u32::MAX)
}

impl<'a> RowSet<'a> {
    pub(crate) fn kind(&self) -> Kind {
        match self {
            RowSet::Traces(_) => Kind::Traces,
            RowSet::Logs(_) => Kind::Logs,
            RowSet::Metrics(_) | RowSet::MergedMetrics(..) => Kind::Metrics,
            RowSet::Exemplars(_) => Kind::Exemplars,
        }
    }

    /// Sorts the records of many frames into kinds and days.
    pub(crate) fn split(frames: impl Iterator<Item = &'a Records>) -> Vec<(u32, RowSet<'a>)> {
        let mut spans: BTreeMap<u32, Vec<SpanRow>> = BTreeMap::new();
        let mut logs: BTreeMap<u32, Vec<LogRow>> = BTreeMap::new();
        let mut series: BTreeMap<u32, MetricRows<'a>> = BTreeMap::new();
        let mut exemplars: BTreeMap<u32, Vec<ExemplarRow>> = BTreeMap::new();
        for records in frames {
            for row in &records.spans {
                spans.entry(day(row.span.start_time_unix_nano)).or_default().push(row.clone());
            }
            for row in &records.logs {
                logs.entry(day(row.time())).or_default().push(row.clone());
            }
            for row in &records.series {
                for point in &row.points {
                    series.entry(day(point.time())).or_default().add(&row.series, point);
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

    /// Reads all rows of packs of one kind; metrics are merged as they are.
    pub(crate) fn read(kind: Kind, packs: &'a [Arc<Pack>]) -> Result<RowSet<'a>, StoreError> {
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
            Kind::Metrics => RowSet::MergedMetrics(packs, true),
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
    rows: RowSet<'_>,
    frames: &Frames,
    block_bytes: usize,
) -> Result<(), StoreError> {
    let version = if rows.kind() == Kind::Metrics { COLUMNS } else { ROWS };
    let mut writer = PackWriter::create(path, rows.kind(), day, version)?;
    let services = match rows {
        RowSet::Traces(rows) => build_traces(&mut writer, rows, block_bytes)?,
        RowSet::Logs(rows) => build_logs(&mut writer, rows, block_bytes)?,
        RowSet::Metrics(rows) => write_rows(&mut writer, rows)?,
        RowSet::MergedMetrics(packs, with_orders) => {
            writer.note_orders(frames.keys().copied());
            write_merged(&mut writer, packs, with_orders)?
        }
        RowSet::Exemplars(rows) => build_exemplars(&mut writer, rows, block_bytes)?,
    };
    writer.finish(services, frames)
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

/// The frames of a pack; of a pack of the first hubs, which names none, only their places in the order of intake.
pub(crate) fn frames_of(pack: &Pack) -> Result<Frames, StoreError> {
    let named = pack.frames()?;
    if !named.is_empty() {
        return Ok(named);
    }
    let one = [Arc::new(Pack::open(&pack.path, pack.number)?)];
    let orders: Vec<u64> = match RowSet::read(pack.kind, &one)? {
        RowSet::Traces(rows) => rows.iter().map(|row| row.order).collect(),
        RowSet::Logs(rows) => rows.iter().map(|row| row.order).collect(),
        RowSet::Exemplars(rows) => rows.iter().map(|row| row.order).collect(),
        RowSet::Metrics(_) | RowSet::MergedMetrics(..) => {
            let rows = pack.all_series()?;
            rows.iter().flat_map(|row| &row.points).map(|point| point.order).collect()
        }
    };
    let nameless = FrameSource { stream: Default::default(), seq: 0, digest: 0 };
    Ok(orders.into_iter().map(|order| (order, nameless.clone())).collect())
}
