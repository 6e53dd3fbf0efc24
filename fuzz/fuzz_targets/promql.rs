//! Query texts from outside: read, printed and read again, evaluated within small bounds.

#![no_main]

use libfuzzer_sys::fuzz_target;
use promql::{Histogram, Labels, Options, Query, STALE, Samples, Select, SeriesSource, SourceError, SourceSeries};
use std::sync::Arc;

struct Few;

impl SeriesSource for Few {
    fn select(&self, select: &Select<'_>) -> Result<Vec<SourceSeries>, SourceError> {
        let floats = vec![(0, 1.0), (15_000, 2.5), (30_000, f64::NAN), (45_000, 0.0), (60_000, f64::from_bits(STALE))];
        let histogram = |count: f64, schema: i32| {
            let positive = vec![(-3, count), (0, 1.0), (5, 2.0)];
            let bounds = if schema == promql::CUSTOM_BUCKETS { vec![1.0, 2.0] } else { Vec::new() };
            Arc::new(Histogram { schema, count, sum: count, positive, bounds: bounds.into(), ..Histogram::default() })
        };
        let histograms =
            vec![(0, histogram(3.0, 0)), (20_000, histogram(5.0, 3)), (40_000, histogram(1.0, promql::CUSTOM_BUCKETS))];
        let all = [
            ("a", "1", Samples { floats: floats.clone(), ..Samples::default() }),
            ("a", "+Inf", Samples { floats: floats.clone(), ..Samples::default() }),
            ("b", "1", Samples { histograms: histograms.clone(), ..Samples::default() }),
            ("c", "1", Samples { floats, histograms, ..Samples::default() }),
        ];
        let series = all.into_iter().map(|(name, le, samples)| SourceSeries {
            labels: Labels::new([("__name__", name), ("job", "x"), ("instance", name), ("le", le)]),
            samples,
        });
        Ok(series.filter(|own| select.matchers.iter().all(|m| m.matches_labels(&own.labels))).collect())
    }
}

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(expr) = promql::parse(text) else { return };
    let printed = expr.to_string();
    let again = promql::parse(&printed).unwrap_or_else(|error| panic!("{printed}: {error}"));
    assert_eq!(printed, again.to_string());
    for delayed_name_removal in [false, true] {
        let options = Options {
            max_cells: 20_000,
            delayed_name_removal,
            start_times: delayed_name_removal,
            ..Options::default()
        };
        for query in [Query::Instant(50_000), Query::Range { start: 0, end: 60_000, step: 7_000 }] {
            if let Ok(answer) = promql::evaluate(&Few, &expr, query, &options) {
                let told = [answer.annotations.warnings(text), answer.annotations.infos(text)];
                assert!(told.iter().flatten().all(|one| !one.is_empty()), "{text:?}");
            }
        }
    }
});
