//! Any request that passed the door, as pushes to Loki: every record is in one of them, each can be read back, streams have a label, their
//! entries come oldest first, and the same request gives the same bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use loki::Pushes;
use model::Signal;
use model::otlp::{Pieces, inspect};
use model::proto::{Reader, Value};

/// The texts, messages or bytes of a field.
fn field(message: &[u8], wanted: u32) -> Vec<&[u8]> {
    let (mut reader, mut found) = (Reader::new(message), Vec::new());
    while let Some((number, value)) = reader.next_field().expect("what was written is readable") {
        if let (true, Value::Bytes(bytes)) = (number == wanted, value) {
            found.push(bytes);
        }
    }
    found
}

/// Unix nanoseconds of an entry.
fn time(entry: &[u8]) -> u128 {
    let (mut reader, mut nanoseconds) = (Reader::new(field(entry, 1)[0]), 0);
    while let Some((number, value)) = reader.next_field().expect("what was written is readable") {
        if let Value::Varint(value) = value {
            nanoseconds += u128::from(value) * if number == 1 { 1_000_000_000 } else { 1 };
        }
    }
    nanoseconds
}

fn pushes(piece: &[u8], records: u64) -> Vec<Vec<u8>> {
    let mut pushes = Pushes::read(piece, &["host.name".into()]).expect("a piece is readable");
    let (mut all, mut count) = (Vec::new(), 0);
    loop {
        let mut out = Vec::new();
        match pushes.write(&mut out).expect("a piece is readable") {
            0 => break,
            more => count += more,
        }
        all.push(out);
    }
    assert_eq!(count, records);
    all
}

fuzz_target!(|input: &[u8]| {
    let Ok(found) = inspect(Signal::Logs, input) else { return };
    if found.records == 0 {
        return;
    }
    for piece in Pieces::new(Signal::Logs, input, 1) {
        let records = inspect(Signal::Logs, &piece).expect("a piece is readable").records as u64;
        let all = pushes(&piece, records);
        let mut entries = 0;
        for stream in all.iter().flat_map(|push| field(push, 1)) {
            let labels = std::str::from_utf8(field(stream, 1)[0]).expect("labels are a text");
            assert!(labels.starts_with('{') && labels.ends_with("\"}") && labels.contains("service_name=\""));
            let times: Vec<u128> = field(stream, 2).into_iter().map(time).collect();
            assert!(!times.is_empty() && times.is_sorted());
            for pair in field(stream, 2).into_iter().flat_map(|entry| field(entry, 3)) {
                let name = field(pair, 1)[0];
                assert!(!name.is_empty() && !name[0].is_ascii_digit() && !field(pair, 2)[0].is_empty());
                assert!(name.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_'));
            }
            entries += times.len() as u64;
        }
        assert_eq!(entries, records);
        assert!(all == pushes(&piece, records), "the same request gives the same bytes");
    }
});
