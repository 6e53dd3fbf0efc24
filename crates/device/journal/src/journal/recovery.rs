//! Opening a data directory: what is found, what is cut, what is lost, and where the sequences go on.

use disk::{Disk, IoCounts};
use model::{Epoch, Lane, Stamp};
use wire::GapReason;

use super::{Journal, MIN_TOTAL_BYTES, Options};
use crate::attachment::{Attachment, AttachmentKind};
use crate::commit_record::{CommitRead, CommitRecords};
use crate::consumer::Consumer;
use crate::cursor_file::{self, CursorFile, CursorRead};
use crate::cursors::{Begin, Cursors};
use crate::damage::{Recovery, Unbooked};
use crate::error::JournalError;
use crate::gap_log::GapLog;
use crate::identity::{self, EpochRead};
use crate::lane::LaneLog;
use crate::lane::recovery::{Reached, recover_lane};
use crate::lanes::Lanes;
use crate::log::Log;
use crate::replacement;
use crate::shared::Shared;
use crate::space::{Budgets, Space};

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
        replacement::finish(&disk)?;
        let mut recovery = Recovery::default();
        let mut counts = IoCounts::default();
        for dir in ["lanes", cursor_file::DIR] {
            disk.create_dir(dir).map_err(JournalError::io("create", dir))?;
        }
        let epoch = open_epoch(&disk, &mut recovery)?;
        let (records, read) = CommitRecords::open(&disk, epoch, &mut counts)?;
        // A process that was killed may have left names unsynced that are seen now.
        for dir in ["", "lanes", cursor_file::DIR] {
            disk.sync_dir(dir).map_err(JournalError::io("sync directory", dir))?;
        }
        let mut shared = Shared::new(disk, epoch, options.device.clone(), counts, options.cut_uncommitted)?;
        let files = open_cursors(&shared, &options, &mut recovery)?;
        let mut lanes = Vec::with_capacity(Lane::ALL.len());
        let mut found = Vec::with_capacity(Lane::ALL.len());
        for lane in Lane::ALL {
            let index = usize::from(lane.number());
            let positions = || files.iter().filter_map(|(_, read)| read.reached()).map(|positions| positions[index]);
            let reached = Reached {
                most: positions().map(|position| position.confirmed).max().unwrap_or(0),
                least: positions().min_by_key(|position| position.confirmed),
            };
            let (state, lane_found) = recover_lane(&mut shared, lane, &read, reached, &mut recovery)?;
            lanes.push(state);
            found.push(lane_found);
        }
        let Ok(lanes) = <[LaneLog<D::File>; Lane::ALL.len()]>::try_from(lanes) else {
            return Err(JournalError::Internal("one state per lane".into()));
        };
        let mut log = Log { lanes: Lanes::new(shared, lanes), gaps: GapLog::default(), records };
        let begins: Vec<Begin> = found
            .iter_mut()
            .map(|found| Begin {
                start: found.start,
                records_before: found.records_before,
                told: std::mem::take(&mut found.told),
            })
            .collect();
        let mut cursors = Cursors::open(&mut log, files, &begins, &options.consumers, &read.losses);
        recovery.lost = cursors.lost_before();
        let space = Space::open(budgets(options), &log, &cursors)?;
        let bytes_at_open = std::array::from_fn(|index| log.lanes.lane(index).bytes());
        for (index, lane_found) in found.iter().enumerate() {
            for extent in &lane_found.lost {
                cursors.declare(&mut log, index, *extent, GapReason::Corrupt, 0);
            }
            cursors.forget_gaps(&mut log, index);
        }
        report_frames(&mut log, read, &mut recovery);
        Ok(Opening { journal: Self { log, cursors, space, bytes_at_open, lock }, recovery })
    }
}

fn budgets(options: Options) -> Budgets {
    Budgets {
        total_bytes: options.total_bytes,
        history_bytes: options.history_bytes,
        lane_bytes: options.lane_bytes,
        lane_ages: options.lane_ages,
        free_space_floor: options.free_space_floor,
        queue_limits: options.consumers.into_iter().map(|consumer| consumer.queue_limit).collect(),
    }
}

/// What is held, and what of it the last ledger does not know of.
fn report_frames<D: Disk>(log: &mut Log<D>, read: CommitRead, recovery: &mut Recovery) {
    let has_ledger = read.attachments.iter().any(|(kind, _)| *kind == AttachmentKind::Ledger);
    for (index, head) in read.ledger_heads.into_iter().enumerate() {
        let is_behind = has_ledger && log.lanes.lane(index).synced().next > head.next;
        let by_signal = if is_behind { log.lanes.count_from(index, head.next) } else { Default::default() };
        let lane = log.lanes.lane(index);
        let oldest = lane.segments().front().map_or(lane.records(), |segment| segment.records_before);
        recovery.frames += lane.synced().next - lane.oldest();
        recovery.records += lane.records() - oldest.min(lane.records());
        if is_behind {
            recovery.unbooked.push(Unbooked {
                lane: lane.lane(),
                frames: lane.synced().next - head.next,
                records: lane.records().saturating_sub(head.records),
                by_signal,
            });
        }
    }
    (recovery.attachments, recovery.is_last) = (read.attachments, read.is_last);
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
    for (number, Consumer { name, .. }) in options.consumers.iter().enumerate() {
        if name.is_empty() || name.len() > 80 {
            return wrong(format!("a destination name has 1 to 80 bytes, {name:?} has {}", name.len()));
        }
        if options.consumers[..number].iter().any(|other| other.name == *name) {
            return wrong(format!("two destinations have the name {name:?}"));
        }
    }
    Ok(())
}

type Files<F> = Vec<(CursorFile<F>, CursorRead)>;

fn open_cursors<D: Disk>(
    shared: &Shared<D>,
    options: &Options,
    recovery: &mut Recovery,
) -> Result<Files<D::File>, JournalError> {
    let mut cursors = Vec::with_capacity(options.consumers.len());
    for Consumer { name, formerly, .. } in &options.consumers {
        let (file, mut read) = CursorFile::open(shared.disk(), name, shared.epoch())?;
        if read.damaged {
            recovery.damaged_cursors.push(name.clone());
        }
        if let Some(formerly) = formerly
            && read.positions.is_none()
            && !read.damaged
        {
            let is_new = read.is_new;
            read = CursorRead { goes_on: true, is_new, ..CursorFile::read(shared.disk(), formerly, shared.epoch())? };
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
    let epoch = match identity::of_segments(disk) {
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
