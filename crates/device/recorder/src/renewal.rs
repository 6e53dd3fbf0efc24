//! What is recorded goes over to a new epoch (docs/journal.md, "A new epoch").

use disk::Disk;

use crate::decisions::Decisions;
use crate::error::RecorderError;
use crate::files::{HEAD_LEN, Progress, RecorderFiles};

/// Writes the requests that are still needed, and the decisions, into rings that were just made, under new sequences. Gives the
/// head that rides in their first commit.
///
/// # Errors
/// [`RecorderError`]; the old rings are as they were.
pub fn carry_over<A: Disk, B: Disk>(
    old: (&A, &RecorderFiles<A::File>),
    new: (&B, &mut RecorderFiles<B::File>),
) -> Result<[u8; HEAD_LEN], RecorderError> {
    let (old_disk, old) = old;
    let (new_disk, new) = new;
    let progress = old.progress();
    let (mut sequences, mut failed) = (Vec::new(), None);
    old.each_recorded(old_disk, progress.needed, |sequence, request| {
        match new.record(new_disk, &[request], 0, false) {
            Ok(_) => sequences.push(sequence),
            Err(error) => failed = failed.take().or(Some(error)),
        }
    })?;
    if let Some(error) = failed {
        return Err(error);
    }
    new.sync(new_disk)?;
    // Where a sequence of the old ring stands in the new one.
    let moved = |before: u64| sequences.partition_point(|sequence| *sequence < before) as u64 + 1;
    let mut failed = None;
    old.each_decisions(old_disk, |read| {
        let decisions = Decisions { remembered: &read.remembered, without_spans: &read.without_spans };
        let written = new.write_decisions(new_disk, &decisions, moved(read.before), read.wall_ns);
        failed = failed.take().or(written.err());
    })?;
    if let Some(error) = failed {
        return Err(error);
    }
    let progress = Progress { booked: moved(progress.booked), needed: moved(progress.needed) };
    new.prepare(new_disk, &Decisions::default(), progress, 0)
}
