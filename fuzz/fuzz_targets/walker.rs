//! Any bytes as an OTLP request, to the borrowed walk: nothing panics, and what it counts is what it visits. As metrics to the
//! thinner: what is left is metrics, never more points than there were, and again no more when it is thinned again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use model::Signal;
use model::otlp::{LogView, PointView, SpanView, attributes, count_records, each_exemplar, for_each_scope};
use model::proto::ProtoError;
use thin::Thinner;

fuzz_target!(|input: &[u8]| {
    for signal in Signal::ALL {
        let mut visited = 0;
        let walked = for_each_scope::<ProtoError>(input, |scope| {
            attributes(scope.resource.resource, 1).for_each(drop);
            for item in scope.items() {
                let item = item?;
                match signal {
                    Signal::Traces => {
                        visited += 1;
                        // A span that is not protobuf inside is the reader's to refuse.
                        if let Ok(span) = SpanView::read(item) {
                            assert!(span.duration_ns() <= span.end_ns);
                            span.attributes().for_each(drop);
                        }
                    }
                    Signal::Logs => {
                        visited += 1;
                        let _ = LogView::read(item);
                    }
                    Signal::Metrics => PointView::for_each::<ProtoError>(item, |point| {
                        visited += 1;
                        attributes(point.bytes, point.field_numbers().0).for_each(drop);
                        let _ = each_exemplar::<ProtoError>(point, |_, _| Ok(()));
                        Ok(())
                    })?,
                }
            }
            Ok(())
        });
        match (walked, count_records(signal, input)) {
            (Ok(()), Ok(counted)) => assert_eq!(visited, counted),
            (Err(_), Err(_)) => {}
            (walked, counted) => panic!("the walk says {walked:?}, the count {counted:?}"),
        }
    }
    let mut thinner = Thinner::new(1_000_000_000);
    if thinner.push(input).is_ok() {
        let left = thinner.finish();
        assert_eq!(count_records(Signal::Metrics, &left.metrics), Ok(left.points));
        // Of a metric with two kinds of data the thinner looks at the last only, as protobuf has it.
        if let Ok(came) = count_records(Signal::Metrics, input) {
            assert!(left.points <= came);
        }
        thinner.push(&left.metrics).expect("what is left can be read");
        assert!(thinner.finish().points <= left.points);
    }
});
