//! Attributes and fields that are written on records: which policy kept a trace, with which threshold, and a log record's ids in
//! their own fields.

use std::borrow::Cow;

use model::otlp::SpanView;
use model::otlp::schema::{any_value, key_value};
use model::proto::{Reader, Value, put_bytes, put_message};
use sampling::{ALWAYS, LogRecordFacts, OtState, with_threshold};

/// The attribute of the Collector's tail sampling processor.
const POLICY: &[u8] = b"tailsampling.policy";
const TRACE_STATE: u32 = 3;
const ATTRIBUTES: u32 = 9;
const LOG_TRACE_ID: u32 = 9;
const LOG_SPAN_ID: u32 = 10;

/// A `Span` with the name of the policy that kept its trace as an attribute, and the threshold in its `tracestate`. A
/// threshold that lets everything through is written only over one that is there already: it says nothing new.
pub(crate) fn with_decision<'a>(
    item: &'a [u8],
    span: &SpanView<'_>,
    policy: Option<&str>,
    threshold: Option<u64>,
) -> Cow<'a, [u8]> {
    let wanted = threshold.filter(|threshold| {
        *threshold > ALWAYS || !span.trace_state.is_empty() && OtState::read(span.trace_state) != OtState::default()
    });
    let state = wanted.and_then(|threshold| with_threshold(span.trace_state, threshold));
    if policy.is_none() && state.is_none() {
        return Cow::Borrowed(item);
    }
    let mut out = Vec::with_capacity(item.len() + 64);
    match state {
        None => out.extend_from_slice(item),
        Some(state) => {
            let mut reader = Reader::new(item);
            let mut from = 0;
            while let Ok(Some((number, value))) = reader.next_field() {
                let to = reader.offset();
                if !matches!((number, value), (TRACE_STATE, Value::Bytes(_))) {
                    out.extend_from_slice(item.get(from..to).unwrap_or_default());
                }
                from = to;
            }
            put_bytes(&mut out, TRACE_STATE, &state);
        }
    }
    if let Some(policy) = policy {
        put_message(&mut out, ATTRIBUTES, |out| {
            put_bytes(out, key_value::KEY, POLICY);
            put_message(out, key_value::VALUE, |out| put_bytes(out, any_value::STRING, policy.as_bytes()));
        });
    }
    Cow::Owned(out)
}

/// A `LogRecord` whose trace and span ids stand in their own fields, so that every backend joins it to its trace.
pub(crate) fn with_ids<'a>(item: &'a [u8], facts: &LogRecordFacts) -> Cow<'a, [u8]> {
    let Some(trace) = facts.trace_id.filter(|_| !facts.has_own_trace_id) else { return Cow::Borrowed(item) };
    let mut out = item.to_vec();
    put_bytes(&mut out, LOG_TRACE_ID, &trace.0);
    if let Some(span) = facts.span_id {
        put_bytes(&mut out, LOG_SPAN_ID, &span.0);
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::otlp::string_attribute;

    fn span(state: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        put_bytes(&mut out, 1, &[1; 16]);
        put_bytes(&mut out, TRACE_STATE, state);
        put_bytes(&mut out, 5, b"name");
        out
    }

    /// Scenario: kept spans with and without a policy, a threshold and sampling information of their own.
    /// Guarantees: what has nothing to say leaves the bytes alone; what is written stands once, and all else stays.
    #[test]
    fn what_is_written_stands_once() {
        let bytes = span(b"other=1");
        let view = SpanView::read(&bytes).unwrap();
        assert!(matches!(with_decision(&bytes, &view, None, Some(ALWAYS)), Cow::Borrowed(_)));
        let written = with_decision(&bytes, &view, Some("errors"), Some(sampling::threshold(0.25)));
        let read = SpanView::read(&written).unwrap();
        assert_eq!((read.name, read.trace_id), (b"name".as_slice(), view.trace_id));
        assert_eq!(read.trace_state, b"ot=th:c,other=1");
        assert_eq!(string_attribute(&written, 9, "tailsampling.policy"), Some(b"errors".as_slice()));
        let states = Reader::new(&written);
        let mut reader = states;
        let mut count = 0;
        while let Ok(Some((number, _))) = reader.next_field() {
            count += usize::from(number == TRACE_STATE);
        }
        assert_eq!(count, 1);
        let before = span(b"ot=rv:00000000000001");
        let written = with_decision(&before, &SpanView::read(&before).unwrap(), None, Some(ALWAYS));
        assert_eq!(SpanView::read(&written).unwrap().trace_state, b"ot=th:0;rv:00000000000001");
    }
}
