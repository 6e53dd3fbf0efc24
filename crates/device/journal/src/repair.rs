//! Repairing a data directory: what can be read of a damaged file is written anew, and everything else stays as it is.

use disk::Disk;
use model::Stamp;
use segment::{Row, SegmentKey, firsts, rewrite, totals_after};

use crate::damage::Recovery;
use crate::error::JournalError;
use crate::journal::{Journal, Options};
use crate::space::RESERVE_PATH;
use crate::verify::{Verified, is_whole, verify};
use crate::{cursor_file, identity};

/// What a repair did.
#[derive(Debug, Clone, Default)]
pub struct Repaired {
    /// What was found before.
    pub before: Verified,
    /// Files that were written anew, or removed where nothing in them could be read.
    pub rewritten: Vec<String>,
    /// What is found now: nothing, unless the disk is failing.
    pub after: Verified,
    /// What the journal said when it was opened afterwards; lost stretches have got their gap records.
    pub recovery: Recovery,
}

/// Repairs the journal of a data directory that no process has open: writes damaged segments anew with every block that
/// can be read, and the small files with what is known, then opens and commits once, so that what is lost is reported as gaps.
/// `options` are those of the device's configuration.
///
/// # Errors
/// As [`Journal::open`]; a repair that was interrupted can be run again.
pub fn repair<D: Disk>(disk: D, options: Options, stamp: Stamp) -> Result<Repaired, JournalError> {
    let lock = disk.lock("lock").map_err(|error| match error.kind() {
        std::io::ErrorKind::WouldBlock => JournalError::Locked,
        _ => JournalError::io("lock", "lock")(error),
    })?;
    let mut repaired = Repaired { before: verify(&disk)?, ..Repaired::default() };
    if repaired.before.findings.is_empty() {
        repaired.after = repaired.before.clone();
        return Ok(repaired);
    }
    if let Some(epoch) = identity::find(&disk)? {
        for row in Row::all() {
            let firsts = firsts(&disk, row)?;
            let mut before = None;
            for (position, first) in firsts.iter().enumerate() {
                let key = SegmentKey { epoch, row, first: *first };
                let limit = firsts.get(position + 1).copied();
                if !is_whole(&disk, &key, limit.unwrap_or(u64::MAX))? {
                    rewrite(&disk, &key, limit, before)?;
                    repaired.rewritten.push(key.path());
                }
                before = totals_after(&disk, &key)?.or(before);
            }
        }
        let damaged = |path: &str| repaired.before.findings.iter().any(|finding| finding.path == path);
        if damaged(RESERVE_PATH) {
            disk.remove(RESERVE_PATH).map_err(JournalError::io("remove", RESERVE_PATH))?;
            repaired.rewritten.push(RESERVE_PATH.into());
        }
        let cursors: Vec<String> = options.consumers.iter().map(|one| cursor_file::path(&one.name)).collect();
        for path in cursors.iter().filter(|path| damaged(path)) {
            cursor_file::rewrite(&disk, path, epoch)?;
            repaired.rewritten.push(path.clone());
        }
    }
    drop(lock);
    let (mut journal, recovery) = Journal::open(disk, options, stamp)?;
    journal.rewrite_records()?;
    journal.commit(stamp, &[])?;
    repaired.recovery = recovery;
    repaired.after = verify(journal.disk())?;
    Ok(repaired)
}
