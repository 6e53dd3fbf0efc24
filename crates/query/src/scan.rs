//! Going through what the device holds: the recorder first, then the journal without what the recorder had.

use std::collections::HashMap;
use std::io::Read;
use std::ops::ControlFlow;

use filter::{Field, Query, Record};
use journal::reader::{Filter, FoundBlock, Reader};
use journal::{Content, Disk, EntryId, JournalError};
use model::otlp::schema;
use model::{Lane, Signal, TraceId};
use wire::{Gap, Inflater, RawBlock, Section, decode_frame};

use crate::found::{Found, digest};
use crate::recorder_stream::{StreamError, read_entry};
use crate::view::{View, each_record};

/// Digests of the recorder's records that are remembered, so that the journal's copies are left out; of more, the oldest are
/// forgotten, and may be shown twice.
const MAX_DIGESTS: usize = 1 << 20;

/// Why the device's data cannot be gone through.
#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    /// The journal's files.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The agent's answer.
    #[error(transparent)]
    Stream(#[from] StreamError),
}

/// What was gone through, for `--explain`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Scanned {
    /// Entries of the recorder, and their bytes.
    pub entries: u64,
    /// See `entries`.
    pub entry_bytes: u64,
    /// The earliest time that the recorder holds, Unix nanoseconds; 0 when it holds nothing.
    pub recorder_from_ns: u64,
    /// Blocks of the journal that were decoded, and bytes read from its files.
    pub blocks: u64,
    /// See `blocks`.
    pub bytes_read: u64,
    /// Bytes of all segments of the lanes that were looked into.
    pub bytes_held: u64,
    /// Blocks and frames that cannot be read.
    pub damaged: u64,
    /// Records that were looked at, and that passed.
    pub records: u64,
    /// See `records`.
    pub passed: u64,
    /// What the journal says is lost in the query's time range.
    pub gaps: Vec<Gap>,
}

/// How far a repeated scan has come: what was seen is not shown again.
#[derive(Debug, Clone, Default)]
pub struct TailPosition {
    /// The next entry of the recorder.
    pub entry: EntryId,
    /// The last sequence seen of each lane.
    lanes: HashMap<Lane, u64>,
    /// Digests of the recorder's records, with how often each was there; the older ones apart.
    seen: HashMap<u64, u32>,
    older: HashMap<u64, u32>,
}

impl TailPosition {
    /// Remembers a record of the recorder, so that the journal's copy of it is left out.
    fn remember(&mut self, digest: u64) {
        if self.seen.len() >= MAX_DIGESTS / 2 {
            self.older = std::mem::take(&mut self.seen);
        }
        *self.seen.entry(digest).or_default() += 1;
    }

    /// Whether this record of the journal was shown from the recorder.
    fn was_shown(&mut self, digest: u64) -> bool {
        [&mut self.seen, &mut self.older].into_iter().any(|seen| match seen.get_mut(&digest) {
            Some(count) if *count > 0 => {
                *count -= 1;
                true
            }
            _ => false,
        })
    }
}

/// One walk for one query.
pub struct Scan<'q, F> {
    query: &'q Query,
    each: F,
    position: TailPosition,
    last: Option<Found>,
    scanned: Scanned,
}

impl<'q, F: FnMut(Found)> Scan<'q, F> {
    /// A walk that hands every record that passes to `each`; in no order.
    pub fn new(query: &'q Query, each: F) -> Self {
        Self::from(query, TailPosition::default(), each)
    }

    /// A walk over what came after an earlier one.
    pub fn from(query: &'q Query, position: TailPosition, each: F) -> Self {
        Self { query, each, position, last: None, scanned: Scanned::default() }
    }

    /// Looks at a running agent's recorder ([`crate::write_entry`]).
    ///
    /// # Errors
    /// [`ScanError::Stream`].
    pub fn recorder(&mut self, device: &str, stream: &mut impl Read) -> Result<(), ScanError> {
        while let Some(entry) = read_entry(stream)? {
            self.scanned.entries += 1;
            self.scanned.entry_bytes += entry.bytes.len() as u64;
            self.position.entry = self.position.entry.max(entry.id + 1);
            let Content::Request(signal) = entry.content else { continue };
            if self.request(signal, &entry.bytes, device, true).is_err() {
                self.scanned.damaged += 1;
            }
        }
        Ok(())
    }

    /// Looks at the journal.
    ///
    /// # Errors
    /// [`ScanError::Journal`].
    pub fn journal<D: Disk>(&mut self, reader: &Reader<D>) -> Result<(), ScanError> {
        let wanted = self.wanted();
        for lane in &wanted.lanes {
            for segment in reader.segments(*lane)? {
                self.scanned.bytes_held += segment.bytes;
            }
        }
        let mut inflater = Inflater::new();
        let walked = reader.blocks(&wanted, |found| {
            self.block(&found, &mut inflater);
            ControlFlow::Continue(())
        })?;
        self.scanned.bytes_read += walked.bytes_read;
        self.scanned.blocks += walked.blocks;
        self.scanned.damaged += walked.damaged;
        Ok(())
    }

    /// What was gone through, and from where the next walk goes on.
    pub fn finish(self) -> (Scanned, TailPosition) {
        (self.scanned, self.position)
    }

    /// What every block must have that can hold a record that passes.
    fn wanted(&self) -> Filter {
        let (filter, range) = (&self.query.filter, self.query.range);
        let texts = [Field::Service, Field::Host, Field::Name].iter().filter_map(|field| filter.demanded(field));
        let lanes = match filter.demanded(&Field::Signal) {
            Some("span") => Lane::ALL.into_iter().filter(|lane| !matches!(lane, Lane::Logs | Lane::Metrics)).collect(),
            Some("metric") => Lane::ALL.into_iter().filter(|lane| !matches!(lane, Lane::Logs | Lane::Traces)).collect(),
            Some("log") => Lane::ALL.into_iter().filter(|lane| *lane != Lane::Metrics).collect(),
            _ => Lane::ALL.to_vec(),
        };
        Filter {
            lanes,
            from_ns: range.since_ns.unwrap_or(0),
            to_ns: range.until_ns.map_or(u64::MAX, |until| until.saturating_sub(1)),
            trace: filter.demanded(&Field::Trace).and_then(TraceId::from_hex),
            texts: texts.map(|text| text.as_bytes().to_vec()).collect(),
        }
    }

    fn block(&mut self, found: &FoundBlock<'_>, inflater: &mut Inflater) {
        let seen = self.position.lanes.get(&found.lane).copied().unwrap_or(0);
        if found.last <= seen {
            return;
        }
        self.position.lanes.insert(found.lane, found.last);
        let Ok((block, _)) = RawBlock::parse(found.bytes) else {
            self.scanned.damaged += 1;
            return;
        };
        let Ok(frames) = block.frames(inflater) else {
            self.scanned.damaged += 1;
            return;
        };
        for (sequence, bytes) in frames {
            if sequence <= seen {
                continue;
            }
            let Ok(frame) = decode_frame(bytes) else {
                self.scanned.damaged += 1;
                continue;
            };
            for section in &frame.sections {
                let (signal, bytes) = match section {
                    Section::Traces(bytes) => (Signal::Traces, bytes),
                    Section::Logs(bytes) => (Signal::Logs, bytes),
                    Section::Metrics(bytes) => (Signal::Metrics, bytes),
                    Section::Exemplars(_) => continue,
                    Section::Gap(gap) => {
                        if gap.end_ns == 0 || self.query.range.touches(gap.start_ns, gap.end_ns) {
                            self.scanned.gaps.push(*gap);
                        }
                        continue;
                    }
                };
                if self.request(signal, bytes, &frame.header.device, false).is_err() {
                    self.scanned.damaged += 1;
                }
            }
        }
    }

    fn request(
        &mut self,
        signal: Signal,
        request: &[u8],
        device: &str,
        recorder: bool,
    ) -> Result<(), model::proto::ProtoError> {
        each_record(signal, request, device, |view| self.record(&view, recorder))
    }

    fn record(&mut self, view: &View<'_>, recorder: bool) {
        self.scanned.records += 1;
        let time = view.time_ns();
        if recorder && (self.scanned.recorder_from_ns == 0 || time < self.scanned.recorder_from_ns) {
            self.scanned.recorder_from_ns = time;
        }
        if !self.query.range.contains(time) || !self.query.filter.matches(view) {
            return;
        }
        if recorder {
            self.position.remember(digest(view));
        } else if self.position.was_shown(digest(view)) {
            return;
        }
        self.scanned.passed += 1;
        let found = Found::copy(view, self.last.as_ref());
        self.last = Some(found.clone());
        (self.each)(found);
    }
}

/// The table of the message that a section of this signal holds.
pub(crate) fn root_of(signal: Signal) -> &'static schema::Message {
    match signal {
        Signal::Traces => &schema::TRACES_DATA,
        Signal::Logs => &schema::LOGS_DATA,
        Signal::Metrics => &schema::METRICS_DATA,
    }
}
