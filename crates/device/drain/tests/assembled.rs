//! Pipeline, journal and drain put together without a runtime: what an application needs that carries the agent's way of a record
//! itself.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::time::Duration;

use disk::model::ModelDisk;
use drain::{Delivery, Destination, PartialSuccess, Range, SendError, Step};
use journal::{Attachment, FrameMeta, Journal, Options};
use ledger::Ledger;
use model::proto::{put_bytes, put_fixed64, put_message, put_uint};
use model::{Lane, Refusal, Request, Signal, Stamp};
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

/// The pipeline of one destination that keeps every trace.
fn pipeline() -> Pipeline {
    let options = sampling::Options { decision_wait_ns: SECOND, memory: 256 << 10, ..sampling::Options::default() };
    let mut ledger = Ledger::default();
    ledger.destination("far");
    Pipeline::new(1 << 20, Sampler::new(options), None, ledger)
}

fn journal() -> Journal<ModelDisk> {
    let options = Options {
        device: "device".into(),
        destinations: vec!["far".into()],
        total_bytes: 4 << 20,
        history_bytes: 0,
        lane_bytes: [u64::MAX; Lane::ALL.len()],
        lane_ages: [u64::MAX; Lane::ALL.len()],
        free_space_floor: 0,
        queue_limits: Vec::new(),
        cut_uncommitted: false,
    };
    Journal::open(ModelDisk::new(), options, Stamp::default()).unwrap().0
}

/// Everything that is ready goes to the journal, with the books.
fn commit(pipeline: &mut Pipeline, journal: &mut Journal<ModelDisk>, now_ns: u64) {
    let (batches, attachment) = (pipeline.take_batches(), pipeline.attachment(now_ns));
    for batch in &batches {
        let records = batch.records.total() as u32;
        let meta = FrameMeta { records, start_ns: batch.start_ns, end_ns: batch.end_ns };
        journal.append(batch.lane, &batch.body, meta, Stamp::default()).unwrap();
    }
    journal.commit(Stamp::default(), &[Attachment::ledger(&attachment.ledger)]).unwrap();
    pipeline.committed(&attachment);
}

/// Sends what is behind the cursor; `answer` is the server's to each request. Gives the signals that were sent.
fn deliver(
    journal: &mut Journal<ModelDisk>,
    pipeline: &mut Pipeline,
    (destination, delivery): (&mut Destination, &mut Delivery),
    answer: impl Fn(Signal) -> Result<PartialSuccess, SendError>,
) -> Result<Vec<Signal>, SendError> {
    let (mut blocks, mut sent) = (Vec::new(), Vec::new());
    journal.next_blocks(0, 256 << 10, &mut blocks).unwrap();
    for block in &blocks {
        delivery.begin(&block.bytes)?;
        while let Some((signal, request)) = delivery.request() {
            assert!(!request.is_empty());
            sent.push(signal);
            delivery.answered(answer(signal));
        }
        let delivered = delivery.finish()?;
        let Range { lane, first, last } = Range::of(block);
        let confirmed = journal.confirm(0, lane, first, last).unwrap();
        pipeline.books_mut().confirmed("far", confirmed.records, delivered.rejected);
        destination.delivered(block.bytes.len());
        destination.answered();
    }
    Ok(sent)
}

/// Scenario: a span and a log record come in, are committed, and go to a destination that first is busy for spans; all of it on the
/// caller's thread, with times that the caller makes up. Guarantees: their tickets are settled by the commit that has them; nothing is
/// confirmed before the destination took it, what it took is not sent again, and the books balance at every step (P1, P2, P3).
#[test]
fn pipeline_journal_and_drain_need_no_runtime() {
    let (mut pipeline, mut journal) = (pipeline(), journal());
    let mut destination = Destination::new("far", Duration::from_secs(30), None);
    let mut delivery = Delivery::default();
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
    let queued = |journal: &mut Journal<ModelDisk>| journal.depth(0).unwrap().records;
    let waiting = queued(&mut journal);
    assert_eq!((waiting, pipeline.ledger().difference(|_| waiting)), (2, 0));

    assert_eq!(destination.step(2 * SECOND), Step::Deliver);
    let busy = |signal| match signal {
        Signal::Traces => Err(SendError::retry(Refusal::Throttled, "later")),
        _ => Ok(PartialSuccess::default()),
    };
    let error = deliver(&mut journal, &mut pipeline, (&mut destination, &mut delivery), busy).unwrap_err();
    let failure = destination.failed(&error, START, u64::MAX);
    assert!(failure.is_news && failure.wait > Duration::ZERO);
    journal.rewind(0);
    let waiting = queued(&mut journal);
    assert_eq!(pipeline.ledger().difference(|_| waiting), 0);
    assert_eq!(pipeline.ledger().pending.total(), 0);

    destination.waited(false);
    let well = |_| Ok(PartialSuccess::default());
    let sent = deliver(&mut journal, &mut pipeline, (&mut destination, &mut delivery), well).unwrap();
    assert!(sent.contains(&Signal::Traces), "{sent:?}");
    assert_eq!((queued(&mut journal), pipeline.ledger().difference(|_| 0)), (0, 0));
    let far = &pipeline.ledger().destinations[0];
    assert_eq!((far.routed, far.delivered, far.rejected), (2, 2, 0));
    assert!(pipeline.is_idle() && destination.status().delivered_bytes > 0);
}
