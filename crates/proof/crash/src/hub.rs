//! The model hub: it stores by identity, may lose its power before it answers, and may come back from an older backup.

use std::collections::{BTreeMap, BTreeSet};

use journal::StoredBlock;
use model::otlp::count_records;
use model::{Epoch, Lane, Signal};
use wire::{Gap, GapReason, Inflater, RawBlock, Section};

use crate::plan::{numbers, summaries};

/// A frame's identity.
pub(crate) type Identity = (u64, Lane, u64);

/// What one destination has, durably.
#[derive(Debug, Clone, Default)]
pub(crate) struct Held {
    frames: BTreeMap<Identity, [u8; 16]>,
    pub(crate) gaps: Vec<(u64, Gap)>,
    /// Points that tell what the points were that were thinned out.
    pub(crate) summaries: u64,
    /// Records by the identities that brought them.
    pub(crate) records: BTreeMap<u64, BTreeSet<Identity>>,
}

/// The records in a frame.
fn records_of(frame: &[u8]) -> u64 {
    let sections = wire::decode_frame(frame).map(|frame| frame.sections).unwrap_or_default();
    let count = |section: &Section| match section {
        Section::Traces(otlp) => count_records(Signal::Traces, otlp),
        Section::Logs(otlp) => count_records(Signal::Logs, otlp),
        Section::Metrics(otlp) => count_records(Signal::Metrics, otlp),
        Section::Exemplars(_) | Section::Gap(_) => Ok(0),
    };
    sections.iter().map(|section| count(section).unwrap_or(0)).sum()
}

/// A destination.
#[derive(Debug, Default)]
pub(crate) struct Hub {
    pub(crate) held: Held,
    /// What it held when its backup was made.
    backup: Option<Held>,
    /// Everything that ever was under an identity, before and after restores.
    ever: BTreeMap<Identity, [u8; 16]>,
    /// Where a record ever came.
    pub(crate) ever_records: BTreeMap<u64, BTreeSet<Identity>>,
    pub(crate) restored: bool,
    /// Records in everything that ever came, each identity once.
    pub(crate) ever_came: u64,
    inflater: Inflater,
}

impl Hub {
    /// Stores a block, durably.
    pub(crate) fn store(&mut self, epoch: Epoch, block: &StoredBlock) -> Result<(), String> {
        let (raw, rest) = RawBlock::parse(&block.bytes).map_err(|error| format!("a block that was sent: {error}"))?;
        if !rest.is_empty() || raw.header().epoch != epoch {
            return Err(format!("{} {}: a block of another epoch, or with bytes behind it", block.lane, block.first));
        }
        let frames = raw.frames(&mut self.inflater).map_err(|error| format!("frames that were sent: {error}"))?;
        for (sequence, frame) in frames {
            let identity = (epoch.0, block.lane, sequence);
            let digest = wire::digest(frame);
            let before = self.ever.insert(identity, digest);
            if before.is_some_and(|before| before != digest) {
                return Err(format!("{} {sequence} came with other content: an identity was used twice", block.lane));
            }
            if before.is_none() {
                self.ever_came += records_of(frame);
            }
            if self.held.frames.insert(identity, digest).is_some() {
                continue;
            }
            let decoded = wire::decode_frame(frame).map_err(|error| format!("a frame that was sent: {error}"))?;
            self.held.summaries += summaries(&decoded.sections);
            let found = numbers(|each| wire::each_token(frame, each).unwrap_or_default(), &decoded.sections);
            for number in found {
                self.held.records.entry(number).or_default().insert(identity);
                self.ever_records.entry(number).or_default().insert(identity);
            }
            self.held.gaps.extend(decoded.sections.iter().filter_map(|section| match section {
                Section::Gap(gap) => Some((epoch.0, *gap)),
                _ => None,
            }));
        }
        Ok(())
    }

    /// Every sequence of a lane below this one is here, or told as lost.
    pub(crate) fn next_expected(&self, epoch: Epoch, lane: Lane) -> u64 {
        let mut next = 1;
        loop {
            let skips = self
                .held
                .gaps
                .iter()
                .filter(|(of, gap)| *of == epoch.0 && gap.lane == lane && gap.first <= next && next <= gap.last);
            let told = skips.map(|(_, gap)| gap.last + 1).max();
            match told {
                Some(behind) => next = behind,
                None if self.held.frames.contains_key(&(epoch.0, lane, next)) => next += 1,
                None => return next,
            }
        }
    }

    /// One beyond the highest sequence that ever came of a lane, as far as it is known now.
    pub(crate) fn highest(&self, epoch: Epoch, lane: Lane) -> u64 {
        let range = (epoch.0, lane, 0)..=(epoch.0, lane, u64::MAX);
        self.held.frames.range(range).next_back().map_or(1, |((.., sequence), _)| sequence + 1)
    }

    /// The digest of a frame that it has.
    pub(crate) fn digest(&self, epoch: Epoch, lane: Lane, sequence: u64) -> Option<[u8; 16]> {
        self.held.frames.get(&(epoch.0, lane, sequence)).copied()
    }

    pub(crate) fn back_up(&mut self) {
        self.backup = Some(self.held.clone());
    }

    /// Comes back from the backup; false when there is none.
    pub(crate) fn restore(&mut self) -> bool {
        let Some(backup) = self.backup.take() else { return false };
        self.held = backup;
        self.restored = true;
        true
    }

    /// Whether an identity is told as lost.
    pub(crate) fn excuses(&self, identity: &Identity) -> bool {
        let (epoch, lane, sequence) = identity;
        let covers = |(of, gap): &(u64, Gap)| {
            of == epoch && gap.lane == *lane && gap.first <= *sequence && *sequence <= gap.last
        };
        self.held.gaps.iter().any(covers)
    }

    /// Whether a hub that came back from a backup is told of losses in a lane. What it was told before is not told again in
    /// the same words: later gaps cover earlier ones, and do not count their records again.
    pub(crate) fn lost_by_restore(&self, lane: Lane) -> bool {
        self.restored && self.held.gaps.iter().any(|(_, gap)| gap.lane == lane)
    }

    /// Whether something of a lane is told by its sequences only. So it is with what a gap record told that a flipped byte hit:
    /// how many records they held is not known any more.
    pub(crate) fn told_without_records(&self, lane: Lane) -> bool {
        let uncounted =
            |gap: &Gap| gap.records == 0 && matches!(gap.reason, GapReason::Corrupt | GapReason::HubRestore);
        self.held.gaps.iter().any(|(_, gap)| gap.lane == lane && uncounted(gap))
    }

    /// Records that gaps of these reasons say are lost.
    pub(crate) fn told_lost(&self, reasons: &[GapReason]) -> u64 {
        self.held.gaps.iter().filter(|(_, gap)| reasons.contains(&gap.reason)).map(|(_, gap)| gap.records).sum()
    }
}
