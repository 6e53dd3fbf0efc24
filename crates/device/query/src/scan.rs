//! Going through what the device holds: the recorder first, in memory and in files, then the journal without what the
//! recorder had.

use std::collections::HashMap;
use std::io::Read;
use std::ops::ControlFlow;

use disk::Disk;
use filter::{Field, Query, Record};
use journal::JournalError;
use journal::reader::{Filter, FoundBlock, Reader};
use model::{Lane, Signal, TraceId};
use recorder::{Content, EntryId, RequestsRead, read_requests};
use wire::{Gap, Inflater, RawBlock, Section, decode_frame};

use crate::digest::digest;
use crate::found::{Found, Origin};
use crate::recorder_stream::{StreamError, read_entry};
use crate::seen::{Place, Seen};
use crate::view::{View, each_record};

/// A record may be so much later than the device's clock said when it came, and is still found by its time; nanoseconds.
const AHEAD: u64 = 600_000_000_000;

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
    /// Entries of the recorder in memory, and their bytes.
    pub entries: u64,
    /// See `entries`.
    pub entry_bytes: u64,
    /// The earliest time that the recorder holds in memory, Unix nanoseconds; 0 when it holds nothing.
    pub recorder_from_ns: u64,
    /// What was read of the recorder's files.
    pub files: RequestsRead,
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
    /// How many of these were in the recorder.
    pub from_recorder: u64,
    /// What the journal says is lost in the query's time range.
    pub gaps: Vec<Gap>,
}

/// How far a repeated scan has come: what was seen is not shown again.
#[derive(Debug, Clone, Default)]
pub struct TailPosition {
    /// The next entry of the recorder.
    pub entry: EntryId,
    /// The next request of its files.
    request: u64,
    /// The last sequence seen of each lane.
    lanes: HashMap<Lane, u64>,
    /// Records that were found in the recorder's memory first, and in its files first.
    memory: Seen,
    files: Seen,
}

/// What is gone through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Memory,
    Files,
    /// The files once more, of which all was shown.
    FilesAgain,
    Lane(Lane),
}

/// One walk for one query.
pub struct Scan<'q, F> {
    query: &'q Query,
    each: F,
    position: TailPosition,
    last: Option<Found>,
    scanned: Scanned,
    /// Only digests of this part, of so many, are looked at in the lanes.
    part: (u64, u64),
    /// The sequence of the frame that is looked at.
    sequence: u64,
    /// The lanes and files are left when so many records passed.
    enough: u64,
}

impl<'q, F: FnMut(Found)> Scan<'q, F> {
    /// A walk that hands every record that passes to `each`; in no order.
    pub fn new(query: &'q Query, each: F) -> Self {
        Self::from(query, TailPosition::default(), each)
    }

    /// A walk over what came after an earlier one.
    pub fn from(query: &'q Query, mut position: TailPosition, each: F) -> Self {
        position.memory.begin();
        position.files.begin();
        Self {
            query,
            each,
            position,
            last: None,
            scanned: Scanned::default(),
            part: (0, 1),
            sequence: 0,
            enough: u64::MAX,
        }
    }

    /// Ends when so many records passed.
    #[must_use]
    pub fn at_most(mut self, records: u64) -> Self {
        self.enough = records;
        self
    }

    fn go_on(&self) -> ControlFlow<()> {
        if self.scanned.passed < self.enough { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
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
            if self.request(signal, &entry.bytes, device, Stage::Memory).is_err() {
                self.scanned.damaged += 1;
            }
        }
        self.position.memory.settle();
        Ok(())
    }

    /// Looks at what the recorder has in files, after [`Scan::recorder`], whether the agent runs or not.
    ///
    /// # Errors
    /// [`ScanError::Journal`].
    pub fn files<D: Disk>(&mut self, device: &str, reader: &Reader<D>) -> Result<(), ScanError> {
        let from = self.position.request;
        self.scanned.files = self.walk_files(device, reader, from..u64::MAX, Stage::Files)?;
        self.scanned.damaged += self.scanned.files.damaged;
        self.position.request = from.max(self.scanned.files.next);
        Ok(())
    }

    fn walk_files<D: Disk>(
        &mut self,
        device: &str,
        reader: &Reader<D>,
        requests: std::ops::Range<u64>,
        stage: Stage,
    ) -> Result<RequestsRead, JournalError> {
        let wanted = match self.query.filter.demanded(&Field::Signal) {
            Some("span") => Some(Signal::Traces),
            Some("metric") => Some(Signal::Metrics),
            Some("log") => Some(Signal::Logs),
            _ => None,
        };
        let since = self.query.range.since_ns.unwrap_or(0).saturating_sub(AHEAD);
        let mut bad = 0;
        let mut read = read_requests(reader.disk(), reader.epoch(), requests.start, since, |found| {
            if found.sequence >= requests.end {
                return ControlFlow::Break(());
            }
            if let Content::Request(signal) = found.content
                && wanted.is_none_or(|wanted| wanted == signal)
            {
                bad += u64::from(self.request(signal, found.bytes, device, stage).is_err());
            }
            self.go_on()
        })?;
        read.damaged += bad;
        self.position.files.settle();
        Ok(read)
    }

    /// Looks at the journal.
    ///
    /// # Errors
    /// [`ScanError::Journal`].
    pub fn journal<D: Disk>(&mut self, device: &str, reader: &Reader<D>) -> Result<(), ScanError> {
        let wanted = wanted_blocks(self.query);
        for lane in &wanted.lanes {
            for segment in reader.segments(*lane)? {
                self.scanned.bytes_held += segment.bytes;
            }
        }
        // More records of the recorder's files than can be remembered: the lanes are gone through in parts.
        let parts = self.position.files.parts();
        let before = self.position.lanes.clone();
        for part in 0..parts {
            self.part = (part, parts);
            if parts > 1 {
                self.position.lanes.clone_from(&before);
                self.position.files.clear();
                self.position.memory.unmeet();
                self.walk_files(device, reader, 0..self.position.request, Stage::FilesAgain)?;
            }
            let mut inflater = Inflater::new();
            let walked = reader.blocks(&wanted, |found| {
                self.block(&found, &mut inflater);
                self.go_on()
            })?;
            self.scanned.bytes_read += walked.bytes_read;
            if part == 0 {
                self.scanned.blocks += walked.blocks;
                self.scanned.damaged += walked.damaged;
            }
        }
        Ok(())
    }

    /// What was gone through, and from where the next walk goes on.
    pub fn finish(self) -> (Scanned, TailPosition) {
        (self.scanned, self.position)
    }

    fn block(&mut self, found: &FoundBlock<'_>, inflater: &mut Inflater) {
        let seen = self.position.lanes.get(&found.lane).copied().unwrap_or(0);
        if found.last <= seen {
            return;
        }
        self.position.lanes.insert(found.lane, found.last);
        let first_time = u64::from(self.part.0 == 0);
        let Ok((block, _)) = RawBlock::parse(found.bytes) else {
            self.scanned.damaged += first_time;
            return;
        };
        let Ok(frames) = block.frames(inflater) else {
            self.scanned.damaged += first_time;
            return;
        };
        for (sequence, bytes) in frames {
            if sequence <= seen {
                continue;
            }
            let Ok(frame) = decode_frame(bytes) else {
                self.scanned.damaged += first_time;
                continue;
            };
            self.sequence = sequence;
            for section in &frame.sections {
                let (signal, bytes) = match section {
                    Section::Traces(bytes) => (Signal::Traces, bytes),
                    Section::Logs(bytes) => (Signal::Logs, bytes),
                    Section::Metrics(bytes) => (Signal::Metrics, bytes),
                    Section::Exemplars(_) => continue,
                    Section::Gap(gap) => {
                        let meant = gap.end_ns == 0 || self.query.range.touches(gap.start_ns, gap.end_ns);
                        if meant && self.part.0 == 0 {
                            self.scanned.gaps.push(*gap);
                        }
                        continue;
                    }
                };
                if self.request(signal, bytes, &frame.header.device, Stage::Lane(found.lane)).is_err() {
                    self.scanned.damaged += first_time;
                }
            }
        }
    }

    fn request(
        &mut self,
        signal: Signal,
        request: &[u8],
        device: &str,
        stage: Stage,
    ) -> Result<(), model::proto::ProtoError> {
        each_record(signal, request, device, |view| self.record(&view, stage))
    }

    fn record(&mut self, view: &View<'_>, stage: Stage) {
        let time = view.time_ns();
        if stage != Stage::FilesAgain && self.part.0 == 0 {
            self.scanned.records += 1;
        }
        if stage == Stage::Memory && (self.scanned.recorder_from_ns == 0 || time < self.scanned.recorder_from_ns) {
            self.scanned.recorder_from_ns = time;
        }
        if !self.query.range.contains(time) || !self.query.filter.matches(view) {
            return;
        }
        let digest = digest(view);
        let TailPosition { memory, files, .. } = &mut self.position;
        let (part, parts) = self.part;
        let origin = match stage {
            Stage::Memory if files.met(digest, Place::Recorder) => return,
            Stage::Memory => {
                memory.add(digest);
                Origin::Recorder
            }
            Stage::Files if memory.met(digest, Place::Recorder) => return,
            Stage::Files => {
                files.add(digest);
                Origin::Recorder
            }
            Stage::FilesAgain | Stage::Lane(_) if (digest >> 2) % parts != part => return,
            Stage::FilesAgain => {
                if !memory.met(digest, Place::Recorder) {
                    files.add(digest);
                }
                return;
            }
            Stage::Lane(_) if memory.met(digest, Place::Lane) || files.met(digest, Place::Lane) => return,
            Stage::Lane(lane) => Origin::Lane(lane),
        };
        self.scanned.passed += 1;
        self.scanned.from_recorder += u64::from(origin == Origin::Recorder);
        let found = Found::copy(view, origin, self.sequence, self.last.as_ref());
        self.last = Some(found.clone());
        (self.each)(found);
    }
}

/// What every block of the lanes must have that can hold a record that passes.
pub fn wanted_blocks(query: &Query) -> Filter {
    let (filter, range) = (&query.filter, query.range);
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
