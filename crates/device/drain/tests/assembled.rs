//! Pipeline, journal and drain put together without a runtime: what an application needs that carries the agent's way of a record
//! itself.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::time::Duration;

use disk::model::ModelDisk;
use drain::{Delivery, Destination, PartialSuccess, Range, SendError, Step, consumer_name};
use journal::{Attachment, Consumer, FrameMeta, Journal, Options};
use ledger::Ledger;
use model::proto::{put_bytes, put_fixed64, put_message, put_uint};
use model::{Refusal, Request, Signal, Signals, Stamp};
use pipeline::{Pipeline, Ticket};
use sampling::Sampler;

const SECOND: u64 = 1_000_000_000;
const START: u64 = 1_760_000_000 * SECOND;

/// A request of one failed span.
fn failed_span() -> Vec<u8> {
    let mut request = Vec::new();
    put_message(&mut request, 1, |out| {
        put_message(out, 2, |out| {
            put_message(out, 2, |out| {
                put_bytes(out, 1, &[7; 16]);
                put_bytes(out, 2, &[7; 8]);
                put_bytes(out, 5, b"GET /x");
                put_fixed64(out, 7, START);
                put_fixed64(out, 8, START + SECOND);
                put_message(out, 15, |out| put_uint(out, 3, 2));
            });
        });
    });
    request
}

/// A request of one log record without a trace.
fn log_record() -> Vec<u8> {
    let mut request = Vec::new();
    put_message(&mut request, 1, |out| {
        put_message(out, 2, |out| put_message(out, 2, |out| put_fixed64(out, 1, START)));
    });
    request
}

/// The signals that the destination takes, each with a cursor and a row of the books.
const SIGNALS: [Signal; 2] = [Signal::Traces, Signal::Logs];

fn names() -> [String; 2] {
    SIGNALS.map(|signal| consumer_name("far", Some(signal)))
}

/// The pipeline of one destination that keeps every trace.
fn pipeline() -> Pipeline {
    let options = sampling::Options { decision_wait_ns: SECOND, memory: 256 << 10, ..sampling::Options::default() };
    let mut ledger = Ledger::default();
    ledger.keep_destinations(&names());
    Pipeline::new(1 << 20, Sampler::new(options), None, ledger)
}

fn journal() -> Journal<ModelDisk> {
    let consumer =
        |(name, signal): (&String, &Signal)| Consumer { signals: Some(Signals::of(*signal)), ..Consumer::new(name) };
    let consumers = names().iter().zip(&SIGNALS).map(consumer).collect();
    let options = Options { consumers, ..Options::new("device", &[], 4 << 20) };
    Journal::open(ModelDisk::new(), options, Stamp::default()).unwrap().0
}

/// Books what each consumer was passed by, and tells by how much the books miss.
fn difference(pipeline: &mut Pipeline, journal: &mut Journal<ModelDisk>) -> u64 {
    let depths = [0, 1].map(|consumer| journal.depth(consumer).unwrap().records);
    for (consumer, records) in journal.take_passed() {
        pipeline.books_mut().skipped(&names()[consumer], records);
    }
    pipeline.ledger().difference(|name| names().iter().position(|one| one == name).map_or(0, |one| depths[one]))
}

/// Everything that is ready goes to the journal, with the books.
fn commit(pipeline: &mut Pipeline, journal: &mut Journal<ModelDisk>, now_ns: u64) {
    let (batches, attachment) = (pipeline.take_batches(), pipeline.attachment(now_ns));
    for batch in &batches {
        let records = batch.records.total() as u32;
        let meta = FrameMeta { records, start_ns: batch.start_ns, end_ns: batch.end_ns, signals: Some(batch.signals) };
        journal.append(batch.lane, &batch.body, meta, Stamp::default()).unwrap();
    }
    journal.commit(Stamp::default(), &[Attachment::ledger(&attachment.ledger)]).unwrap();
    pipeline.committed(&attachment);
}

/// Sends what is behind a consumer's cursor; `answer` is the server's.
fn deliver(
    journal: &mut Journal<ModelDisk>,
    pipeline: &mut Pipeline,
    (consumer, destination, delivery): (usize, &mut Destination, &mut Delivery),
    answer: impl Fn() -> Result<PartialSuccess, SendError>,
) -> Result<u64, SendError> {
    let (mut blocks, mut sent) = (Vec::new(), 0);
    journal.next_blocks(consumer, 256 << 10, &mut blocks).unwrap();
    for block in &blocks {
        delivery.begin(&block.bytes)?;
        while let Some(request) = delivery.request() {
            assert!(!request.is_empty());
            delivery.answered(answer());
        }
        let delivered = delivery.finish()?;
        sent += delivered.delivered;
        let Range { lane, first, last } = Range::of(block);
        let confirmed = journal.confirm(consumer, lane, first, last).unwrap();
        let skipped = confirmed.records - delivered.delivered - delivered.rejected;
        pipeline.books_mut().confirmed(destination.name(), confirmed.records, delivered.rejected, skipped);
        destination.delivered(block.bytes.len());
        destination.answered();
    }
    Ok(sent)
}

/// Scenario: a span and a log record come in, are committed, and go to a destination that is busy for spans; all of it on the caller's
/// thread, with times that the caller makes up. Guarantees: their tickets are settled by the commit that has them; nothing is confirmed
/// before the destination took it, log records do not wait for spans, each signal gets its own records and no other, and the books balance
/// at every step (P1, P2, P3).
#[test]
fn pipeline_journal_and_drain_need_no_runtime() {
    let (mut pipeline, mut journal) = (pipeline(), journal());
    let [mut traces, mut logs] =
        SIGNALS.map(|signal| Destination::new("far", Some(signal), Duration::from_secs(30), None));
    let [mut spans, mut log_records] = SIGNALS.map(|signal| Delivery::new(signal, None));
    let mut tickets = Vec::new();
    for (signal, body) in [(Signal::Traces, failed_span()), (Signal::Logs, log_record())] {
        let admitted = pipeline.admit(Request { signal, body, key: None }, 0).unwrap();
        let receipt = pipeline.take(admitted, None, 0);
        assert!(receipt.answer.is_taken());
        tickets.push(receipt.ticket);
    }
    assert_eq!(tickets, [Ticket::Commit(1), Ticket::Commit(1)], "no commit allows an answer yet");
    assert!(!pipeline.is_settled(tickets[0]));
    pipeline.tick(2 * SECOND);
    commit(&mut pipeline, &mut journal, 2 * SECOND);
    assert!(tickets.iter().all(|ticket| pipeline.is_settled(*ticket)));
    assert_eq!(difference(&mut pipeline, &mut journal), 0);
    assert_eq!([0, 1].map(|one| journal.depth(one).unwrap().records), [1, 1], "each has its own");

    assert_eq!(traces.step(2 * SECOND), Step::Deliver);
    let busy = || Err(SendError::retry(Refusal::Throttled, "later"));
    let well = || Ok(PartialSuccess::default());
    let error = deliver(&mut journal, &mut pipeline, (0, &mut traces, &mut spans), busy).unwrap_err();
    let failure = traces.failed(&error, START, u64::MAX);
    assert!(failure.is_news && failure.wait > Duration::ZERO);
    journal.rewind(0);
    assert_eq!(deliver(&mut journal, &mut pipeline, (1, &mut logs, &mut log_records), well).unwrap(), 1);
    assert_eq!(difference(&mut pipeline, &mut journal), 0);
    assert_eq!([0, 1].map(|one| journal.depth(one).unwrap().records), [1, 0]);
    assert_eq!(pipeline.ledger().pending.total(), 0);

    traces.waited(false);
    assert_eq!(deliver(&mut journal, &mut pipeline, (0, &mut traces, &mut spans), well).unwrap(), 1);
    assert_eq!(difference(&mut pipeline, &mut journal), 0);
    for (one, name) in pipeline.ledger().destinations.iter().zip(names()) {
        assert_eq!((&one.name, one.routed, one.delivered, one.skipped, one.rejected), (&name, 2, 1, 1, 0));
    }
    assert!(pipeline.is_idle() && traces.status().delivered_bytes > 0);
}
