//! Rules: which records, and how many.

use filter::{Field, Filter, Record};
use foldhash::fast::FixedState;
use model::Signal;
use query::View;
use std::hash::{BuildHasher, Hasher};

/// A rule.
#[derive(Debug, Clone)]
pub struct Rule {
    /// Its name in counters and log lines.
    pub name: String,
    /// What it limits: log records, data points, or whole traces.
    pub signal: Signal,
    /// Which of them; of traces those of which a span passes.
    pub filter: Filter,
    /// Records that differ in one of these fields are counted apart; none: all together.
    pub by: Vec<Field>,
    /// How many.
    pub most: Most,
}

/// How many records may pass.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Most {
    /// So many a second; of what was left over in quiet times, at most `burst` at once.
    Rate {
        /// Records, or traces, a second; more than 0.
        per_second: f64,
        /// What gathers at most; at least 1.
        burst: f64,
    },
    /// This part of the traces, more than 0 and at most 1.
    Share(f64),
}

/// What a rule has taken out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tally<'a> {
    /// The rule's name.
    pub rule: &'a str,
    /// What it limits.
    pub signal: Signal,
    /// Spans, log records or data points, since start.
    pub records: u64,
}

impl Rule {
    /// Whether it means a record.
    pub(crate) fn means(&self, view: &View<'_>) -> bool {
        self.filter.matches(view)
    }

    /// A number for the values of the fields by which a record is counted; 0 where all count together.
    pub(crate) fn key(&self, view: &View<'_>) -> u64 {
        if self.by.is_empty() {
            return 0;
        }
        // The same on every start, so that a replay gives what the agent gave.
        let mut hasher = FixedState::default().build_hasher();
        for field in &self.by {
            hasher.write(view.field(field).to_string().as_bytes());
            hasher.write_u8(0xff);
        }
        hasher.finish().max(1)
    }
}
