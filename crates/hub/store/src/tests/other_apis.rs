//! What the APIs of Jaeger and Loki ask of the store: the same wherever the rows lie.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use model::{Lane, TraceId};
use wire::SectionRef;

use super::*;
use crate::query::{Dependency, LogGroup, LogScan, LogVisitor, Scope, TimeRange};
use crate::rows::LogRow;

const RANGE: TimeRange = TimeRange { from: NOW, to: NOW + 100 * SECOND };

/// Remembers bodies, until it has enough.
struct Bodies {
    found: Vec<(u64, String)>,
    enough: usize,
    ascending: bool,
}

impl LogVisitor for Bodies {
    fn visit(&mut self, row: &LogRow) -> bool {
        let Some(Value::StringValue(body)) = row.record.body.clone().and_then(|body| body.value) else { return true };
        self.found.push((row.time(), body));
        true
    }

    fn is_settled(&self, time: u64) -> bool {
        let beyond = |own: &u64| if self.ascending { *own <= time } else { *own >= time };
        self.found.iter().filter(|(own, _)| beyond(own)).count() >= self.enough
    }
}

fn bodies(store: &Store, trace: Option<u8>, ascending: bool, enough: usize) -> BTreeSet<String> {
    let mut visitor = Bodies { found: Vec::new(), enough, ascending };
    let trace_id = trace.map(|id| TraceId([id; 16]));
    store.scoped(&Scope::whole_store()).scan_logs(LogScan { range: RANGE, trace_id, ascending }, &mut visitor);
    let mut found = visitor.found;
    found.sort();
    if !ascending {
        found.reverse();
    }
    found.into_iter().take(enough).map(|(_, body)| body).collect()
}

/// Rows by service, as groups tell them.
fn groups(store: &Store) -> BTreeMap<String, u64> {
    let mut out: BTreeMap<String, u64> = BTreeMap::new();
    store.scoped(&Scope::whole_store()).log_groups(RANGE, |group: LogGroup<'_>| {
        assert!(group.bytes > 0 && group.rows > 0);
        for origin in group.origins {
            *out.entry(origin.service.clone()).or_default() += group.rows / group.origins.len() as u64;
        }
        true
    });
    out
}

fn logs_frame(seq: u64, service: &str, of: Vec<LogRecord>) -> Incoming {
    frame(Lane::Logs, seq, &[SectionRef::Logs(&lines(service, of))])
}

/// Scenario: log records of two services within a time and beside it, some of a trace; packed after each frame, at the end, or never; all of
/// them, the newest and the oldest few, those of the trace, and only where they come from. Guarantees: the same answers.
#[test]
fn log_records_are_found_wherever_they_lie() {
    for packed in 0..3 {
        let place = Place::new();
        let store = place.open();
        for seq in 1..=8_u64 {
            let service = if seq % 2 == 0 { "orders" } else { "billing" };
            let trace = if seq == 3 { 9 } else { 0 };
            let of =
                vec![line(trace, NOW + seq * SECOND, &format!("line {seq}")), line(0, NOW - seq * SECOND, "before")];
            store_all(&store, vec![logs_frame(seq, service, of)]);
            if packed == 1 {
                pack_all(&store);
            }
        }
        if packed == 2 {
            pack_all(&store);
        }
        let names = |of: &[u64]| of.iter().map(|seq| format!("line {seq}")).collect::<BTreeSet<_>>();
        assert_eq!(bodies(&store, None, true, 100), names(&[1, 2, 3, 4, 5, 6, 7, 8]), "packed: {packed}");
        assert_eq!(bodies(&store, None, true, 2), names(&[1, 2]), "packed: {packed}");
        assert_eq!(bodies(&store, None, false, 2), names(&[7, 8]), "packed: {packed}");
        assert_eq!(bodies(&store, Some(9), false, 100), names(&[3]), "packed: {packed}");
        assert!(bodies(&store, Some(8), false, 100).is_empty());
        let found = groups(&store);
        assert_eq!(found.keys().collect::<Vec<_>>(), ["billing", "orders"], "packed: {packed}");
        // Blocks count as a whole, also where some rows lie beside the time.
        let all: u64 = found.values().sum();
        assert!((8..=16).contains(&all), "packed: {packed}: {all}");
    }
}

/// Scenario: traces over two services, one of them in two frames, a span that came twice, a child whose parent is of the hour before, one
/// whose parent never came; packed or not. Guarantees: each call counts once, by both services.
#[test]
fn calls_count_once() {
    for packed in [false, true] {
        let place = Place::new();
        let store = place.open();
        let at = NOW + SECOND;
        let put = |seq: u64, service: &str, of: Vec<Span>| {
            store_all(&store, vec![frame(Lane::Traces, seq, &[SectionRef::Traces(&spans(service, of))])]);
            if packed {
                pack_all(&store);
            }
        };
        put(1, "orders", vec![span(1, 1, 0, at, SECOND, false), span(2, 1, 0, NOW - 60 * SECOND, SECOND, false)]);
        put(2, "billing", vec![span(1, 2, 1, at + 1, 10, false), span(1, 3, 2, at + 2, 5, false)]);
        put(3, "billing", vec![span(1, 2, 1, at + 1, 10, false), span(2, 2, 1, at, 10, false)]);
        put(4, "lost", vec![span(3, 2, 1, at, 10, false)]);
        let call =
            |parent: &str, child: &str, calls: u64| Dependency { parent: parent.into(), child: child.into(), calls };
        let found = store.scoped(&Scope::whole_store()).dependencies(RANGE);
        assert_eq!(found, [call("billing", "billing", 1), call("orders", "billing", 2)], "packed: {packed}");
        let spans = store.scoped(&Scope::whole_store()).spans_of(TraceId([1; 16]));
        assert_eq!((spans.rows.len(), spans.stored), (3, 4), "packed: {packed}");
    }
}
