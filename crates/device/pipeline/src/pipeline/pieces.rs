//! A large request in pieces: what is booked of the whole, and how far it is when the room ends in the middle.

use model::Signal;
use model::otlp::count_records;

use crate::admission::{Looked, Piece};

use super::Pipeline;

impl Pipeline {
    /// Books pieces of a request as refused.
    pub fn refuse_pieces(&mut self, signal: Signal, pieces: impl Iterator<Item = Piece>) {
        let records = pieces.map(|piece| count_records(signal, piece.bytes()).unwrap_or(0)).sum();
        self.books.refused(signal, records);
    }

    /// Books the look at a request all of whose pieces are taken in.
    pub fn all_pieces_taken(&mut self, looked: &Looked) {
        self.books.looked_at(looked.found());
    }

    /// How many pieces of a request are taken in already, because the room ended in the middle; that is forgotten.
    pub fn pieces_taken(&mut self, signal: Signal, body: &[u8]) -> usize {
        self.admission.pieces_taken(signal, body)
    }

    /// Remembers that so many first pieces of a request are taken in.
    pub fn remember_pieces(&mut self, signal: Signal, body: &[u8], pieces: usize) {
        self.admission.remember_pieces(signal, body, pieces);
    }
}
