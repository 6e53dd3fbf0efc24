//! Faults on purpose (cargo feature `mutants`): the drills must notice each of them. `LIGHTSHIP_MUTANT` chooses one.

use crate::batch::Batch;
use model::Lane;

/// The frame of the traces lane, counted from the start of the program, that is lost.
const LOST_FRAME: u32 = 5;

/// Whether requests are answered while they are in memory only, whatever an answer is to mean.
pub(crate) fn answers_early() -> bool {
    std::env::var("LIGHTSHIP_MUTANT").is_ok_and(|name| name == "answer-early")
}

/// The chosen fault, until it has happened.
#[derive(Debug, Default)]
pub(crate) struct Mutant {
    drop_frame: Option<u32>,
    orphan_line: bool,
}

impl Mutant {
    /// What the environment asks for.
    pub(crate) fn from_environment() -> Self {
        let name = std::env::var("LIGHTSHIP_MUTANT").unwrap_or_default();
        Self { drop_frame: (name == "drop-frame").then_some(LOST_FRAME), orphan_line: name == "orphan-line" }
    }

    /// Loses one frame of the traces lane, after it was booked as routed.
    pub(crate) fn drop_frame(&mut self, batches: &mut Vec<Batch>) {
        batches.retain(|batch| match &mut self.drop_frame {
            Some(left) if batch.lane == Lane::Traces => {
                *left -= 1;
                let keep = *left > 0;
                if !keep {
                    self.drop_frame = None;
                }
                keep
            }
            _ => true,
        });
    }

    /// Whether this line of a dropped trace is to be delivered all the same; true once.
    pub(crate) fn keep_orphan_line(&mut self) -> bool {
        std::mem::take(&mut self.orphan_line)
    }
}
