//! Reading by time and token.

use std::ops::ControlFlow;

use disk::model::{ModelDisk, Rng};
use model::{Lane, TraceId};
use wire::{Inflater, RawBlock, SectionRef};

use super::{STAMP, meta, noise, open, options};
use crate::reader::{Filter, Reader, Walked};
use crate::{Consumer, FrameMeta, Options};

const SECOND: u64 = 1_000_000_000;

fn one() -> Options {
    Options { consumers: Consumer::all(&["hub"]), ..options() }
}

/// A frame body of lines, each with a trace id and a word of its own.
fn lines(traces: &[TraceId], word: &str) -> Vec<u8> {
    fn field(number: u8, content: &[u8]) -> Vec<u8> {
        let mut out = vec![number << 3 | 2];
        let mut len = content.len();
        while len >= 0x80 {
            out.push((len as u8 & 0x7f) | 0x80);
            len >>= 7;
        }
        out.push(len as u8);
        out.extend_from_slice(content);
        out
    }
    let mut records = Vec::new();
    for trace in traces {
        // severity_text, trace_id
        let record = [field(3, word.as_bytes()), field(9, &trace.0)].concat();
        records.extend(field(2, &record));
    }
    let data = field(1, &field(2, &records));
    let mut out = Vec::new();
    wire::encode_body(&[SectionRef::Logs(&data)], &mut out).unwrap();
    out
}

fn trace(number: u64) -> TraceId {
    let mut rng = Rng::new(number + 1);
    let mut id = [0; 16];
    id[..8].copy_from_slice(&rng.bits().to_be_bytes());
    id[8..].copy_from_slice(&rng.bits().to_be_bytes());
    TraceId(id)
}

/// A data directory of several MiB: four traces a second over two hours, with filler that hardly compresses; metrics besides.
fn full() -> (ModelDisk, u64) {
    let disk = ModelDisk::new();
    let options = Options { total_bytes: 16 << 20, ..one() };
    let (mut journal, _) = open(&disk, &options);
    let mut number = 0;
    for second in 0..7200 {
        let traces: Vec<TraceId> = (0..4).map(|n| trace(number + n)).collect();
        number += 4;
        let times = FrameMeta {
            records: 4,
            start_ns: (1000 + second) * SECOND,
            end_ns: (1001 + second) * SECOND,
            signals: None,
        };
        let word = format!("{}{second}", noise(second, 1200));
        journal.append(Lane::Traces, &lines(&traces, &word), times, STAMP).unwrap();
        journal.append(Lane::Metrics, &lines(&[trace(1 << 40)], &noise(second + 9999, 900)), times, STAMP).unwrap();
        if second % 5 == 0 {
            journal.commit(STAMP, &[]).unwrap();
        }
    }
    journal.commit(STAMP, &[]).unwrap();
    drop(journal);
    (disk, number)
}

fn frames_with(disk: &ModelDisk, filter: &Filter, trace: Option<TraceId>) -> (usize, Walked, u64) {
    let reader = Reader::open(disk.fork()).unwrap();
    let (mut inflater, mut hits) = (Inflater::new(), 0);
    let before = reader.disk().bytes_read();
    let walked = reader
        .blocks(filter, |block| {
            let (raw, _) = RawBlock::parse(block.bytes).unwrap();
            for (_, frame) in raw.frames(&mut inflater).unwrap() {
                let mut hit = trace.is_none();
                wire::each_token(frame, |token| hit |= trace.is_some_and(|id| token == wire::Token::Trace(&id.0)))
                    .unwrap();
                hits += usize::from(hit);
            }
            ControlFlow::Continue(())
        })
        .unwrap();
    let read = reader.disk().bytes_read() - before;
    (hits, walked, read)
}

/// Scenario: a directory of 14 MB with 28,800 traces is asked for single traces and for one that is not there; for five of
/// its sixty minutes; for a string. Guarantees: everything is found; a trace takes at most 2 % of the bytes, five minutes
/// at most their share and two blocks.
#[test]
fn a_query_reads_little() {
    let (disk, traces) = full();
    let total: u64 = disk.used();
    assert!(total > 14_000_000, "{total}");
    let lanes = vec![Lane::Traces, Lane::Metrics];
    let mut most = 0;
    for number in (0..traces).step_by(419) {
        let filter = Filter { lanes: lanes.clone(), trace: Some(trace(number)), ..Filter::default() };
        let (hits, walked, read) = frames_with(&disk, &filter, Some(trace(number)));
        assert_eq!(hits, 1, "trace {number}: {walked:?}");
        most = most.max(read);
    }
    let filter = Filter { lanes: lanes.clone(), trace: Some(trace(1 << 50)), ..Filter::default() };
    most = most.max(frames_with(&disk, &filter, Some(trace(1 << 50))).2);
    assert!(most * 50 <= total, "a trace-id query read {most} of {total} bytes");

    let lane_bytes: u64 =
        disk.paths().iter().filter(|path| path.starts_with("lanes/traces")).filter_map(|path| disk.len_of(path)).sum();
    let block = 20 << 10;
    for minute in (0..115).step_by(5) {
        let from_ns = (1000 + minute * 60) * SECOND;
        let filter =
            Filter { lanes: vec![Lane::Traces], from_ns, to_ns: from_ns + 300 * SECOND - 1, ..Filter::default() };
        let (hits, walked, read) = frames_with(&disk, &filter, None);
        assert!(hits >= 300, "minute {minute}: {hits} {walked:?}");
        assert!(read <= lane_bytes / 24 + 2 * block, "minute {minute}: {read} of {lane_bytes} bytes");
    }
    println!("trace-id query: at most {most} of {total} bytes ({:.2} %)", most as f64 * 100.0 / total as f64);
}

/// Scenario: names and attribute values are looked for. Guarantees: blocks without them are passed over, none that holds
/// them is; a string too long for the index is not used to rule anything out.
#[test]
fn strings_are_found() {
    let disk = ModelDisk::new();
    let (mut journal, _) = open(&disk, &one());
    for number in 0..400u64 {
        let word = format!("word-{}", number / 100);
        let long = format!("{}{}", noise(number, 700), "x");
        journal.append(Lane::Logs, &lines(&[trace(number)], &word), meta(1), STAMP).unwrap();
        journal.append(Lane::Logs, &lines(&[trace(number)], &long), meta(1), STAMP).unwrap();
        journal.commit(STAMP, &[]).unwrap();
    }
    drop(journal);
    let find = |text: &str| {
        let filter = Filter { texts: vec![text.into()], ..Filter::default() };
        let reader = Reader::open(disk.fork()).unwrap();
        let mut found = 0;
        let mut inflater = Inflater::new();
        let walked = reader
            .blocks(&filter, |block| {
                let (raw, _) = RawBlock::parse(block.bytes).unwrap();
                for (_, frame) in raw.frames(&mut inflater).unwrap() {
                    wire::each_token(frame, |token| found += u64::from(token == wire::Token::Text(text.as_bytes())))
                        .unwrap();
                }
                ControlFlow::Continue(())
            })
            .unwrap();
        (found, walked.blocks)
    };
    for number in 0..4 {
        let (found, blocks) = find(&format!("word-{number}"));
        assert_eq!(found, 100);
        assert!(blocks < 400, "{blocks} of 800 blocks read");
    }
    assert_eq!(find("word-9").0, 0);
    assert!(find(&noise(1, 100)).1 >= 400, "too long for an index: everything is looked at");
}
