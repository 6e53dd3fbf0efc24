//! Reading the recorder's files after a restart, for a pipeline that goes on with them.

use disk::Disk;
use journal::{Content, Journal, JournalError};
use model::Signal;
use pipeline::Resume;

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
/// [`JournalError::Io`] when the disk refuses.
pub(crate) fn resume<D: Disk>(
    journal: &Journal<D>,
    resume: &mut Resume<'_>,
    wall_ns: u64,
    aside: &mut Aside<'_>,
) -> Result<u64, JournalError> {
    let taken = journal.taken();
    journal.each_decisions(|read| {
        let age_ns = if read.wall_ns == 0 { 0 } else { wall_ns.saturating_sub(read.wall_ns) };
        resume.decisions(&read.remembered, age_ns);
        if read.before > taken.needed {
            resume.released(&read.alone, read.before);
        }
    })?;
    resume.record(taken);
    let (_, next) = journal.recorded();
    journal.each_recorded(next.saturating_sub(KEYS), |_, request| resume.key(request.key))?;
    let from = match aside.takes_in {
        TakesIn::All => u64::MAX,
        TakesIn::Committed => taken.next,
        TakesIn::Nothing => 0,
    };
    let damaged = journal.each_recorded(taken.needed, |sequence, request| {
        let Content::Request(signal) = request.content else { return };
        if sequence >= from && (aside.keep)(signal, request.bytes) {
            resume.set_aside(sequence, signal, request.bytes);
        } else {
            resume.request(sequence, signal, request.bytes);
        }
    })?;
    resume.damaged(damaged);
    Ok(next)
}
