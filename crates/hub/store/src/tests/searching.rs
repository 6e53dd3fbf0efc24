//! Queries over heads and packs: the same answer wherever the rows lie.

use model::{Lane, TraceId};
use wire::SectionRef;

use super::*;
use crate::query::{LogQuery, Scope, TimeRange, TraceQuery};

const DAY: u64 = 86_400 * SECOND;

fn query(limit: usize) -> TraceQuery {
    TraceQuery {
        filter: None,
        range: TimeRange { from: NOW - 10 * DAY, to: NOW + DAY },
        service: None,
        operation: None,
        errors_only: false,
        min_duration_ns: 0,
        limit,
        after: None,
    }
}

fn ids(store: &Store, query: &TraceQuery) -> Vec<u8> {
    store.scoped(&Scope::whole_store()).traces(query).traces.iter().map(|trace| trace.trace_id.0[0]).collect()
}

fn traces_frame(seq: u64, service: &str, of: Vec<Span>) -> Incoming {
    frame(Lane::Traces, seq, &[SectionRef::Traces(&spans(service, of))])
}

/// Scenario: traces of three days come in disorder, packed after each frame or never, then searched with every filter
/// and page size. Guarantees: newest first, exact filters on the whole trace, pages without repeats or holes, and the
/// same answer from heads and packs.
#[test]
fn search_is_the_same_in_heads_and_packs() {
    for packed in [false, true] {
        let place = Place::new();
        let store = place.open();
        for number in [5u8, 2, 9, 1, 7, 3, 8, 4, 6] {
            let start = NOW - u64::from(number) * DAY / 3;
            let length = u64::from(number) * 50_000_000;
            let mut of = vec![span(number, 1, 0, start, length, number.is_multiple_of(3))];
            if number.is_multiple_of(2) {
                of.push(span(number, 2, 1, start + 1, 10, false));
            }
            let service = if number < 5 { "orders" } else { "stock" };
            store_all(&store, vec![traces_frame(u64::from(number), service, of)]);
            if packed {
                pack_all(&store);
            }
        }
        assert_eq!(ids(&store, &query(100)), [1, 2, 3, 4, 5, 6, 7, 8, 9], "packed: {packed}");
        assert_eq!(ids(&store, &query(3)), [1, 2, 3]);
        assert_eq!(ids(&store, &TraceQuery { errors_only: true, ..query(2) }), [3, 6]);
        assert_eq!(ids(&store, &TraceQuery { service: Some("stock".into()), ..query(100) }), [5, 6, 7, 8, 9]);
        assert_eq!(ids(&store, &TraceQuery { operation: Some("op-2".into()), ..query(100) }), [2, 4, 6, 8]);
        let filter = |text: &str| Some(filter::parse(text, 0).unwrap().filter);
        assert_eq!(ids(&store, &TraceQuery { filter: filter("name=op-2 signal=span"), ..query(100) }), [2, 4, 6, 8]);
        assert_eq!(ids(&store, &TraceQuery { filter: filter("service=stock status=error"), ..query(100) }), [6, 9]);
        assert_eq!(ids(&store, &TraceQuery { min_duration_ns: 200_000_000, ..query(100) }), [4, 5, 6, 7, 8, 9]);
        let range = TimeRange { from: NOW - 2 * DAY, to: NOW - DAY };
        assert_eq!(ids(&store, &TraceQuery { range, ..query(100) }), [4, 5, 6]);
        let (mut paged, mut after) = (Vec::new(), None);
        loop {
            let page = store.scoped(&Scope::whole_store()).traces(&TraceQuery { after, ..query(2) });
            paged.extend(page.traces.iter().map(|trace| trace.trace_id.0[0]));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(paged, [1, 2, 3, 4, 5, 6, 7, 8, 9]);
    }
}

/// Scenario: a trace whose root comes two days after its child, whose child comes twice under two identities, with
/// lines in three places. Guarantees: late data joins its trace, a span is shown once, `stored_spans` tells all rows,
/// and a trace is listed by its first start only.
#[test]
fn late_parts_join_their_trace() {
    let place = Place::new();
    let store = place.open();
    let child = || span(1, 2, 1, NOW + SECOND, SECOND, true);
    store_all(
        &store,
        vec![
            traces_frame(1, "stock", vec![child()]),
            frame(Lane::Logs, 1, &[SectionRef::Logs(&lines("stock", vec![line(1, NOW, "one")]))]),
        ],
    );
    let view = store.scoped(&Scope::whole_store()).trace(TraceId([1; 16])).unwrap();
    assert_eq!((view.spans.len(), view.missing_parents), (1, 1));
    pack_all(&store);
    store_all(&store, vec![traces_frame(2, "stock", vec![child()])]);
    pack_all(&store);
    store_all(
        &store,
        vec![
            traces_frame(3, "orders", vec![span(1, 1, 0, NOW - DAY, DAY, false)]),
            frame(
                Lane::Logs,
                2,
                &[SectionRef::Logs(&lines("stock", vec![line(1, NOW - DAY, "zero"), line(1, NOW, "one")]))],
            ),
        ],
    );
    let view = store.scoped(&Scope::whole_store()).trace(TraceId([1; 16])).unwrap();
    assert_eq!((view.spans.len(), view.stored_spans, view.missing_parents), (2, 3, 0));
    assert_eq!((view.logs, view.stored_logs), (2, 3));
    assert_eq!(view.spans[0].span.name, "op-1");
    let found = store.scoped(&Scope::whole_store()).traces(&query(10)).traces;
    assert_eq!(found.len(), 1);
    let summary = &found[0];
    assert_eq!((summary.root_service.as_str(), summary.root_name.as_str()), ("orders", "op-1"));
    assert_eq!((summary.start, summary.duration_ns), (NOW - DAY, DAY + 2 * SECOND));
    assert_eq!((summary.spans, summary.stored_spans, summary.errors, summary.logs), (2, 3, 1, 3));
    // Its first start is outside this range.
    let late = TimeRange { from: NOW, to: NOW + DAY };
    assert_eq!(ids(&store, &TraceQuery { range: late, ..query(10) }), [0u8; 0]);
    assert!(store.scoped(&Scope::whole_store()).trace(TraceId([2; 16])).is_none());
}

fn log_query() -> LogQuery {
    LogQuery {
        filter: None,
        range: TimeRange::ALL,
        trace_id: None,
        span_id: None,
        service: None,
        min_severity: 0,
        text: None,
        ascending: true,
        limit: 10,
        after: None,
    }
}

fn times(store: &Store, query: &LogQuery) -> Vec<u64> {
    store.scoped(&Scope::whole_store()).logs(query).logs.iter().map(|row| (row.time() - NOW) / SECOND).collect()
}

/// Scenario: lines come in disorder, some packed in blocks of a few lines, some not; both orders, all filters, pages.
/// Guarantees: the order of time, exact filters, pages without repeats or holes.
#[test]
fn lines_come_in_the_order_of_time() {
    let mut place = Place::new();
    place.options.block_bytes = 300;
    let store = place.open();
    for (seq, chunk) in [13u64, 2, 7, 19, 4, 11, 1, 17, 8, 5, 16, 3, 10, 14, 6, 9, 12, 20, 15, 18].chunks(4).enumerate()
    {
        let of = chunk.iter().map(|number| {
            let mut line = line((number % 5) as u8, NOW + number * SECOND, &format!("Line {number} of many"));
            line.severity_number = if number.is_multiple_of(4) { 17 } else { 9 };
            line
        });
        store_all(&store, vec![frame(Lane::Logs, seq as u64 + 1, &[SectionRef::Logs(&lines("orders", of.collect()))])]);
        if seq < 4 {
            pack_all(&store);
        }
    }
    assert_eq!(times(&store, &LogQuery { limit: 100, ..log_query() }), (1..=20).collect::<Vec<_>>());
    assert_eq!(times(&store, &LogQuery { limit: 4, ascending: false, ..log_query() }), [20, 19, 18, 17]);
    assert_eq!(times(&store, &LogQuery { min_severity: 17, ..log_query() }), [4, 8, 12, 16, 20]);
    assert_eq!(times(&store, &LogQuery { text: Some("line 1 ".into()), ..log_query() }), [1]);
    let filter = |text: &str| Some(filter::parse(text, 0).unwrap().filter);
    assert_eq!(times(&store, &LogQuery { filter: filter("level>=error -line"), ..log_query() }), [0u64; 0]);
    assert_eq!(
        times(&store, &LogQuery { filter: filter("level>=error LINE signal=log"), ..log_query() }),
        [4, 8, 12, 16, 20]
    );
    let of_trace = LogQuery { trace_id: Some(TraceId([3; 16])), limit: 2, ..log_query() };
    assert_eq!((times(&store, &of_trace), store.scoped(&Scope::whole_store()).logs(&of_trace).stored), (vec![3, 8], 4));
    for ascending in [true, false] {
        let (mut paged, mut after) = (Vec::new(), None);
        loop {
            let page =
                store.scoped(&Scope::whole_store()).logs(&LogQuery { ascending, limit: 3, after, ..log_query() });
            paged.extend(page.logs.iter().map(|row| (row.time() - NOW) / SECOND));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        if !ascending {
            paged.reverse();
        }
        assert_eq!(paged, (1..=20).collect::<Vec<_>>());
    }
}

/// Scenario: client and server share one span id, as Zipkin's B3 has it; the client's span comes again with the same
/// content, also under another epoch; two spans have no id. Guarantees: both of the shared id are shown, each once, and
/// those without an id are never taken for repeats.
#[test]
fn h6_spans_that_differ_are_all_shown() {
    let place = Place::new();
    let store = place.open();
    let shared = |kind: i32, name: &str| Span { kind, name: name.into(), ..span(1, 2, 0, NOW, SECOND, kind == 2) };
    let nameless = || Span { span_id: Vec::new(), ..span(1, 3, 2, NOW, SECOND, false) };
    let both = spans("orders", vec![shared(3, "GET"), shared(2, "GET /orders"), nameless(), nameless()]);
    let again = spans("orders", vec![shared(3, "GET")]);
    store_all(&store, vec![frame(Lane::Traces, 1, &[SectionRef::Traces(&both)])]);
    pack_all(&store);
    store_all(&store, vec![frame(Lane::Traces, 2, &[SectionRef::Traces(&again)])]);
    store_all(&store, vec![frame_of(8, Lane::Traces, 1, &[SectionRef::Traces(&again)])]);
    let view = store.scoped(&Scope::whole_store()).trace(TraceId([1; 16])).unwrap();
    let mut names: Vec<_> = view.spans.iter().map(|row| row.span.name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["GET", "GET /orders", "op-3", "op-3"]);
    assert_eq!((view.stored_spans, view.missing_parents), (6, 0));
    let listed = &store.scoped(&Scope::whole_store()).traces(&query(10)).traces[0];
    assert_eq!((listed.spans, listed.stored_spans, listed.errors), (4, 6, 1));
}

/// Scenario: a span comes twice, the second time with an attribute more; spans of two services share an id. Guarantees:
/// only what says the same is one.
#[test]
fn h6_only_the_same_content_is_a_repeat() {
    let place = Place::new();
    let store = place.open();
    let more = Span { attributes: vec![text("retry", "1")], ..span(1, 1, 0, NOW, SECOND, false) };
    let one = spans("orders", vec![span(1, 1, 0, NOW, SECOND, false), more]);
    let other = spans("stock", vec![span(1, 1, 0, NOW, SECOND, false), span(1, 1, 0, NOW, SECOND, false)]);
    store_all(&store, vec![frame(Lane::Traces, 1, &[SectionRef::Traces(&one), SectionRef::Traces(&other)])]);
    let view = store.scoped(&Scope::whole_store()).trace(TraceId([1; 16])).unwrap();
    assert_eq!((view.spans.len(), view.stored_spans), (3, 4));
}

/// Scenario: 300 records of 200 KB, asked for on one page, both ways. Guarantees: a page holds what there is room for, `next`
/// goes on behind it, and the pages together hold each record once (P9).
#[test]
fn h9_a_page_is_bounded_in_bytes() {
    let place = Place::new();
    let store = place.open();
    for seq in 0..10u64 {
        let body = "x".repeat(200_000);
        let of = (0..10).map(|number| line(0, NOW + seq * 10 + number, &body)).collect();
        store_all(&store, vec![frame(Lane::Logs, seq + 1, &[SectionRef::Logs(&lines("orders", of))])]);
        if seq % 3 == 0 {
            pack_all(&store);
        }
    }
    for ascending in [true, false] {
        let mut query = LogQuery { ascending, limit: 10_000, range: TimeRange::ALL, ..log_query() };
        let (mut times, mut pages) = (Vec::new(), 0);
        loop {
            let page = store.scoped(&Scope::whole_store()).logs(&query);
            assert!((1..=40).contains(&page.logs.len()), "{} records on a page", page.logs.len());
            times.extend(page.logs.iter().map(|row| row.time() - NOW));
            pages += 1;
            match page.next {
                Some(next) => query.after = Some(next),
                None => break,
            }
        }
        let expected: Vec<u64> = if ascending { (0..100).collect() } else { (0..100).rev().collect() };
        assert_eq!(times, expected);
        assert!(pages >= 5);
    }
}

/// Scenario: a question is ended before it begins, while it reads heads, and while it reads packs. Guarantees: it ends with
/// the reason, not with half an answer; the next one on the same thread is whole.
#[test]
fn h11_a_question_that_is_ended_says_so() {
    use crate::query::{Ended, Memory, Switch, within};

    let memory = Arc::new(Memory::default());
    let place = Place::new();
    let store = place.open();
    for seq in 1..=20u8 {
        store_all(&store, vec![one_span(u64::from(seq), seq, NOW)]);
        if seq == 10 {
            pack_all(&store);
        }
    }
    for why in [Ended::Deadline, Ended::Cancelled, Ended::Memory, Ended::Crowded] {
        let switch = Switch::default();
        switch.end(why);
        switch.end(Ended::Deadline);
        let answer = within(&switch, &memory, || store.scoped(&Scope::whole_store()).traces(&query(100)));
        assert_eq!(answer.unwrap_err().ended, Some(why));
    }
    let ended =
        within(&Switch::default(), &memory, || store.scoped(&Scope::whole_store()).traces(&query(100)).traces.len());
    assert_eq!(ended.unwrap(), 20);
    let switch = Switch::default();
    let read = within(&switch, &memory, || {
        switch.end(Ended::Cancelled);
        (
            store.scoped(&Scope::whole_store()).traces(&query(100)).traces.len(),
            store.scoped(&Scope::whole_store()).logs(&log_query()).logs.len(),
        )
    });
    assert!(read.is_err());
}

/// Scenario: queries may hold 100 bytes together, one asks for twenty spans, then for services. Guarantees: it is ended with a reason that
/// tells it from a query that is too large by itself, and gives back what it held (H11).
#[test]
fn queries_hold_no_more_together_than_they_may() {
    use crate::query::{Ended, Memory, Switch, TimeRange, within};

    let place = Place::new();
    let store = place.open();
    (1..=20u8).for_each(|seq| drop(store_all(&store, vec![one_span(u64::from(seq), seq, NOW)])));
    for (most, fits) in [(100, false), (1 << 20, true)] {
        let memory = Arc::new(Memory::new(most));
        let services =
            within(&Switch::default(), &memory, || store.scoped(&Scope::whole_store()).services(TimeRange::ALL).len());
        match fits {
            true => assert_eq!(services.unwrap(), 1),
            false => assert_eq!(services.unwrap_err().ended, Some(Ended::Crowded)),
        }
        assert_eq!(memory.held(), 0);
    }
}

/// Scenario: a word that stands only in an attribute's value, or its key. Guarantees: the search reads attributes too.
#[test]
fn u15_text_is_looked_for_in_attributes() {
    let place = Place::new();
    let store = place.open();
    let mut with = line(0, NOW, "plain");
    with.attributes = vec![text("order.id", "Mango-77")];
    let of = lines("orders", vec![with, line(0, NOW + 1, "other")]);
    store_all(&store, vec![frame(Lane::Logs, 1, &[SectionRef::Logs(&of)])]);
    for (word, found) in [("mango", 1), ("ORDER.ID", 1), ("plain", 1), ("pear", 0)] {
        let query = LogQuery { text: Some(word.into()), range: TimeRange::ALL, ..log_query() };
        assert_eq!(store.scoped(&Scope::whole_store()).logs(&query).logs.len(), found, "{word}");
    }
}

/// Scenario: spans whose trace id is zeros, missing or short came from an older agent, beside a good trace. Guarantees: the
/// list has no row that cannot be opened; nothing of them is merged into a trace.
#[test]
fn i7_the_list_has_no_trace_of_zeros() {
    let place = Place::new();
    let store = place.open();
    let broken = |id: Vec<u8>| Span { trace_id: id, ..span(1, 1, 0, NOW, SECOND, false) };
    let of = vec![broken(vec![0; 16]), broken(Vec::new()), broken(vec![1; 15]), span(2, 1, 0, NOW, SECOND, false)];
    store_all(&store, vec![traces_frame(1, "orders", of)]);
    assert_eq!(ids(&store, &query(10)), [2]);
    pack_all(&store);
    assert_eq!(ids(&store, &query(10)), [2]);
}
