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
