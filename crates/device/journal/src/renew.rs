//! A new epoch in the same data directory: what is queued, recorded and remembered goes over to it under new sequences
//! (docs/journal.md, "A new epoch").

use std::io;
use std::ops::ControlFlow;

use disk::{Disk, Subdirectory};
use model::{Epoch, Lane, Signal, Stamp};
use wire::{Inflater, RawBlock, Section};

use crate::attachment::{Attachment, AttachmentKind};
use crate::damage::Recovery;
use crate::error::{AppendError, JournalError};
use crate::identity;
use crate::journal::{Journal, Options};
use crate::lane::FrameMeta;
use crate::reader::{Filter, FoundBlock, Reader};
use crate::replacement::{self, DIR};

/// What was migrated to a new epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Renewed {
    /// The epoch that ended.
    pub from: Epoch,
    /// The one that begins.
    pub to: Epoch,
    /// Frames that some destination still has to get.
    pub frames: u64,
    /// For each destination the records that could not be read any more: lost, for the ledger (P1).
    pub lost: Vec<u64>,
}

/// What a new epoch is made of besides the journal: for the parts of the program that keep files of their own beside it.
#[derive(Debug)]
pub struct CarryOver<'a, D> {
    /// The directory of the epoch that ends.
    pub old: &'a Subdirectory<'a, D>,
    /// Its epoch.
    pub old_epoch: Epoch,
    /// The directory of the epoch that begins.
    pub new: &'a Subdirectory<'a, D>,
    /// Its epoch.
    pub new_epoch: Epoch,
    /// What was found when the old one was opened, its attachments among it.
    pub recovery: &'a Recovery,
}

/// Begins a new epoch: the directory was put back from a copy, or copied, so that its sequences name other frames somewhere.
/// Whatever a destination has not confirmed, and the attachments of the last commit, go over. `carry` writes files of others
/// into the new directory, and gives the attachments that are others there. A crash leaves the old epoch or the new one, with
/// all of it. Needs room for what goes over once more.
///
/// # Errors
/// As [`Journal::open`], and [`JournalError::Disk`] when there is no room; the directory is as it was then.
pub fn renew<D: Disk>(
    disk: &D,
    options: &Options,
    stamp: Stamp,
    epoch: Epoch,
    carry: impl FnOnce(&CarryOver<'_, D>) -> Result<Vec<(AttachmentKind, Vec<u8>)>, JournalError>,
) -> Result<Renewed, JournalError> {
    let whole = || Subdirectory::new(disk, "");
    let within = || Subdirectory::new(disk, DIR);
    let (old, recovery) = Journal::open(whole(), options.clone(), stamp)?;
    replacement::clear(disk)?;
    disk.create_dir(DIR).map_err(JournalError::io("create", DIR))?;
    disk.sync_dir("").map_err(JournalError::io("sync directory of", DIR))?;
    identity::set_epoch(&within(), epoch)?;
    let (new, _) = Journal::open(within(), options.clone(), stamp)?;
    let mut moving = Move { disk, old, new, stamp };
    let frames = moving.frames()?;
    let carried = carry(&CarryOver {
        old: &whole(),
        old_epoch: moving.old.epoch(),
        new: &within(),
        new_epoch: epoch,
        recovery: &recovery,
    })?;
    let renewed = moving.finish(frames, &carried, &recovery)?;
    replacement::complete(disk)?;
    Ok(renewed)
}

struct Move<'a, D: Disk> {
    disk: &'a D,
    old: Journal<Subdirectory<'a, D>>,
    new: Journal<Subdirectory<'a, D>>,
    stamp: Stamp,
}

impl<D: Disk> Move<'_, D> {
    /// Moves the blocks of every lane. Tells how many frames that were.
    fn frames(&mut self) -> Result<u64, JournalError> {
        let mut frames = 0;
        for lane in Lane::ALL {
            frames += self.lane(lane)?;
        }
        Ok(frames)
    }

    /// Commits what was migrated, with the attachments, and puts every destination where it was.
    fn finish(
        mut self,
        frames: u64,
        carried: &[(AttachmentKind, Vec<u8>)],
        recovery: &Recovery,
    ) -> Result<Renewed, JournalError> {
        let kept = recovery.attachments.iter().filter(|(kind, _)| carried.iter().all(|(other, _)| other != kind));
        let attachments: Vec<Attachment<'_>> =
            kept.chain(carried).map(|(kind, bytes)| Attachment { kind: *kind, bytes }).collect();
        // The ledger of the last commit does not know of these, and their gap records stay behind.
        self.new.take_over_losses(&recovery.lost);
        let since: Vec<(usize, u64)> =
            self.old.take_lost().iter().map(|lost| (lost.destination, lost.records)).collect();
        self.new.take_over_losses(&since);
        self.new.commit(self.stamp, &attachments)?;
        let mut lost = Vec::new();
        for destination in 0..self.old.destinations() {
            for lane in Lane::ALL {
                self.confirm(destination, lane)?;
            }
            let (before, after) = (self.old.depth(destination)?.records, self.new.depth(destination)?.records);
            lost.push(before.saturating_sub(after));
        }
        self.new.sync_cursors()?;
        Ok(Renewed { from: self.old.epoch(), to: self.new.epoch(), frames, lost })
    }

    /// Blocks of the new epoch are those of the old one, less what every destination has and what told of gaps in the old
    /// one's sequences: cursors stay at the border of a block.
    fn lane(&mut self, lane: Lane) -> Result<u64, JournalError> {
        let all = (0..self.old.destinations()).map(|destination| self.old.confirmed(destination, lane)).min();
        let from = all.unwrap_or(0);
        let end = self.old.committed(lane);
        let reader = Reader::open(Subdirectory::new(self.disk, ""))?;
        let (new, stamp) = (&mut self.new, self.stamp);
        let (mut frames, mut failed) = (0, None);
        let mut inflater = Inflater::new();
        reader.blocks(&Filter { lanes: vec![lane], ..Filter::default() }, |block| {
            if block.last <= from || block.first >= end {
                return ControlFlow::Continue(());
            }
            match append(new, &block, stamp, &mut inflater) {
                Ok(count) => frames += count,
                Err(error) => {
                    failed = Some(error);
                    return ControlFlow::Break(());
                }
            }
            ControlFlow::Continue(())
        })?;
        match failed {
            Some(error) => Err(error),
            None => Ok(frames),
        }
    }

    /// Puts a destination behind those blocks of a lane that it has and another one has not.
    fn confirm(&mut self, destination: usize, lane: Lane) -> Result<(), JournalError> {
        let behind = self.moved_before(lane, self.old.confirmed(destination, lane))?;
        if behind > 0 {
            self.new.confirm(destination, lane, 1, behind)?;
        }
        Ok(())
    }

    /// How many frames of a lane were migrated whose old sequence is at most this one.
    fn moved_before(&self, lane: Lane, confirmed: u64) -> Result<u64, JournalError> {
        let all = (0..self.old.destinations()).map(|destination| self.old.confirmed(destination, lane)).min();
        let from = all.unwrap_or(0);
        let reader = Reader::open(Subdirectory::new(self.disk, ""))?;
        let mut inflater = Inflater::new();
        let mut count = 0;
        reader.blocks(&Filter { lanes: vec![lane], ..Filter::default() }, |block| {
            if block.last > from && block.last <= confirmed {
                count += contents(&block, &mut inflater).len() as u64;
            }
            ControlFlow::Continue(())
        })?;
        Ok(count)
    }
}

/// The frames of a block that hold records: body and stamp of each, with what the journal wants to know of it.
fn contents(block: &FoundBlock<'_>, inflater: &mut Inflater) -> Vec<(Vec<u8>, FrameMeta, Stamp)> {
    let Ok((raw, _)) = RawBlock::parse(block.bytes) else { return Vec::new() };
    let Ok(frames) = raw.frames(inflater) else { return Vec::new() };
    let mut found = Vec::new();
    for (_, bytes) in frames {
        let Ok(frame) = wire::decode_frame(bytes) else { continue };
        if frame.sections.iter().any(|section| matches!(section, Section::Gap(_))) {
            continue;
        }
        let signal = |section: &Section| match section {
            // Exemplars follow their trace.
            Section::Traces(_) | Section::Exemplars(_) => Some(Signal::Traces),
            Section::Logs(_) => Some(Signal::Logs),
            Section::Metrics(_) => Some(Signal::Metrics),
            Section::Gap(_) => None,
        };
        let signals = Some(frame.sections.iter().filter_map(signal).collect());
        let records = frame.sections.iter().map(|section| match section {
            Section::Traces(otlp) => model::otlp::count_records(Signal::Traces, otlp).unwrap_or(0),
            Section::Logs(otlp) => model::otlp::count_records(Signal::Logs, otlp).unwrap_or(0),
            Section::Metrics(otlp) => model::otlp::count_records(Signal::Metrics, otlp).unwrap_or(0),
            Section::Exemplars(_) | Section::Gap(_) => 0,
        });
        // A single frame has what its entry says.
        let records = if raw.header().frames == 1 { block.records } else { records.sum::<u64>() as u32 };
        let meta = FrameMeta { records, start_ns: block.start_ns, end_ns: block.end_ns, signals };
        let mut before = Vec::new();
        wire::seal_frame::<String>(&frame.header, &[], &mut before);
        found.push((bytes.get(before.len()..).unwrap_or_default().to_vec(), meta, frame.header.stamp));
    }
    found
}

/// Appends the frames of a block as a block of the new epoch.
fn append<D: Disk>(
    new: &mut Journal<D>,
    block: &FoundBlock<'_>,
    stamp: Stamp,
    inflater: &mut Inflater,
) -> Result<u64, JournalError> {
    let mut count = 0;
    for (body, meta, made) in contents(block, inflater) {
        new.append(block.lane, &body, meta, made).map_err(|error| match error {
            AppendError::Journal(error) => error,
            full => JournalError::io("find room in", DIR)(io::Error::new(io::ErrorKind::StorageFull, full.to_string())),
        })?;
        count += 1;
    }
    new.close_block(block.lane)?;
    if new.most_unsynced() > 128 << 10 {
        new.commit(stamp, &[])?;
    }
    Ok(count)
}
