//! What is written: the lanes, the gap records that are due, and the commit records. Knows no destination.

use disk::Disk;

use crate::commit_record::{CommitRecords, Riding};
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
    /// Writes the commit record of what is synced, unless the last one says the same.
    pub(crate) fn write_record(&mut self, riding: &Riding<'_>) -> Result<(), JournalError> {
        let (heads, starts) = (self.lanes.synced(), self.lanes.starts());
        if self.records.says(&self.lanes.committed(), &heads, &starts, riding) {
            return Ok(());
        }
        let epoch = self.lanes.epoch();
        let (disk, counts) = self.lanes.io();
        self.records.write(disk, epoch, &heads, &starts, riding, counts)
    }

    /// Makes durable that one lane is further than the last commit record says.
    pub(crate) fn advance_record(&mut self, index: usize) -> Result<(), JournalError> {
        let (head, epoch) = (self.lanes.lane(index).synced(), self.lanes.epoch());
        let (disk, counts) = self.lanes.io();
        self.records.advance(disk, epoch, index, head, counts)
    }

    /// Before anything is declared unreadable, the disk has to show that it works at all: the commit record is written again. A
    /// disk that was pulled out or went read-only must not turn a whole backlog into a gap.
    pub(crate) fn prove_disk(&mut self) -> Result<(), JournalError> {
        let epoch = self.lanes.epoch();
        let (disk, counts) = self.lanes.io();
        self.records.repeat(disk, epoch, counts)
    }
}
