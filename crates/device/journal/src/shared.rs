//! What all lanes of a journal share: the disk, the epoch, the compressor, the counts.

use disk::{Disk, IoCounts};
use model::{Epoch, Lane};
use wire::{BlockBody, BlockEncoder, EncodeError};

use crate::error::JournalError;

/// See the module.
pub(crate) struct Shared<D: Disk> {
    disk: D,
    epoch: Epoch,
    device: String,
    encoder: BlockEncoder,
    counts: IoCounts,
    /// Stretches of segments that could not be read, since the journal was opened.
    corrupt_blocks: u64,
    /// Whether frames behind the last commit are cut at open.
    cut_uncommitted: bool,
}

impl<D: Disk> Shared<D> {
    pub(crate) fn new(
        disk: D,
        epoch: Epoch,
        device: String,
        counts: IoCounts,
        cut_uncommitted: bool,
    ) -> Result<Self, JournalError> {
        let encoder = BlockEncoder::new().map_err(|error| JournalError::Internal(error.to_string()))?;
        Ok(Self { disk, epoch, device, encoder, counts, corrupt_blocks: 0, cut_uncommitted })
    }

    pub(crate) fn disk(&self) -> &D {
        &self.disk
    }

    pub(crate) fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The device's configured name.
    pub(crate) fn device(&self) -> &str {
        &self.device
    }

    /// Whether frames behind the last commit are cut at open.
    pub(crate) fn cuts_uncommitted(&self) -> bool {
        self.cut_uncommitted
    }

    pub(crate) fn counts(&self) -> IoCounts {
        self.counts
    }

    pub(crate) fn counts_mut(&mut self) -> &mut IoCounts {
        &mut self.counts
    }

    /// The disk, and where what is done on it is counted.
    pub(crate) fn io(&mut self) -> (&D, &mut IoCounts) {
        (&self.disk, &mut self.counts)
    }

    /// A stretch of a segment could not be read.
    pub(crate) fn count_corrupt(&mut self) {
        self.corrupt_blocks += 1;
    }

    pub(crate) fn corrupt_blocks(&self) -> u64 {
        self.corrupt_blocks
    }

    /// Appends a block to `out`.
    pub(crate) fn encode(
        &mut self,
        lane: Lane,
        first: u64,
        body: &BlockBody,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        self.encoder.encode_body(self.epoch, lane, first, body, out).map(drop)
    }

    /// Gives the compressor's tables back: between two commits they would only be resident.
    pub(crate) fn release_encoder(&mut self) {
        // An encoder that cannot be made anew goes on as it is.
        let _as_it_was = self.encoder.rest();
    }

    pub(crate) fn resident_bytes(&mut self) -> usize {
        self.encoder.resident_bytes()
    }
}
