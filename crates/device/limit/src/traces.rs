//! Whole traces, by a consistent probability.

use std::collections::HashMap;

use foldhash::fast::{FixedState, RandomState};
use model::{Signal, TraceId};
use query::{View, What};
use sampling::{ALWAYS, OtState, probability, randomness, threshold};

use crate::bucket::MAX_KEYS;
use crate::pace::Pace;
use crate::rule::{Most, Rule, Tally};

/// So many traces are remembered, twice: the newest, and those before them.
const REMEMBERED: usize = 1792;

/// What the limits say of a span.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word {
    /// Its trace goes on; with this threshold, which is [`ALWAYS`] where no rule means it.
    Passes {
        /// With which probability traces like it pass (see [`sampling::threshold`]).
        threshold: u64,
    },
    /// Its trace was taken out before.
    Limited,
    /// Its trace is to be taken out, whole: see [`TraceLimits::take_out`].
    ToBeLimited {
        /// The position of the rule that says so.
        rule: u16,
    },
}

/// What is remembered of a trace.
#[derive(Debug, Clone, Copy)]
enum Known {
    Passes(u64),
    Limited(u16),
}

#[derive(Debug)]
enum Chance {
    Share(u64),
    Paces { per_second: f64, burst: f64, by_key: HashMap<u64, Pace, FixedState> },
}

/// Rates and shares of whole traces. A trace is judged by the first of its spans that a rule means, and remembered for what comes of it
/// next.
#[derive(Debug)]
pub struct TraceLimits {
    device: String,
    rules: Vec<(Rule, Chance)>,
    counts: Vec<u64>,
    newest: HashMap<TraceId, Known, RandomState>,
    older: HashMap<TraceId, Known, RandomState>,
}

impl TraceLimits {
    /// What it takes at most: two tables of traces, and the paces of what is counted apart.
    pub const BYTES: u64 = 160 << 10;

    /// Limits of a device of this name; `None` where none of the rules is for traces.
    pub fn new(device: String, rules: &[Rule]) -> Option<Self> {
        let chance = |rule: &Rule| match rule.most {
            Most::Share(share) => Chance::Share(threshold(share)),
            Most::Rate { per_second, burst } => Chance::Paces { per_second, burst, by_key: HashMap::default() },
        };
        let of_traces = rules.iter().filter(|rule| rule.signal == Signal::Traces);
        let rules: Vec<(Rule, Chance)> = of_traces.map(|rule| (rule.clone(), chance(rule))).collect();
        (!rules.is_empty()).then(|| Self {
            device,
            counts: vec![0; rules.len()],
            rules,
            newest: HashMap::default(),
            older: HashMap::default(),
        })
    }

    /// What becomes of a span.
    pub fn judge(&mut self, view: &View<'_>, now_ns: u64) -> Word {
        let What::Span(span) = view.what else { return Word::Passes { threshold: ALWAYS } };
        let Some(trace) = span.trace_id else { return Word::Passes { threshold: ALWAYS } };
        match self.known(&trace) {
            Some(Known::Passes(threshold)) => return Word::Passes { threshold },
            Some(Known::Limited(_)) => return Word::Limited,
            None => {}
        }
        let view = View { device: &self.device, ..*view };
        let state = OtState::read(span.trace_state);
        let mine = state.randomness.unwrap_or_else(|| randomness(&trace));
        let before = state.threshold.unwrap_or(ALWAYS);
        let (mut strictest, mut meant, mut limiting) = (ALWAYS, false, None);
        for (index, (rule, chance)) in (0u16..).zip(&mut self.rules) {
            if limiting.is_some() || !rule.means(&view) {
                continue;
            }
            meant = true;
            match chance {
                Chance::Share(threshold) => {
                    strictest = strictest.max(*threshold);
                    limiting = (mine < *threshold).then_some(index);
                }
                Chance::Paces { per_second, burst, by_key } => {
                    let pace = pace_of(by_key, rule.key(&view), *per_second, *burst);
                    // What was thinned before it came stands for more already.
                    let least = threshold(probability(pace.next(now_ns)) * probability(before));
                    strictest = strictest.max(least);
                    match mine < least {
                        true => limiting = Some(index),
                        false => pace.passed(),
                    }
                }
            }
        }
        if let Some(rule) = limiting {
            return Word::ToBeLimited { rule };
        }
        if meant {
            self.remember(trace, Known::Passes(strictest));
        }
        Word::Passes { threshold: strictest }
    }

    /// A trace is taken out by a rule.
    pub fn take_out(&mut self, trace: TraceId, rule: u16) {
        self.remember(trace, Known::Limited(rule));
    }

    /// A trace that was to be taken out was kept before: that is final.
    pub fn let_pass(&mut self, trace: TraceId) {
        self.remember(trace, Known::Passes(ALWAYS));
    }

    /// A part of a trace comes, a span or a log record: whether it goes because its trace was taken out; it is counted then.
    pub fn takes_out(&mut self, trace: &TraceId) -> bool {
        let Some(Known::Limited(rule)) = self.known(trace) else { return false };
        if let Some(count) = self.counts.get_mut(usize::from(rule)) {
            *count += 1;
        }
        true
    }

    fn known(&self, trace: &TraceId) -> Option<Known> {
        self.newest.get(trace).or_else(|| self.older.get(trace)).copied()
    }

    fn remember(&mut self, trace: TraceId, known: Known) {
        if self.newest.len() >= REMEMBERED {
            std::mem::swap(&mut self.newest, &mut self.older);
            self.newest.clear();
        }
        self.newest.insert(trace, known);
    }

    /// What each rule has taken out, spans and the log records of their traces.
    pub fn tallies(&self) -> impl Iterator<Item = Tally<'_>> {
        let rules = self.rules.iter().zip(&self.counts);
        rules.map(|((rule, _), records)| Tally { rule: &rule.name, signal: Signal::Traces, records: *records })
    }
}

/// The pace of a value that is counted apart; values beyond the most share one.
fn pace_of(by_key: &mut HashMap<u64, Pace, FixedState>, key: u64, per_second: f64, burst: f64) -> &mut Pace {
    let key = if by_key.contains_key(&key) || by_key.len() < MAX_KEYS { key } else { 0 };
    by_key.entry(key).or_insert_with(|| Pace::new(per_second, burst))
}
