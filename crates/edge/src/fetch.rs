//! Traces that were dropped, asked for after all: as long as the recorder holds them.

use std::collections::BTreeSet;
use std::fmt;

use filter::{Query, Record};
use journal::Content;
use model::TraceId;
use query::each_record;
use sampling::Fetch;

use crate::pipeline::Pipeline;

/// The most traces that one order fetches.
const MOST: usize = 1000;

/// What an order came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Fetched {
    /// Dropped traces that are delivered now, whole.
    pub traces: u64,
    /// Traces that were kept before.
    pub kept: u64,
    /// Traces that still wait for their decision.
    pub undecided: u64,
    /// Traces of which the recorder holds a part only.
    pub gone: u64,
    /// Whether there were more than one order fetches.
    pub more: bool,
}

impl fmt::Display for Fetched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { traces, kept, undecided, gone, more } = self;
        write!(
            f,
            "{traces} traces fetched; {kept} were kept before, {undecided} are undecided, {gone} are not whole any more"
        )?;
        if *more { write!(f, "; there are more: ask again") } else { Ok(()) }
    }
}

impl Pipeline {
    /// Keeps every dropped trace after all of which a span or line passes, with its lines, as far as the recorder holds it. What
    /// is recorded was masked when it came in.
    pub fn fetch(&mut self, query: &Query, now_ns: u64) -> Fetched {
        let mut wanted: BTreeSet<TraceId> = BTreeSet::new();
        let mut fetched = Fetched::default();
        let ids: Vec<_> = self.recorder.ids(self.recorder.oldest_id()).collect();
        for id in ids {
            let Some((Content::Request(signal), bytes)) = self.recorder.get(id) else { continue };
            let walked = each_record(signal, bytes, &self.lanes.device, |view| {
                let passes = query.range.contains(view.time_ns()) && query.filter.matches(&view);
                let Some(trace) = view.trace_id().filter(|_| passes) else { return };
                if wanted.len() < MOST || wanted.contains(&trace) {
                    wanted.insert(trace);
                } else {
                    fetched.more = true;
                }
            });
            debug_assert!(walked.is_ok(), "recorded bytes do not walk");
        }
        self.recorder.rest();
        for trace in wanted {
            match self.sampler.fetch(&trace) {
                Fetch::Recalled => fetched.traces += 1,
                Fetch::Undecided => fetched.undecided += 1,
                Fetch::Kept => fetched.kept += 1,
                Fetch::Gone => fetched.gone += 1,
            }
        }
        let before = self.sampling().recalled_too_late;
        self.recall(now_ns);
        let late = self.sampling().recalled_too_late - before;
        (fetched.traces, fetched.gone) = (fetched.traces.saturating_sub(late), fetched.gone + late);
        fetched
    }
}
