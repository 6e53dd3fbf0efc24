//! What stands between intake and everything that is written: masking (P10) and limits.
//!
//! Masking rules come with a later version: today [`Guard::admit`] lets every request pass untouched. Its place is fixed
//! already, so that nothing can be written before it.

use model::{Refusal, RefusalCounts, Signal};

/// What the guard lets pass of a request.
#[derive(Debug)]
pub struct Passed {
    /// The request, rewritten where a rule says so.
    pub request: Vec<u8>,
    /// Whether a rule rewrote it: what was told of its bytes before holds no more.
    pub rewritten: bool,
    /// Records that a rule took out of it, by reason. Their producer is not told: they count as received and filtered.
    pub dropped: RefusalCounts,
}

/// Why the guard lets nothing of a request pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denied {
    /// The kind of it.
    pub reason: Refusal,
    /// What is wrong, for the producer.
    pub why: String,
}

/// The stage that every request passes before metrics are made of it and before it is written anywhere.
#[derive(Debug, Default)]
pub struct Guard {}

impl Guard {
    /// Lets an OTLP export request pass, rewritten and without the records that rules take out.
    ///
    /// # Errors
    /// [`Denied`] when a rule cannot be applied to it: then nothing of it may be written.
    pub fn admit(&mut self, _signal: Signal, request: Vec<u8>) -> Result<Passed, Denied> {
        Ok(Passed { request, rewritten: false, dropped: RefusalCounts::default() })
    }
}
