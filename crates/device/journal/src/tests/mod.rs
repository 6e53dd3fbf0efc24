//! Scenarios on the model disk.

mod crash;
mod damage;
mod fixtures;
mod flow;
mod losses;
mod missing;
mod reading;
mod real;
mod release;
mod renewal;
mod signals;
mod space;
mod thinning;
mod together;
mod whole;

use std::collections::BTreeMap;

use disk::model::{ModelDisk, ModelFile, Rng};
use model::{Epoch, Lane, Stamp};
use recorder::{Content, Decisions, DecisionsRead, FileOptions, Progress, RecorderError, RecorderFiles, Recording};
use wire::{Gap, Inflater, RawBlock, Section};

use crate::{
    Attachment, AttachmentKind, Commit, Consumer, FrameMeta, Journal, JournalError, Options, Recovery, StoredBlock,
};

pub(crate) const STAMP: Stamp = Stamp { boot_id: [7; 16], uptime_ns: 1, wall_ns: 2, synchronised: true };

pub(crate) fn options() -> Options {
    Options {
        device: "vessel-1".into(),
        consumers: Consumer::all(&["hub", "otlp"]),
        total_bytes: 64 << 20,
        lane_bytes: [u64::MAX; 6],
        lane_ages: [u64::MAX; 6],
        history_bytes: 0,
        free_space_floor: 0,
        cut_uncommitted: false,
    }
}

/// A disk whose epoch is chosen, so that a seed always gives the same run.
pub(crate) fn disk_of_epoch(epoch: u64) -> ModelDisk {
    let disk = ModelDisk::new();
    crate::identity::set_epoch(&disk, Epoch(epoch)).unwrap();
    disk
}

pub(crate) fn open(disk: &ModelDisk, options: &Options) -> (Journal<ModelDisk>, Recovery) {
    Journal::open(disk.clone(), options.clone(), STAMP).expect("recovery always ends")
}

/// The journal and the recorder beside it, as whoever owns the disk has them.
pub(crate) struct Device {
    pub(crate) disk: ModelDisk,
    pub(crate) journal: Journal<ModelDisk>,
    pub(crate) recorder: RecorderFiles<ModelFile>,
}

impl Device {
    /// Opens both, the recorder with what is attached to the last commit, and before the next one.
    pub(crate) fn open(disk: &ModelDisk, options: &Options) -> (Self, Recovery) {
        let options = Options { cut_uncommitted: true, ..options.clone() };
        let opening = Journal::recover(disk.clone(), options).expect("recovery always ends");
        let head = opening.recovery().attachment(AttachmentKind::Recorder);
        let recorder = RecorderFiles::open(disk, opening.epoch(), &RINGS, head, opening.recovery().is_last)
            .expect("it always opens");
        let (journal, recovery) = opening.commit(STAMP, &[Attachment::recorder(&recorder.head())]);
        (Self { disk: disk.clone(), journal, recorder }, recovery)
    }

    pub(crate) fn record(&mut self, requests: &[Recording<'_>], wall_ns: u64) -> Result<u64, RecorderError> {
        self.recorder.record(&self.disk, requests, wall_ns, true)
    }

    /// Commits frames, ledger, decisions and head together.
    pub(crate) fn commit(
        &mut self,
        ledger: &[u8],
        decisions: &Decisions<'_>,
        progress: Progress,
    ) -> Result<Commit, JournalError> {
        let prepared = self.recorder.prepare(&self.disk, decisions, progress, STAMP.wall_ns);
        let head = prepared.map_err(RecorderError::into_disk)?;
        let committed = self.journal.commit(STAMP, &[Attachment::ledger(ledger), Attachment::recorder(&head)])?;
        self.recorder.committed(&self.disk);
        Ok(committed)
    }

    /// Every request from a sequence on: sequence, content, key and bytes.
    pub(crate) fn requests(&self, from: u64) -> Vec<(u64, Content, Vec<u8>, Vec<u8>)> {
        let mut found = Vec::new();
        let read = self.recorder.each_recorded(&self.disk, from, |sequence, request| {
            found.push((sequence, request.content, request.key.to_vec(), request.bytes.to_vec()));
        });
        read.unwrap();
        found
    }

    pub(crate) fn decisions(&self) -> Vec<DecisionsRead> {
        let mut found = Vec::new();
        self.recorder.each_decisions(&self.disk, |read| found.push(read)).unwrap();
        found
    }
}

const RINGS: FileOptions = FileOptions { bytes: 1 << 20, decision_bytes: 1 << 20 };

/// The ledger of the last commit.
pub(crate) fn ledger(recovery: &Recovery) -> Option<&[u8]> {
    recovery.attachment(AttachmentKind::Ledger)
}

pub(crate) fn meta(records: u32) -> FrameMeta {
    FrameMeta { records, start_ns: 1000, end_ns: 2000, signals: None }
}

/// A body that is a whole frame body, with text that tells it from every other one.
pub(crate) fn body(text: &str) -> Vec<u8> {
    // LogsData { resource_logs: { scope_logs: { log_records: { severity_text: text } } } }
    let mut inner = text.as_bytes().to_vec();
    for field in [0x1a, 0x12, 0x12, 0x0a] {
        let mut outer = vec![field];
        let mut len = inner.len();
        while len >= 0x80 {
            outer.push((len as u8 & 0x7f) | 0x80);
            len >>= 7;
        }
        outer.push(len as u8);
        outer.extend_from_slice(&inner);
        inner = outer;
    }
    let mut out = Vec::new();
    wire::encode_body(&[wire::SectionRef::Logs(&inner)], &mut out).unwrap();
    out
}

/// Text that hardly compresses, always the same for a seed.
pub(crate) fn noise(seed: u64, len: usize) -> String {
    let mut rng = Rng::new(seed);
    (0..len).map(|_| char::from(b'!' + rng.below(90) as u8)).collect()
}

/// What a destination has received: frames by identity, and the gaps they told.
#[derive(Default)]
pub(crate) struct Hub {
    pub(crate) frames: BTreeMap<(Lane, u64), Vec<u8>>,
    pub(crate) gaps: Vec<Gap>,
    pub(crate) duplicates: u64,
    inflater: Inflater,
}

impl Hub {
    /// Stores a block's frames; the same identity must always bring the same bytes (P8).
    pub(crate) fn take(&mut self, block: &StoredBlock) {
        let (raw, rest) = RawBlock::parse(&block.bytes).unwrap();
        assert!(rest.is_empty());
        assert_eq!((raw.header().first, raw.header().last()), (block.first, block.last));
        for (seq, frame) in raw.frames(&mut self.inflater).unwrap() {
            let decoded = wire::decode_frame(frame).unwrap();
            assert_eq!((decoded.header.lane, decoded.header.seq), (block.lane, seq));
            match self.frames.insert((block.lane, seq), frame.to_vec()) {
                Some(before) => {
                    assert_eq!(before, frame, "lane {} sequence {seq} came with other content", block.lane);
                    self.duplicates += 1;
                }
                None => self.gaps.extend(decoded.sections.iter().filter_map(|section| match section {
                    Section::Gap(gap) => Some(*gap),
                    _ => None,
                })),
            }
        }
    }

    pub(crate) fn has(&self, lane: Lane, seq: u64, body: &[u8]) -> bool {
        self.frames.get(&(lane, seq)).is_some_and(|frame| frame.ends_with(body))
    }

    /// Whether a gap record told that a sequence is lost.
    pub(crate) fn excuses(&self, lane: Lane, seq: u64) -> bool {
        self.gaps.iter().any(|gap| gap.lane == lane && gap.first <= seq && seq <= gap.last)
    }

    /// Every sequence of the lane below `next` is here, or told as a gap.
    pub(crate) fn is_whole(&self, lane: Lane, next: u64) {
        for seq in 1..next {
            assert!(
                self.frames.contains_key(&(lane, seq)) || self.excuses(lane, seq),
                "lane {lane}: sequence {seq} of {next} neither came nor is told as lost"
            );
        }
    }
}

/// Sends and confirms everything.
pub(crate) fn drain(journal: &mut Journal<ModelDisk>, destination: usize, hub: &mut Hub) {
    loop {
        let mut blocks = Vec::new();
        journal.next_blocks(destination, 64 << 10, &mut blocks).unwrap();
        if blocks.is_empty() {
            if !journal.has_uncommitted() {
                return;
            }
            let before = journal.due_gaps().len();
            journal.commit(STAMP, &[]).unwrap();
            let due = journal.due_gaps();
            assert!(due.len() < before.max(1), "gap records find no room: {due:?}");
            continue;
        }
        for block in &blocks {
            hub.take(block);
            journal.confirm(destination, block.lane, block.first, block.last).unwrap();
        }
    }
}
