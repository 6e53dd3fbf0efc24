//! What is lost of a lane: as a stretch, and as the record that tells of it.

use model::Lane;
use wire::{Gap, GapReason};

use crate::fields::{FieldReader, FieldWriter};
use crate::format::GAP_PREFIX_LEN;
use crate::key::MOST;

/// A run of a lane's sequences (inclusive), with the lane's record counts before and after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// First sequence.
    pub first: u64,
    /// Last sequence.
    pub last: u64,
    /// Records in the lane before it, since the epoch began.
    pub before: u64,
    /// Records in the lane up to its end.
    pub after: u64,
}

impl Extent {
    /// Records in it.
    pub fn records(&self) -> u64 {
        self.after.saturating_sub(self.before)
    }
}

/// A gap record, with what recovery needs of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GapRecord {
    /// What the destinations are told.
    pub gap: Gap,
    /// Records in the lane before the stretch.
    pub before: u64,
    /// Records in the lane up to its end.
    pub after: u64,
    /// Whether every sequence of it is lost. `false` where the record joins several stretches.
    pub exact: bool,
}

impl GapRecord {
    /// The stretch that it tells of.
    pub fn extent(&self) -> Extent {
        Extent { first: self.gap.first, last: self.gap.last, before: self.before, after: self.after }
    }

    /// The first bytes of the payload of [`crate::EntryKind::Gap`].
    pub fn encode(&self) -> [u8; GAP_PREFIX_LEN] {
        let mut bytes = [0; GAP_PREFIX_LEN];
        let gap = &self.gap;
        let reason = GapReason::ALL.iter().position(|reason| *reason == gap.reason).unwrap_or_default();
        FieldWriter::new(&mut bytes)
            .u64(gap.first)
            .u64(gap.last)
            .u64(self.before)
            .u64(self.after)
            .u64(gap.records)
            .u64(gap.start_ns)
            .u64(gap.end_ns)
            .put(&[reason as u8, u8::from(self.exact)]);
        bytes
    }

    /// What [`GapRecord::encode`] wrote; `None` when the payload holds none.
    pub fn decode(lane: Lane, payload: &[u8]) -> Option<Self> {
        let bytes = payload.first_chunk::<GAP_PREFIX_LEN>()?;
        let reason = *GapReason::ALL.get(usize::from(bytes[56]))?;
        let mut fields = FieldReader::at(bytes, 0);
        let (first, last) = (fields.u64(), fields.u64());
        let (before, after) = (fields.u64(), fields.u64());
        let gap =
            Gap { lane, first, last, reason, records: fields.u64(), start_ns: fields.u64(), end_ns: fields.u64() };
        let sane =
            first > 0 && first <= last && [last, before, after, gap.records].iter().all(|most| *most <= 2 * MOST);
        sane.then_some(Self { gap, before, after, exact: bytes[57] == 1 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: a gap's prefix. Guarantees: recovery knows the stretch again.
    #[test]
    fn gaps_survive() {
        let gap =
            Gap { lane: Lane::Logs, first: 3, last: 8, reason: GapReason::Corrupt, records: 4, start_ns: 5, end_ns: 6 };
        for exact in [true, false] {
            let lost = GapRecord { gap, before: 40, after: 44, exact };
            assert_eq!(GapRecord::decode(Lane::Logs, &lost.encode()), Some(lost));
        }
        assert_eq!(GapRecord::decode(Lane::Logs, &[0; 63]), None);
    }
}
