//! Points in, fewer out; what is read back is compared with what there was.

use std::collections::BTreeMap;

use model::otlp::{PointView, for_each_scope, messages};
use model::proto::{ProtoError, Reader, Value, put_bytes, put_fixed64, put_message, put_uint};

use super::{SUMMARY_SUFFIX, Thinned, Thinner};

const MINUTE: u64 = 60_000_000_000;
const SECOND: u64 = 1_000_000_000;
/// The model's time begins here: at the start of a minute.
const START: u64 = 1_760_000_040 * SECOND;

/// (name, fields of a metric's data but its points, number of the data's field)
type Head = (&'static str, u32, Option<(u64, bool)>);

const GAUGE: Head = ("temperature", 5, None);
const COUNTER: Head = ("requests", 7, Some((2, true)));
const LEVEL: Head = ("queue", 7, Some((2, false)));
const DELTA: Head = ("sent", 7, Some((1, true)));

/// One point: (attribute, start, time, value)
type Given = (&'static str, u64, u64, f64);

fn metrics(head: Head, points: &[Given]) -> Vec<u8> {
    let mut metric = Vec::new();
    put_bytes(&mut metric, 1, head.0.as_bytes());
    put_message(&mut metric, head.1, |data| {
        for (attribute, start, time, value) in points {
            put_message(data, 1, |point| {
                put_message(point, 7, |pair| {
                    put_bytes(pair, 1, b"room");
                    put_message(pair, 2, |any| put_bytes(any, 1, attribute.as_bytes()));
                });
                put_fixed64(point, 2, *start);
                put_fixed64(point, 3, *time);
                put_fixed64(point, 4, value.to_bits());
            });
        }
        if let Some((temporality, monotonic)) = head.2 {
            put_uint(data, 2, temporality);
            put_uint(data, 3, u64::from(monotonic));
        }
    });
    let mut out = Vec::new();
    put_message(&mut out, 1, |group| {
        put_message(group, 1, |resource| put_bytes(resource, 1, &[]));
        put_message(group, 2, |scope| put_bytes(scope, 2, &metric));
    });
    out
}

fn thin(given: &[Vec<u8>]) -> Thinned {
    let mut thinner = Thinner::new(MINUTE);
    given.iter().for_each(|metrics| thinner.push(metrics).unwrap());
    thinner.finish()
}

/// (first, last, count, sum, min, max)
type Told = (u64, u64, u64, f64, f64, f64);

/// (time, value) of every number point by name; of histograms what they tell.
#[derive(Debug, Default, PartialEq)]
struct Read {
    numbers: BTreeMap<String, Vec<(u64, f64)>>,
    summaries: BTreeMap<String, Vec<Told>>,
}

fn read(metrics: &[u8]) -> Read {
    let mut found = Read::default();
    for_each_scope::<ProtoError>(metrics, |scope| {
        for metric in scope.items() {
            let metric = metric?;
            let name = messages(metric, 1).next().unwrap()?;
            let name = String::from_utf8(name.to_vec()).unwrap();
            PointView::for_each::<ProtoError>(metric, |point| {
                let mut fields = [0; 16];
                let mut reader = Reader::new(point.bytes);
                while let Some((number, value)) = reader.next_field()? {
                    if let Value::Fixed64(bits) = value {
                        fields[number as usize] = bits;
                    }
                }
                if point.kind == 9 {
                    let of = |number: usize| f64::from_bits(fields[number]);
                    let summary = (fields[2], fields[3], fields[4], of(5), of(11), of(12));
                    assert_eq!(messages(point.bytes, 9).count(), 1, "a histogram has its attributes in field 9");
                    found.summaries.entry(name.clone()).or_default().push(summary);
                } else {
                    found.numbers.entry(name.clone()).or_default().push((fields[3], f64::from_bits(fields[4])));
                }
                Ok(())
            })?;
        }
        Ok(())
    })
    .unwrap();
    found
}

/// Scenario: a gauge each second for three minutes, in requests of one point. Guarantees: of each minute the lowest and the
/// highest point stay, as they came and in order of time, and count, sum, minimum and maximum of all sixty.
#[test]
fn a_gauge_keeps_its_extremes() {
    let value = |second: u64| ((second * 37) % 101) as f64;
    let given: Vec<_> =
        (0..180).map(|second| metrics(GAUGE, &[("bridge", 0, START + second * SECOND, value(second))])).collect();
    let thinned = thin(&given);
    let found = read(&thinned.metrics);
    let (kept, told) = (&found.numbers["temperature"], &found.summaries[&format!("temperature{SUMMARY_SUFFIX}")]);
    assert_eq!((kept.len(), told.len(), thinned.points), (6, 3, 9));
    for minute in 0..3u64 {
        let points: Vec<_> = (minute * 60..minute * 60 + 60).map(|s| (START + s * SECOND, value(s))).collect();
        let low = points.iter().copied().min_by(|a, b| a.1.total_cmp(&b.1)).unwrap();
        let high = points.iter().copied().max_by(|a, b| a.1.total_cmp(&b.1)).unwrap();
        let both = &kept[minute as usize * 2..][..2];
        assert!(both.contains(&low) && both.contains(&high) && both[0].0 < both[1].0);
        let sum = points.iter().map(|point| point.1).sum();
        assert_eq!(told[minute as usize], (points[0].0, points[59].0, 60, sum, low.1, high.1));
    }
    assert_eq!((thinned.start_ns, thinned.end_ns), (kept[0].0.min(told[0].1), told[2].1));
}

/// Scenario: a counter that starts anew within a minute, and a sum that may fall. Guarantees: the last point of each start
/// and minute stays, so that every increase can be told; what may fall keeps its extremes.
#[test]
fn a_counter_keeps_its_last_point_for_each_start() {
    let at = |second: u64| START + second * SECOND;
    let counter = metrics(
        COUNTER,
        &[
            ("a", 1, at(1), 10.0),
            ("a", 1, at(9), 30.0),
            ("a", 7, at(20), 1.0),
            ("a", 7, at(50), 4.0),
            ("b", 1, at(3), 2.0),
        ],
    );
    let level =
        metrics(LEVEL, &[("a", 1, at(1), 10.0), ("a", 1, at(2), 70.0), ("a", 1, at(3), 5.0), ("a", 1, at(4), 9.0)]);
    let found = read(&thin(&[counter, level]).metrics);
    assert_eq!(found.numbers["requests"], [(at(9), 30.0), (at(50), 4.0), (at(3), 2.0)]);
    assert_eq!(found.numbers["queue"], [(at(2), 70.0), (at(3), 5.0)]);
    assert_eq!(found.summaries["queue.thinned"], [(at(1), at(4), 4, 94.0, 5.0, 70.0)]);
}

/// Scenario: deltas, a point that is not a number, one without a time, and one that says that there is no value. Guarantees:
/// all of them stay.
#[test]
fn what_cannot_be_left_out_stays() {
    let at = |second: u64| START + second * SECOND;
    let delta: Vec<_> = (0..10).map(|second| ("a", at(second), at(second + 1), 1.0)).collect();
    let mut gone = Vec::new();
    put_fixed64(&mut gone, 3, at(4));
    put_uint(&mut gone, 8, 1);
    let mut metric = Vec::new();
    put_bytes(&mut metric, 1, b"temperature");
    put_message(&mut metric, 5, |data| put_bytes(data, 1, &gone));
    let mut no_value = Vec::new();
    put_message(&mut no_value, 1, |group| put_message(group, 2, |scope| put_bytes(scope, 2, &metric)));
    let odd = metrics(GAUGE, &[("a", 0, at(1), f64::NAN), ("a", 0, 0, 3.0)]);
    let thinned = thin(&[metrics(DELTA, &delta), odd, no_value]);
    let found = read(&thinned.metrics);
    assert_eq!(found.numbers["sent"].len(), 10);
    assert_eq!(found.numbers["temperature"].len(), 3);
    assert_eq!((thinned.points, found.summaries.len()), (13, 0));
}

/// Scenario: what was thinned is thinned again, and what comes in any order. Guarantees: the same points, and nothing that
/// was not there before but what tells of them.
#[test]
fn thinning_again_changes_nothing() {
    let mut given = Vec::new();
    for second in 0..240u64 {
        let second = second * 7 % 240;
        given.push(metrics(GAUGE, &[("a", 0, START + second * SECOND, (second % 13) as f64)]));
        given.push(metrics(COUNTER, &[("a", 1, START + second * SECOND, second as f64)]));
    }
    let once = thin(&given);
    let twice = thin(std::slice::from_ref(&once.metrics));
    let (once, twice) = (read(&once.metrics), read(&twice.metrics));
    for name in ["temperature", "requests"] {
        assert!(once.numbers[name].len() < 240);
        let came = |point: &(u64, f64)| once.numbers[name].contains(point);
        assert!(twice.numbers[name].iter().all(came), "{name}: only points that were there");
    }
    let count = |read: &Read| read.summaries["temperature.thinned"].iter().map(|told| told.2).sum::<u64>();
    assert!(count(&twice) >= count(&once), "what was told stays");
    let sorted: Vec<_> = (0..240u64)
        .flat_map(|second| [metrics(GAUGE, &[("a", 0, START + second * SECOND, (second % 13) as f64)])])
        .collect();
    let once = thin(&sorted);
    assert_eq!(read(&thin(std::slice::from_ref(&once.metrics)).metrics), read(&once.metrics));
}

/// Scenario: bytes that end in the middle of a point. Guarantees: an error and no panic; what came before is there.
#[test]
fn cut_bytes_are_an_error() {
    let whole = metrics(GAUGE, &[("a", 0, START, 1.0), ("a", 0, START + SECOND, 2.0)]);
    for cut in 1..whole.len() {
        let mut thinner = Thinner::new(MINUTE);
        let _bad_or_shorter = thinner.push(&whole[..cut]);
        assert!(thinner.finish().points <= 2);
    }
    assert_eq!(Thinner::new(MINUTE).finish(), Thinned::default());
}
