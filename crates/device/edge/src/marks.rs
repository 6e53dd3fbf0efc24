//! What a decision writes on records: which policy kept a trace, its threshold, and a line's ids in their own fields.

use std::borrow::Cow;

use model::otlp::SpanView;
use model::otlp::schema::{any_value, key_value};
use model::proto::{Reader, Value, put_bytes, put_message};
use sampling::{ALWAYS, LineFacts, OtState, with_threshold};

/// The attribute of the Collector's tail sampling processor.
const POLICY: &[u8] = b"tailsampling.policy";
const TRACE_STATE: u32 = 3;
const ATTRIBUTES: u32 = 9;
const LINE_TRACE_ID: u32 = 9;
const LINE_SPAN_ID: u32 = 10;

/// A `Span` with the name of the policy that kept its trace as an attribute, and the threshold in its `tracestate`. A
/// threshold that lets everything through is written only over one that is there already: it says nothing new.
pub(crate) fn with_marks<'a>(
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
pub(crate) fn with_ids<'a>(item: &'a [u8], line: &LineFacts) -> Cow<'a, [u8]> {
    let Some(trace) = line.trace_id.filter(|_| !line.has_own_trace_id) else { return Cow::Borrowed(item) };
    let mut out = item.to_vec();
    put_bytes(&mut out, LINE_TRACE_ID, &trace.0);
    if let Some(span) = line.span_id {
        put_bytes(&mut out, LINE_SPAN_ID, &span.0);
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
    /// Guarantees: what has nothing to say leaves the bytes alone; marks stand once, and all else stays.
    #[test]
    fn marks_stand_once() {
        let bytes = span(b"other=1");
        let view = SpanView::read(&bytes).unwrap();
        assert!(matches!(with_marks(&bytes, &view, None, Some(ALWAYS)), Cow::Borrowed(_)));
        let marked = with_marks(&bytes, &view, Some("errors"), Some(sampling::threshold(0.25)));
        let read = SpanView::read(&marked).unwrap();
        assert_eq!((read.name, read.trace_id), (b"name".as_slice(), view.trace_id));
        assert_eq!(read.trace_state, b"ot=th:c,other=1");
        assert_eq!(string_attribute(&marked, 9, "tailsampling.policy"), Some(b"errors".as_slice()));
        let states = Reader::new(&marked);
        let mut reader = states;
        let mut count = 0;
        while let Ok(Some((number, _))) = reader.next_field() {
            count += usize::from(number == TRACE_STATE);
        }
        assert_eq!(count, 1);
        let before = span(b"ot=rv:00000000000001");
        let marked = with_marks(&before, &SpanView::read(&before).unwrap(), None, Some(ALWAYS));
        assert_eq!(SpanView::read(&marked).unwrap().trace_state, b"ot=th:0;rv:00000000000001");
    }
}
