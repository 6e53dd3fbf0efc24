//! What a query may take, and texts that are none.

#![allow(clippy::unwrap_used, clippy::panic)]

use promql::{
    Answer, Error, Labels, Options, Query, STALE, Samples, Select, SeriesSource, SourceError, SourceSeries, Value,
    evaluate, parse,
};
use std::cell::Cell;

/// Series `name{n="0"}` and so on, with a sample each 15 s that counts up.
struct Counters {
    series: usize,
}

impl SeriesSource for Counters {
    fn select(&self, select: &Select<'_>) -> Result<Vec<SourceSeries>, SourceError> {
        let all = (0..self.series).map(|n| SourceSeries {
            labels: Labels::new([("__name__".to_owned(), "up_total".to_owned()), ("n".to_owned(), n.to_string())]),
            samples: Samples {
                floats: (0..=40).map(|at| (at * 15_000, at as f64 * 15.0)).collect(),
                ..Samples::default()
            },
        });
        Ok(all.filter(|own| select.matchers.iter().all(|m| m.matches_labels(&own.labels))).collect())
    }
}

fn ask(query: &str, when: Query, options: &Options<'_>) -> Result<Answer, Error> {
    evaluate(&Counters { series: 10 }, &parse(query).unwrap(), when, options)
}

fn number(query: &str, at: i64) -> Option<f64> {
    match ask(query, Query::Instant(at), &Options::default()).unwrap().value {
        Value::Vector(all) => all.first().and_then(|(_, samples)| samples.floats.first()).map(|(_, value)| *value),
        Value::Scalar(_, value) => Some(value),
        other => panic!("{other:?}"),
    }
}

/// Scenario: a counter that grows by one a second. Promise: ranges are open on the left, the lookback is five minutes, and
/// a rate is what it is.
#[test]
fn time() {
    assert!(number(r#"rate(up_total{n="0"}[1m])"#, 120_000).is_some_and(|rate| (rate - 1.0).abs() < 1e-12));
    assert_eq!(number(r#"count_over_time(up_total{n="0"}[1m])"#, 120_000), Some(4.0));
    assert_eq!(number(r#"up_total{n="0"}"#, 600_000 + 299_999), Some(600.0));
    assert_eq!(number(r#"up_total{n="0"}"#, 600_000 + 300_000), None);
    assert_eq!(number(r#"up_total{n="0"} offset 1m"#, 120_000), Some(60.0));
    assert_eq!(number(r#"up_total{n="0"} offset -1m"#, 120_000), Some(180.0));
    assert_eq!(number(r#"up_total{n="0"} @ 30"#, 120_000), Some(30.0));
    assert_eq!(number(r#"sum_over_time(up_total{n="0"}[1m:30s])"#, 120_000), Some(210.0));
}

/// Scenario: a series that says it has ended. Promise: it is not there from then on, and ranges leave the marker out.
#[test]
fn staleness() {
    struct Ended;
    impl SeriesSource for Ended {
        fn select(&self, _: &Select<'_>) -> Result<Vec<SourceSeries>, SourceError> {
            let floats = vec![(0, 1.0), (10_000, 2.0), (20_000, f64::from_bits(STALE))];
            let samples = Samples { floats, ..Samples::default() };
            Ok(vec![SourceSeries { labels: Labels::new([("__name__", "x")]), samples }])
        }
    }
    let count = |query: &str, at: i64| {
        let answer = evaluate(&Ended, &parse(query).unwrap(), Query::Instant(at), &Options::default()).unwrap();
        match answer.value {
            Value::Vector(all) => all.iter().flat_map(|(_, samples)| samples.floats.clone()).map(|(_, v)| v).collect(),
            _ => Vec::new(),
        }
    };
    assert_eq!(count("x", 19_999), [2.0]);
    assert!(count("x", 20_000).is_empty());
    assert_eq!(count("count_over_time(x[1m])", 20_000), [2.0]);
}

/// Scenario: queries that would take more than they may. Promise: each is an error that says what to do, none is cut.
#[test]
fn limits() {
    let instant = Query::Instant(600_000);
    let range = |step| Query::Range { start: 0, end: 600_000, step };
    let too_much = |query: &str, when: Query, options: Options<'_>, word: &str| match ask(query, when, &options) {
        Err(Error::TooMuch(text)) => assert!(text.contains(word), "{text}"),
        other => panic!("{query}: {other:?}"),
    };
    let default = Options::default();
    too_much("up_total", instant, Options { max_series: 9, ..default }, "more than 9 series");
    too_much("up_total", instant, Options { max_samples: 100, ..default }, "more than 100");
    too_much("up_total", range(1_000), Options { max_cells: 1_000, ..default }, "cells");
    too_much("up_total", range(1), default, "11000 steps");
    too_much("sum_over_time(up_total[1y:1ms])", instant, default, "a longer step");
    too_much("sum_over_time(vector(1)[1y:1ms])", instant, default, "a longer step");
    assert!(ask("up_total", Query::Instant(i64::MAX), &default).is_err());
    assert!(ask("up_total", range(0), &default).is_err());
}

/// Scenario: nobody waits for an answer any more. Promise: the evaluation ends soon.
#[test]
fn stop() {
    let asked = Cell::new(0);
    let stop = || {
        asked.set(asked.get() + 1);
        (asked.get() > 5).then_some(Error::Timeout)
    };
    let options = Options { stop: &stop, ..Options::default() };
    assert_eq!(ask("sum(rate(up_total[1m]))", Query::Instant(600_000), &options).unwrap_err(), Error::Timeout);
}

/// Scenario: names that collide once they are gone. Promise: as in Prometheus without flags it is an error.
#[test]
fn collision() {
    let query = r#"label_replace(up_total{n=~"[01]"}, "n", "", "", "") + 1"#;
    let error = ask(query, Query::Instant(600_000), &Options::default()).unwrap_err();
    assert_eq!(error.to_string(), "vector cannot contain metrics with the same labelset");
}

/// Scenario: expressions as deep as they may be, on the stack of a thread. Promise: they are evaluated, deeper ones are
/// errors, none ends the program.
#[test]
fn depth() {
    let work = || {
        let nested = |n: usize| format!("{}up_total{}", "sum(".repeat(n), ")".repeat(n));
        let parens = |n: usize| format!("{}1{}", "(".repeat(n), ")".repeat(n));
        let chain = |n: usize| vec!["up_total"; n].join(" + ");
        let subqueries = |n: usize| format!("{}up_total{}", "avg_over_time(".repeat(n), "[1m:30s])".repeat(n));
        let powers = |n: usize| vec!["1"; n].join(" ^ ");
        let signs = |n: usize| format!("{}up_total", "-".repeat(n));
        let shapes: [&dyn Fn(usize) -> String; 6] = [&nested, &parens, &chain, &subqueries, &powers, &signs];
        for shape in shapes {
            let deepest = (1..200).rev().find(|n| parse(&shape(*n)).is_ok()).unwrap();
            assert!(deepest > 40, "{}", shape(1));
            let text = shape(deepest);
            assert!(ask(&text, Query::Instant(600_000), &Options::default()).is_ok(), "{text}");
            let range = Query::Range { start: 0, end: 60_000, step: 30_000 };
            assert!(ask(&text, range, &Options::default()).is_ok(), "{text}");
            for more in [1_000, 60_000] {
                assert!(parse(&shape(more)).is_err());
            }
        }
        assert!(parse(&format!("x[{}1m{}]", "(".repeat(60_000), ")".repeat(60_000))).is_err());
        assert!(parse(&format!("x[{}]", ["1m"; 60_000].join("+"))).is_err());
    };
    // What a runtime gives its blocking threads; frames of a debug build are larger.
    let stack = if cfg!(debug_assertions) { 8 << 20 } else { 2 << 20 };
    std::thread::Builder::new().stack_size(stack).spawn(work).unwrap().join().unwrap();
}

/// Scenario: good queries with tokens taken out, doubled and swapped. Promise: each is read or is an error with a place; what
/// is read is evaluated or is an error, and is printed as a query that means the same.
#[test]
fn bad_texts() {
    const GOOD: &[&str] = &[
        r#"sum by (job) (rate(up_total{n!="1"}[1m])) / on (job) group_left (le) count(up_total) > bool 0.5"#,
        r#"histogram_quantile(0.9, up_total) or quantile_over_time(0.5, up_total[1m:10s] @ end() offset -5s)"#,
        r#"topk(2, up_total) unless ignoring (n) label_replace(up_total, "x", "$1", "n", "(.*)")"#,
        r#"increase(up_total[max_of(step(), 30s) + 1m] smoothed) fill_left (1) + 0x1F"#,
        r#"info(up_total, {version=~".+"}) </ 3 >/ 1 and {"a", job!~"y{2}"} # comment"#,
        r#"avg_over_time(up_total[1e400]) offset 1e30 ^ -2 ^ 3 atan2 count_values without (n) ("v", up_total) @ 1e300"#,
    ];
    let mut seed = 7_u64;
    let mut random = |below: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize % below
    };
    let mut read = 0;
    for _ in 0..20_000 {
        let mut text: Vec<char> = GOOD[random(GOOD.len())].chars().collect();
        for _ in 0..=random(3) {
            let (at, length) = (random(text.len()), 1 + random(8));
            let part: Vec<char> = text[at..(at + length).min(text.len())].to_vec();
            match random(3) {
                0 => drop(text.splice(at..(at + length).min(text.len()), [])),
                1 => drop(text.splice(at..at, part)),
                _ => {
                    let to = random(text.len());
                    drop(text.splice(to..to, part));
                }
            }
            if text.is_empty() {
                text.push('1');
            }
        }
        let text: String = text.into_iter().collect();
        let Ok(expr) = parse(&text).inspect_err(|error| assert!(!error.message.is_empty())) else { continue };
        read += 1;
        let printed = expr.to_string();
        assert_eq!(parse(&printed).unwrap_or_else(|e| panic!("{text} as {printed}: {e}")).to_string(), printed);
        let options = Options { max_cells: 10_000, ..Options::default() };
        let _ = evaluate(&Counters { series: 3 }, &expr, Query::Instant(120_000), &options);
        let range = Query::Range { start: 0, end: 60_000, step: 30_000 };
        let _ = evaluate(&Counters { series: 3 }, &expr, range, &options);
    }
    assert!(read > 1_000, "{read}");
    assert_eq!(parse("x +Inf ^ 2").unwrap().to_string(), "x + Inf ^ 2");
}
