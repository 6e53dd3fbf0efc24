//! Reading a pack file: index at start, then a page of trace ids or a block at a time.

use std::collections::BTreeSet;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use columns::{Damaged, Directory, Source};
use model::TraceId;
use prost::Message;

use super::format::{
    BlockRef, COLUMNS, HEAD_LEN, Kind, MAGIC, MAX_RAW, MetricEntry, PackIndex, ServiceEntry, TRACE_PAGE, TRACE_ROW,
    TRAILER_LEN, TraceEntry, VERSION,
};
use super::write::{FrameSource, Frames};
use crate::error::StoreError;
use crate::proto::{BlockOrigins, ExemplarBlock, LogBlock, MetricBlock, OriginRow, SpanBlock};
use crate::rows::{ExemplarRow, Kind as MetricKind, LogRow, Origin, Point, Series, SeriesRow, SpanRow};

/// What a pack's index lists by name: it may be much, and is read when it is asked for.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    pub(crate) services: Vec<ServiceEntry>,
    pub(crate) metrics: Vec<MetricEntry>,
}

impl Listing {
    /// Bytes that it takes in memory.
    pub(crate) fn held_bytes(&self) -> usize {
        let text = |text: &String| size_of::<String>() + text.len() + 16;
        let service = |one: &ServiceEntry| {
            let names = one.operations.iter().chain(&one.devices).map(text).sum::<usize>();
            size_of::<ServiceEntry>() + one.name.len() + 16 + names
        };
        let metric = |one: &MetricEntry| {
            let texts = [&one.name, &one.unit, &one.description];
            size_of::<MetricEntry>() + texts.iter().map(|text| text.len() + 16).sum::<usize>()
        };
        self.services.iter().map(service).sum::<usize>() + self.metrics.iter().map(metric).sum::<usize>()
    }
}

/// An open pack.
#[derive(Debug)]
pub(crate) struct Pack {
    pub(crate) number: u64,
    pub(crate) kind: Kind,
    /// Without what it lists by name.
    pub(crate) index: PackIndex,
    /// Bytes of the file.
    pub(crate) bytes: u64,
    pub(crate) path: PathBuf,
    /// CRC32C of the compressed index: what tells this pack from another one under its name.
    pub(crate) index_crc: u32,
    /// The devices whose records it holds.
    pub(crate) devices: Vec<String>,
    /// Version of its format.
    pub(crate) version: u8,
    /// Of metrics as columns.
    pub(crate) columns: Option<Directory>,
    file: File,
    damaged: AtomicBool,
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map_or(0, u32::from_le_bytes)
}

impl Pack {
    /// Opens a pack file and reads its index.
    pub(crate) fn open(path: &Path, number: u64) -> Result<Self, StoreError> {
        let file = File::open(path).map_err(StoreError::io("cannot open the pack", path))?;
        Self::read(file, path, number, false).map(|(pack, _, _)| pack)
    }

    fn read(file: File, path: &Path, number: u64, want_frames: bool) -> Result<(Self, Listing, Frames), StoreError> {
        let io = |what| StoreError::io(what, path);
        let damaged =
            |offset: u64, what: &str| StoreError::Damaged { path: path.to_owned(), offset, what: what.into() };
        let bytes = file.metadata().map_err(io("cannot open the pack"))?.len();
        if bytes < HEAD_LEN + TRAILER_LEN {
            return Err(damaged(0, "too short for a pack"));
        }
        let mut head = [0; HEAD_LEN as usize];
        file.read_exact_at(&mut head, 0).map_err(io("cannot read the pack"))?;
        if head[..4] != MAGIC {
            return Err(damaged(0, "not a pack"));
        }
        let version = head[4];
        if version > VERSION {
            return Err(StoreError::Version { path: path.to_owned(), found: version, known: VERSION });
        }
        let at = bytes - TRAILER_LEN;
        let mut trailer = [0; TRAILER_LEN as usize];
        file.read_exact_at(&mut trailer, at).map_err(io("cannot read the pack"))?;
        let offset = trailer.first_chunk::<8>().map_or(0, |offset| u64::from_le_bytes(*offset));
        let (len, raw_len, crc) = (u32_at(&trailer, 8), u32_at(&trailer, 12), u32_at(&trailer, 16));
        if trailer[20..] != MAGIC || offset.checked_add(u64::from(len)).is_none_or(|end| end > at) || raw_len > MAX_RAW
        {
            return Err(damaged(at, "the trailer does not fit the file"));
        }
        let mut packed = vec![0; len as usize];
        file.read_exact_at(&mut packed, offset).map_err(io("cannot read the pack"))?;
        if crc32c::crc32c(&packed) != crc {
            return Err(damaged(offset, "the index fails its checksum"));
        }
        let raw = zstd::bulk::decompress(&packed, raw_len as usize)
            .map_err(|error| damaged(offset, &format!("the index cannot be inflated: {error}")))?;
        let mut index = PackIndex::decode(&*raw).map_err(|error| damaged(offset, &error.to_string()))?;
        let kind = Kind::from_number(index.kind).ok_or_else(|| damaged(offset, "of an unknown kind"))?;
        if (version == COLUMNS) != (kind == Kind::Metrics && !index.columns.is_empty()) {
            return Err(damaged(4, "its head and its index are of two formats"));
        }
        let columns = (version == COLUMNS).then(|| Directory::from_bytes(&std::mem::take(&mut index.columns), offset));
        let columns = columns.transpose().map_err(|error| damaged(offset, error.0))?;
        let streams = index.streams.iter().map(|stream| &stream.device).filter(|device| !device.is_empty());
        let named: BTreeSet<&String> =
            index.services.iter().flat_map(|service| &service.devices).chain(streams).collect();
        let devices = named.into_iter().cloned().collect();
        let listing =
            Listing { services: std::mem::take(&mut index.services), metrics: std::mem::take(&mut index.metrics) };
        let frames = std::mem::take(&mut index.frames);
        let streams = std::mem::take(&mut index.streams);
        let mut sources = Frames::with_capacity(if want_frames { frames.len() } else { 0 });
        if want_frames {
            for frame in frames {
                let stream = streams.get(frame.stream as usize).cloned();
                let stream = stream.ok_or_else(|| damaged(offset, "a frame of no stream"))?;
                sources.insert(frame.order, FrameSource { stream, seq: frame.seq, digest: frame.digest });
            }
        }
        let damaged = AtomicBool::new(false);
        let path = path.to_owned();
        Ok((
            Self { number, kind, index, bytes, path, index_crc: crc, devices, version, columns, file, damaged },
            listing,
            sources,
        ))
    }

    /// The frames whose records it holds, by their place in the order of intake; empty in a pack of the first hubs.
    pub(crate) fn frames(&self) -> Result<Frames, StoreError> {
        self.read_again(true).map(|(_, frames)| frames)
    }

    /// The services and metrics that it lists.
    ///
    /// # Errors
    /// [`StoreError`]: its index cannot be read any more.
    pub(crate) fn listing(&self) -> Result<Listing, StoreError> {
        self.read_again(false).map(|(listing, _)| listing)
    }

    /// What of its index is not held in memory, from the file that it was opened with.
    fn read_again(&self, want_frames: bool) -> Result<(Listing, Frames), StoreError> {
        let file = self.file.try_clone().map_err(StoreError::io("cannot read the pack", &self.path))?;
        let (found, listing, frames) = Self::read(file, &self.path, self.number, want_frames)?;
        if found.index_crc != self.index_crc {
            return Err(self.damaged(0, "its index is not the one that it was opened with"));
        }
        Ok((listing, frames))
    }

    /// Reads every block and page without decoding rows.
    ///
    /// # Errors
    /// What is damaged first, and where.
    pub(crate) fn verify(&self) -> Result<(), StoreError> {
        if let Some(columns) = &self.columns {
            return columns.verify(self).map_err(|fault| self.fault(fault));
        }
        (0..self.index.blocks.len()).try_for_each(|number| self.packed(number).map(drop))?;
        let rows = self.index.traces.as_ref().map_or(0, |table| table.rows as usize);
        (0..rows.div_ceil(TRACE_PAGE)).try_for_each(|page| self.read_trace_page(page).map(drop))
    }

    /// Whether its file is still there under its name.
    pub(crate) fn is_there(&self) -> bool {
        use std::os::unix::fs::MetadataExt;
        let named = std::fs::metadata(&self.path).map(|found| (found.dev(), found.ino()));
        let open = self.file.metadata().map(|found| (found.dev(), found.ino()));
        matches!((named, open), (Ok(named), Ok(open)) if named == open)
    }

    fn damaged(&self, offset: u64, what: impl Into<String>) -> StoreError {
        StoreError::Damaged { path: self.path.clone(), offset, what: what.into() }
    }

    /// What a fault in its columns is for the store.
    pub(crate) fn fault(&self, fault: ReadFault) -> StoreError {
        match fault {
            ReadFault::Damaged(what) => self.damaged(0, what.0),
            ReadFault::Io(error) => StoreError::io("cannot read the pack", &self.path)(error),
        }
    }

    /// Whether a block of it was found damaged by a merge.
    pub(crate) fn is_damaged(&self) -> bool {
        self.damaged.load(Ordering::Relaxed)
    }

    /// Keeps it out of further merges.
    pub(crate) fn mark_damaged(&self) {
        self.damaged.store(true, Ordering::Relaxed);
    }

    /// Whether rows of `[from, to)` may be in it.
    pub(crate) fn overlaps(&self, from: u64, to: u64) -> bool {
        self.index.min_time < to && self.index.max_time >= from
    }

    /// The bytes of its blocks, uncompressed.
    pub(crate) fn raw_bytes(&self) -> u64 {
        self.index.blocks.iter().map(|block| u64::from(block.raw_len)).sum()
    }

    /// The page of the trace table that would hold a trace; `None` when it is certainly not in this pack.
    pub(crate) fn trace_page(&self, trace: TraceId) -> Option<usize> {
        let (firsts, _) = self.index.traces.as_ref()?.first_ids.as_chunks::<16>();
        firsts.partition_point(|first| *first <= trace.0).checked_sub(1)
    }

    /// Reads a page of the trace table.
    pub(crate) fn read_trace_page(&self, page: usize) -> Result<TracePage, StoreError> {
        let Some(table) = &self.index.traces else { return Ok(TracePage::default()) };
        let rows = (table.rows as usize).saturating_sub(page * TRACE_PAGE).min(TRACE_PAGE);
        let offset = table.offset + (page * TRACE_PAGE * TRACE_ROW) as u64;
        let mut bytes = vec![0; rows * TRACE_ROW];
        self.file.read_exact_at(&mut bytes, offset).map_err(StoreError::io("cannot read the pack", &self.path))?;
        if table.crcs.get(page).is_none_or(|crc| *crc != crc32c::crc32c(&bytes)) {
            return Err(self.damaged(offset, "a page of trace ids fails its checksum"));
        }
        Ok(TracePage(bytes))
    }

    /// The bytes of a block as they lie in the file, checked.
    fn packed(&self, number: usize) -> Result<(Vec<u8>, &BlockRef), StoreError> {
        let Some(block) = self.index.blocks.get(number) else {
            return Err(self.damaged(0, format!("no block {number}")));
        };
        let BlockRef { offset, len, raw_len, crc, .. } = *block;
        if raw_len > MAX_RAW || u64::from(len) > self.bytes {
            return Err(self.damaged(offset, "the block is larger than the file"));
        }
        let mut packed = vec![0; len as usize];
        self.file.read_exact_at(&mut packed, offset).map_err(StoreError::io("cannot read the pack", &self.path))?;
        if crc32c::crc32c(&packed) != crc {
            return Err(self.damaged(offset, "a block fails its checksum"));
        }
        Ok((packed, block))
    }

    fn block<M: Message + Default>(&self, number: usize) -> Result<M, StoreError> {
        let (packed, BlockRef { offset, raw_len, .. }) = self.packed(number)?;
        let (offset, raw_len) = (*offset, *raw_len);
        let raw = zstd::bulk::decompress(&packed, raw_len as usize)
            .map_err(|error| self.damaged(offset, format!("a block cannot be inflated: {error}")))?;
        M::decode(&*raw).map_err(|error| self.damaged(offset, error.to_string()))
    }

    fn origin(&self, origins: &[Arc<Origin>], number: u32) -> Result<Arc<Origin>, StoreError> {
        let origin = origins.get(number as usize);
        origin.cloned().ok_or_else(|| self.damaged(0, format!("no origin {number} in its block")))
    }

    /// The spans of a block of a traces pack.
    pub(crate) fn spans(&self, number: usize) -> Result<Vec<SpanRow>, StoreError> {
        let block: SpanBlock = self.block(number)?;
        let origins = origins(&block.origins);
        let rows = block.rows.into_iter().map(|row| {
            Ok(SpanRow {
                origin: self.origin(&origins, row.origin)?,
                order: row.order,
                index: row.index,
                span: row.span.unwrap_or_default(),
            })
        });
        rows.collect()
    }

    /// The lines of a block of a logs pack.
    pub(crate) fn logs(&self, number: usize) -> Result<Vec<LogRow>, StoreError> {
        let block: LogBlock = self.block(number)?;
        let origins = origins(&block.origins);
        let rows = block.rows.into_iter().map(|row| {
            Ok(LogRow {
                origin: self.origin(&origins, row.origin)?,
                order: row.order,
                index: row.index,
                record: row.record.unwrap_or_default(),
            })
        });
        rows.collect()
    }

    /// Where the records of a block come from.
    pub(crate) fn origins(&self, number: usize) -> Result<Vec<Arc<Origin>>, StoreError> {
        self.block::<BlockOrigins>(number).map(|block| origins(&block.origins))
    }

    /// The chunks of a block of a metrics pack of the first hubs.
    pub(crate) fn series(&self, number: usize) -> Result<Vec<SeriesRow>, StoreError> {
        let block: MetricBlock = self.block(number)?;
        let origins = origins(&block.origins);
        let rows = block.series.into_iter().map(|chunk| {
            let kind = MetricKind::from_number(chunk.kind);
            let kind = kind.ok_or_else(|| self.damaged(0, format!("no kind of metric {}", chunk.kind)))?;
            let points =
                chunk.points.into_iter().filter_map(|point| Some(Point { order: point.order, data: point.data? }));
            Ok(SeriesRow {
                points: points.collect(),
                series: Arc::new(Series::new(
                    self.origin(&origins, chunk.origin)?,
                    chunk.name,
                    chunk.description,
                    chunk.unit,
                    chunk.metadata,
                    kind,
                    chunk.attributes,
                )),
            })
        });
        rows.collect()
    }

    /// The chunks of all blocks of a metrics pack of the first hubs.
    pub(crate) fn all_series(&self) -> Result<Vec<SeriesRow>, StoreError> {
        let mut rows = Vec::new();
        for number in 0..self.index.blocks.len() {
            rows.extend(self.series(number)?);
        }
        Ok(rows)
    }

    /// The exemplars of a block of an exemplars pack.
    pub(crate) fn exemplars(&self, number: usize) -> Result<Vec<ExemplarRow>, StoreError> {
        let block: ExemplarBlock = self.block(number)?;
        let origins = origins(&block.origins);
        let rows = block.rows.into_iter().map(|row| {
            Ok(ExemplarRow {
                origin: self.origin(&origins, row.origin)?,
                order: row.order,
                metric: row.metric_name,
                unit: row.unit,
                attributes: row.attributes,
                exemplar: row.exemplar.unwrap_or_default(),
            })
        });
        rows.collect()
    }
}

/// Why columns cannot be read.
#[derive(Debug)]
pub(crate) enum ReadFault {
    /// They are not what was written.
    Damaged(Damaged),
    /// The file cannot be read.
    Io(std::io::Error),
}

impl From<Damaged> for ReadFault {
    fn from(damaged: Damaged) -> Self {
        Self::Damaged(damaged)
    }
}

impl Source for Pack {
    type Error = ReadFault;

    fn read(&self, offset: u64, len: usize) -> Result<Vec<u8>, ReadFault> {
        if offset.checked_add(len as u64).is_none_or(|end| end > self.bytes) {
            return Err(Damaged("a place outside the file").into());
        }
        let mut bytes = vec![0; len];
        self.file.read_exact_at(&mut bytes, offset).map_err(ReadFault::Io)?;
        Ok(bytes)
    }
}

/// A page of a trace table, checked.
#[derive(Debug, Default)]
pub(crate) struct TracePage(Vec<u8>);

impl TracePage {
    pub(crate) fn find(&self, trace: TraceId) -> Option<TraceEntry> {
        let (rows, _) = self.0.as_chunks::<TRACE_ROW>();
        let place = rows.binary_search_by(|row| row[..16].cmp(&trace.0)).ok()?;
        let number = |at: usize| u32_at(&rows[place], at).swap_bytes();
        Some(TraceEntry { rows: number(16), first_block: number(20), last_block: number(24) })
    }
}

fn origins(rows: &[OriginRow]) -> Vec<Arc<Origin>> {
    rows.iter().map(Origin::from_row).collect()
}
