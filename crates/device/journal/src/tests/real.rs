//! The real disk.

use disk::RealDisk;
use model::Lane;

use super::{STAMP, body, meta, noise, options};
use crate::{Attachment, Journal, JournalError};

/// Scenario: a journal in a directory of the operating system: two processes' worth of opening, filling over several
/// segments, draining. Guarantees: it behaves as on the model disk, and takes the disk space that it says.
#[test]
fn a_real_directory() {
    let root = tempfile::tempdir().unwrap();
    let data = root.path().join("a/data");
    let open = || Journal::open(RealDisk::new(&data).unwrap(), options(), STAMP);
    let (mut journal, recovery) = open().unwrap();
    assert!(recovery.created);
    assert!(matches!(open().map(|_| ()), Err(JournalError::Locked)));
    for n in 0..150u64 {
        journal.append(Lane::Traces, &body(&noise(n, 1000)), meta(1), STAMP).unwrap();
        if n % 5 == 4 {
            journal.commit(STAMP, &[Attachment::ledger(b"note")]).unwrap();
        }
    }
    let epoch = journal.epoch();
    let stats = journal.stats();
    assert!(stats.segments > 2, "{stats:?}");
    drop(journal);

    let (mut journal, recovery) = open().unwrap();
    assert_eq!(journal.epoch(), epoch);
    assert_eq!((recovery.frames, recovery.records, super::ledger(&recovery)), (150, 150, Some(&b"note"[..])));
    assert!(recovery.torn.is_empty() && recovery.corrupt.is_empty() && recovery.not_committed.is_none());
    let mut seen = 0;
    for destination in 0..2 {
        loop {
            let mut blocks = Vec::new();
            journal.next_blocks(destination, 50_000, &mut blocks).unwrap();
            if blocks.is_empty() {
                break;
            }
            for block in blocks {
                seen += journal.confirm(destination, block.lane, block.first, block.last).unwrap().frames;
            }
        }
    }
    assert_eq!(seen, 300);
    journal.commit(STAMP, &[]).unwrap();
    let stats = journal.stats();
    let mut on_disk = 0;
    let mut dirs = vec![data.clone()];
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(dir).unwrap() {
            let entry = entry.unwrap();
            let meta = entry.metadata().unwrap();
            if meta.is_dir() {
                dirs.push(entry.path());
            } else {
                on_disk += std::os::unix::fs::MetadataExt::blocks(&meta) * 512;
            }
        }
    }
    assert!(on_disk <= stats.disk_bytes, "{on_disk} on disk, {stats:?}");
    assert!(stats.disk_bytes < 200 << 10, "{stats:?}");
}
