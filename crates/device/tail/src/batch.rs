//! Log records of several resources on their way to one request.

use model::otlp::PIECE_BYTES;
use model::proto::{put_bytes, put_message};

/// The most records of a request: with their attributes they are one piece.
const MOST_RECORDS: u64 = 256;
/// The most resources that are told apart in one request: one that comes again later stands there twice.
const MOST_RESOURCES: usize = 32;
/// Bytes of a request at which it is full: what the door and the guard may add has room.
const FULL: usize = PIECE_BYTES / 2;

/// Log records of several resources.
#[derive(Debug, Default)]
pub struct Batch {
    /// Each resource, and fields of `ScopeLogs` with its records.
    groups: Vec<(Vec<u8>, Vec<u8>)>,
    records: u64,
    bytes: usize,
}

impl Batch {
    /// How many records there are.
    pub fn records(&self) -> u64 {
        self.records
    }

    /// The memory that it holds, roughly.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether it is to be taken before more is put in.
    pub fn is_full(&self) -> bool {
        self.bytes >= FULL || self.records >= MOST_RECORDS
    }

    /// Adds a record; both are bodies of their messages.
    pub(crate) fn push(&mut self, resource: &[u8], record: &[u8]) {
        let from = self.groups.len().saturating_sub(MOST_RESOURCES);
        let at = self.groups[from..].iter().position(|(known, _)| known == resource).map(|at| from + at);
        let at = at.unwrap_or_else(|| {
            self.groups.push((resource.to_vec(), Vec::new()));
            self.bytes += resource.len() + 16;
            self.groups.len() - 1
        });
        put_bytes(&mut self.groups[at].1, 2, record);
        self.records += 1;
        self.bytes += record.len() + 4;
    }

    /// The request with all of them, and how many there are; nothing is left.
    pub fn take(&mut self) -> (Vec<u8>, u64) {
        let mut out = Vec::with_capacity(self.bytes + 64);
        for (resource, records) in std::mem::take(&mut self.groups) {
            put_message(&mut out, 1, |out| {
                put_bytes(out, 1, &resource);
                put_bytes(out, 2, &records);
            });
        }
        self.bytes = 0;
        (out, std::mem::take(&mut self.records))
    }
}
