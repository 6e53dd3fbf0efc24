//! Writing a pack file: blocks as they come, then trace table, index and trailer, then a sync of file and directory.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use model::TraceId;
use prost::Message;

use super::format::{
    BlockRef, FrameEntry, HEAD_LEN, Kind, MAGIC, MetricEntry, PackIndex, ServiceEntry, StreamEntry, TRACE_PAGE,
    TRACE_ROW, TraceEntry, TraceTable,
};
use crate::error::StoreError;
use crate::rows::Series;

/// zstd level of blocks: the compactor runs rarely and packs stay.
const LEVEL: i32 = 6;

/// A pack file in the making.
pub(crate) struct PackWriter {
    path: PathBuf,
    file: BufWriter<File>,
    offset: u64,
    index: PackIndex,
    traces: BTreeMap<TraceId, TraceEntry>,
    orders: BTreeSet<u64>,
}

/// A frame that rows are of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FrameSource {
    pub(crate) stream: StreamEntry,
    pub(crate) seq: u64,
    pub(crate) digest: u64,
}

/// Frames by their place in the order of intake.
pub(crate) type Frames = HashMap<u64, FrameSource>;

/// What a block says about itself.
pub(crate) struct BlockMeta {
    pub(crate) min_time: u64,
    pub(crate) max_time: u64,
    pub(crate) rows: u32,
    pub(crate) name: String,
}

impl PackWriter {
    pub(crate) fn create(path: &Path, kind: Kind, day: u32, version: u8) -> Result<Self, StoreError> {
        let file = File::create_new(path).map_err(StoreError::io("cannot create the pack", path))?;
        let index = PackIndex { kind: kind as u32, day, min_time: u64::MAX, ..PackIndex::default() };
        let mut writer = Self {
            path: path.to_owned(),
            file: BufWriter::new(file),
            offset: 0,
            index,
            traces: BTreeMap::new(),
            orders: BTreeSet::new(),
        };
        let mut head = [0; HEAD_LEN as usize];
        head[..4].copy_from_slice(&MAGIC);
        head[4] = version;
        head[5] = kind as u8;
        writer.put(&head)?;
        Ok(writer)
    }

    /// Appends bytes.
    pub(crate) fn put(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.file.write_all(bytes).map_err(StoreError::io("cannot write the pack", &self.path))?;
        self.offset += bytes.len() as u64;
        Ok(())
    }

    /// The number that the next block will have.
    pub(crate) fn next_block(&self) -> u32 {
        self.index.blocks.len() as u32
    }

    /// Notes that the next block holds a row of this trace.
    pub(crate) fn note_trace(&mut self, trace: TraceId) {
        let block = self.next_block();
        let entry = self.traces.entry(trace).or_insert(TraceEntry { rows: 0, first_block: block, last_block: block });
        entry.rows += 1;
        entry.last_block = block;
    }

    /// Notes times and order of rows, for the whole pack.
    pub(crate) fn note_row(&mut self, min_time: u64, max_time: u64, order: u64) {
        self.index.min_time = self.index.min_time.min(min_time);
        self.index.max_time = self.index.max_time.max(max_time);
        self.index.max_order = self.index.max_order.max(order);
        self.orders.insert(order);
    }

    /// Notes the frames that rows are of, by their places in the order of intake.
    pub(crate) fn note_orders(&mut self, orders: impl IntoIterator<Item = u64>) {
        self.orders.extend(orders);
        if let (Some(min), Some(max)) = (self.orders.first().copied(), self.orders.last().copied()) {
            self.note_order_range(min, max);
        }
    }

    /// Notes between which places in the order of intake rows lie.
    pub(crate) fn note_order_range(&mut self, min: u64, max: u64) {
        self.index.min_order = if self.index.min_order == 0 { min } else { self.index.min_order.min(min) };
        self.index.max_order = self.index.max_order.max(max);
    }

    /// Notes points as columns: between which times they lie.
    pub(crate) fn note_times(&mut self, min_time: u64, max_time: u64) {
        self.index.min_time = self.index.min_time.min(min_time);
        self.index.max_time = self.index.max_time.max(max_time);
    }

    /// Takes the directory of the columns that were put.
    pub(crate) fn set_columns(&mut self, directory: &columns::Directory) {
        self.index.rows = directory.points();
        self.index.columns = directory.to_bytes();
    }

    /// Notes a series for the list of metrics; series of one name come one after the other.
    pub(crate) fn note_metric(&mut self, series: &Series) {
        let (unit, kind) = (&series.unit, series.kind.to_number());
        match self.index.metrics.last_mut() {
            Some(last) if last.name == series.name && last.unit == *unit && last.kind == kind => last.series += 1,
            _ => self.index.metrics.push(MetricEntry {
                name: series.name.clone(),
                unit: unit.clone(),
                description: series.description.clone(),
                kind,
                series: 1,
            }),
        }
    }

    pub(crate) fn add_block(&mut self, message: &impl Message, meta: BlockMeta) -> Result<(), StoreError> {
        let raw = message.encode_to_vec();
        let packed =
            zstd::bulk::compress(&raw, LEVEL).map_err(StoreError::io("cannot compress a block", &self.path))?;
        self.index.rows += u64::from(meta.rows);
        self.index.blocks.push(BlockRef {
            offset: self.offset,
            len: packed.len() as u32,
            raw_len: raw.len() as u32,
            crc: crc32c::crc32c(&packed),
            min_time: meta.min_time,
            max_time: meta.max_time,
            rows: meta.rows,
            name: meta.name,
        });
        self.put(&packed)
    }

    /// Writes what is left and syncs the file; the caller syncs the directory before it names the pack anywhere.
    pub(crate) fn finish(mut self, services: Vec<ServiceEntry>, frames: &Frames) -> Result<(), StoreError> {
        self.index.services = services;
        self.put_frames(frames);
        self.index.min_time = self.index.min_time.min(self.index.max_time);
        self.put_traces()?;
        let raw = self.index.encode_to_vec();
        let packed =
            zstd::bulk::compress(&raw, LEVEL).map_err(StoreError::io("cannot compress the index", &self.path))?;
        let offset = self.offset;
        self.put(&packed)?;
        let mut trailer = Vec::with_capacity(super::format::TRAILER_LEN as usize);
        trailer.extend_from_slice(&offset.to_le_bytes());
        trailer.extend_from_slice(&(packed.len() as u32).to_le_bytes());
        trailer.extend_from_slice(&(raw.len() as u32).to_le_bytes());
        trailer.extend_from_slice(&crc32c::crc32c(&packed).to_le_bytes());
        trailer.extend_from_slice(&MAGIC);
        self.put(&trailer)?;
        self.file.flush().map_err(StoreError::io("cannot write the pack", &self.path))?;
        self.file.get_ref().sync_all().map_err(StoreError::io("cannot sync the pack", &self.path))
    }

    /// Names the frames of the rows, so that claims can be rebuilt from packs alone.
    fn put_frames(&mut self, frames: &Frames) {
        let mut places: HashMap<&StreamEntry, u32> = HashMap::new();
        for order in std::mem::take(&mut self.orders) {
            let Some(FrameSource { stream, seq, digest }) = frames.get(&order) else { continue };
            let place = *places.entry(stream).or_insert_with(|| {
                self.index.streams.push(stream.clone());
                self.index.streams.len() as u32 - 1
            });
            self.index.frames.push(FrameEntry { stream: place, seq: *seq, order, digest: *digest });
        }
    }

    fn put_traces(&mut self) -> Result<(), StoreError> {
        if self.traces.is_empty() {
            return Ok(());
        }
        let traces = std::mem::take(&mut self.traces);
        let mut table = TraceTable { offset: self.offset, rows: traces.len() as u32, ..TraceTable::default() };
        let mut page = Vec::with_capacity(TRACE_PAGE * TRACE_ROW);
        let last = traces.len() - 1;
        for (number, (trace, entry)) in traces.into_iter().enumerate() {
            if page.is_empty() {
                table.first_ids.extend_from_slice(&trace.0);
            }
            page.extend_from_slice(&trace.0);
            for value in [entry.rows, entry.first_block, entry.last_block, 0] {
                page.extend_from_slice(&value.to_be_bytes());
            }
            if page.len() == TRACE_PAGE * TRACE_ROW || number == last {
                table.crcs.push(crc32c::crc32c(&page));
                self.put(&page)?;
                page.clear();
            }
        }
        self.index.traces = Some(table);
        Ok(())
    }
}

/// Makes the names of new files in `dir` durable.
pub(crate) fn sync_dir(dir: &Path) -> Result<(), StoreError> {
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(StoreError::io("cannot sync the directory", dir))
}
