//! What is written: the lanes, the gap records that are due, and the commit records. Knows no destination.

use disk::Disk;

use crate::commit_record::{Advance, CommitRecords, Head, Losses, Riding, Starts};
use crate::error::JournalError;
use crate::gap_log::GapLog;
use crate::lanes::Lanes;

/// See the module. Each part owns its own state; this only holds them together.
pub(crate) struct Log<D: Disk> {
    pub(crate) lanes: Lanes<D>,
    pub(crate) gaps: GapLog,
    pub(crate) records: CommitRecords<D::File>,
}

impl<D: Disk> Log<D> {
    /// Writes the commit record of what is synced and lost, unless the last one says the same.
    pub(crate) fn write_record(&mut self, losses: &Losses, riding: &Riding<'_>) -> Result<(), JournalError> {
        let (heads, starts) = (self.lanes.synced(), self.starts());
        if self.records.says(&self.lanes.committed(), &heads, &starts, losses, riding) {
            return Ok(());
        }
        let epoch = self.lanes.epoch();
        let (disk, counts) = self.lanes.io();
        self.records.write(disk, epoch, &heads, &starts, losses, riding, counts)
    }

    /// Makes durable, before files are removed, where lanes begin without them; what of a lane tells of that is committed with it.
    pub(crate) fn advance_record(&mut self, mut advance: Advance, losses: &Losses) -> Result<(), JournalError> {
        for (index, start) in advance.starts.iter_mut().enumerate() {
            *start = start.filter(|start| self.due_before(index, *start).is_none());
        }
        let epoch = self.lanes.epoch();
        let (disk, counts) = self.lanes.io();
        self.records.advance(disk, epoch, &advance, losses, counts)
    }

    /// Where lanes begin. What was found missing is looked for again by the next start, as long as no gap record tells of it.
    fn starts(&self) -> Starts {
        let starts = self.lanes.starts();
        std::array::from_fn(|index| self.due_before(index, starts[index]).unwrap_or(starts[index]))
    }

    /// Where a stretch of a lane begins that a gap record is due of, before where the lane does.
    fn due_before(&self, index: usize, start: Head) -> Option<Head> {
        let lane = self.lanes.lane(index).lane();
        let due = self.gaps.due().iter().filter(|due| due.exact && due.gap.lane == lane && due.gap.first < start.next);
        due.map(|due| Head { next: due.gap.first, records: due.before }).min_by_key(|head| head.next)
    }

    /// Before anything is declared unreadable, the disk has to show that it works at all: the commit record is written again. A
    /// disk that was pulled out or went read-only must not turn a whole backlog into a gap.
    pub(crate) fn prove_disk(&mut self) -> Result<(), JournalError> {
        let epoch = self.lanes.epoch();
        let (disk, counts) = self.lanes.io();
        self.records.repeat(disk, epoch, counts)
    }
}
