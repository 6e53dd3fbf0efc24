//! Opening a data directory: what is found, what is cut, what is given up, and where the sequences go on.

use disk::{Disk, IoCounts};
use model::{Epoch, Lane, Signal, Stamp};
use segment::{Extent, FIXED, MIN_SEGMENT, Row, Step, first_of_name, lane_dir, stated_epoch};
use wire::{BlockEncoder, GapReason};

use crate::attachment::{Attachment, AttachmentKind};
use crate::commit_record::{CommitRead, CommitRecords};
use crate::cursor::{self, CursorFile, CursorRead};
use crate::error::JournalError;
use crate::identity::{self, EpochRead};
use crate::journal::{Destination, Journal, MIN_TOTAL_BYTES, Options};
use crate::lane::{Core, LaneState};
use crate::lane_recovery::{LaneFound, Reached, recover_lane};
use crate::renew;
use crate::space::Spare;
use crate::window::Window;

/// A place where bytes were given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Damage {
    /// The lane.
    pub lane: Lane,
    /// First sequence of the segment (its file name).
    pub segment: u64,
    /// Offset in the segment's file behind which it begins.
    pub offset: u64,
    /// First sequence that is missing.
    pub first: u64,
    /// Last sequence that is missing, inclusive; for a torn tail, which was never committed, one less than `first`.
    pub last: u64,
    /// Records that are missing, as far as is known.
    pub records: u64,
}

/// Frames of one lane that the last ledger does not know of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unbooked {
    /// The lane.
    pub lane: Lane,
    /// Frames.
    pub frames: u64,
    /// Records in them.
    pub records: u64,
    /// How many of them are spans, log records and points, in the order of [`Signal::ALL`].
    pub by_signal: [u64; Signal::ALL.len()],
}

/// What was found when the journal was opened.
#[derive(Debug, Clone, Default)]
pub struct Recovery {
    /// Whether the data directory was empty: this is a new epoch.
    pub created: bool,
    /// Frames held.
    pub frames: u64,
    /// Records in them.
    pub records: u64,
    /// What rode in the last commit that can be read.
    pub attachments: Vec<(AttachmentKind, Vec<u8>)>,
    /// Whether the recorder's attachment surely is the last one: no commit record was damaged since.
    pub is_last: bool,
    /// Frames that are on disk and not in the ledger that is attached: they were synced, and the power went before it was.
    pub unbooked: Vec<Unbooked>,
    /// Tails that a crash tore. They were never committed, and their sequences are given out again.
    pub torn: Vec<Damage>,
    /// What was committed and cannot be read any more. Each has a gap record.
    pub corrupt: Vec<Damage>,
    /// What was there at the last commit, undelivered, and whose files are gone: somebody removed them. Each has a gap record.
    pub missing: Vec<Damage>,
    /// Destinations whose cursor's last state may be lost: they go on from the one before, or from the oldest frame held.
    pub damaged_cursors: Vec<String>,
    /// Files that are none of this epoch's; they were set aside under another name.
    pub foreign: Vec<String>,
    /// Segments whose eviction a crash had interrupted.
    pub evictions_finished: u64,
    /// Why the state that was found could not be committed yet; the next commit tries again.
    pub not_committed: Option<String>,
}

impl Recovery {
    /// What rode in the last commit, of one kind.
    pub fn attachment(&self, kind: AttachmentKind) -> Option<&[u8]> {
        self.attachments.iter().find(|(other, _)| *other == kind).map(|(_, bytes)| &bytes[..])
    }
}

/// A journal that was recovered and not committed yet: for parts of the program whose files belong to the same commits, and which
/// have to look at what was attached before the next one.
pub struct Opening<D: Disk> {
    journal: Journal<D>,
    recovery: Recovery,
}

impl<D: Disk> Opening<D> {
    /// The disk that it is on.
    pub fn disk(&self) -> &D {
        self.journal.disk()
    }

    /// The epoch of the data directory.
    pub fn epoch(&self) -> Epoch {
        self.journal.epoch()
    }

    /// What was found.
    pub fn recovery(&self) -> &Recovery {
        &self.recovery
    }

    /// Makes what was found durable, with these attachments.
    pub fn commit(self, stamp: Stamp, attachments: &[Attachment<'_>]) -> (Journal<D>, Recovery) {
        let Self { mut journal, mut recovery } = self;
        if let Err(error) = journal.commit(stamp, attachments) {
            recovery.not_committed = Some(error.to_string());
        }
        (journal, recovery)
    }
}

impl<D: Disk> Journal<D> {
    /// Opens a data directory, or makes a new one. Damage never stops it; it is cut, skipped or declared as gaps, and
    /// listed in the [`Recovery`].
    ///
    /// # Errors
    /// [`JournalError::Locked`] and [`JournalError::Version`] leave everything untouched. [`JournalError::Disk`] when the
    /// disk refuses what cannot be done without, [`JournalError::Options`] for a budget that is too small.
    pub fn open(disk: D, options: Options, stamp: Stamp) -> Result<(Self, Recovery), JournalError> {
        Ok(Self::recover(disk, options)?.commit(stamp, &[]))
    }

    /// As [`Journal::open`], before anything is committed.
    ///
    /// # Errors
    /// As [`Journal::open`].
    pub fn recover(disk: D, options: Options) -> Result<Opening<D>, JournalError> {
        check_options(&options)?;
        let lock = disk.lock("lock").map_err(|error| match error.kind() {
            std::io::ErrorKind::WouldBlock => JournalError::Locked,
            _ => JournalError::io("lock", "lock")(error),
        })?;
        renew::finish(&disk)?;
        let mut recovery = Recovery::default();
        let mut counts = IoCounts::default();
        for dir in ["lanes", cursor::DIR] {
            disk.create_dir(dir).map_err(JournalError::io("create", dir))?;
        }
        let epoch = open_epoch(&disk, &mut recovery)?;
        let (records, read) = CommitRecords::open(&disk, epoch, &mut counts)?;
        // A process that was killed may have left names unsynced that are seen now.
        for dir in ["", "lanes", cursor::DIR] {
            disk.sync_dir(dir).map_err(JournalError::io("sync directory", dir))?;
        }
        let encoder = BlockEncoder::new().map_err(|error| JournalError::Internal(error.to_string()))?;
        let mut core = Core {
            disk,
            epoch,
            device: options.device.clone(),
            encoder,
            counts,
            corrupt_blocks: 0,
            cut: options.cut_uncommitted,
        };

        let cursors = open_cursors(&core, &options, &mut recovery)?;
        let mut lanes = Vec::with_capacity(Lane::ALL.len());
        let mut found = Vec::with_capacity(Lane::ALL.len());
        for lane in Lane::ALL {
            let index = usize::from(lane.number());
            let places = || cursors.iter().filter_map(|(_, read)| read.places).map(|places| places[index]);
            let reached = Reached {
                most: places().map(|place| place.confirmed).max().unwrap_or(0),
                least: places().min_by_key(|place| place.confirmed),
            };
            let (state, lane_found) = recover_lane(&mut core, lane, &read, reached, &mut recovery)?;
            lanes.push(state);
            found.push(lane_found);
        }
        let Ok(lanes) = <[LaneState<D::File>; Lane::ALL.len()]>::try_from(lanes) else {
            return Err(JournalError::Internal("one state per lane".into()));
        };
        let mut journal = Self {
            core,
            lanes,
            destinations: Vec::new(),
            records,
            spare: Spare::Missing,
            rightful: 0,
            bytes_at_open: [0; Lane::ALL.len()],
            due: Vec::new(),
            lost: Vec::new(),
            thinned: Vec::new(),
            scratch: Vec::new(),
            options,
            lock,
        };
        journal.place_destinations(cursors, &found);
        journal.find_spare()?;
        journal.rightful = journal.disk_bytes();
        journal.bytes_at_open = std::array::from_fn(|index| journal.lanes[index].bytes());
        for (index, lane_found) in found.iter().enumerate() {
            for span in &lane_found.lost {
                journal.declare(index, *span, GapReason::Corrupt, 0, 0);
            }
            journal.forget_holes(index);
        }
        journal.report_frames(read, &mut recovery);
        Ok(Opening { journal, recovery })
    }

    fn report_frames(&mut self, read: CommitRead, recovery: &mut Recovery) {
        let has_ledger = read.attachments.iter().any(|(kind, _)| *kind == AttachmentKind::Ledger);
        for (index, head) in read.ledger_heads.into_iter().enumerate() {
            let behind = has_ledger && self.lanes[index].synced.next > head.next;
            let by_signal = if behind { self.count_from(index, head.next) } else { Default::default() };
            let lane = &self.lanes[index];
            let oldest = lane.segments.front().map_or(lane.records, |segment| segment.records_before);
            recovery.frames += lane.synced.next - lane.oldest();
            recovery.records += lane.records - oldest.min(lane.records);
            if behind {
                recovery.unbooked.push(Unbooked {
                    lane: lane.lane,
                    frames: lane.synced.next - head.next,
                    records: lane.records.saturating_sub(head.records),
                    by_signal,
                });
            }
        }
        (recovery.attachments, recovery.is_last) = (read.attachments, read.is_last);
    }

    /// Puts every destination at its cursor, or at the oldest frame when it has none.
    fn place_destinations(&mut self, cursors: Cursors<D::File>, found: &[LaneFound]) {
        for (cursor, read) in cursors {
            let windows = std::array::from_fn(|index| {
                let start = found.get(index).map_or(1, |found| found.start);
                // What is older than all files was confirmed by a state of the cursor that cannot be read any more.
                let place = read.places.map(|places| places[index]);
                let place = place.filter(|place| !read.damaged || place.confirmed + 1 >= start);
                let confirmed = place.map_or(start - 1, |place| place.confirmed).min(self.lanes[index].next - 1);
                let records = place.map(|place| place.records);
                let records = records.or_else(|| found.get(index).and_then(|found| found.records_before));
                self.place(index, confirmed, records)
            });
            let dirty = read.places.is_none();
            self.destinations.push(Destination { cursor, windows, dirty, untold: Default::default() });
        }
    }

    /// A window at a cursor, at the border of a block. `records` is what the cursor file says of the records before.
    pub(crate) fn place(&mut self, index: usize, confirmed: u64, records: Option<u64>) -> Window {
        let lane = &mut self.lanes[index];
        let Some(position) = lane.segment_at(confirmed + 1) else {
            let all = confirmed + 1 >= lane.next;
            return Window::new(confirmed, if all { lane.records } else { records.unwrap_or(lane.records) });
        };
        let segment = lane.segments[position];
        if segment.first > confirmed {
            // At its border, or before a hole: then it is for the drain to find out how much is missing.
            let border = segment.first == confirmed + 1;
            let before = segment.records_before;
            return Window::new(confirmed, if border { before } else { records.unwrap_or(before).min(before) });
        }
        let _key = lane.key(self.core.epoch, segment.first);
        let (mut at, mut before) = (FIXED, segment.records_before);
        if let Ok(file) = lane.file(&self.core, segment.first) {
            while let Step::Entry { at: found, entry } = file.next_entry(&self.core.disk, at, segment.data_end) {
                if entry.last() > confirmed {
                    let inside = entry.first <= confirmed;
                    let confirmed = if inside { entry.first - 1 } else { confirmed };
                    let before = if entry.first == confirmed + 1 { entry.records_before } else { before };
                    let mut window = Window::new(confirmed, before);
                    window.place = Some((segment.first, at));
                    return window;
                }
                before = entry.records_after();
                at = found + entry.total_len();
            }
        }
        Window::new(confirmed, before)
    }

    fn find_spare(&mut self) -> Result<(), JournalError> {
        match self.core.disk.open("spare") {
            Ok(file) if self.core.disk.len(&file).is_ok_and(|len| len == MIN_SEGMENT) => self.spare = Spare::Ready,
            // A crash left it shorter.
            Ok(_) => self.core.disk.remove("spare").map_err(JournalError::io("remove", "spare"))?,
            Err(_) => {}
        }
        Ok(())
    }
}

fn check_options(options: &Options) -> Result<(), JournalError> {
    let wrong = |text: String| Err(JournalError::Options(text));
    if options.total_bytes < MIN_TOTAL_BYTES {
        return wrong(format!(
            "a journal budget of {} bytes is too small: at least {MIN_TOTAL_BYTES} are needed",
            options.total_bytes
        ));
    }
    if options.history_bytes > options.total_bytes {
        return wrong(format!(
            "history of {} bytes is more than the whole journal may take ({})",
            options.history_bytes, options.total_bytes
        ));
    }
    if options.device.is_empty() || options.device.len() > 256 {
        return wrong(format!("a device name has 1 to 256 bytes, this one has {}", options.device.len()));
    }
    for (number, name) in options.destinations.iter().enumerate() {
        if name.is_empty() || name.len() > 64 {
            return wrong(format!("a destination name has 1 to 64 bytes, {name:?} has {}", name.len()));
        }
        if options.destinations[..number].contains(name) {
            return wrong(format!("two destinations have the name {name:?}"));
        }
    }
    Ok(())
}

type Cursors<F> = Vec<(CursorFile<F>, CursorRead)>;

fn open_cursors<D: Disk>(
    core: &Core<D>,
    options: &Options,
    recovery: &mut Recovery,
) -> Result<Cursors<D::File>, JournalError> {
    let mut cursors = Vec::with_capacity(options.destinations.len());
    for name in &options.destinations {
        let (file, read) = CursorFile::open(&core.disk, name, core.epoch)?;
        if read.damaged {
            recovery.damaged_cursors.push(name.clone());
        }
        cursors.push((file, read));
    }
    Ok(cursors)
}

/// The epoch: from its file, else from the segments, else a new one.
fn open_epoch<D: Disk>(disk: &D, recovery: &mut Recovery) -> Result<Epoch, JournalError> {
    let damaged = match identity::read(disk)? {
        EpochRead::Good(epoch) => return Ok(epoch),
        EpochRead::Damaged => true,
        EpochRead::Missing => false,
    };
    let epoch = match epoch_of_segments(disk) {
        Some(epoch) => epoch,
        None => {
            recovery.created = true;
            identity::fresh_epoch()?
        }
    };
    if damaged {
        recovery.foreign.push("epoch".into());
    }
    identity::set_epoch(disk, epoch)?;
    Ok(epoch)
}

pub(crate) fn epoch_of_segments<D: Disk>(disk: &D) -> Option<Epoch> {
    for lane in Lane::ALL {
        let dir = lane_dir(lane);
        for name in disk.list(&dir).unwrap_or_default() {
            let Some(first) = first_of_name(&name) else { continue };
            let Ok(file) = disk.open(&format!("{dir}/{name}")) else { continue };
            if let Some(epoch) = stated_epoch(disk, &file, Row::Lane(lane), first) {
                return Some(epoch);
            }
        }
    }
    None
}

/// The sum of what a lane lost, for the drain to declare.
pub(crate) fn span_damage(lane: Lane, segment: u64, offset: u64, span: &Extent) -> Damage {
    Damage { lane, segment, offset, first: span.first, last: span.last, records: span.records() }
}
