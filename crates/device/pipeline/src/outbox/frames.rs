//! Frames from what was gathered: encoded, and cut where one becomes too long.

use model::Signal;

use crate::books::Encoded;

use super::batch::{Batch, EncodeFault};
use super::builder::Builder;

/// Decisions are applied together up to so many bytes of records: about one frame.
pub(crate) const FRAME_BYTES: usize = 48 << 10;

/// Records that go into frames together, and the frames that are ready.
#[derive(Default)]
pub(crate) struct Frames {
    builder: Builder,
    batches: Vec<Batch>,
    encoded: Encoded,
}

impl Frames {
    /// From what was gathered.
    pub(crate) fn of(builder: Builder) -> Self {
        Self { builder, ..Self::default() }
    }

    /// Where the next record of so many bytes goes: into a new frame when it would make this one too long. A large trace goes in
    /// several.
    pub(crate) fn room_for(&mut self, bytes: usize) -> &mut Builder {
        if self.builder.bytes() > 0 && self.builder.bytes() + bytes > FRAME_BYTES {
            self.encode();
        }
        &mut self.builder
    }

    /// Where records go that are never the reason for a new frame.
    pub(crate) fn builder(&mut self) -> &mut Builder {
        &mut self.builder
    }

    /// The batches, and what encoding them found.
    pub(crate) fn finish(mut self) -> (Vec<Batch>, Encoded) {
        self.encode();
        (self.batches, self.encoded)
    }

    fn encode(&mut self) {
        let Self { builder, batches, encoded } = self;
        for (lane, sections) in std::mem::take(builder).into_lanes() {
            let failed = |encoded: &mut Encoded, fault: &EncodeFault| {
                for signal in Signal::ALL {
                    encoded.unencodable.add(signal, fault.records.get(signal));
                }
            };
            let split = sections.in_parts(|sections| match Batch::encode(lane, sections) {
                Ok((batch, stats)) => {
                    encoded.unknown_fields += stats.unknown_fields;
                    encoded.invalid_utf8 += stats.invalid_utf8;
                    batches.push(batch);
                }
                Err(fault) => failed(encoded, &fault),
            });
            if let Err(fault) = split {
                failed(encoded, &fault);
            }
        }
    }
}
