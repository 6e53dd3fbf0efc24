//! What a source hands over, and what it is told: the two words between every intake and what stands behind it.

use std::time::Duration;

use crate::Signal;

/// A request, as a source hands it over.
#[derive(Debug)]
pub struct Request {
    /// What it carries.
    pub signal: Signal,
    /// The inflated protobuf bytes of the export request.
    pub body: Vec<u8>,
    /// The producer's `idempotency-key` header: the same key means the same request again, whose answer was lost.
    pub key: Option<Box<[u8]>>,
}

/// Where a source that reads stands, with a request of what it read. It rides in the commit that has the request's records, so that after a
/// kill each of them was either taken in or is read again. All texts are the source's own; nobody else reads them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// Of what it is the position: a source and a file of it.
    pub key: Box<[u8]>,
    /// What was read for this request: where it begins and ends. What of it is undecided when the program is killed is read again by this.
    pub read: Box<[u8]>,
    /// Where to go on.
    pub next: Box<[u8]>,
    /// Whether nothing more is to be read there: the key is forgotten once nothing of it is undecided.
    pub is_done: bool,
    /// Whether this was read again after a restart: only what was undecided is taken in.
    pub is_again: bool,
}

/// Where a source goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadTo {
    /// Of what; see [`Position::key`].
    pub key: Box<[u8]>,
    /// Where.
    pub next: Box<[u8]>,
    /// What is to be read again first: see [`Position::read`].
    pub again: Vec<Box<[u8]>>,
}

/// What became of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Taken, whole.
    Accepted,
    /// Taken but for records that never will be: how many, and why.
    Partial {
        /// How many are not taken.
        rejected: u64,
        /// Why, for the producer.
        why: String,
    },
    /// Not taken now: the producer is to send the same again after this time.
    Wait(Duration),
    /// Never to be taken; says why.
    Bad(String),
    /// Its key came before with another request; says so.
    Conflict(String),
}

impl Answer {
    /// Whether the request was taken, whole or but for some records.
    pub fn is_taken(&self) -> bool {
        matches!(self, Answer::Accepted | Answer::Partial { .. })
    }
}
