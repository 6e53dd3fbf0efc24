//! Faults on purpose (cargo feature `mutants`): the drills must notice each of them. `LIGHTSHIP_MUTANT` chooses one.

use model::Lane;

/// The frame of the traces lane, counted from the start of the program, that is lost.
const LOST_FRAME: u32 = 5;

/// The chosen fault, until it has happened.
#[derive(Debug, Default)]
pub(crate) struct Mutant {
    drop_frame: Option<u32>,
    orphan_log_record: bool,
}

impl Mutant {
    /// What the environment asks for.
    pub(crate) fn from_environment() -> Self {
        let name = std::env::var("LIGHTSHIP_MUTANT").unwrap_or_default();
        Self { drop_frame: (name == "drop-frame").then_some(LOST_FRAME), orphan_log_record: name == "orphan-line" }
    }

    /// Whether this frame is to be lost, after it was booked as routed; true once.
    pub(crate) fn loses_frame(&mut self, lane: Lane) -> bool {
        let Some(left) = self.drop_frame.as_mut().filter(|_| lane == Lane::Traces) else { return false };
        *left -= 1;
        let lost = *left == 0;
        if lost {
            self.drop_frame = None;
        }
        lost
    }

    /// Whether this log record of a dropped trace is to be delivered all the same; true once.
    pub(crate) fn keep_orphan_log_record(&mut self) -> bool {
        std::mem::take(&mut self.orphan_log_record)
    }
}
