//! The journal itself: what it holds, and the way in (append, commit).

use std::io;

use disk::Disk;
use model::{Epoch, Lane, Stamp};
use segment::{Extent, GapRecord};
use wire::{FRAME_CAP, FrameHeader, Gap};

use crate::attachment::Attachment;
use crate::commit_record::{CommitRecords, Heads, Riding, Starts};
use crate::cursor::{CursorFile, Place};
use crate::error::{AppendError, JournalError};
use crate::lane::{Core, FrameMeta, LaneState};
use crate::mutants::{self, Mutant};
use crate::space::Spare;
use crate::stats::Stats;
use crate::window::Window;

/// Frames are synced, without waiting for the caller's commit, when more than this many bytes wait for it.
const UNSYNCED_CAP: u64 = 256 << 10;
/// The smallest total budget: an open and a sealed segment for each lane, the spare one and the small files.
pub const MIN_TOTAL_BYTES: u64 = 512 << 10;

/// How the journal is to work.
#[derive(Debug, Clone)]
pub struct Options {
    /// The device's configured name, at most 256 bytes; it stands in every frame.
    pub device: String,
    /// Names of the destinations. The others of this crate's calls take the index in this list.
    pub destinations: Vec<String>,
    /// The most bytes that the journal may take on disk, at least [`MIN_TOTAL_BYTES`].
    pub total_bytes: u64,
    /// Bytes of segments that are kept after every destination has confirmed them. Part of `total_bytes`, and the first
    /// to go when space is short.
    pub history_bytes: u64,
    /// The most bytes that each lane may take, by its number; [`u64::MAX`] for no bound of its own.
    pub lane_bytes: [u64; Lane::ALL.len()],
    /// How old a sealed segment's newest record may get, by the lane's number, nanoseconds; what is older is given up for all
    /// destinations. Looked at only while the clock is synchronised; [`u64::MAX`] for any age. Without effect on lanes that
    /// never yield.
    pub lane_ages: [u64; Lane::ALL.len()],
    /// Bytes that are left free on the file system.
    pub free_space_floor: u64,
    /// Whether frames that a crash left behind the last commit are cut: where what they held is recorded elsewhere, and comes
    /// again.
    pub cut_uncommitted: bool,
    /// For each destination what it may hold at most; `None`, or a list that is too short: as much as there is room for.
    pub holds: Vec<Option<crate::hold::Hold>>,
}

/// One destination and its place in every lane.
pub(crate) struct Destination<F> {
    pub(crate) cursor: CursorFile<F>,
    pub(crate) windows: [Window; Lane::ALL.len()],
    /// Whether a cursor moved since the file was written.
    pub(crate) dirty: bool,
    /// Where it stood before what was given up since the last commit: the file says no more until the gap records are durable.
    pub(crate) untold: [Option<Place>; Lane::ALL.len()],
}

impl<F> Destination<F> {
    /// Up to where it needs nothing of a lane any more: it has it, or it was told that it will not get it.
    pub(crate) fn done_with(&self, index: usize) -> u64 {
        let confirmed = self.windows[index].confirmed;
        self.untold[index].map_or(confirmed, |place| place.confirmed.min(confirmed))
    }
}

/// Records that a destination will never get, for the ledger (P1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lost {
    /// Index in [`Options::destinations`].
    pub destination: usize,
    /// What was lost, once for all destinations; [`Gap::records`] counts all records of the stretch.
    pub gap: Gap,
    /// Records of it that this destination had not confirmed.
    pub records: u64,
}

/// What a commit made durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Commit {
    /// Frames that are durable now and were not before, gap records included.
    pub frames: u64,
    /// Records in them.
    pub records: u64,
}

/// The ends of one lane, for the link's hello.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LaneEnds {
    /// The lane.
    pub lane: Lane,
    /// The sequence after the last committed one.
    pub next: u64,
    /// The oldest sequence that is held; equal to `next` when none is.
    pub oldest: u64,
    /// Up to where no destination needs anything any more: it is history.
    pub done: u64,
    /// The latest event time of what is committed, Unix nanoseconds; 0 when not known.
    pub watermark_ns: u64,
}

/// The lanes on disk. Plain and synchronous: one thread owns it.
pub struct Journal<D: Disk> {
    pub(crate) core: Core<D>,
    pub(crate) options: Options,
    pub(crate) lanes: [LaneState<D::File>; Lane::ALL.len()],
    pub(crate) destinations: Vec<Destination<D::File>>,
    pub(crate) records: CommitRecords<D::File>,
    pub(crate) spare: Spare,
    /// What the journal took, or asked for, when there last was more free than the floor; at open, what it has.
    pub(crate) rightful: u64,
    /// Entry bytes of each lane when it was opened.
    pub(crate) bytes_at_open: [u64; Lane::ALL.len()],
    /// Gap records that are not in their lane yet.
    pub(crate) due: Vec<GapRecord>,
    pub(crate) lost: Vec<Lost>,
    /// Stretches of lanes that are replaced by what the next commit makes durable: their files go after it.
    pub(crate) thinned: Vec<(usize, Extent)>,
    /// Reused for reading.
    pub(crate) scratch: Vec<u8>,
    /// Held for as long as the journal lives.
    pub(crate) lock: D::File,
}

impl<D: Disk> Journal<D> {
    /// The disk that it is on, for files of others beside its own.
    pub fn disk(&self) -> &D {
        &self.core.disk
    }

    /// The epoch of the data directory.
    pub fn epoch(&self) -> Epoch {
        self.core.epoch
    }

    /// Seals a frame body ([`wire::encode_body`]) with the lane's next sequence and buffers it. It is durable, and can be
    /// sent, after the next [`Journal::commit`].
    ///
    /// # Errors
    /// [`AppendError::Full`] when there is no room even after other lanes yielded as P11 allows. After any error nothing
    /// of the frame is kept and its sequence is not used.
    pub fn append(&mut self, lane: Lane, body: &[u8], meta: FrameMeta, stamp: Stamp) -> Result<u64, AppendError> {
        let index = usize::from(lane.number());
        // Identity and stamp take at most this much besides the device's name.
        let frame_len = body.len() + self.core.device.len() + 96;
        if frame_len > FRAME_CAP {
            return Err(AppendError::TooLarge { found: frame_len, cap: FRAME_CAP });
        }
        self.make_fit(index, frame_len, stamp)?;
        let (epoch, device) = (self.core.epoch, self.core.device.as_str());
        let sequence = self.lanes[index]
            .push(meta, |seq, out| {
                wire::seal_frame(&FrameHeader { device, epoch, lane, seq, stamp }, body, out);
            })
            .map_err(|error| JournalError::Internal(format!("cannot buffer a frame of lane {lane}: {error}")))?;
        if mutants::is_on(Mutant::SentEarly) && self.lanes[index].sync(&mut self.core).is_ok() {
            self.lanes[index].committed = self.lanes[index].synced;
        }
        if self.lanes.iter().map(LaneState::unsynced_bytes).sum::<u64>() > UNSYNCED_CAP {
            // Bounds memory (P9). An error here is the commit's to report: the frame is buffered.
            let _ = self.sync_lanes(stamp);
        }
        Ok(sequence)
    }

    /// Sees to it that a frame of at most so many bytes finds room in a lane, so that [`Journal::append`] will not say that it
    /// is full.
    ///
    /// # Errors
    /// As [`Journal::append`].
    pub fn make_room(&mut self, lane: Lane, frame_len: usize, stamp: Stamp) -> Result<(), AppendError> {
        self.make_fit(usize::from(lane.number()), frame_len, stamp)
    }

    /// Makes everything that was appended durable, and with it the attachments (the latest of each kind is kept): one sync per
    /// lane touched, directories where a segment was made, then the commit record. Only then may it be sent.
    ///
    /// Also writes the gap records that are due, and gives up segments that every destination has confirmed.
    ///
    /// # Errors
    /// [`JournalError::Disk`] when the disk failed. Nothing is committed then, and nothing buffered is lost: call again.
    pub fn commit(&mut self, stamp: Stamp, attachments: &[Attachment<'_>]) -> Result<Commit, JournalError> {
        let riding = Riding::of(attachments)?;
        if !mutants::is_on(Mutant::PlaceUnseen) {
            self.check_place()?;
        }
        self.write_due_gaps(stamp)?;
        self.sync_lanes(stamp)?;
        for lane in &mut self.lanes {
            lane.settle_early(&mut self.core);
            lane.sync_names(&mut self.core)?;
        }
        self.write_record(&riding)?;
        if self.due.is_empty() {
            for destination in &mut self.destinations {
                destination.dirty |= destination.untold.iter().any(Option::is_some);
                destination.untold = Default::default();
            }
        }
        let mut commit = Commit::default();
        for lane in &mut self.lanes {
            commit.frames += lane.synced.next - lane.committed.next;
            commit.records += lane.synced.records - lane.committed.records;
            lane.committed = lane.synced;
            lane.watermark_ns = lane.latest_ns;
        }
        if self.keep_house(stamp).is_err() {
            // What had to be durable is. History stays a little longer, and the next commit tries again.
            self.core.counts.failed_syncs += 1;
        }
        if commit.frames > 0 {
            // Between two commits the tables would only be resident. An encoder that cannot be made anew goes on as it is.
            let _as_it_was = self.core.encoder.rest();
        }
        Ok(commit)
    }

    /// Writes the commit record, unless the last one says the same.
    fn write_record(&mut self, riding: &Riding<'_>) -> Result<(), JournalError> {
        let heads: Heads = std::array::from_fn(|index| self.lanes[index].synced);
        let starts: Starts = std::array::from_fn(|index| self.lanes[index].start());
        let committed: Heads = std::array::from_fn(|index| self.lanes[index].committed);
        if self.records.says(&committed, &heads, &starts, riding) {
            return Ok(());
        }
        self.records.write(&self.core.disk, self.core.epoch, &heads, &starts, riding, &mut self.core.counts)
    }

    /// Whether the data directory is still where it was, with the files that are written now: what is written into files that
    /// have no name any more is gone with the program.
    ///
    /// # Errors
    /// [`JournalError::Disk`] that names what is gone.
    pub fn check_place(&self) -> Result<(), JournalError> {
        let disk = &self.core.disk;
        disk::check_place(disk, "lock", &self.lock)?;
        for (path, file) in self.records.open_files() {
            disk::check_place(disk, path, file)?;
        }
        for file in self.lanes.iter().filter_map(LaneState::open_file) {
            disk::check_place(disk, &file.path(), file.file())?;
        }
        Ok(())
    }

    /// Whether something waits for [`Journal::commit`].
    pub fn has_uncommitted(&self) -> bool {
        !self.due.is_empty() || self.lanes.iter().any(|lane| lane.has_unsynced() || lane.synced != lane.committed)
    }

    /// What was lost since the last call, for each destination that loses by it.
    pub fn take_lost(&mut self) -> Vec<Lost> {
        std::mem::take(&mut self.lost)
    }

    /// The ends of every lane that was ever used.
    pub fn heads(&self) -> Vec<LaneEnds> {
        let done = |index, next: u64| {
            let done = self.destinations.iter().map(|destination| destination.done_with(index)).min();
            done.map_or(next - 1, |done| done.min(next - 1))
        };
        self.lanes
            .iter()
            .enumerate()
            .filter(|(_, lane)| lane.committed.next > 1)
            .map(|(index, lane)| LaneEnds {
                lane: lane.lane,
                next: lane.committed.next,
                oldest: lane.oldest().min(lane.committed.next),
                done: done(index, lane.committed.next),
                watermark_ns: lane.watermark_ns,
            })
            .collect()
    }

    /// Figures.
    pub fn stats(&mut self) -> Stats {
        let counts = self.core.counts;
        let buffers: usize = self.lanes.iter().map(LaneState::resident_bytes).sum();
        let windows: usize = self
            .destinations
            .iter()
            .flat_map(|destination| &destination.windows)
            .map(|window| window.blocks.capacity() * size_of::<crate::window::Known>() + size_of::<Window>())
            .sum();
        let resident = buffers
            + windows
            + self.core.encoder.resident_bytes()
            + self.records.resident_bytes()
            + self.scratch.capacity();
        Stats {
            bytes_written: counts.written,
            syncs: counts.syncs,
            failed_syncs: counts.failed_syncs,
            corrupt_blocks: self.core.corrupt_blocks,
            lane_bytes: std::array::from_fn(|index| {
                self.lanes[index].bytes().saturating_sub(self.bytes_at_open[index])
            }),
            segments: self.lanes.iter().map(|lane| lane.segments.len() as u64).sum(),
            disk_bytes: self.disk_bytes(),
            resident_bytes: resident as u64,
        }
    }

    /// Writes the cursors that moved. [`Journal::commit`] does so only when it has to: a cursor that is lost in a crash
    /// means that blocks are sent twice, which the hub tells from the first time (P8).
    ///
    /// # Errors
    /// [`JournalError::Disk`]; the cursors stay as they are in memory.
    pub fn sync_cursors(&mut self) -> Result<(), JournalError> {
        for destination in self.destinations.iter_mut().filter(|destination| destination.dirty) {
            let places = std::array::from_fn(|lane| {
                let window = &destination.windows[lane];
                let place = Place { confirmed: window.confirmed, records: window.records_before };
                destination.untold[lane].unwrap_or(place)
            });
            destination.cursor.write(&self.core.disk, self.core.epoch, &places, &mut self.core.counts)?;
            destination.dirty = false;
        }
        Ok(())
    }

    /// Writes both commit records anew, with what is committed.
    pub(crate) fn rewrite_records(&mut self) -> Result<(), JournalError> {
        for _ in 0..2 {
            self.records.repeat(&self.core.disk, self.core.epoch, &mut self.core.counts)?;
        }
        Ok(())
    }

    /// Syncs every lane that has something. A lane whose segment fails is tried once more in a new segment, under the
    /// same sequences: they were never sent.
    fn sync_lanes(&mut self, stamp: Stamp) -> Result<(), JournalError> {
        for index in 0..self.lanes.len() {
            if !self.lanes[index].has_unsynced() {
                continue;
            }
            if self.lanes[index].is_open() && self.lanes[index].sync(&mut self.core).is_ok() {
                continue;
            }
            self.open_segment(index, 0, stamp).map_err(|error| match error {
                AppendError::Journal(error) => error,
                full => JournalError::io("find room for", segment::lane_dir(self.lanes[index].lane))(io::Error::new(
                    io::ErrorKind::StorageFull,
                    full.to_string(),
                )),
            })?;
            self.lanes[index].sync(&mut self.core)?;
        }
        Ok(())
    }

    /// Sees to it that a frame of this length surely finds room in the lane's open segment.
    fn make_fit(&mut self, index: usize, frame_len: usize, stamp: Stamp) -> Result<(), AppendError> {
        let lane = &mut self.lanes[index];
        if lane.block_is_full(frame_len) {
            lane.close_block(&mut self.core)?;
        }
        if lane.fits(frame_len) {
            return Ok(());
        }
        // Compressed, the open block takes less than was set aside for it.
        lane.close_block(&mut self.core)?;
        if lane.fits(frame_len) {
            return Ok(());
        }
        if lane.is_open() {
            // A segment that fails is given up; what is pending then goes into the new one.
            let _ = lane.sync(&mut self.core);
        }
        self.open_segment(index, frame_len, stamp)
    }
}
