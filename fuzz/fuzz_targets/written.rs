//! Any bytes as a remote write message of both versions: no panic, what is written is a request that the door can read, and the counts are those of
//! its points.
#![no_main]

use libfuzzer_sys::fuzz_target;
use model::Signal;
use model::otlp::inspect;
use scrape::{Metadata, WrittenError, WrittenForm, read_written};

fuzz_target!(|input: &[u8]| {
    for form in [WrittenForm::V1, WrittenForm::V2] {
        let mut most = 0;
        let read = read_written(input, form, &mut Metadata::default(), |bytes| {
            most = most.max(bytes);
            bytes < 16 << 20
        });
        match read {
            Ok(written) => {
                assert!(written.request.len() <= most + 4096, "it grew beyond what was asked for");
                let found = inspect(Signal::Metrics, &written.request).expect("what is written is readable");
                assert_eq!(found.records + found.rejected.total(), written.samples + written.histograms);
            }
            Err(WrittenError::Malformed(_) | WrittenError::NoRoom) => {}
        }
    }
});
