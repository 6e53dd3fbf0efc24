//! Any bytes as a log record, and as the JSON text of one: nothing panics, and what is read is in its range.
#![no_main]

use libfuzzer_sys::fuzz_target;
use model::proto::{put_bytes, put_message};
use sampling::{LogRecordFacts, LogRecordRule};

fn check(record: &[u8]) {
    let rule = LogRecordRule { min_severity: Some(17), min_duration_ms: Some(200.0) };
    if let Ok(line) = LogRecordFacts::read(record, &[rule]) {
        assert!(line.severity <= 24);
        assert!(!line.has_own_trace_id || line.trace_id.is_some());
        let _kept = rule.keeps(&line);
    }
}

fuzz_target!(|input: &[u8]| {
    check(input);
    let mut record = Vec::new();
    put_message(&mut record, 5, |out| put_bytes(out, 1, input));
    check(&record);
});
