//! The journal: what it holds, and in which order a commit comes about. What lanes, cursors and space do is theirs.

mod recovery;

use disk::Disk;
use model::{Epoch, Lane, Stamp};
use wire::{FRAME_CAP, FrameHeader};

use crate::attachment::Attachment;
use crate::commit_record::Riding;
use crate::consumer::Consumer;
use crate::cursors::{Confirmed, Cursors, Depth, Lost, StoredBlock};
use crate::error::{AppendError, JournalError};
use crate::lane::{FrameMeta, LaneLog};
use crate::log::Log;
use crate::mutants::{self, Mutant};
use crate::space::{self, Space, Stretch};
use crate::stats::Stats;

pub use recovery::Opening;

/// Frames are synced, without waiting for the caller's commit, when more than this many bytes wait for it.
const UNSYNCED_CAP: u64 = 256 << 10;
/// The smallest total budget: an open and a sealed segment for each lane, the reserve and the small files.
pub const MIN_TOTAL_BYTES: u64 = 512 << 10;

/// How the journal is to work.
#[derive(Debug, Clone)]
pub struct Options {
    /// The device's configured name, at most 256 bytes; it stands in every frame.
    pub device: String,
    /// Who reads it. The others of this crate's calls take the index in this list.
    pub consumers: Vec<Consumer>,
    /// The most bytes that the journal may take on disk, at least [`MIN_TOTAL_BYTES`].
    pub total_bytes: u64,
    /// Bytes of segments that are kept after every destination has confirmed them. Part of `total_bytes`, and the first
    /// to go when space is short.
    pub history_bytes: u64,
    /// The most bytes that each lane may take, by its number; [`u64::MAX`] for no bound of its own.
    pub lane_bytes: [u64; Lane::ALL.len()],
    /// How old a sealed segment's newest record may get, by the lane's number, nanoseconds; what is older is evicted for all
    /// destinations. Looked at only while the clock is synchronised; [`u64::MAX`] for any age. Without effect on lanes that
    /// never yield.
    pub lane_ages: [u64; Lane::ALL.len()],
    /// Bytes that are left free on the file system.
    pub free_space_floor: u64,
    /// Whether frames that a crash left behind the last commit are cut: where what they held is recorded elsewhere, and comes
    /// again.
    pub cut_uncommitted: bool,
}

impl Options {
    /// The usual ones: no history, no bounds but the whole, nothing left free on the file system.
    pub fn new(device: &str, consumers: &[&str], total_bytes: u64) -> Self {
        Self {
            device: device.to_owned(),
            consumers: Consumer::all(consumers),
            total_bytes,
            history_bytes: 0,
            lane_bytes: [u64::MAX; Lane::ALL.len()],
            lane_ages: [u64::MAX; Lane::ALL.len()],
            free_space_floor: 0,
            cut_uncommitted: false,
        }
    }
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
    log: Log<D>,
    cursors: Cursors<D::File>,
    space: Space,
    /// Entry bytes of each lane when it was opened.
    bytes_at_open: [u64; Lane::ALL.len()],
    /// Held for as long as the journal lives.
    lock: D::File,
}

fn index_of(lane: Lane) -> usize {
    usize::from(lane.number())
}

/// In.
impl<D: Disk> Journal<D> {
    /// Seals a frame body ([`wire::encode_body`]) with the lane's next sequence and buffers it. It is durable, and can be
    /// sent, after the next [`Journal::commit`].
    ///
    /// # Errors
    /// [`AppendError::Full`] when there is no room even after other lanes yielded as P11 allows. After any error nothing
    /// of the frame is kept and its sequence is not used.
    pub fn append(&mut self, lane: Lane, body: &[u8], meta: FrameMeta, stamp: Stamp) -> Result<u64, AppendError> {
        // Identity and stamp take at most this much besides the device's name.
        let frame_len = body.len() + self.log.lanes.device().len() + 96;
        if frame_len > FRAME_CAP {
            return Err(AppendError::TooLarge { found: frame_len, cap: FRAME_CAP });
        }
        self.make_room(lane, frame_len, stamp)?;
        let pushed = self.log.lanes.push(index_of(lane), meta, |shared, seq, out| {
            let (device, epoch) = (shared.device(), shared.epoch());
            wire::seal_frame(&FrameHeader { device, epoch, lane, seq, stamp }, body, out);
        });
        let sequence =
            pushed.map_err(|error| JournalError::Internal(format!("cannot buffer a frame of lane {lane}: {error}")))?;
        if mutants::is_on(Mutant::SentEarly) && self.log.lanes.sync(index_of(lane)).is_ok() {
            self.log.lanes.commit_early(index_of(lane));
        }
        if self.log.lanes.unsynced_bytes() > UNSYNCED_CAP {
            // Bounds memory (P9). An error here is the commit's to report: the frame is buffered.
            let _ = self.space.sync_lanes(&mut self.log, &mut self.cursors, stamp);
        }
        Ok(sequence)
    }

    /// Sees to it that a frame of at most so many bytes finds room in a lane, so that [`Journal::append`] will not say that it
    /// is full.
    ///
    /// # Errors
    /// As [`Journal::append`].
    pub fn make_room(&mut self, lane: Lane, frame_len: usize, stamp: Stamp) -> Result<(), AppendError> {
        self.space.make_fit(&mut self.log, &mut self.cursors, index_of(lane), frame_len, stamp)
    }

    /// Makes everything that was appended durable, and with it the attachments (the latest of each kind is kept): one sync per
    /// lane touched, directories where a segment was made, then the commit record. Only then may it be sent.
    ///
    /// Also writes the gap records that are due, and removes segments that every destination has confirmed.
    ///
    /// # Errors
    /// [`JournalError::Disk`] when the disk failed. Nothing is committed then, and nothing buffered is lost: call again. Where a lane
    /// found no room, what the others have is committed all the same, without the attachments.
    pub fn commit(&mut self, stamp: Stamp, attachments: &[Attachment<'_>]) -> Result<Commit, JournalError> {
        let riding = Riding::of(attachments)?;
        if !mutants::is_on(Mutant::PlaceUnseen) {
            self.check_place()?;
        }
        self.space.write_due_gaps(&mut self.log, &mut self.cursors, stamp)?;
        match self.space.sync_lanes(&mut self.log, &mut self.cursors, stamp) {
            Ok(()) => self.commit_synced(stamp, &riding),
            // The lane that finds no room keeps the others from nothing: what they told of may go then, and make room.
            Err(error) if error.is_full() => self.commit_synced(stamp, &Riding::default()).and(Err(error)),
            Err(error) => Err(error),
        }
    }

    /// Makes what is synced committed, with what rides.
    fn commit_synced(&mut self, stamp: Stamp, riding: &Riding<'_>) -> Result<Commit, JournalError> {
        self.log.lanes.settle()?;
        let (has_ledger, mut told) = (riding.has_ledger(), self.log.gaps.told());
        for (told, lane) in told.iter_mut().zip(self.log.lanes.iter()) {
            *told &= !lane.has_unsynced();
        }
        self.log.write_record(&self.cursors.losses(has_ledger, &told), riding)?;
        self.cursors.committed(has_ledger, &told);
        self.cursors.reported(&told);
        let (frames, records) = self.log.lanes.commit();
        self.cursors.pass_by(&mut self.log);
        if self.space.keep_house(&mut self.log, &mut self.cursors, stamp).is_err() {
            // What had to be durable is. History stays a little longer, and the next commit tries again.
            self.log.lanes.counts_mut().failed_syncs += 1;
        }
        Ok(Commit { frames, records })
    }

    /// Whether something waits for [`Journal::commit`].
    pub fn has_uncommitted(&self) -> bool {
        !self.log.gaps.due().is_empty()
            || self.log.lanes.iter().any(|lane| lane.has_unsynced() || lane.synced() != lane.committed())
    }

    /// Whether the data directory is still where it was, with the files that are written now: what is written into files that
    /// have no name any more is gone with the program.
    ///
    /// # Errors
    /// [`JournalError::Disk`] that names what is gone.
    pub fn check_place(&self) -> Result<(), JournalError> {
        let disk = self.disk();
        disk::check_place(disk, "lock", &self.lock)?;
        for (path, file) in self.log.records.open_files() {
            disk::check_place(disk, path, file)?;
        }
        for file in self.log.lanes.iter().filter_map(LaneLog::open_file) {
            disk::check_place(disk, &file.path(), file.file())?;
        }
        Ok(())
    }
}

/// Out.
impl<D: Disk> Journal<D> {
    /// Appends committed blocks that the destination has not been given yet to `out`, up to `max_bytes`, but at least one
    /// if there is one. Mission goes first, then audit; the other lanes share by bytes; each lane goes oldest first. A
    /// block that cannot be read is skipped and declared as a gap.
    ///
    /// # Errors
    /// [`JournalError::Options`] when there is no such destination. [`JournalError::Disk`] when the disk does not answer at
    /// all: nothing is lost for that.
    pub fn next_blocks(
        &mut self,
        destination: usize,
        max_bytes: usize,
        out: &mut Vec<StoredBlock>,
    ) -> Result<(), JournalError> {
        self.cursors.next_blocks(&mut self.log, destination, max_bytes, out)
    }

    /// What the destination was given and has not confirmed is given again by the next [`Journal::next_blocks`].
    pub fn rewind(&mut self, destination: usize) {
        self.cursors.rewind(destination);
    }

    /// As [`Journal::rewind`], for one range of one lane: what the destination refused for now.
    pub fn rewind_range(&mut self, destination: usize, lane: Lane, first: u64, last: u64) {
        self.cursors.rewind_range(destination, index_of(lane), first, last);
    }

    /// The destination lost what it had confirmed (a hub restored from a backup): it has the lane only up to
    /// `next_expected - 1`. What is still held, history included, is given to it again; a gap record `hub-restore` tells
    /// of the rest. Returns the records that it gets again, which the ledger had as delivered.
    ///
    /// Asking again while the replay is on its way changes nothing; nor does a hub that waits for a gap record.
    ///
    /// # Errors
    /// [`JournalError::Options`] when there is no such destination.
    pub fn replay(&mut self, destination: usize, lane: Lane, next_expected: u64) -> Result<u64, JournalError> {
        self.cursors.replay(&mut self.log, destination, index_of(lane), next_expected)
    }

    /// The destination has these sequences (inclusive). Ranges may come in any order, again, and for more than was handed
    /// out (a hub that is ahead of the cursor says so at connect). The cursor moves over what is confirmed without gaps,
    /// and is written by [`Journal::sync_cursors`] or when a commit needs it.
    ///
    /// # Errors
    /// As [`Journal::next_blocks`]; what is known to be confirmed stays so.
    pub fn confirm(
        &mut self,
        destination: usize,
        lane: Lane,
        first: u64,
        last: u64,
    ) -> Result<Confirmed, JournalError> {
        self.cursors.confirm(&mut self.log, destination, index_of(lane), first, last)
    }

    /// The destination says that it has everything of a lane below `next_expected`. Where the frame before that is the same one
    /// here, as `is_same` tells by its bytes, the cursor goes there; where it is another one, or is not held, nothing changes: a
    /// copy of this directory may have sent other frames under these sequences.
    ///
    /// # Errors
    /// As [`Journal::confirm`].
    pub fn skip(
        &mut self,
        destination: usize,
        lane: Lane,
        next_expected: u64,
        is_same: impl FnOnce(&[u8]) -> bool,
    ) -> Result<Confirmed, JournalError> {
        self.cursors.skip(&mut self.log, destination, index_of(lane), next_expected, is_same)
    }

    /// What the destination still has to get, over all lanes, buffered frames included.
    ///
    /// # Errors
    /// As [`Journal::next_blocks`].
    pub fn depth(&mut self, destination: usize) -> Result<Depth, JournalError> {
        self.cursors.depth(&mut self.log, destination)
    }

    /// Whether the destination has blocks on their way.
    pub fn has_in_flight(&self, destination: usize) -> bool {
        self.cursors.has_in_flight(destination)
    }

    /// Empties the queue of a destination, of one lane or of all but mission and audit. What is committed is released, reported in
    /// its lane by a gap `dropped`, and booked as lost to this destination; what other destinations wait for stays. Gives the
    /// records released.
    ///
    /// # Errors
    /// [`JournalError::Options`] for an unknown destination; [`JournalError::Disk`] when the disk cannot be read.
    pub fn drop_queue(&mut self, destination: usize, lane: Option<Lane>) -> Result<u64, JournalError> {
        self.cursors.drop_queue(&mut self.log, destination, lane)
    }

    /// What was lost since the last call, for each destination that loses by it.
    pub fn take_lost(&mut self) -> Vec<Lost> {
        self.cursors.take_lost()
    }

    /// Records that each destination was passed by since the last call, because it takes none of their signals; see
    /// [`Consumer::signals`]. Fewer than none where what it was passed by was replaced, and what is left of it will be.
    pub fn take_passed(&mut self) -> Vec<(usize, i64)> {
        self.cursors.take_passed()
    }

    /// Writes the cursors that moved. [`Journal::commit`] does so only when it has to: a cursor that is lost in a crash
    /// means that blocks are sent twice, which the hub tells from the first time (P8).
    ///
    /// # Errors
    /// [`JournalError::Disk`]; the cursors stay as they are in memory.
    pub fn sync_cursors(&mut self) -> Result<(), JournalError> {
        self.cursors.sync(&mut self.log)
    }
}

/// Fewer records for the same story.
impl<D: Disk> Journal<D> {
    /// Whether less than an eighth is left of what a lane, or the whole journal, may take. History does not count: it goes
    /// before anything is evicted.
    pub fn is_short(&self, lane: Lane) -> bool {
        self.space.is_short(&self.log, &self.cursors, index_of(lane))
    }

    /// The oldest segments of a lane behind the sequence `behind` that can be replaced: sealed, committed, and of which no
    /// destination has anything, or anything on its way.
    pub fn stretch(&self, lane: Lane, behind: u64) -> Option<Stretch> {
        space::stretch(&self.log, &self.cursors, lane, behind)
    }

    /// Calls `each` with every frame of a stretch that is no gap record, in order. `false` when some of it cannot be read, or
    /// `each` wants no more.
    pub fn each_frame(&mut self, stretch: &Stretch, each: impl FnMut(&[u8]) -> bool) -> bool {
        let positions = space::positions(&self.log, stretch);
        self.log.lanes.each_frame(index_of(stretch.lane), positions, (stretch.first, stretch.last), each)
    }

    /// Replaces a stretch by frames with these bodies. Frames and gap record are durable with the next
    /// [`Journal::commit`]; then the old ones go. The records that are fewer now are booked as lost to every destination.
    ///
    /// `false` when there is no room for the frames, or the stretch is not what it was: nothing has changed then.
    ///
    /// # Errors
    /// [`JournalError`]; nothing has changed then.
    pub fn replace(
        &mut self,
        stretch: &Stretch,
        frames: &[(Vec<u8>, FrameMeta)],
        stamp: Stamp,
    ) -> Result<bool, JournalError> {
        self.space.replace(&mut self.log, &mut self.cursors, stretch, frames, stamp)
    }
}

/// What it is and has.
impl<D: Disk> Journal<D> {
    /// The disk that it is on, for files of others beside its own.
    pub fn disk(&self) -> &D {
        self.log.lanes.disk()
    }

    /// The epoch of the data directory.
    pub fn epoch(&self) -> Epoch {
        self.log.lanes.epoch()
    }

    /// The ends of every lane that was ever used.
    pub fn heads(&self) -> Vec<LaneEnds> {
        let used = self.log.lanes.iter().enumerate().filter(|(_, lane)| lane.committed().next > 1);
        let ends = used.map(|(index, lane)| {
            let next = lane.committed().next;
            LaneEnds {
                lane: lane.lane(),
                next,
                oldest: lane.oldest().min(next),
                done: self.cursors.done(index).map_or(next - 1, |done| done.min(next - 1)),
                watermark_ns: lane.watermark_ns(),
            }
        });
        ends.collect()
    }

    /// Bytes of each lane, by its number, that some destination has not confirmed. Whole segments, since room comes back by
    /// whole segments; of the one that is being written, what is in it. History is not counted: it goes before anything is
    /// refused.
    pub fn backlog(&self) -> [u64; Lane::ALL.len()] {
        std::array::from_fn(|index| {
            let lane = self.log.lanes.lane(index);
            let done = self.cursors.done(index).unwrap_or(u64::MAX);
            let waiting = lane.segments().iter().rev().take_while(|segment| segment.last > done);
            let bytes = waiting.enumerate().map(|(from_newest, segment)| match from_newest == 0 && lane.is_open() {
                true => segment.data_end,
                false => segment.disk_bytes,
            });
            bytes.sum::<u64>() + lane.unsynced_bytes()
        })
    }

    /// What it did since it was opened, and takes now.
    pub fn stats(&mut self) -> Stats {
        let resident =
            self.log.lanes.resident_bytes() + self.cursors.resident_bytes() + self.log.records.resident_bytes();
        let (lanes, counts) = (&self.log.lanes, self.log.lanes.counts());
        Stats {
            bytes_written: counts.written,
            syncs: counts.syncs,
            failed_syncs: counts.failed_syncs,
            corrupt_blocks: lanes.corrupt_blocks(),
            lane_bytes: std::array::from_fn(|index| {
                lanes.lane(index).bytes().saturating_sub(self.bytes_at_open[index])
            }),
            segments: lanes.iter().map(|lane| lane.segments().len() as u64).sum(),
            disk_bytes: self.space.disk_bytes(&self.log, &self.cursors),
            resident_bytes: resident as u64,
        }
    }
}

/// For those who put a data directory in order.
impl<D: Disk> Journal<D> {
    /// Losses of each destination that the next ledger does not know of, though what told of them stays behind.
    pub(crate) fn take_over_losses(&mut self, lost: &[(usize, u64)]) {
        self.cursors.take_over_losses(lost);
    }

    /// Writes both commit records anew, with what is committed.
    pub(crate) fn rewrite_records(&mut self) -> Result<(), JournalError> {
        for _ in 0..2 {
            self.log.prove_disk()?;
        }
        Ok(())
    }

    /// How many destinations there are.
    pub(crate) fn destinations(&self) -> usize {
        self.cursors.len()
    }

    /// Up to where everything of a lane is confirmed by a destination.
    pub(crate) fn confirmed(&self, destination: usize, lane: Lane) -> u64 {
        self.cursors.confirmed(destination, index_of(lane))
    }

    /// The sequence after the last committed one of a lane.
    pub(crate) fn committed(&self, lane: Lane) -> u64 {
        self.log.lanes.lane(index_of(lane)).committed().next
    }

    /// Ends a lane's open block, so that the next frame begins another one.
    pub(crate) fn close_block(&mut self, lane: Lane) -> Result<(), JournalError> {
        self.log.lanes.close_block(index_of(lane))
    }

    /// The most bytes that wait for a sync in a lane.
    pub(crate) fn most_unsynced(&self) -> u64 {
        self.log.lanes.iter().map(LaneLog::unsynced_bytes).max().unwrap_or_default()
    }

    /// Gap records that are due.
    #[cfg(test)]
    pub(crate) fn due_gaps(&self) -> &[segment::GapRecord] {
        self.log.gaps.due()
    }

    /// A lane.
    #[cfg(test)]
    pub(crate) fn lane(&self, lane: Lane) -> &LaneLog<D::File> {
        self.log.lanes.lane(index_of(lane))
    }
}
