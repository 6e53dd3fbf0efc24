//! The batches on their way to the journal: what gathers for the next ones, what is ready, how much that is, and which lanes
//! have too much behind them already.

mod batch;
mod builder;
mod frames;
mod own_lane;
mod parts;
mod pressure;

use model::Lane;

pub use batch::Batch;
pub(crate) use batch::Sections;
pub(crate) use builder::Builder;
pub(crate) use frames::{FRAME_BYTES, Frames};
pub(crate) use pressure::Pressure;
pub use pressure::{LaneStanding, Watermarks};

use crate::books::Encoded;
#[cfg(feature = "mutants")]
use crate::mutants::Mutant;

/// What waits for the journal may take so much memory, bytes; beyond it producers are told to wait.
pub const MAX_QUEUED: usize = 256 << 10;
/// So many frames of a large request wait for the journal: small ones may hold many records.
const MAX_FRAMES: usize = 6;

/// What is on its way to the journal.
#[derive(Default)]
pub(crate) struct Outbox {
    /// What goes on without a decision: other lanes than traces, and late parts of kept traces.
    passing: Builder,
    /// Ready for the journal.
    batches: Vec<Batch>,
    pressure: Pressure,
    #[cfg(feature = "mutants")]
    mutant: Mutant,
}

impl Outbox {
    /// An empty one.
    pub(crate) fn new() -> Self {
        Self {
            #[cfg(feature = "mutants")]
            mutant: Mutant::from_environment(),
            ..Self::default()
        }
    }

    /// Sets between which backlogs lanes refuse.
    pub(crate) fn set_pressure(&mut self, pressure: Pressure) {
        self.pressure = pressure;
    }

    /// The lanes' watermarks, and how they stand.
    pub(crate) fn pressure(&self) -> &Pressure {
        &self.pressure
    }

    /// The same, to be told of backlogs.
    pub(crate) fn pressure_mut(&mut self) -> &mut Pressure {
        &mut self.pressure
    }

    /// Where records gather that go on without a decision.
    pub(crate) fn passing(&mut self) -> &mut Builder {
        &mut self.passing
    }

    /// Bytes that wait for the journal.
    pub(crate) fn bytes(&self) -> usize {
        self.passing.bytes() + self.batches.iter().map(|batch| batch.body.len()).sum::<usize>()
    }

    /// Whether so much waits that producers have to.
    pub(crate) fn is_full(&self) -> bool {
        self.bytes() > MAX_QUEUED
    }

    /// Whether a batch of about so many bytes is too much beside what waits.
    pub(crate) fn is_too_full_for(&self, bytes: usize) -> bool {
        let queued = self.bytes();
        queued > 0 && queued + bytes > MAX_QUEUED
    }

    /// Whether so much waits that the next piece of a large request is to wait, too.
    pub(crate) fn is_crowded(&self) -> bool {
        self.bytes() > MAX_QUEUED / 2 || self.batches.len() > MAX_FRAMES
    }

    /// Whether what waits is enough for a frame of its own.
    pub(crate) fn has_a_frame(&self) -> bool {
        self.bytes() >= FRAME_BYTES
    }

    /// Makes frames of what goes on without a decision.
    #[must_use]
    pub(crate) fn seal(&mut self) -> Encoded {
        if self.passing.bytes() == 0 {
            return Encoded::default();
        }
        let (batches, encoded) = Frames::of(std::mem::take(&mut self.passing)).finish();
        self.batches.extend(batches);
        encoded
    }

    /// Adds batches that are ready, to another lane than their own where one is named.
    pub(crate) fn add(&mut self, batches: impl IntoIterator<Item = Batch>, lane: Option<Lane>) {
        self.batches.extend(batches.into_iter().map(|batch| Batch { lane: lane.unwrap_or(batch.lane), ..batch }));
    }

    /// Hands over everything that is ready.
    pub(crate) fn take(&mut self) -> Vec<Batch> {
        std::mem::take(&mut self.batches)
    }

    /// Takes batches back that the journal had no room for; they go first.
    pub(crate) fn put_back(&mut self, batches: Vec<Batch>) {
        self.batches.splice(0..0, batches);
    }

    /// Loses a frame that was booked as routed.
    #[cfg(feature = "mutants")]
    pub(crate) fn lose_a_frame(&mut self, batches: &mut Vec<Batch>) {
        batches.retain(|batch| !self.mutant.loses_frame(batch.lane));
    }
}
