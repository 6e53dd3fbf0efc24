//! Any bytes as an OTLP request, to the borrowed walk: nothing panics, and what it counts is what it visits.
#![no_main]

use libfuzzer_sys::fuzz_target;
use model::Signal;
use model::otlp::{LogView, PointView, SpanView, attributes, count_records, each_exemplar, for_each_scope};
use model::proto::ProtoError;

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
});
