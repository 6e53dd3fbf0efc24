//! When room runs short: the oldest metrics are thinned, a stretch with each commit, before any are evicted.

use disk::Disk;
use journal::{FrameMeta, Journal, JournalError};
use model::{Lane, Signal, Signals, Stamp};
use thin::Thinner;
use wire::{Section, SectionRef};

/// What a thinner may hold before it is emptied into a frame.
const THINNER_BYTES: usize = 96 << 10;
/// The bodies of a stretch's new frames; with more of them it is left as it is.
const BODIES_BYTES: usize = 256 << 10;

/// How far thinning is.
#[derive(Debug, Default)]
pub(crate) struct Thinning {
    /// Length of a step, nanoseconds; 0 when nothing is thinned.
    pub(crate) step_ns: u64,
    /// Points that were thinned out.
    pub(crate) points: u64,
    /// Everything up to this sequence was looked at.
    done: u64,
}

/// The frames that are to stand for a stretch.
struct Left {
    thinner: Thinner,
    frames: Vec<(Vec<u8>, FrameMeta)>,
    bytes: usize,
    records: u64,
}

impl Thinning {
    /// Thins the oldest metrics that were not looked at, when room is short. What would not become a quarter less stays.
    pub(crate) fn run<D: Disk>(&mut self, journal: &mut Journal<D>, stamp: Stamp) -> Result<(), JournalError> {
        if self.step_ns == 0 || !journal.is_short(Lane::Metrics) {
            return Ok(());
        }
        let Some(stretch) = journal.stretch(Lane::Metrics, self.done) else { return Ok(()) };
        self.done = stretch.last;
        let mut left = Left { thinner: Thinner::new(self.step_ns), frames: Vec::new(), bytes: 0, records: 0 };
        let whole = journal.each_frame(&stretch, |frame| left.take(frame)) && left.finish();
        if !whole || left.records.saturating_mul(4) > stretch.records.saturating_mul(3) {
            return Ok(());
        }
        if journal.replace(&stretch, &left.frames, stamp)? {
            self.points += stretch.records.saturating_sub(left.records);
        }
        Ok(())
    }
}

impl Left {
    /// Takes a frame in; `false` when it cannot be thinned.
    fn take(&mut self, frame: &[u8]) -> bool {
        let Ok(frame) = wire::decode_frame(frame) else { return false };
        for section in &frame.sections {
            let Section::Metrics(metrics) = section else { return false };
            if self.thinner.push(metrics).is_err() {
                return false;
            }
        }
        self.thinner.bytes() < THINNER_BYTES || self.finish()
    }

    /// Empties the thinner into a frame body; `false` when that is too much for the stretch.
    fn finish(&mut self) -> bool {
        let thinned = self.thinner.finish();
        if thinned.points == 0 {
            return true;
        }
        let mut body = Vec::new();
        let Ok(records) = u32::try_from(thinned.points) else { return false };
        if wire::encode_body(&[SectionRef::Metrics(&thinned.metrics)], &mut body).is_err() {
            return false;
        }
        self.bytes += body.len();
        self.records += thinned.points;
        self.frames.push((
            body,
            FrameMeta {
                records,
                start_ns: thinned.start_ns,
                end_ns: thinned.end_ns,
                signals: Some(Signals::of(Signal::Metrics)),
            },
        ));
        self.bytes <= BODIES_BYTES
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use disk::RealDisk;
    use journal::{Consumer, Options};
    use model::otlp::{PointView, for_each_scope, messages};
    use model::proto::{ProtoError, Reader, Value, put_bytes, put_fixed64, put_message};
    use wire::{GapReason, Inflater, RawBlock};

    use super::*;

    const SECOND: u64 = 1_000_000_000;
    const START: u64 = 1_760_000_040 * SECOND;
    const MINUTE: u64 = 60 * SECOND;
    const NAMES: [&str; 2] = ["temperature", "pressure"];

    /// A number that hardly compresses, always the same for a series and second.
    fn value(series: u64, second: u64) -> f64 {
        let mixed = (series * 1_000_003 + second).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (mixed >> 11) as f64 / (1u64 << 53) as f64
    }

    /// A minute of one point a second of each series.
    fn minute_of(minute: u64) -> Vec<u8> {
        let mut out = Vec::new();
        put_message(&mut out, 1, |group| {
            put_message(group, 2, |scope| {
                for (series, name) in (0u64..).zip(NAMES) {
                    put_message(scope, 2, |metric| {
                        put_bytes(metric, 1, name.as_bytes());
                        put_message(metric, 5, |gauge| {
                            for second in minute * 60..minute * 60 + 60 {
                                put_message(gauge, 1, |point| {
                                    put_fixed64(point, 3, START + second * SECOND);
                                    put_fixed64(point, 4, value(series, second).to_bits());
                                });
                            }
                        });
                    });
                }
            });
        });
        out
    }

    /// Every delivered sample by name and minute.
    fn drained(journal: &mut Journal<RealDisk>) -> BTreeMap<(String, u64), Vec<f64>> {
        let (mut found, mut inflater) = (BTreeMap::new(), Inflater::new());
        loop {
            let mut blocks = Vec::new();
            journal.next_blocks(0, 64 << 10, &mut blocks).unwrap();
            if blocks.is_empty() {
                return found;
            }
            for block in blocks {
                let (raw, _) = RawBlock::parse(&block.bytes).unwrap();
                for (_, frame) in raw.frames(&mut inflater).unwrap() {
                    for section in wire::decode_frame(frame).unwrap().sections {
                        if let Section::Metrics(metrics) = section {
                            collect(&metrics, &mut found);
                        }
                    }
                }
                journal.confirm(0, block.lane, block.first, block.last).unwrap();
            }
        }
    }

    fn collect(metrics: &[u8], found: &mut BTreeMap<(String, u64), Vec<f64>>) {
        for_each_scope::<ProtoError>(metrics, |scope| {
            for metric in scope.items() {
                let metric = metric?;
                let name = String::from_utf8(messages(metric, 1).next().unwrap()?.to_vec()).unwrap();
                PointView::for_each::<ProtoError>(metric, |point| {
                    let (mut time, mut number, mut reader) = (0, f64::NAN, Reader::new(point.bytes));
                    while let Some(field) = reader.next_field()? {
                        match field {
                            (3, Value::Fixed64(bits)) => time = bits,
                            (4, Value::Fixed64(bits)) => number = f64::from_bits(bits),
                            _ => {}
                        }
                    }
                    found.entry((name.clone(), (time - START) / MINUTE)).or_default().push(number);
                    Ok(())
                })?;
            }
            Ok(())
        })
        .unwrap();
    }

    /// Scenario: an outage in which a journal of 512 KiB is offered about three times what it can hold: two gauges, a point a second,
    /// for a day. Guarantees: with thinning nothing is evicted: of every minute and series the lowest and the highest sample
    /// arrive, the books balance (P1, P11); without it hours are lost.
    #[test]
    fn hours_of_metrics_fit_where_one_does() {
        const MINUTES: u64 = 24 * 60;
        let run = |step_ns: u64| {
            let directory = tempfile::tempdir().unwrap();
            let options = Options {
                device: "vessel".into(),
                consumers: Consumer::all(&["hub"]),
                total_bytes: 512 << 10,
                history_bytes: 0,
                lane_bytes: [u64::MAX; Lane::ALL.len()],
                lane_ages: [u64::MAX; Lane::ALL.len()],
                free_space_floor: 0,
                cut_uncommitted: false,
            };
            let disk = RealDisk::new(directory.path()).unwrap();
            let (mut journal, _) = Journal::open(disk, options, Stamp::default()).unwrap();
            let mut thinning = Thinning { step_ns, ..Thinning::default() };
            let mut lost = Vec::new();
            for minute in 0..MINUTES {
                let mut body = Vec::new();
                wire::encode_body(&[SectionRef::Metrics(&minute_of(minute))], &mut body).unwrap();
                let start_ns = START + minute * MINUTE;
                let meta = FrameMeta { records: 120, start_ns, end_ns: start_ns + 59 * SECOND, signals: None };
                journal.append(Lane::Metrics, &body, meta, Stamp::default()).unwrap();
                thinning.run(&mut journal, Stamp::default()).unwrap();
                journal.commit(Stamp::default(), &[]).unwrap();
                lost.extend(journal.take_lost());
            }
            let evicted: u64 =
                lost.iter().filter(|one| one.gap.reason == GapReason::Evicted).map(|one| one.records).sum();
            let thinned: u64 =
                lost.iter().filter(|one| one.gap.reason == GapReason::Thinned).map(|one| one.records).sum();
            assert_eq!(thinned, thinning.points);
            assert_eq!(journal.depth(0).unwrap().records + evicted + thinned, MINUTES * 120);
            (evicted, thinned, drained(&mut journal))
        };
        let (evicted, thinned, found) = run(MINUTE);
        assert!(evicted == 0 && thinned > MINUTES * 60, "{evicted} evicted, {thinned} thinned out");
        for (series, name) in (0u64..).zip(NAMES) {
            for minute in 0..MINUTES {
                let all = || (minute * 60..minute * 60 + 60).map(|second| value(series, second));
                let got = &found[&(name.to_owned(), minute)];
                for wanted in [all().fold(f64::MAX, f64::min), all().fold(f64::MIN, f64::max)] {
                    assert!(got.contains(&wanted), "{name} misses {wanted} of minute {minute}: {got:?}");
                }
            }
        }
        let (evicted, thinned, found) = run(0);
        assert!(evicted > MINUTES * 60 && thinned == 0, "{evicted} evicted, {thinned} thinned out");
        assert!(!found.contains_key(&("temperature".to_owned(), 0)));
    }
}
