//! The bytes of a pack file.

/// First bytes of a pack file.
pub(crate) const MAGIC: [u8; 4] = *b"LSPK";
/// The format of packs of rows.
pub(crate) const ROWS: u8 = 0;
/// The format of metric packs as columns. Metrics of the first hubs are packs of rows.
pub(crate) const COLUMNS: u8 = 1;
/// The newest format that this version reads.
pub(crate) const VERSION: u8 = COLUMNS;
/// Bytes before the first block: magic, version, kind, two zero bytes.
pub(crate) const HEAD_LEN: u64 = 8;
/// Bytes after the index: its offset (u64), length, raw length and CRC32C (u32 each), magic; little-endian.
pub(crate) const TRAILER_LEN: u64 = 8 + 4 + 4 + 4 + 4;
/// Largest index or block, uncompressed, that is read.
pub(crate) const MAX_RAW: u32 = 256 << 20;
/// Bytes of one row of the trace table: id, rows, first block, last block, zero; big-endian.
pub(crate) const TRACE_ROW: usize = 16 + 4 + 4 + 4 + 4;
/// Rows of one page of the trace table, which is what one lookup reads.
pub(crate) const TRACE_PAGE: usize = 128;

/// What a pack holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Kind {
    Traces = 1,
    Logs = 2,
    Metrics = 3,
    Exemplars = 4,
}

impl Kind {
    pub(crate) const ALL: [Kind; 4] = [Kind::Traces, Kind::Logs, Kind::Metrics, Kind::Exemplars];

    /// The signal whose answers lack something when a pack of this kind cannot be read.
    pub(crate) fn signal(self) -> model::Signal {
        match self {
            Kind::Traces | Kind::Exemplars => model::Signal::Traces,
            Kind::Logs => model::Signal::Logs,
            Kind::Metrics => model::Signal::Metrics,
        }
    }

    pub(crate) fn from_number(number: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u32 == number)
    }
}

/// What stays in memory of a pack.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct PackIndex {
    /// See [`Kind`].
    #[prost(uint32, tag = "1")]
    pub(crate) kind: u32,
    /// Days since 1970.
    #[prost(uint32, tag = "2")]
    pub(crate) day: u32,
    #[prost(uint64, tag = "3")]
    pub(crate) min_time: u64,
    /// Inclusive.
    #[prost(uint64, tag = "4")]
    pub(crate) max_time: u64,
    /// Records (spans, lines, points, exemplars).
    #[prost(uint64, tag = "5")]
    pub(crate) rows: u64,
    /// Highest place in the order of intake.
    #[prost(uint64, tag = "6")]
    pub(crate) max_order: u64,
    #[prost(message, repeated, tag = "7")]
    pub(crate) blocks: Vec<BlockRef>,
    #[prost(message, optional, tag = "8")]
    pub(crate) traces: Option<TraceTable>,
    #[prost(message, repeated, tag = "9")]
    pub(crate) services: Vec<ServiceEntry>,
    #[prost(message, repeated, tag = "10")]
    pub(crate) metrics: Vec<MetricEntry>,
    /// The streams that its frames are of.
    #[prost(message, repeated, tag = "11")]
    pub(crate) streams: Vec<StreamEntry>,
    /// The frames whose records it holds; read for a repair only, never kept in memory.
    #[prost(message, repeated, tag = "12")]
    pub(crate) frames: Vec<FrameEntry>,
    /// Of metrics as columns: a [`columns::Directory`].
    #[prost(bytes = "vec", tag = "13")]
    pub(crate) columns: Vec<u8>,
    /// Lowest place in the order of intake; 0 where it is not known.
    #[prost(uint64, tag = "14")]
    pub(crate) min_order: u64,
}

/// One lane of one life of a device, by name: a pack says whose records it holds without the database.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Message)]
pub(crate) struct StreamEntry {
    #[prost(string, tag = "1")]
    pub(crate) device: String,
    #[prost(fixed64, tag = "2")]
    pub(crate) epoch: u64,
    #[prost(uint32, tag = "3")]
    pub(crate) lane: u32,
}

/// A frame of which a pack holds records.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub(crate) struct FrameEntry {
    /// Its place in [`PackIndex::streams`].
    #[prost(uint32, tag = "1")]
    pub(crate) stream: u32,
    #[prost(uint64, tag = "2")]
    pub(crate) seq: u64,
    /// Its place in the order of intake.
    #[prost(uint64, tag = "3")]
    pub(crate) order: u64,
    /// The first half of its digest.
    #[prost(fixed64, tag = "4")]
    pub(crate) digest: u64,
}

/// A metric that a pack holds points of.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct MetricEntry {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    #[prost(string, tag = "2")]
    pub(crate) unit: String,
    #[prost(string, tag = "3")]
    pub(crate) description: String,
    /// See [`crate::rows::Kind`].
    #[prost(uint32, tag = "4")]
    pub(crate) kind: u32,
    /// How many series of it this pack holds.
    #[prost(uint32, tag = "5")]
    pub(crate) series: u32,
}

/// Where a block is, and what is in it.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct BlockRef {
    #[prost(uint64, tag = "1")]
    pub(crate) offset: u64,
    #[prost(uint32, tag = "2")]
    pub(crate) len: u32,
    #[prost(uint32, tag = "3")]
    pub(crate) raw_len: u32,
    /// CRC32C of the compressed bytes.
    #[prost(fixed32, tag = "4")]
    pub(crate) crc: u32,
    /// Of its rows; in a traces pack of the starts of its traces.
    #[prost(uint64, tag = "5")]
    pub(crate) min_time: u64,
    /// Inclusive.
    #[prost(uint64, tag = "6")]
    pub(crate) max_time: u64,
    #[prost(uint32, tag = "7")]
    pub(crate) rows: u32,
    /// The metric of a metrics pack's block; a block holds one.
    #[prost(string, tag = "8")]
    pub(crate) name: String,
}

/// The table of trace ids: rows sorted by id, in pages.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct TraceTable {
    #[prost(uint64, tag = "1")]
    pub(crate) offset: u64,
    #[prost(uint32, tag = "2")]
    pub(crate) rows: u32,
    /// The first id of each page, 16 bytes each.
    #[prost(bytes = "vec", tag = "3")]
    pub(crate) first_ids: Vec<u8>,
    /// CRC32C of each page.
    #[prost(fixed32, repeated, tag = "4")]
    pub(crate) crcs: Vec<u32>,
}

/// A service that a pack knows.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ServiceEntry {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    #[prost(string, repeated, tag = "2")]
    pub(crate) operations: Vec<String>,
    #[prost(string, repeated, tag = "3")]
    pub(crate) devices: Vec<String>,
}

/// What a pack knows of one trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TraceEntry {
    /// Rows of it in this pack.
    pub(crate) rows: u32,
    /// First block that holds one.
    pub(crate) first_block: u32,
    /// Last block that holds one, inclusive.
    pub(crate) last_block: u32,
}
