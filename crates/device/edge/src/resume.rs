//! Reading the recorder's files after a restart, for a pipeline that goes on with them.

use disk::{Disk, DiskError};
use model::Signal;
use pipeline::Resume;
use recorder::{Content, RecorderError, RecorderFiles};

use crate::starting::TakesIn;

/// Keys of so many last requests are remembered.
const KEYS: u64 = 512;

/// From which sequence on requests are set aside, and who keeps them; false when one could not be kept.
pub(crate) struct Aside<'a> {
    pub(crate) takes_in: TakesIn,
    pub(crate) keep: &'a mut dyn FnMut(Signal, &[u8]) -> bool,
}

/// Feeds a pipeline with what is recorded; gives the sequence below which everything is done with.
///
/// # Errors
/// When the disk refuses.
pub(crate) fn resume<D: Disk>(
    disk: &D,
    recorder: &RecorderFiles<D::File>,
    resume: &mut Resume<'_>,
    wall_ns: u64,
    aside: &mut Aside<'_>,
) -> Result<u64, DiskError> {
    let progress = recorder.progress();
    let read = recorder.each_decisions(disk, |read| {
        let age_ns = if read.wall_ns == 0 { 0 } else { wall_ns.saturating_sub(read.wall_ns) };
        resume.decisions(&read.remembered, age_ns);
        if read.before > progress.needed {
            resume.released(&read.without_spans, read.before);
        }
    });
    read.map_err(RecorderError::into_disk)?;
    resume.record(progress);
    let (_, next) = recorder.bounds();
    let keys = recorder.each_recorded(disk, next.saturating_sub(KEYS), |_, request| resume.key(request.key));
    keys.map_err(RecorderError::into_disk)?;
    let from = match aside.takes_in {
        TakesIn::All => u64::MAX,
        TakesIn::Committed => progress.booked,
        TakesIn::Nothing => 0,
    };
    let damaged = recorder.each_recorded(disk, progress.needed, |sequence, request| {
        let Content::Request(signal) = request.content else { return };
        if sequence >= from && (aside.keep)(signal, request.bytes) {
            resume.set_aside(sequence, signal, request.bytes, request.position);
        } else {
            resume.request(sequence, signal, request.bytes, request.position);
        }
    });
    resume.damaged(damaged.map_err(RecorderError::into_disk)?);
    Ok(next)
}
