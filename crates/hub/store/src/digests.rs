//! Digests of packed frames, so that a later duplicate is still told apart from other content under its identity.
//!
//! One row per 256 sequences of a stream: the day of the newest intake in it (for retention) and 8 bytes of each
//! frame's digest. That is 8 bytes per frame on disk and nothing in memory.

use std::collections::HashMap;

use fjall::OwnedWriteBatch as WriteBatch;

use crate::db::{Db, for_each_row};
use crate::error::StoreError;
use crate::ids::{FrameKey, Stream};

/// Sequences per row.
const CHUNK: u64 = 256;
const DIGEST: usize = 8;
const DAY: usize = 4;
const ROW: usize = DAY + CHUNK as usize * DIGEST;

/// Half of a frame's digest; never all zero, which stands for "none".
pub(crate) fn shorten(digest: [u8; 16]) -> [u8; DIGEST] {
    let mut short = [0; DIGEST];
    short.copy_from_slice(&digest[..DIGEST]);
    if short == [0; DIGEST] {
        short[DIGEST - 1] = 1;
    }
    short
}

fn chunk_key(key: FrameKey) -> [u8; Stream::LEN + 8] {
    FrameKey { stream: key.stream, seq: key.seq / CHUNK }.to_bytes()
}

fn place(key: FrameKey) -> std::ops::Range<usize> {
    let start = DAY + (key.seq % CHUNK) as usize * DIGEST;
    start..start + DIGEST
}

/// The digest of a packed frame, if it is still known.
pub(crate) fn get(db: &Db, key: FrameKey) -> Result<Option<[u8; DIGEST]>, StoreError> {
    let row = db.digests.get(chunk_key(key)).map_err(StoreError::database("cannot read digests"))?;
    let digest = row.as_deref().and_then(|row| row.get(place(key))).and_then(|bytes| bytes.try_into().ok());
    Ok(digest.filter(|digest| *digest != [0; DIGEST]))
}

/// The digest of a stored frame, packed or not, if it is still known.
pub(crate) fn of_stored(db: &Db, key: FrameKey) -> Result<Option<[u8; DIGEST]>, StoreError> {
    let row = db.intake.get(key.to_bytes()).map_err(StoreError::database("cannot read intake"))?;
    match row.as_deref().and_then(crate::intake_row::IntakeRow::from_bytes) {
        Some(row) => Ok(Some(shorten(row.digest))),
        None => get(db, key),
    }
}

/// Whether a frame of a stream, from this sequence on, came with other content than is stored, and is kept aside: then what is
/// stored behind it tells nothing of what is before.
pub(crate) fn is_disputed(db: &Db, stream: Stream, from: u64) -> Result<bool, StoreError> {
    let start = FrameKey { stream, seq: from }.to_bytes();
    let mut aside = db.quarantine.range(start.to_vec()..);
    let Some(first) = aside.next() else { return Ok(false) };
    let key = first.key().map_err(StoreError::database("cannot read quarantine"))?;
    Ok(key.starts_with(&stream.to_bytes()))
}

/// Adds the digests of frames that are packed by `batch`; `day` is the day of the newest intake among them.
pub(crate) fn put(
    db: &Db,
    batch: &mut WriteBatch,
    frames: Vec<(FrameKey, [u8; 16])>,
    day: u32,
) -> Result<(), StoreError> {
    let mut rows: HashMap<[u8; Stream::LEN + 8], Vec<u8>> = HashMap::new();
    for (key, digest) in frames {
        let chunk = chunk_key(key);
        let row = match rows.entry(chunk) {
            std::collections::hash_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::hash_map::Entry::Vacant(entry) => {
                let old = db.digests.get(chunk).map_err(StoreError::database("cannot read digests"))?;
                let mut row = old.map(|old| old.to_vec()).unwrap_or_default();
                row.resize(ROW, 0);
                entry.insert(row)
            }
        };
        row[place(key)].copy_from_slice(&shorten(digest));
        row[..DAY].copy_from_slice(&day.to_be_bytes());
    }
    for (chunk, row) in rows {
        batch.insert(&db.digests, chunk, row);
    }
    Ok(())
}

/// Removes rows whose newest intake is before `day`; returns how many.
pub(crate) fn expire(db: &Db, batch: &mut WriteBatch, day: u32) -> Result<usize, StoreError> {
    let mut expired = 0;
    for_each_row(&db.digests, |key, row| {
        let newest = row.first_chunk::<DAY>().map_or(0, |newest| u32::from_be_bytes(*newest));
        if newest < day {
            batch.remove(&db.digests, key);
            expired += 1;
        }
        Ok(())
    })?;
    Ok(expired)
}
