//! What of the undecided survives a crash: with the recorder in files, how far what is recorded is taken in, and the decisions
//! since the last commit.

use std::collections::BTreeSet;

use model::TraceId;
use recorder::Progress;
use sampling::{Remembered, Verdict};

use super::Undecided;

/// How far what is recorded is taken in, and what was decided since the last commit.
#[derive(Debug, Default)]
pub(super) struct Checkpoint {
    /// Whether requests are recorded in files.
    on: bool,
    /// Everything below this sequence is taken in.
    next: u64,
    /// Taken in beyond it, out of order.
    ahead: BTreeSet<u64>,
    /// Decisions since the last commit.
    decided: Vec<u64>,
    /// Traces released without a decision since the last commit.
    without_spans: Vec<u64>,
}

impl Checkpoint {
    /// A trace is released without a decision.
    pub(super) fn released(&mut self, trace: &TraceId) {
        if self.on {
            self.without_spans.push(Remembered::new(trace, Verdict::Drop).bits());
        }
    }
}

/// What rides in a commit for the recorder in files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct RecorderPart {
    /// Decisions, as [`recorder::Decisions`] has them.
    pub(crate) decided: Vec<u64>,
    /// Traces released without a decision, because no span of them came.
    pub(crate) without_spans: Vec<u64>,
    /// How far what is recorded is in the books.
    pub(crate) progress: Progress,
}

impl Undecided {
    /// From now on requests are recorded in files; the next one under this sequence.
    pub(crate) fn record_from(&mut self, next: u64) {
        self.checkpoint = Checkpoint { next, on: true, ..Checkpoint::default() };
    }

    /// Whether requests are recorded in files.
    pub(crate) fn is_recorded(&self) -> bool {
        self.checkpoint.on
    }

    /// The request that is admitted next is recorded under this sequence.
    pub(crate) fn set_sequence(&mut self, sequence: u64) {
        self.recorder.set_tag(sequence);
    }

    /// A recorded request is taken in.
    pub(crate) fn took(&mut self, sequence: u64) {
        let Checkpoint { next, ahead, .. } = &mut self.checkpoint;
        ahead.insert(sequence);
        while ahead.remove(next) {
            *next += 1;
        }
    }

    /// Everything recorded below this sequence is taken in, or cannot be read any more.
    pub(crate) fn skip_to(&mut self, next: u64) {
        self.checkpoint.next = self.checkpoint.next.max(next);
        self.checkpoint.ahead.retain(|sequence| *sequence >= next);
    }

    /// The decisions so far are on disk already.
    pub(crate) fn decisions_are_known(&mut self) {
        let _known = self.sampler.take_new_decisions();
    }

    /// What rides in a commit that begins now; `None` without a recorder in files. The decisions are given again until
    /// [`Undecided::committed`].
    pub(crate) fn recorder_part(&mut self, now_ns: u64) -> Option<RecorderPart> {
        let news = self.sampler.take_new_decisions();
        if !self.checkpoint.on {
            return None;
        }
        let decided = &mut self.checkpoint.decided;
        if !news.complete {
            *decided = self.sampler.decisions(now_ns).map(|(one, _)| one.bits()).collect();
        }
        decided.extend(news.decisions.iter().map(|one| one.bits()));
        let next = self.checkpoint.next;
        Some(RecorderPart {
            decided: decided.clone(),
            without_spans: self.checkpoint.without_spans.clone(),
            progress: Progress {
                booked: next,
                needed: self.recorder.oldest_pinned_tag().map_or(next, |tag| tag.min(next)),
            },
        })
    }

    /// These are committed; what was decided since stands behind them.
    pub(crate) fn committed(&mut self, decided: usize, without_spans: usize) {
        let Checkpoint { decided: mine, without_spans: released, .. } = &mut self.checkpoint;
        mine.drain(..decided.min(mine.len()));
        released.drain(..without_spans.min(released.len()));
    }
}
