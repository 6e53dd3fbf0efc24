//! What stands between intake and everything that is written: masking (P10) and limits.
//!
//! Masking rules come with a later version: today [`Guard::admit`] hands every request on untouched. Its place is fixed
//! already, so that nothing can be written before it.

use model::Signal;

/// The stage that every request passes before metrics are made of it and before it is written anywhere.
#[derive(Debug, Default)]
pub struct Guard {}

impl Guard {
    /// Passes an OTLP export request on, rewritten where a rule says so.
    pub fn admit(&mut self, _signal: Signal, request: Vec<u8>) -> Vec<u8> {
        request
    }
}
