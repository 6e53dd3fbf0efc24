//! Any bytes as requests to the limits, to the series of metrics, and to the look for drifting fields: nothing panics, what is taken out and what
//! is left are all that came, and it can be read; what overflows is a request of its own.
#![no_main]

use drift::Drift;
use filter::Field;
use libfuzzer_sys::fuzz_target;
use limit::{Most, Overflow, RecordLimits, Rule, SeriesLimit};
use model::Signal;
use model::otlp::{count_records, inspect};

const SECOND: u64 = 1_000_000_000;

fuzz_target!(|input: &[u8]| {
    let rule = |signal| Rule {
        name: "one".into(),
        signal,
        filter: filter::parse("-level>=error -name=kept", 0).expect("a filter").filter,
        by: vec![Field::Service, Field::Name],
        most: Most::Rate { per_second: 1.0, burst: 2.0 },
    };
    let mut limits = RecordLimits::new("d".into(), &[rule(Signal::Logs), rule(Signal::Metrics)]);
    let (mut series, mut overflow, mut drift) = (SeriesLimit::new(1), Overflow::default(), Drift::on());
    for signal in Signal::ALL {
        // What does not walk ends at the door.
        let Ok(found) = inspect(signal, input) else { continue };
        if !found.is_clean() {
            continue;
        }
        let came = count_records(signal, input).expect("the door read it");
        for second in 0..3 {
            drift.look(signal, input, second * SECOND);
        }
        if let Some(limited) = limits.admit(signal, input, SECOND, |_, _| Ok(false)).expect("it walks") {
            let left = count_records(signal, &limited.request).expect("what is left can be read");
            assert_eq!(left + limited.records(), came);
        }
        if signal != Signal::Metrics {
            continue;
        }
        for second in 0..2 {
            let Some(overflowed) = series.admit(input, second * SECOND, |_, _| Ok(false)).expect("it walks") else {
                continue;
            };
            let left = count_records(signal, &overflowed.request).expect("what is left can be read");
            assert_eq!(left + overflowed.overflow.added() + overflowed.overflow.left_out(), came);
            overflow.merge(overflowed.overflow);
        }
        if let Some(written) = overflow.write(SECOND) {
            assert!(inspect(signal, &written).expect("it is a request").is_clean());
        }
    }
});
