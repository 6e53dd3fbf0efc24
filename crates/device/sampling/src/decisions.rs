//! Remembered decisions: exact fingerprints in generations, bounded in bytes.

use std::collections::VecDeque;

use model::TraceId;

/// What was decided for a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Delivered, whole.
    Keep,
    /// Not delivered.
    Drop,
}

/// A decision as it is remembered and persisted: 63 bits of a fixed mixing of the trace id, and the verdict in the lowest
/// bit. Among two million of them, a trace is taken for another one with a chance of 2 in 10^13.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Remembered(u64);

impl Remembered {
    /// The decision of a trace.
    pub fn new(trace: &TraceId, verdict: Verdict) -> Self {
        Self(fingerprint(trace) | u64::from(verdict == Verdict::Keep))
    }

    /// As it is persisted.
    pub fn bits(self) -> u64 {
        self.0
    }

    /// From what was persisted.
    pub fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// What was decided.
    pub fn verdict(self) -> Verdict {
        if self.0 & 1 == 1 { Verdict::Keep } else { Verdict::Drop }
    }
}

/// The finalizer of SplitMix64, a bijection. It must never change: fingerprints are persisted.
fn mix(mut value: u64) -> u64 {
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// All bits but the lowest, which is the verdict's. Both halves count: 64-bit ids are padded on either side.
fn fingerprint(trace: &TraceId) -> u64 {
    let (high, low) = trace.0.split_at(8);
    let half = |bytes: &[u8]| bytes.iter().fold(0u64, |value, byte| value << 8 | u64::from(*byte));
    mix(mix(half(high).wrapping_add(0x9e37_79b9_7f4a_7c15)) ^ half(low)) & !1
}

const ENTRY_BYTES: u64 = 8;
/// New decisions are sorted in; a full run of so many is merged into larger ones.
const NEW_RUN: usize = 256;
/// A generation is closed at this part of the time, or of the memory, for all of them.
const GENERATIONS: u64 = 8;
/// New decisions that are held for whoever persists them.
const MAX_NEW: usize = 16 << 10;

/// Decisions of one stretch of time, in sorted runs that halve in size. The last one takes new decisions in.
#[derive(Debug, Default)]
struct Generation {
    started_ns: i64,
    /// When the latest decision in it was made.
    last_ns: i64,
    runs: Vec<Vec<u64>>,
    entries: u64,
}

impl Generation {
    fn get(&self, wanted: u64) -> Option<Verdict> {
        let mut found = None;
        for run in &self.runs {
            // Both verdicts of one trace stand side by side; keep is final and stands second.
            let position = run.partition_point(|entry| *entry < wanted);
            for entry in run[position..].iter().take_while(|entry| **entry & !1 == wanted).take(2) {
                let verdict = Remembered(*entry).verdict();
                if verdict == Verdict::Keep {
                    return Some(verdict);
                }
                found = Some(verdict);
            }
        }
        found
    }

    fn insert(&mut self, entry: u64) {
        if self.runs.last().is_none_or(|run| run.len() >= NEW_RUN) {
            self.merge();
            self.runs.push(Vec::with_capacity(NEW_RUN));
        }
        let Some(run) = self.runs.last_mut() else { return };
        if let Err(position) = run.binary_search(&entry) {
            run.insert(position, entry);
            self.entries += 1;
        }
    }

    /// Merges runs from the end, until each is at least twice as long as the next.
    fn merge(&mut self) {
        while let [.., larger, smaller] = self.runs.as_slice() {
            if larger.len() >= 2 * smaller.len() {
                break;
            }
            let Some(smaller) = self.runs.pop() else { break };
            let Some(larger) = self.runs.last_mut() else { break };
            merge_sorted(larger, &smaller);
        }
    }
}

/// Merges a sorted list into another one, from the end, in place.
fn merge_sorted(into: &mut Vec<u64>, from: &[u64]) {
    let (mut left, mut right) = (into.len(), from.len());
    into.reserve_exact(right);
    into.resize(left + right, 0);
    for place in (0..into.len()).rev() {
        let from_right = right > 0 && (left == 0 || from[right - 1] >= into[left - 1]);
        if from_right {
            right -= 1;
            into[place] = from[right];
        } else {
            left -= 1;
            into[place] = into[left];
        }
    }
}

/// What was decided since the last time someone asked, for who persists it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NewDecisions {
    /// The decisions, oldest first. A trace may stand in it twice: first dropped, then kept.
    pub decisions: Vec<Remembered>,
    /// False when more were made than are held, and at the first call: then all of them have to be persisted anew.
    pub complete: bool,
}

/// A decision is remembered for at least `remember_ns`, unless memory runs short (counted). The oldest generation goes.
#[derive(Debug)]
pub(crate) struct Decisions {
    /// Oldest first.
    generations: VecDeque<Generation>,
    remember_ns: u64,
    max_bytes: u64,
    bytes: u64,
    /// Every decision that was made after this is remembered.
    known_since_ns: i64,
    new: Option<Vec<u64>>,
    missed: bool,
    pub(crate) forgotten_early: u64,
}

fn signed(ns: u64) -> i64 {
    i64::try_from(ns).unwrap_or(i64::MAX)
}

impl Decisions {
    pub(crate) fn new(remember_ns: u64, max_bytes: u64) -> Self {
        Self {
            generations: VecDeque::new(),
            remember_ns,
            max_bytes,
            bytes: 0,
            known_since_ns: 0,
            new: None,
            missed: true,
            forgotten_early: 0,
        }
    }

    pub(crate) fn get(&self, trace: &TraceId) -> Option<Verdict> {
        let wanted = fingerprint(trace);
        let mut found = None;
        for generation in self.generations.iter().rev() {
            match generation.get(wanted) {
                Some(Verdict::Keep) => return Some(Verdict::Keep),
                Some(Verdict::Drop) => found = Some(Verdict::Drop),
                None => {}
            }
        }
        found
    }

    pub(crate) fn remember(&mut self, decision: Remembered, now_ns: u64) {
        self.insert(decision, signed(now_ns));
        match &mut self.new {
            Some(new) if new.len() < MAX_NEW => new.push(decision.bits()),
            Some(_) => self.missed = true,
            None => {}
        }
    }

    /// Takes back decisions that were made `age_ns` before now, in an earlier life; oldest first.
    pub(crate) fn restore(&mut self, decisions: impl Iterator<Item = Remembered>, age_ns: u64, now_ns: u64) {
        let when = signed(now_ns).saturating_sub(signed(age_ns));
        self.known_since_ns = self.known_since_ns.min(when);
        decisions.for_each(|decision| self.insert(decision, when));
    }

    fn insert(&mut self, decision: Remembered, now_ns: i64) {
        if self.bytes() >= self.max_bytes && self.generations.len() > 1 {
            // The bound was lowered.
            self.make_room(now_ns);
        }
        let part_ns = signed(self.remember_ns / GENERATIONS);
        let part_entries = (self.max_bytes / ENTRY_BYTES / GENERATIONS).max(1);
        let close = |last: &Generation| {
            now_ns.saturating_sub(last.started_ns) >= part_ns.max(1) || last.entries >= part_entries
        };
        if self.generations.back().is_none_or(close) {
            self.make_room(now_ns);
            self.generations.push_back(Generation { started_ns: now_ns, last_ns: now_ns, ..Generation::default() });
        }
        let Some(generation) = self.generations.back_mut() else { return };
        let before = generation.entries;
        generation.insert(decision.bits());
        generation.last_ns = generation.last_ns.max(now_ns);
        self.bytes += (generation.entries - before) * ENTRY_BYTES;
    }

    /// Changes the bound.
    pub(crate) fn set_most(&mut self, bytes: u64) {
        self.max_bytes = bytes;
    }

    /// Forgets generations that are old enough, and more while the next one could grow beyond the bound.
    fn make_room(&mut self, now_ns: i64) {
        let part = self.max_bytes / GENERATIONS;
        while let Some(oldest) = self.generations.front() {
            let old = now_ns.saturating_sub(oldest.last_ns) >= signed(self.remember_ns);
            if !old && self.bytes + part <= self.max_bytes {
                break;
            }
            if !old {
                self.forgotten_early += oldest.entries;
            }
            self.bytes -= oldest.entries * ENTRY_BYTES;
            self.known_since_ns = self.known_since_ns.max(oldest.last_ns);
            self.generations.pop_front();
        }
    }

    /// Every decision that was made after this moment is remembered; monotonic nanoseconds, below zero before the start.
    pub(crate) fn known_since_ns(&self) -> i64 {
        self.known_since_ns
    }

    pub(crate) fn take_new(&mut self) -> NewDecisions {
        let complete = self.new.is_some() && !self.missed;
        self.missed = false;
        let decisions = self.new.replace(Vec::new()).unwrap_or_default();
        NewDecisions { decisions: decisions.into_iter().map(Remembered).collect(), complete }
    }

    /// All of them with their age in nanoseconds, oldest generation first.
    pub(crate) fn all(&self, now_ns: u64) -> impl Iterator<Item = (Remembered, u64)> {
        self.generations.iter().flat_map(move |generation| {
            let age = u64::try_from(signed(now_ns).saturating_sub(generation.last_ns)).unwrap_or(0);
            generation.runs.iter().flatten().map(move |entry| (Remembered(*entry), age))
        })
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes + self.slack()
    }

    /// The last run has room for more than it holds.
    fn slack(&self) -> u64 {
        let last = self.generations.back().and_then(|generation| generation.runs.last());
        last.map_or(0, |run| (run.capacity() - run.len()) as u64 * ENTRY_BYTES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u64) -> TraceId {
        let mut bytes = [1; 16];
        bytes[..8].copy_from_slice(&number.to_le_bytes());
        TraceId(bytes)
    }

    fn remember(decisions: &mut Decisions, number: u64, verdict: Verdict, now_ns: u64) {
        decisions.remember(Remembered::new(&id(number), verdict), now_ns);
    }

    /// Scenario: decisions over three periods, then more of them than fit.
    /// Guarantees: remembered for at least one period; memory never above the bound; what is forgotten early is counted,
    /// and the moment since which all are known moves (P4, P9).
    #[test]
    fn decisions_last_a_period_and_stay_bounded() {
        let mut decisions = Decisions::new(1000, 1 << 20);
        remember(&mut decisions, 1, Verdict::Keep, 0);
        remember(&mut decisions, 2, Verdict::Drop, 999);
        remember(&mut decisions, 3, Verdict::Drop, 1000);
        assert_eq!(decisions.get(&id(2)), Some(Verdict::Drop));
        assert_eq!(decisions.known_since_ns(), 0);
        remember(&mut decisions, 4, Verdict::Drop, 1998);
        assert_eq!(decisions.get(&id(2)), Some(Verdict::Drop), "999 later");
        remember(&mut decisions, 5, Verdict::Drop, 3000);
        assert_eq!(decisions.get(&id(2)), None);
        assert_eq!(decisions.get(&id(4)), None, "a period after the last of its generation");
        assert_eq!(decisions.get(&id(5)), Some(Verdict::Drop));
        assert_eq!((decisions.forgotten_early, decisions.known_since_ns()), (0, 1998));

        let bound = GENERATIONS * ENTRY_BYTES * NEW_RUN as u64;
        let mut small = Decisions::new(1_000_000, bound);
        for number in 0..10_000 {
            remember(&mut small, number, Verdict::Drop, 5);
            assert!(small.bytes() <= bound + ENTRY_BYTES * NEW_RUN as u64, "{} of {bound}", small.bytes());
        }
        assert!((9_999 - 1_500..10_000).all(|number| small.get(&id(number)) == Some(Verdict::Drop)));
        assert!(small.forgotten_early > 7_000);
    }

    /// Scenario: 5,000 decisions, some dropped and kept later, other ids between them.
    /// Guarantees: every one is found with its last verdict, and no other id is (P4).
    #[test]
    fn decisions_are_exact() {
        let mut decisions = Decisions::new(1 << 40, 1 << 20);
        for number in 0..5_000 {
            let verdict = if number % 7 == 0 { Verdict::Keep } else { Verdict::Drop };
            remember(&mut decisions, number, verdict, number);
        }
        for number in (0..5_000).step_by(10) {
            remember(&mut decisions, number, Verdict::Keep, 6_000);
        }
        for number in 0..5_000 {
            let kept = number % 7 == 0 || number % 10 == 0;
            assert_eq!(decisions.get(&id(number)), Some(if kept { Verdict::Keep } else { Verdict::Drop }), "{number}");
        }
        assert!((5_000..50_000).all(|number| decisions.get(&id(number)).is_none()));
        let mut padded = [0; 16];
        padded[15] = 1;
        let mut other = [0; 16];
        other[7] = 1;
        decisions.remember(Remembered::new(&TraceId(padded), Verdict::Keep), 7_000);
        assert_eq!(decisions.get(&TraceId(padded)), Some(Verdict::Keep));
        assert_eq!(decisions.get(&TraceId(other)), None, "both halves of an id count");
    }

    /// Scenario: decisions are taken for persisting, then restored in another life at another monotonic time, where some
    /// are old enough to be forgotten soon.
    /// Guarantees: what is new is told once; the first call, and one after too many, ask for a snapshot; restored
    /// decisions hold, and age on (P4).
    #[test]
    fn decisions_survive_a_life() {
        let mut first = Decisions::new(1000, 1 << 20);
        remember(&mut first, 1, Verdict::Keep, 100);
        assert!(!first.take_new().complete);
        remember(&mut first, 2, Verdict::Drop, 900);
        let new = first.take_new();
        assert_eq!((new.complete, new.decisions.len()), (true, 1));
        assert_eq!(new.decisions[0], Remembered::new(&id(2), Verdict::Drop));
        assert!(first.take_new().decisions.is_empty());
        for number in 0..2 * MAX_NEW as u64 {
            remember(&mut first, 100 + number, Verdict::Drop, 900);
        }
        assert!(!first.take_new().complete);

        let mut second = Decisions::new(1000, 1 << 20);
        for (decision, age) in first.all(1000) {
            second.restore(std::iter::once(Remembered::from_bits(decision.bits())), age, 5);
        }
        assert!(second.known_since_ns() < 0);
        assert_eq!(second.get(&id(1)), Some(Verdict::Keep));
        assert_eq!(second.get(&id(2)), Some(Verdict::Drop));
        remember(&mut second, 9, Verdict::Drop, 500);
        assert_eq!(second.get(&id(1)), None, "it is 1,400 old");
        assert_eq!(second.get(&id(2)), Some(Verdict::Drop));
    }
}
