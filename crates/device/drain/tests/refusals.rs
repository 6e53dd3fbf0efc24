//! Blocks on their way to servers that refuse a part of them, without a server.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use drain::{Delivered, Delivery, PartialSuccess, SendError};
use model::proto::{put_bytes, put_fixed64, put_message};
use model::{Epoch, Lane, Refusal, Signal, Stamp};
use wire::{BlockEncoder, FrameHeader, SectionRef};

/// A request of one record with this text; its form is the same for spans and log records.
fn record(text: &str) -> Vec<u8> {
    let mut request = Vec::new();
    put_message(&mut request, 1, |out| {
        put_message(out, 2, |out| put_message(out, 2, |out| put_bytes(out, 3, text.as_bytes())));
    });
    request
}

/// A block of one frame for each text, each with a span and a log record.
fn block(texts: &[&str]) -> Vec<u8> {
    let records: Vec<Vec<u8>> = texts.iter().map(|text| record(text)).collect();
    let sections: Vec<_> = records.iter().map(|one| vec![SectionRef::Traces(one), SectionRef::Logs(one)]).collect();
    block_of(&sections)
}

/// A block of one frame for each of these.
fn block_of(frames: &[Vec<SectionRef<'_>>]) -> Vec<u8> {
    let frame = |(sections, seq): (&Vec<SectionRef<'_>>, u64)| {
        let (mut body, mut frame) = (Vec::new(), Vec::new());
        wire::encode_body(sections, &mut body).unwrap();
        let header = FrameHeader { device: "d", epoch: Epoch(1), lane: Lane::Traces, seq, stamp: Stamp::default() };
        wire::seal_frame(&header, &body, &mut frame);
        frame
    };
    let frames: Vec<Vec<u8>> = frames.iter().zip(1..).map(frame).collect();
    let frames: Vec<&[u8]> = frames.iter().map(Vec::as_slice).collect();
    let mut block = Vec::new();
    BlockEncoder::new().unwrap().encode(Epoch(1), Lane::Traces, 1, &frames, &mut block).unwrap();
    block
}

type Answer = Result<PartialSuccess, SendError>;

fn doubtful() -> Answer {
    Err(SendError::Retry { reason: Refusal::FailedStatus, why: "500".into(), after: None, doubtful: true })
}

fn holds(request: &[u8], text: &str) -> bool {
    request.windows(text.len()).any(|window| window == text.as_bytes())
}

/// Gives a signal of a block until it is decided, at most so often; gives what became of it, and how many requests that took.
fn give(
    signal: Signal,
    block: &[u8],
    most: usize,
    mut answer: impl FnMut(&[u8]) -> Answer,
) -> (Result<Delivered, SendError>, usize) {
    let (mut delivery, mut requests) = (Delivery::new(signal, None), 0);
    for turn in 1..=most {
        delivery.begin(block).unwrap();
        while let Some(request) = delivery.request() {
            requests += 1;
            let answer = answer(request);
            delivery.answered(answer);
        }
        let outcome = delivery.finish();
        if outcome.is_ok() || turn == most {
            return (outcome, requests);
        }
    }
    unreachable!("it is given at least once")
}

fn rejects(reason: Refusal) -> Answer {
    Err(SendError::Rejected { reason, why: "no".into() })
}

/// Scenario: a server fails with 500 whenever one of three log records is in the request, and takes everything else. Guarantees: after
/// three failures an empty request tells that it is well; then that record alone is rejected with its request, and the others are
/// delivered (P1, P3).
#[test]
fn a_record_that_a_server_fails_at_is_rejected_alone() {
    let answer = |request: &[u8]| if holds(request, "poison") { doubtful() } else { Ok(PartialSuccess::default()) };
    let (delivered, requests) = give(Signal::Logs, &block(&["a", "poison", "b"]), 3, answer);
    let delivered = delivered.unwrap();
    assert_eq!((delivered.delivered, delivered.rejected), (2, 1));
    let [refused] = &delivered.refused[..] else { panic!("{:?}", delivered.refused) };
    assert_eq!((refused.reason, &refused.request), (Refusal::FailedStatus, &record("poison")));
    assert!(refused.words.contains("for these records only"), "{}", refused.words);
    assert!(requests < 20, "{requests} requests");
}

/// Scenario: a server fails with 500 at everything. Guarantees: nothing is taken for refused, however often the block is given (P3).
#[test]
fn a_server_that_is_not_well_refuses_nothing() {
    let (outcome, _) = give(Signal::Traces, &block(&["a", "b"]), 50, |_| doubtful());
    assert!(matches!(outcome, Err(SendError::Retry { .. })), "{outcome:?}");
}

/// Scenario: a block is sent whole and in halves, by a program and by the one that was started after it, beside one of other records.
/// Guarantees: the same records have the same name, others have another one, and an empty request has none.
#[test]
fn the_same_records_have_the_same_name() {
    let names = |block: &[u8]| {
        let (mut delivery, mut names) = (Delivery::new(Signal::Logs, None), Vec::new());
        delivery.begin(block).unwrap();
        while let Some(id) = delivery.request_id() {
            assert!(!delivery.request().unwrap().is_empty());
            names.push(id.to_string());
            let is_whole = names.len() == 1;
            delivery.answered(if is_whole {
                rejects(Refusal::TooLargeForDestination)
            } else {
                Ok(PartialSuccess::default())
            });
        }
        delivery.finish().unwrap();
        names
    };
    let block_of_four = block(&["a", "b", "c", "d"]);
    assert_eq!(
        names(&block_of_four),
        ["1-traces-1-4-logs-0-4-4", "1-traces-1-4-logs-0-2-4", "1-traces-1-4-logs-2-4-4"]
    );
    assert_eq!(names(&block_of_four), names(&block_of_four));
    assert_eq!(names(&block(&["a", "b"]))[0], "1-traces-1-2-logs-0-2-2");
    // The server is asked whether it is well.
    let mut delivery = Delivery::new(Signal::Logs, None);
    for turn in 0..3 {
        delivery.begin(&block_of_four).unwrap();
        while let Some(id) = delivery.request_id() {
            assert_eq!(id.to_string(), "1-traces-1-4-logs-0-4-4", "{turn}");
            delivery.answered(doubtful());
        }
        assert_eq!(delivery.request().map(<[u8]>::len), (turn == 2).then_some(0));
        delivery.answered(Err(SendError::retry(Refusal::Unreachable, "down")));
        assert!(delivery.finish().is_err());
    }
}

/// Scenario: of 200 spans two are refused for good. Guarantees: exactly these, each in a dead letter of its own; every other one is sent
/// once (P1).
#[test]
fn d3_one_poisoned_record_in_a_hundred_costs_itself() {
    let texts: Vec<String> = (0..200).map(|number| format!("span-{number:03};")).collect();
    let block = block(&texts.iter().map(String::as_str).collect::<Vec<_>>());
    let bad = ["span-017;", "span-150;"];
    let mut taken = vec![0; texts.len()];
    let (delivered, requests) = give(Signal::Traces, &block, 1, |request| {
        if bad.iter().any(|bad| holds(request, bad)) {
            return rejects(Refusal::RejectedStatus);
        }
        for (text, count) in texts.iter().zip(&mut taken) {
            *count += usize::from(holds(request, text));
        }
        Ok(PartialSuccess::default())
    });
    let delivered = delivered.unwrap();
    assert_eq!((delivered.delivered, delivered.rejected), (198, 2));
    let refused: Vec<&[u8]> = delivered.refused.iter().map(|one| one.request.as_slice()).collect();
    assert_eq!(refused, [record(bad[0]), record(bad[1])]);
    for (text, count) in texts.iter().zip(taken) {
        assert_eq!(count, usize::from(!bad.contains(&text.as_str())), "{text}");
    }
    assert!(requests <= 1 + 2 * 2 * 8, "{requests} requests");
}

/// Scenario: a server refuses each and every span of 500. Guarantees: all of them are in dead letters, with far fewer requests than
/// spans (P1).
#[test]
fn a_server_that_refuses_everything_is_not_asked_for_each_record() {
    let texts: Vec<String> = (0..500).map(|number| format!("span-{number};")).collect();
    let block = block(&texts.iter().map(String::as_str).collect::<Vec<_>>());
    let (delivered, requests) = give(Signal::Traces, &block, 1, |_| rejects(Refusal::RejectedStatus));
    let delivered = delivered.unwrap();
    assert_eq!((delivered.delivered, delivered.rejected), (0, 500));
    let letters: Vec<u8> = delivered.refused.iter().flat_map(|one| one.request.clone()).collect();
    assert!(texts.iter().all(|text| holds(&letters, text)));
    assert!(requests < 60, "{requests} requests");
}

/// Scenario: a server takes requests of at most 100 bytes; a record of 150 is among many small ones, in two blocks. Guarantees: all but
/// that one are delivered, and the size is remembered: the second block is not sent as a whole (P1).
#[test]
fn d10_a_server_that_takes_little_gets_little() {
    let long = "x".repeat(150);
    let mut texts = vec!["short"; 40];
    texts[20] = &long;
    let mut delivery = Delivery::new(Signal::Logs, None);
    let mut refusals = [0, 0];
    for refused in &mut refusals {
        delivery.begin(&block(&texts)).unwrap();
        while let Some(request) = delivery.request() {
            let is_large = request.len() > 100;
            *refused += usize::from(is_large);
            let answer =
                if is_large { rejects(Refusal::TooLargeForDestination) } else { Ok(PartialSuccess::default()) };
            delivery.answered(answer);
        }
        let delivered = delivery.finish().unwrap();
        assert_eq!((delivered.delivered, delivered.rejected), (39, 1));
    }
    let [first, second] = refusals;
    assert!(second <= 3 && second < first, "{first} and {second} requests were too large");
}

/// Scenario: a server takes a request but for two of its records, and does not say which; it says that more are rejected than there are.
/// Guarantees: they are booked as rejected, never more than were sent, nothing is sent again, and no request is kept for them (P1).
#[test]
fn a_partial_success_is_booked_without_identity() {
    for (said, rejected) in [(2, 2), (99, 3)] {
        let answer = |_: &[u8]| Ok(PartialSuccess { rejected: said, message: String::new() });
        let (delivered, requests) = give(Signal::Logs, &block(&["a", "b", "c"]), 1, answer);
        let delivered = delivered.unwrap();
        assert_eq!((delivered.delivered, delivered.rejected, requests), (3 - rejected, rejected, 1));
        assert!(delivered.refused.iter().all(|one| one.request.is_empty() && one.reason == Refusal::PartialSuccess));
    }
}

/// Scenario: a block that is no block. Guarantees: it is told as damaged and to be tried again: nothing is confirmed (P3).
#[test]
fn a_damaged_block_is_told() {
    let error = Delivery::new(Signal::Logs, None).begin(b"not a block").unwrap_err();
    assert_eq!(error.reason(), Refusal::Damaged);
}

/// Scenario: a block has records that ended before and after what the destination is to be sent, and is given twice, since the server is
/// not there at first. Guarantees: only the young ones are sent, in their order; the old ones are refused once, as a request that can be sent
/// by hand (P1, P3).
#[test]
fn what_is_too_old_for_a_destination_costs_only_itself() {
    let log_record = |time: u64, text: &str| {
        let mut out = Vec::new();
        put_message(&mut out, 1, |out| {
            put_message(out, 2, |out| {
                put_message(out, 2, |out| {
                    if time > 0 {
                        put_fixed64(out, 1, time);
                    }
                    put_message(out, 5, |out| put_bytes(out, 1, text.as_bytes()));
                });
            });
        });
        out
    };
    let all = [log_record(50, "old"), log_record(100, "young"), log_record(60, "older"), log_record(0, "timeless")];
    let frames: Vec<_> = all.iter().map(|one| vec![SectionRef::Logs(one)]).collect();
    let (block, mut delivery, mut sent) = (block_of(&frames), Delivery::new(Signal::Logs, None), Vec::new());
    delivery.refuse_before(100);
    for answer in [Err(SendError::retry(Refusal::Unreachable, "away")), Ok(PartialSuccess::default())] {
        delivery.begin(&block).unwrap();
        while let Some(request) = delivery.request() {
            sent.push(request.to_vec());
            delivery.answered(answer.clone());
        }
        let Ok(delivered) = delivery.finish() else { continue };
        assert_eq!((delivered.delivered, delivered.rejected), (2, 2));
        let [refused] = &delivered.refused[..] else { panic!("{:?}", delivered.refused) };
        let both = [all[0].as_slice(), all[2].as_slice()].concat();
        assert_eq!((refused.reason, refused.records, &refused.request), (Refusal::TooOld, 2, &both));
        assert_eq!(sent, [all[1].clone(), all[1].clone(), all[3].clone()]);
        return;
    }
    panic!("it was not decided");
}
