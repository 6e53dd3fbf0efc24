//! What decoded rows hold in memory: a few bytes of a pack may be many small rows, or values nested many times.

use std::sync::Arc;

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};

use crate::rows::{LogRow, Origin, SpanRow};

/// What the allocator takes beside each piece.
const PIECE: usize = 16;

/// Bytes that spans hold; what they share counts once.
pub(super) fn of_spans(rows: &[SpanRow]) -> usize {
    let own = |row: &SpanRow| {
        let span = &row.span;
        let event = |event: &Event| event.name.len() + attributes(&event.attributes) + PIECE;
        let link = |link: &Link| link.trace_state.len() + attributes(&link.attributes) + 4 * PIECE;
        size_of::<SpanRow>()
            + 3 * 2 * PIECE
            + span.name.len()
            + span.trace_state.len()
            + span.status.as_ref().map_or(0, |status| status.message.len())
            + attributes(&span.attributes)
            + span.events.len() * size_of::<Event>()
            + span.events.iter().map(event).sum::<usize>()
            + span.links.len() * size_of::<Link>()
            + span.links.iter().map(link).sum::<usize>()
    };
    rows.iter().map(own).sum::<usize>() + origins(rows.iter().map(|row| &row.origin))
}

/// Bytes that log records hold; what they share counts once.
pub(super) fn of_log_records(rows: &[LogRow]) -> usize {
    let own = |row: &LogRow| {
        let record = &row.record;
        size_of::<LogRow>()
            + 2 * 2 * PIECE
            + record.severity_text.len()
            + record.event_name.len()
            + record.body.as_ref().map_or(0, any)
            + attributes(&record.attributes)
    };
    rows.iter().map(own).sum::<usize>() + origins(rows.iter().map(|row| &row.origin))
}

/// Rows of one origin lie together.
fn origins<'a>(of_rows: impl Iterator<Item = &'a Arc<Origin>>) -> usize {
    let mut last: Option<&Arc<Origin>> = None;
    let mut bytes = 0;
    for origin in of_rows {
        if last.is_none_or(|last| !Arc::ptr_eq(last, origin)) {
            bytes += size_of::<Origin>() + 8 * PIECE + attributes(&origin.resource.attributes);
            bytes += attributes(&origin.scope.attributes) + origin.scope.name.len() + origin.service.len();
        }
        last = Some(origin);
    }
    bytes
}

fn attributes(list: &[KeyValue]) -> usize {
    let pair = |pair: &KeyValue| size_of::<KeyValue>() + pair.key.len() + PIECE + pair.value.as_ref().map_or(0, any);
    list.iter().map(pair).sum()
}

fn any(value: &AnyValue) -> usize {
    match &value.value {
        Some(Value::StringValue(text)) => text.len() + PIECE,
        Some(Value::BytesValue(bytes)) => bytes.len() + PIECE,
        Some(Value::ArrayValue(list)) => {
            PIECE + list.values.iter().map(|value| size_of::<AnyValue>() + any(value)).sum::<usize>()
        }
        Some(Value::KvlistValue(list)) => PIECE + attributes(&list.values),
        _ => 0,
    }
}
