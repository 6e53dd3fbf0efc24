//! Any bytes as syslog of a connection, as a record of the kernel, as the journal's export: nothing panics, what is written is a request that the
//! door can read with a record for each message, and portions of a stream change nothing.
#![no_main]

use libfuzzer_sys::fuzz_target;
use model::Signal;
use model::otlp::inspect;
use tail::{Batch, Exported, Framing, KernelRecord, Message, kernel_resource, read_exported, write_sent};

fn messages(bytes: &[u8], portion: usize) -> Vec<Message> {
    let mut framing = Framing::new(64);
    let mut found = Vec::new();
    for portion in bytes.chunks(portion) {
        framing.push(portion);
        while let Some(message) = framing.next() {
            assert!(message.bytes.len() <= 64);
            found.push(message);
        }
    }
    found.extend(framing.finish());
    found
}

fn is_read(batch: &mut Batch, expected: u64) {
    let (body, records) = batch.take();
    assert_eq!(records, expected);
    let found = inspect(Signal::Logs, &body).expect("what is written is protobuf");
    assert_eq!(found.records + found.rejected.total(), expected);
}

fuzz_target!(|input: &[u8]| {
    let whole = messages(input, input.len().max(1));
    assert_eq!(whole, messages(input, 3), "portions change nothing");
    let mut batch = Batch::default();
    for message in &whole {
        write_sent(&message.bytes, "::1", &[], 1, &mut batch);
    }
    is_read(&mut batch, whole.len() as u64);

    let (mut rest, mut records) = (input, 0);
    while let Some((record, more)) = KernelRecord::read(rest) {
        assert!(more.len() < rest.len());
        record.write(&kernel_resource(&[]), 1, 2, &mut batch);
        (rest, records) = (more, records + 1);
    }
    is_read(&mut batch, records);

    let (mut at, mut entries) = (0, 0);
    loop {
        match read_exported(&input[at..]) {
            Exported::More => break,
            Exported::Nothing(used) => at += used,
            Exported::Entry(entry, used) => {
                entry.write(&[], 1, &mut batch);
                (at, entries) = (at + used, entries + 1);
            }
        }
    }
    is_read(&mut batch, entries);
});
