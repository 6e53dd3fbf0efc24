//! Sources that read: how far they are, and what of an earlier life they read again.

use model::{Position, ReadTo, Request};

use super::Pipeline;
use crate::positions::PositionsLeftOut;
use crate::undecided::select;

impl Pipeline {
    /// How far each source that reads is.
    pub fn read_to(&self) -> impl Iterator<Item = ReadTo> {
        self.positions.all()
    }

    /// What of that had no room in commits.
    pub fn positions_left_out(&self) -> PositionsLeftOut {
        self.positions.left_out()
    }

    /// Of a request that was read again, only what was undecided when an earlier life was killed; `None` when there is nothing of it.
    pub fn only_missing(&self, request: Request, position: &Position) -> Option<Request> {
        let missing = select(request.signal, &request.body, |trace| self.positions.is_missing(position, trace)).ok()?;
        if missing.records() == 0 {
            return None;
        }
        let mut body = Vec::with_capacity(missing.bytes());
        missing.write(&mut body);
        Some(Request { body, ..request })
    }

    /// A request has nothing that is taken in, and its source goes on behind it.
    pub fn passed_over(&mut self, position: &Position) {
        self.positions.took(position, true, None);
    }
}
