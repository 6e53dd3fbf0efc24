//! Reading a data directory without owning it, while its daemon is up or down: blocks by time and token; what its
//! recorder has in files (`requests`).
//!
//! Nothing is written and no lock is taken. What a running daemon removes or has not finished meanwhile is passed over.

use std::io;
use std::ops::ControlFlow;

use disk::Disk;
use model::{Epoch, Lane, Signals, TraceId};
use segment::{EntryKind, FIXED, Footer, Row, Search, SegmentFile, SegmentKey, Step, block_of, firsts};

use crate::error::JournalError;
use crate::identity;

/// What is looked for: blocks that pass all of it. They are told by their bounds and filters, so that a block may hold
/// nothing of it; that is for the caller to see.
#[derive(Debug, Clone)]
pub struct Filter {
    /// Lanes to look into.
    pub lanes: Vec<Lane>,
    /// Earliest event time, Unix nanoseconds.
    pub from_ns: u64,
    /// Latest event time, inclusive, Unix nanoseconds.
    pub to_ns: u64,
    /// Only blocks that may hold parts of this trace.
    pub trace: Option<TraceId>,
    /// Only blocks that may hold each of these as a whole string (names, attribute keys and values). Longer ones than 64
    /// bytes rule nothing out.
    pub texts: Vec<Vec<u8>>,
}

impl Default for Filter {
    /// Everything in every lane.
    fn default() -> Self {
        Self { lanes: Lane::ALL.to_vec(), from_ns: 0, to_ns: u64::MAX, trace: None, texts: Vec::new() }
    }
}

/// One segment of a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentInfo {
    /// Its first sequence, which names its file.
    pub first: u64,
    /// Its last sequence, as far as its footer says; `None` while it is open.
    pub last: Option<u64>,
    /// Bytes of its file.
    pub bytes: u64,
    /// Records in it, as far as its footer says.
    pub records: Option<u64>,
    /// Event times of what is in it, as far as its footer says; 0 when not known.
    pub start_ns: u64,
    /// See `start_ns`.
    pub end_ns: u64,
    /// Whether it has an index.
    pub indexed: bool,
}

/// A block that passed the filter.
#[derive(Debug, Clone, Copy)]
pub struct FoundBlock<'a> {
    /// Its lane.
    pub lane: Lane,
    /// First and last sequence in it.
    pub first: u64,
    /// See `first`.
    pub last: u64,
    /// Records in it.
    pub records: u32,
    /// Event times of its records, Unix nanoseconds; 0 when not known.
    pub start_ns: u64,
    /// See `start_ns`.
    pub end_ns: u64,
    /// The signals of its records; `None` when not known.
    pub signals: Option<Signals>,
    /// The whole block ([`wire::RawBlock::parse`]).
    pub bytes: &'a [u8],
}

/// What a walk met.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Walked {
    /// Blocks handed out.
    pub blocks: u64,
    /// Blocks whose bytes are damaged; `verify` says where.
    pub damaged: u64,
    /// Bytes read from the disk.
    pub bytes_read: u64,
}

/// A data directory, for reading.
#[derive(Debug)]
pub struct Reader<D: Disk> {
    disk: D,
    epoch: Epoch,
}

impl<D: Disk> Reader<D> {
    /// Looks at a data directory ([`disk::RealDisk::read_only`] for one that another process owns).
    ///
    /// # Errors
    /// [`JournalError::Disk`] when there is no journal, [`JournalError::Version`] when a later program wrote it.
    pub fn open(disk: D) -> Result<Self, JournalError> {
        let epoch = identity::find(&disk)?;
        let nothing = || io::Error::new(io::ErrorKind::NotFound, "there is no journal in this directory");
        match epoch {
            Some(epoch) => Ok(Self { disk, epoch }),
            None => Err(JournalError::io("open", "epoch")(nothing())),
        }
    }

    /// The epoch of the directory.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The disk that is read.
    pub fn disk(&self) -> &D {
        &self.disk
    }

    /// How far each destination with a cursor has confirmed each lane, by the lane's number: everything up to this sequence. One
    /// that cannot be read has confirmed nothing.
    ///
    /// # Errors
    /// [`JournalError::Disk`], [`JournalError::Version`].
    pub fn confirmed(&self) -> Result<Vec<(String, [u64; Lane::ALL.len()])>, JournalError> {
        crate::cursor_file::all(&self.disk, self.epoch)
    }

    /// The segments of a lane, oldest first.
    ///
    /// # Errors
    /// [`JournalError::Disk`], [`JournalError::Version`].
    pub fn segments(&self, lane: Lane) -> Result<Vec<SegmentInfo>, JournalError> {
        let row = Row::Lane(lane);
        let mut segments = Vec::new();
        for first in firsts(&self.disk, row)? {
            let Some(open) = self.open_segment(row, first)? else { continue };
            let records_before = self.records_before(&open)?;
            segments.push(SegmentInfo {
                first,
                last: open.footer.map(|footer| footer.last),
                bytes: open.len,
                records: open.footer.map(|footer| footer.records_after.saturating_sub(records_before)),
                start_ns: open.footer.map_or(0, |footer| footer.start_ns),
                end_ns: open.footer.map_or(0, |footer| footer.end_ns),
                indexed: open.footer.is_some_and(|footer| footer.index_len > 0),
            });
        }
        Ok(segments)
    }

    /// Calls `each` with every block that passes, lane by lane, oldest first, until it breaks off.
    ///
    /// # Errors
    /// [`JournalError::Disk`] when the disk refuses, [`JournalError::Version`]; damage is passed over and counted.
    pub fn blocks(
        &self,
        filter: &Filter,
        mut each: impl FnMut(FoundBlock<'_>) -> ControlFlow<()>,
    ) -> Result<Walked, JournalError> {
        let mut walked = Walked::default();
        for lane in &filter.lanes {
            let row = Row::Lane(*lane);
            let firsts = firsts(&self.disk, row)?;
            for (position, first) in firsts.iter().enumerate() {
                // A later segment owns everything from its first sequence on.
                let limit = firsts.get(position + 1).copied().unwrap_or(u64::MAX);
                let Some(open) = self.open_segment(row, *first)? else { continue };
                walked.bytes_read += FIXED;
                if self.walk(&open, *lane, limit, filter, &mut walked, &mut each).is_break() {
                    return Ok(walked);
                }
            }
        }
        Ok(walked)
    }

    pub(crate) fn open_segment(&self, row: Row, first: u64) -> Result<Option<OpenSegment<D::File>>, JournalError> {
        let key = SegmentKey { epoch: self.epoch, row, first };
        let file = match SegmentFile::open(&self.disk, key) {
            Ok(file) => file,
            // Removed meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(JournalError::io("open", key.path())(error)),
        };
        let len = file.size(&self.disk)?;
        let footer = file.footer(&self.disk, len);
        Ok(Some(OpenSegment { file, len, footer }))
    }

    fn records_before(&self, open: &OpenSegment<D::File>) -> Result<u64, JournalError> {
        Ok(open.file.header(&self.disk)?.map_or(0, |header| header.records_before))
    }

    fn walk(
        &self,
        open: &OpenSegment<D::File>,
        lane: Lane,
        limit: u64,
        filter: &Filter,
        walked: &mut Walked,
        each: &mut impl FnMut(FoundBlock<'_>) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let mut payload = Vec::new();
        let search =
            Search { from_ns: filter.from_ns, to_ns: filter.to_ns, trace: filter.trace.as_ref(), texts: &filter.texts };
        let footer = open.footer.as_ref();
        for (start, end) in search.candidates(&self.disk, &open.file, footer, open.len, &mut walked.bytes_read) {
            let mut at = start;
            while at < end
                && !(open.footer.is_none() && open.file.is_unwritten(&self.disk, at))
                && let Step::Entry { at: found, entry } = open.file.next_entry(&self.disk, at, end)
            {
                walked.bytes_read += FIXED;
                walked.damaged += u64::from(found != at);
                at = found + entry.total_len();
                if entry.first >= limit {
                    break;
                }
                if !search.overlaps(entry.start_ns, entry.end_ns) {
                    continue;
                }
                walked.bytes_read += u64::from(entry.len);
                if !open.file.read_payload(&self.disk, found, &entry, &mut payload) {
                    walked.damaged += 1;
                    continue;
                }
                if !matches!(entry.kind, EntryKind::Block | EntryKind::Gap) {
                    continue;
                }
                walked.blocks += 1;
                each(FoundBlock {
                    lane,
                    first: entry.first,
                    last: entry.last(),
                    records: entry.records,
                    start_ns: entry.start_ns,
                    end_ns: entry.end_ns,
                    signals: entry.signals,
                    bytes: block_of(entry.kind, &payload),
                })?;
            }
        }
        ControlFlow::Continue(())
    }
}

pub(crate) struct OpenSegment<F> {
    pub(crate) file: SegmentFile<F>,
    pub(crate) len: u64,
    pub(crate) footer: Option<Footer>,
}
