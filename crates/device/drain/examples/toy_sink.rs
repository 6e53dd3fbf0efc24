//! A sink of one's own: appends every request to a file, and refuses none. `cargo run -p drain --example toy_sink`
#![allow(clippy::unwrap_used, reason = "an example ends with a panic when it is wrong")]

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;

use disk::RealDisk;
use drain::{Delivery, PartialSuccess, SendError};
use journal::{Consumer, FrameMeta, Journal, Options};
use model::proto::{put_bytes, put_message};
use model::{Lane, Refusal, Signal, Signals, Stamp};

/// Knows its protocol and nothing else: here, one file for each signal.
struct FileSink<'a>(&'a Path);

impl FileSink<'_> {
    fn export(&mut self, signal: Signal, request: &[u8]) -> Result<PartialSuccess, SendError> {
        let file = OpenOptions::new().create(true).append(true).open(self.0.join(signal.name()));
        // What mends itself is tried again; the block stays in the journal.
        let failed = |error: std::io::Error| SendError::retry(Refusal::DiskFull, error.to_string());
        file.and_then(|mut file| file.write_all(request)).map(|()| PartialSuccess::default()).map_err(failed)
    }
}

fn main() {
    let directory = tempfile::tempdir().unwrap();
    let logs = Consumer { signals: Some(Signals::of(Signal::Logs)), ..Consumer::new("file.logs") };
    let options = Options { consumers: vec![logs], ..Options::new("boat-1", &[], 8 << 20) };
    let disk = RealDisk::new(directory.path().join("data")).unwrap();
    let (mut journal, _) = Journal::open(disk, options, Stamp::default()).unwrap();
    // One log record, as a frame of the lane logs.
    let (mut request, mut frame) = (Vec::new(), Vec::new());
    put_message(&mut request, 1, |out| put_message(out, 2, |out| put_bytes(out, 2, &[0x62, 2, b'h', b'i'])));
    wire::encode_body(&[wire::SectionRef::Logs(&request)], &mut frame).unwrap();
    journal.append(Lane::Logs, &frame, FrameMeta { records: 1, ..FrameMeta::default() }, Stamp::default()).unwrap();
    journal.commit(Stamp::default(), &[]).unwrap();

    // The drain says what to send next, and what an answer means; the sink only sends.
    let (mut sink, mut delivery) = (FileSink(directory.path()), Delivery::new(Signal::Logs, None));
    let mut blocks = Vec::new();
    journal.next_blocks(0, 64 << 10, &mut blocks).unwrap();
    for block in &blocks {
        delivery.begin(&block.bytes).unwrap();
        while let Some(request) = delivery.request() {
            let answer = sink.export(Signal::Logs, request);
            delivery.answered(answer);
        }
        let delivered = delivery.finish().unwrap();
        journal.confirm(0, block.lane, block.first, block.last).unwrap();
        println!("{} records delivered, {} rejected", delivered.delivered, delivered.rejected);
    }
    assert_eq!(std::fs::read(directory.path().join("logs")).unwrap(), request);
    assert_eq!(journal.depth(0).unwrap().records, 0);
}
