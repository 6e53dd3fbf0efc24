//! The index of undecided traces, and the decision.

use std::collections::{HashMap, VecDeque};

use model::TraceId;

use crate::decisions::{Decisions, NewDecisions, Remembered, Verdict};
use crate::policy::{Evidence, Policy};

/// Names an entry of the recorder.
pub type EntryId = u64;

/// What the sampler is made of.
#[derive(Debug, Clone)]
pub struct Options {
    /// A trace is kept when one of them votes for it; none: every trace is kept.
    pub policies: Vec<Policy>,
    /// From a trace's first span to its decision, nanoseconds.
    pub decision_wait_ns: u64,
    /// How long decisions are remembered at least, nanoseconds.
    pub remember_ns: u64,
    /// The most memory for the index and the decisions, bytes.
    pub memory: u64,
}

/// A part of a trace, as the sampler sees it.
#[derive(Debug, Clone, Copy)]
pub enum Part {
    /// A span: times in Unix nanoseconds, its status as a bit of the policy's masks, whether it has no parent.
    Span {
        /// Unix nanoseconds.
        start_ns: u64,
        /// Unix nanoseconds.
        end_ns: u64,
        /// One of the `STATUS_MASK_` bits.
        status: u8,
        /// Whether it has no parent.
        root: bool,
    },
    /// A log line.
    Line,
    /// An exemplar of a metric point.
    Exemplar,
}

/// What becomes of a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// It waits in its recorder entry for the decision. True when this trace had no part in that entry before: the entry
    /// gains one pin.
    Waits {
        /// Whether the entry gains a pin.
        new_pin: bool,
    },
    /// Its trace was decided before.
    Decided(Verdict),
}

/// A decision, to be carried out on the recorder. Every entry named loses one pin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decided {
    /// The trace.
    pub trace: TraceId,
    /// Keep or drop; `None` for a trace of which no span came: its lines stand alone, its exemplars are dead.
    pub verdict: Option<Verdict>,
    /// Position of the policy that kept it.
    pub policy: Option<usize>,
    /// The recorder entries that hold its parts.
    pub entries: Vec<EntryId>,
    /// The bytes of its parts, as they came.
    pub bytes: u64,
}

/// Counters since start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stats {
    /// Traces that wait for their decision.
    pub pending_traces: u64,
    /// Traces kept.
    pub kept_traces: u64,
    /// Traces dropped.
    pub dropped_traces: u64,
    /// Traces of which only lines or exemplars came.
    pub spanless_traces: u64,
    /// Traces decided before their wait was over, because memory ran short.
    pub decided_early: u64,
    /// Decisions forgotten before their time, because memory ran short.
    pub forgotten_early: u64,
    /// Memory in use, bytes.
    pub bytes: u64,
}

#[derive(Debug)]
struct Pending {
    evidence: Evidence,
    has_span: bool,
    root_seen: bool,
    last_ns: u64,
    deadline_ns: u64,
    entries: Vec<EntryId>,
    bytes: u64,
}

/// Bytes that a pending trace is counted with, without its entries.
const PENDING_BYTES: u64 = 152;
const ENTRY_BYTES: u64 = 8;
/// A trace with a root is quiet when nothing came for this part of the wait.
const QUIET_PART: u64 = 4;

/// The index of undecided traces.
#[derive(Debug)]
pub struct Sampler {
    options: Options,
    pending: HashMap<TraceId, Pending>,
    /// Traces by deadline. A deadline that moved stands here twice; only the one that the trace agrees with counts.
    span_deadlines: VecDeque<(u64, TraceId)>,
    line_deadlines: VecDeque<(u64, TraceId)>,
    decisions: Decisions,
    entries_held: u64,
    stats: Stats,
}

impl Sampler {
    /// An empty sampler.
    pub fn new(options: Options) -> Self {
        let decisions = Decisions::new(options.remember_ns, options.memory / 2);
        Self {
            options,
            pending: HashMap::new(),
            span_deadlines: VecDeque::new(),
            line_deadlines: VecDeque::new(),
            decisions,
            entries_held: 0,
            stats: Stats::default(),
        }
    }

    /// Takes note of a part of a trace, of so many bytes, that stands in a recorder entry. `now_ns` is monotonic.
    ///
    /// Lines and exemplars do not start a trace's wait: it runs from the first span. Without any span they wait twice
    /// as long.
    pub fn part(&mut self, trace: TraceId, part: Part, bytes: u64, entry: EntryId, now_ns: u64) -> Route {
        if let Some(verdict) = self.decisions.get(&trace) {
            return Route::Decided(verdict);
        }
        let wait = self.options.decision_wait_ns;
        let line_deadline = now_ns.saturating_add(wait.saturating_mul(2));
        let line_deadlines = &mut self.line_deadlines;
        let pending = self.pending.entry(trace).or_insert_with(|| {
            line_deadlines.push_back((line_deadline, trace));
            Pending {
                evidence: Evidence { start_ns: u64::MAX, end_ns: 0, statuses: 0 },
                has_span: false,
                root_seen: false,
                last_ns: now_ns,
                deadline_ns: line_deadline,
                entries: Vec::new(),
                bytes: 0,
            }
        });
        if let Part::Span { start_ns, end_ns, status, root } = part {
            if !pending.has_span {
                pending.has_span = true;
                pending.deadline_ns = now_ns.saturating_add(wait);
                self.span_deadlines.push_back((pending.deadline_ns, trace));
            }
            pending.evidence.start_ns = pending.evidence.start_ns.min(start_ns);
            pending.evidence.end_ns = pending.evidence.end_ns.max(end_ns);
            pending.evidence.statuses |= status;
            pending.root_seen |= root;
        }
        pending.last_ns = now_ns;
        pending.bytes += bytes;
        let new_pin = pending.entries.last() != Some(&entry);
        if new_pin {
            pending.entries.push(entry);
            self.entries_held += 1;
        }
        Route::Waits { new_pin }
    }

    /// Whether there is memory for more traces.
    pub fn has_room(&self) -> bool {
        self.index_bytes() <= self.options.memory / 2
    }

    /// Decides every trace whose wait is over, oldest first.
    pub fn tick(&mut self, now_ns: u64, mut each: impl FnMut(Decided)) {
        for spans in [true, false] {
            loop {
                let queue = if spans { &mut self.span_deadlines } else { &mut self.line_deadlines };
                let Some((deadline, trace)) = queue.front().copied().filter(|(deadline, _)| *deadline <= now_ns) else {
                    break;
                };
                queue.pop_front();
                if self.pending.get(&trace).is_some_and(|pending| pending.deadline_ns == deadline) {
                    self.decide(trace, now_ns, &mut each);
                }
            }
        }
    }

    /// Decides, before their time, traces whose root was seen and that are quiet: at most `most`, oldest first. An
    /// incomplete trace is never decided early.
    pub fn decide_early(&mut self, now_ns: u64, most: usize, mut each: impl FnMut(Decided)) -> usize {
        let quiet = self.options.decision_wait_ns / QUIET_PART;
        let early: Vec<TraceId> = self
            .span_deadlines
            .iter()
            .filter(|(deadline, trace)| {
                self.pending.get(trace).is_some_and(|pending| {
                    pending.deadline_ns == *deadline
                        && pending.root_seen
                        && now_ns.saturating_sub(pending.last_ns) >= quiet
                })
            })
            .map(|(_, trace)| *trace)
            .take(most)
            .collect();
        for trace in &early {
            self.stats.decided_early += 1;
            self.decide(*trace, now_ns, &mut each);
        }
        early.len()
    }

    fn decide(&mut self, trace: TraceId, now_ns: u64, each: &mut impl FnMut(Decided)) {
        let Some(pending) = self.pending.remove(&trace) else { return };
        self.entries_held -= pending.entries.len() as u64;
        if !pending.has_span {
            self.stats.spanless_traces += 1;
            each(Decided { trace, verdict: None, policy: None, entries: pending.entries, bytes: pending.bytes });
            return;
        }
        let policy = self.options.policies.iter().position(|policy| policy.rule.keeps(&pending.evidence));
        let keep = policy.is_some() || self.options.policies.is_empty();
        let verdict = if keep { Verdict::Keep } else { Verdict::Drop };
        match verdict {
            Verdict::Keep => self.stats.kept_traces += 1,
            Verdict::Drop => self.stats.dropped_traces += 1,
        }
        self.decisions.remember(Remembered::new(&trace, verdict), now_ns);
        each(Decided { trace, verdict: Some(verdict), policy, entries: pending.entries, bytes: pending.bytes });
    }

    /// Remembers a decision that was not made here: by an earlier life whose undecided requests are taken in again, or by
    /// someone up the line.
    pub fn remember(&mut self, trace: TraceId, verdict: Verdict, now_ns: u64) {
        self.decisions.remember(Remembered::new(&trace, verdict), now_ns);
    }

    /// Takes the decisions that were made since the last call, to be persisted with what they let through.
    pub fn take_new_decisions(&mut self) -> NewDecisions {
        self.decisions.take_new()
    }

    /// All remembered decisions with their age in nanoseconds, oldest first.
    pub fn decisions(&self, now_ns: u64) -> impl Iterator<Item = (Remembered, u64)> {
        self.decisions.all(now_ns)
    }

    /// Takes back decisions of an earlier life that were made `age_ns` ago; the oldest ones come first.
    pub fn restore(&mut self, decisions: impl IntoIterator<Item = Remembered>, age_ns: u64, now_ns: u64) {
        self.decisions.restore(decisions.into_iter(), age_ns, now_ns);
    }

    /// Every decision that was made after this moment is remembered: monotonic nanoseconds, below zero before the start.
    pub fn known_since_ns(&self) -> i64 {
        self.decisions.known_since_ns()
    }

    /// The name of a policy, as [`Decided::policy`] numbers them.
    pub fn policy_name(&self, position: usize) -> Option<&str> {
        self.options.policies.get(position).map(|policy| policy.name.as_str())
    }

    /// Counters since start.
    pub fn stats(&self) -> Stats {
        Stats {
            pending_traces: self.pending.len() as u64,
            forgotten_early: self.decisions.forgotten_early,
            bytes: self.index_bytes() + self.decisions.bytes(),
            ..self.stats
        }
    }

    fn index_bytes(&self) -> u64 {
        self.pending.len() as u64 * PENDING_BYTES + self.entries_held * ENTRY_BYTES
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{PolicyRule, STATUS_MASK_ERROR, STATUS_MASK_UNSET};

    const WAIT: u64 = 1_000;

    fn sampler() -> Sampler {
        let policies = vec![
            Policy { name: "errors".into(), rule: PolicyRule::Status(STATUS_MASK_ERROR) },
            Policy { name: "slow".into(), rule: PolicyRule::Latency { from_ns: 200, to_ns: None } },
        ];
        Sampler::new(Options { policies, decision_wait_ns: WAIT, remember_ns: 100_000, memory: 64 << 10 })
    }

    fn id(number: u64) -> TraceId {
        let mut bytes = [1; 16];
        bytes[..8].copy_from_slice(&number.to_le_bytes());
        TraceId(bytes)
    }

    fn span(start_ns: u64, end_ns: u64, status: u8, root: bool) -> Part {
        Part::Span { start_ns, end_ns, status, root }
    }

    fn tick(sampler: &mut Sampler, now: u64) -> Vec<Decided> {
        let mut decided = Vec::new();
        sampler.tick(now, |one| decided.push(one));
        decided
    }

    /// Scenario: two spans of 100 units each that together span 200; an error in a child; a fast success; lines before and
    /// after. Guarantees: the whole trace is judged, once, at its wait, with all entries that hold parts (P4).
    #[test]
    fn a_trace_is_judged_whole() {
        let mut sampler = sampler();
        assert_eq!(sampler.part(id(1), Part::Line, 9, 7, 0), Route::Waits { new_pin: true });
        sampler.part(id(1), span(1000, 1100, STATUS_MASK_UNSET, true), 9, 8, 10);
        sampler.part(id(1), span(1100, 1200, STATUS_MASK_UNSET, false), 9, 8, 11);
        sampler.part(id(2), span(0, 10, STATUS_MASK_ERROR, false), 9, 8, 12);
        sampler.part(id(3), span(0, 10, STATUS_MASK_UNSET, true), 9, 9, 13);
        assert_eq!(tick(&mut sampler, 10 + WAIT - 1), vec![]);
        let decided = tick(&mut sampler, 13 + WAIT);
        let verdicts: Vec<_> = decided.iter().map(|one| (one.trace, one.verdict, one.policy)).collect();
        assert_eq!(
            verdicts,
            vec![
                (id(1), Some(Verdict::Keep), Some(1)),
                (id(2), Some(Verdict::Keep), Some(0)),
                (id(3), Some(Verdict::Drop), None)
            ]
        );
        assert_eq!(decided[0].entries, vec![7, 8]);
        assert_eq!(sampler.part(id(1), Part::Line, 9, 10, 5000), Route::Decided(Verdict::Keep));
        assert_eq!(sampler.part(id(3), Part::Exemplar, 9, 10, 5000), Route::Decided(Verdict::Drop));
        assert_eq!(sampler.stats().pending_traces, 0);
    }

    /// Scenario: lines without any span; then a span comes after all. Guarantees: lines wait twice as long and then stand
    /// alone; nothing is decided for the trace, so that its spans are judged when they come (P4).
    #[test]
    fn lines_do_not_decide_a_trace() {
        let mut sampler = sampler();
        sampler.part(id(1), Part::Line, 9, 1, 0);
        assert_eq!(tick(&mut sampler, 2 * WAIT - 1), vec![]);
        let decided = tick(&mut sampler, 2 * WAIT);
        assert_eq!((decided.len(), decided[0].verdict), (1, None));
        sampler.part(id(1), span(0, 500, STATUS_MASK_UNSET, true), 9, 2, 3 * WAIT);
        assert_eq!(tick(&mut sampler, 4 * WAIT)[0].verdict, Some(Verdict::Keep));
    }

    /// Scenario: memory runs short with quiet complete traces and with incomplete ones.
    /// Guarantees: only quiet traces with a root are decided early; an incomplete one never is (P4, P9).
    #[test]
    fn only_complete_quiet_traces_are_decided_early() {
        let mut sampler = sampler();
        let mut number = 0;
        while sampler.has_room() {
            sampler.part(id(number), span(0, 1, STATUS_MASK_UNSET, number % 2 == 0), 9, number, 0);
            number += 1;
        }
        assert!(sampler.stats().bytes <= (64 << 10) / 2 + 200);
        let mut early = Vec::new();
        assert_eq!(sampler.decide_early(1, 10, |one| early.push(one)), 0, "nothing is quiet yet");
        let count = sampler.decide_early(WAIT / 2, 1000, |one| early.push(one));
        assert_eq!(count as u64, number.div_ceil(2));
        assert!(early.iter().all(|one| one.entries[0] % 2 == 0));
        assert!(sampler.has_room());
        assert_eq!(tick(&mut sampler, WAIT).len() as u64, number / 2);
    }
}
