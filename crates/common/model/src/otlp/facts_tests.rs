//! Facts beside the walk that they stand for.

use super::super::{Pieces, inspect_spans};
use super::*;
use crate::Signal;
use crate::proto::{put_fixed32, put_fixed64, put_message, put_uint};

const WALL: u64 = 1_700_000_000_000_000_000;

/// Numbers that are the same each time.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

fn span(numbers: &mut Numbers) -> Vec<u8> {
    let mut out = Vec::new();
    put_bytes(&mut out, 1, &[1 + numbers.below(200) as u8; 16]);
    put_bytes(&mut out, 2, &[1 + numbers.below(200) as u8; 8]);
    if numbers.below(3) == 0 {
        put_bytes(&mut out, 3, b"ot=th:8");
    }
    if numbers.below(2) == 0 {
        put_bytes(&mut out, 4, &[9; 8]);
    }
    if numbers.below(9) > 0 {
        put_bytes(&mut out, 5, &vec![b'n'; numbers.below(300) as usize]);
    }
    put_uint(&mut out, 6, numbers.below(6));
    put_fixed64(&mut out, 7, WALL + numbers.below(1000));
    put_fixed64(&mut out, 8, WALL + 1000 + numbers.below(1000));
    for _ in 0..numbers.below(12) {
        put_message(&mut out, 9, |out| {
            put_bytes(out, 1, b"key");
            put_message(out, 2, |out| put_bytes(out, 1, &vec![b'v'; numbers.below(400) as usize]));
        });
    }
    if numbers.below(4) == 0 {
        put_message(&mut out, 15, |out| put_uint(out, 3, 2));
    }
    put_fixed32(&mut out, 16, 257);
    out
}

fn request(numbers: &mut Numbers, spans: u64) -> Vec<u8> {
    let mut out = Vec::new();
    for resource in 0..1 + numbers.below(3) {
        put_message(&mut out, 1, |out| {
            if numbers.below(5) > 0 {
                put_bytes(out, 1, &[0x10, resource as u8]);
            }
            for _ in 0..numbers.below(4) {
                put_message(out, 2, |out| {
                    if numbers.below(5) > 0 {
                        put_message(out, 1, |out| put_bytes(out, 1, b"scope"));
                    }
                    for _ in 0..numbers.below(spans) {
                        let span = span(numbers);
                        put_bytes(out, 2, &span);
                    }
                    if numbers.below(2) == 0 {
                        put_bytes(out, 3, b"https://opentelemetry.io/schemas/1.27.0");
                    }
                });
            }
            if numbers.below(2) == 0 {
                put_bytes(out, 3, b"https://opentelemetry.io/schemas/1.26.0");
            }
        });
    }
    out
}

/// What is told of every span with what stands around it, as text.
fn told(request: &[u8], facts: Option<&SpanFacts>) -> Vec<String> {
    let mut out = Vec::new();
    for_each_scope_of_spans::<ProtoError>(request, facts, |scope, spans| {
        for span in spans {
            let around = (scope.resource.resource, scope.resource.schema_url, scope.scope, scope.schema_url);
            out.push(format!("{around:?} {:?}", span?));
        }
        Ok(())
    })
    .unwrap();
    out
}

/// Scenario: hundreds of requests with spans of every shape under several resources and scopes. Guarantees: facts tell of every span what
/// the walk over its bytes tells, field by field.
#[test]
fn facts_tell_what_the_walk_tells() {
    let mut numbers = Numbers(1);
    let mut spans = 0;
    for _ in 0..300 {
        let request = request(&mut numbers, 20);
        let (found, facts) = inspect_spans(&request).unwrap();
        let facts = facts.expect("these requests have facts");
        assert!(found.is_clean() && found.records == facts.len() as u64);
        assert_eq!(told(&request, Some(&facts)), told(&request, None));
        spans += facts.len();
    }
    assert!(spans > 3_000, "{spans}");
}

/// Scenario: large requests are cut into pieces by their facts. Guarantees: every span is in one piece, in order, under what stood around
/// it; pieces keep their bounds and are as many as those that are cut by a walk; a piece's facts are those of its bytes.
#[test]
fn pieces_hold_every_span_once() {
    let mut numbers = Numbers(2);
    let mut pieces_seen = 0;
    for round in 0..40 {
        let request = request(&mut numbers, 120);
        let (_, facts) = inspect_spans(&request).unwrap();
        let Some(facts) = facts else { continue };
        let most = [PIECE_RECORDS, 7, 1][round % 3];
        let (mut together, mut pieces) = (Vec::new(), 0);
        for (piece, of_piece) in facts.pieces(&request, most) {
            pieces += 1;
            let (found, again) = inspect_spans(&piece).unwrap();
            assert!(found.is_clean() && found.records <= most && found.parts <= PIECE_PARTS + 16);
            assert!(of_piece.len() == 1 || piece.len() <= PIECE_BYTES + 16_384, "{} bytes", piece.len());
            // Resources without spans have no place in a piece.
            assert_eq!(told(&piece, Some(&of_piece)), told(&piece, again.as_ref()));
            together.extend(told(&piece, Some(&of_piece)));
        }
        assert_eq!(together, told(&request, None));
        assert_eq!(pieces, Pieces::new(Signal::Traces, &request, WALL).with_records(most).count());
        pieces_seen += pieces;
    }
    assert!(pieces_seen > 200, "{pieces_seen}");
}

/// Scenario: spans that do not go on as they are, more of them than a piece has, numbers beyond what facts hold. Guarantees: there are no
/// facts, and the walk is what tells.
#[test]
fn what_cannot_be_told_has_no_facts() {
    let mut numbers = Numbers(3);
    let one = |span: &[u8], count: usize| {
        let mut out = Vec::new();
        put_message(&mut out, 1, |out| put_message(out, 2, |out| (0..count).for_each(|_| put_bytes(out, 2, span))));
        out
    };
    let good = span(&mut numbers);
    let has_facts = |request: &[u8]| inspect_spans(request).unwrap().1.is_some();
    assert!(has_facts(&one(&good, 1)) && has_facts(&one(&good, PIECE_RECORDS as usize)));
    assert!(!has_facts(&one(&good, PIECE_RECORDS as usize + 1)));
    let mut odd_kind = good.clone();
    put_uint(&mut odd_kind, 6, 1 << 40);
    assert!(!has_facts(&one(&odd_kind, 1)));
    let mut odd_name = good.clone();
    put_bytes(&mut odd_name, 5, &[0xff]);
    assert!(!has_facts(&one(&odd_name, 1)), "it is mended");
    assert!(!has_facts(&one(&good[18..], 1)), "it has no trace id");
}
