//! What limits took out, to be told upstream: a gap of its kind in the lane where it would have gone (P1). It covers no sequence, since
//! what is taken out never got one.

use ledger::PerSignal;
use model::{Lane, Signal, Signals};
use wire::{Gap, GapReason, SectionRef, encode_body};

use crate::outbox::Batch;

/// So long after its first record a stretch is told, at the earliest.
const FIRST_NS: u64 = 60_000_000_000;
/// While it goes on it is told each time after twice as long, up to this.
const LONGEST_NS: u64 = 3_600_000_000_000;

/// A stretch of a lane in which something was taken out.
#[derive(Debug, Clone, Copy)]
struct Stretch {
    records: u64,
    start_ns: u64,
    end_ns: u64,
    /// After how long it is told.
    step_ns: u64,
}

/// What was taken out and is not told yet, by lane.
#[derive(Debug, Default)]
pub(crate) struct LimitedGaps {
    lanes: [Option<Stretch>; Lane::ALL.len()],
    wall_ns: u64,
}

impl LimitedGaps {
    /// Tells the wall time.
    pub(crate) fn set_wall(&mut self, wall_ns: u64) {
        self.wall_ns = wall_ns;
    }

    /// The wall time.
    pub(crate) fn wall_ns(&self) -> u64 {
        self.wall_ns
    }

    /// Records of a signal are taken out.
    pub(crate) fn add(&mut self, signal: Signal, records: u64) {
        if records == 0 {
            return;
        }
        let lane = match signal {
            Signal::Traces => Lane::Traces,
            Signal::Logs => Lane::Logs,
            Signal::Metrics => Lane::Metrics,
        };
        let wall_ns = self.wall_ns.max(1);
        let fresh = Stretch { records: 0, start_ns: wall_ns, end_ns: wall_ns, step_ns: FIRST_NS / 2 };
        let stretch = self.lanes[usize::from(lane.number())].get_or_insert(fresh);
        if stretch.records == 0 {
            // Quiet for longer than it is told: what begins now is another one.
            let same = wall_ns.saturating_sub(stretch.end_ns) <= FIRST_NS;
            let step_ns = if same { (stretch.step_ns * 2).min(LONGEST_NS) } else { FIRST_NS };
            let start_ns = if same { stretch.end_ns.min(wall_ns) } else { wall_ns };
            *stretch = Stretch { start_ns, end_ns: wall_ns, step_ns, ..fresh };
        }
        stretch.records += records;
        stretch.end_ns = stretch.end_ns.max(wall_ns);
    }

    /// The gaps that are due, as batches; `all`: nothing more comes.
    pub(crate) fn take(&mut self, all: bool) -> Vec<Batch> {
        let mut batches = Vec::new();
        let wall_ns = self.wall_ns;
        for (lane, stretch) in Lane::ALL.into_iter().zip(&mut self.lanes) {
            let Some(told) = stretch.as_mut().filter(|one| one.records > 0) else { continue };
            if !all && wall_ns.saturating_sub(told.start_ns) < told.step_ns {
                continue;
            }
            let Stretch { records, start_ns, end_ns, .. } = *told;
            // No sequence is 0, and no two stretches of a lane begin at the same time.
            let gap = Gap { lane, first: start_ns, last: 0, reason: GapReason::Limited, records, start_ns, end_ns };
            let mut body = Vec::new();
            if encode_body(&[SectionRef::Gap(&gap)], &mut body).is_ok() {
                let signals = Signals::default();
                batches.push(Batch { lane, body, records: PerSignal::default(), start_ns, end_ns, signals });
            }
            told.records = 0;
        }
        batches
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn gaps(batches: &[Batch]) -> Vec<Gap> {
        let sections = batches.iter().flat_map(|batch| wire::decode_body(&batch.body).unwrap());
        let gap = |section| match section {
            wire::Section::Gap(gap) => gap,
            other => panic!("{other:?}"),
        };
        sections.map(gap).collect()
    }

    /// Scenario: log records are taken out each second for three hours, then none, then one; points once. Guarantees: every one of them is
    /// told once, in stretches that follow one another, at most 1 h long; there are few of them (P1).
    #[test]
    fn every_record_is_told_once_in_few_gaps() {
        let mut limited = LimitedGaps::default();
        let mut told = Vec::new();
        let start = 1_700_000_000 * SECOND;
        for second in 0..10_800 {
            limited.set_wall(start + second * SECOND);
            limited.add(Signal::Logs, 7);
            told.extend(gaps(&limited.take(false)));
        }
        limited.add(Signal::Metrics, 5);
        limited.set_wall(start + 20_000 * SECOND);
        told.extend(gaps(&limited.take(false)));
        limited.add(Signal::Logs, 1);
        told.extend(gaps(&limited.take(true)));
        assert!(limited.take(true).is_empty());
        let of = |lane| told.iter().filter(move |gap| gap.lane == lane);
        assert_eq!(of(Lane::Logs).map(|gap| gap.records).sum::<u64>(), 75_601);
        assert_eq!(of(Lane::Metrics).map(|gap| gap.records).sum::<u64>(), 5);
        let logs: Vec<&Gap> = of(Lane::Logs).collect();
        assert!(logs.len() < 12, "{}", logs.len());
        for pair in logs.windows(2) {
            assert!(pair[0].end_ns <= pair[1].start_ns && pair[0].first < pair[1].first, "{pair:?}");
        }
        assert!(told.iter().all(|gap| gap.last == 0 && gap.end_ns - gap.start_ns <= LONGEST_NS + SECOND));
    }
}
