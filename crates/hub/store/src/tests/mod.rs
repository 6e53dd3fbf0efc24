//! Tests of the whole store: what comes in, what is answered, and what survives.

mod compaction;
mod contact;
mod damage;
mod intake;
mod metric_packs;
mod metrics;
mod other_apis;
mod searching;
mod tables;
mod weighing;

use std::sync::Arc;

use model::{Epoch, Lane, Stamp};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, LogsData, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status, TracesData};
use prost::Message;
use tempfile::TempDir;
use wire::{FrameHeader, SectionRef};

use crate::{FrameOutcome, Incoming, Options, SharedSeries, Store};

pub(crate) const SECOND: u64 = 1_000_000_000;
/// A moment in 2025, the "now" of most tests.
pub(crate) const NOW: u64 = 1_763_716_800 * SECOND;

pub(crate) fn text(key: &str, value: &str) -> KeyValue {
    let value = AnyValue { value: Some(Value::StringValue(value.to_owned())) };
    KeyValue { key: key.to_owned(), value: Some(value), ..KeyValue::default() }
}

pub(crate) fn resource(service: &str) -> Option<Resource> {
    Some(Resource { attributes: vec![text("service.name", service)], ..Resource::default() })
}

/// A span of trace `trace`: number `number`, child of `parent` (0 is none), from `start` for `length`.
pub(crate) fn span(trace: u8, number: u8, parent: u8, start: u64, length: u64, is_error: bool) -> Span {
    Span {
        trace_id: vec![trace; 16],
        span_id: vec![number; 8],
        parent_span_id: if parent == 0 { Vec::new() } else { vec![parent; 8] },
        name: format!("op-{number}"),
        kind: 2,
        start_time_unix_nano: start,
        end_time_unix_nano: start + length,
        status: Some(Status { code: if is_error { 2 } else { 0 }, message: String::new() }),
        ..Span::default()
    }
}

pub(crate) fn line(trace: u8, time: u64, body: &str) -> LogRecord {
    LogRecord {
        time_unix_nano: time,
        severity_number: 9,
        body: Some(AnyValue { value: Some(Value::StringValue(body.to_owned())) }),
        trace_id: if trace == 0 { Vec::new() } else { vec![trace; 16] },
        ..LogRecord::default()
    }
}

pub(crate) fn spans(service: &str, spans: Vec<Span>) -> Vec<u8> {
    let scope_spans = vec![ScopeSpans { spans, ..ScopeSpans::default() }];
    let resource_spans = vec![ResourceSpans { resource: resource(service), scope_spans, ..ResourceSpans::default() }];
    TracesData { resource_spans }.encode_to_vec()
}

pub(crate) fn lines(service: &str, log_records: Vec<LogRecord>) -> Vec<u8> {
    let scope_logs = vec![ScopeLogs { log_records, ..ScopeLogs::default() }];
    let resource_logs = vec![ResourceLogs { resource: resource(service), scope_logs, ..ResourceLogs::default() }];
    LogsData { resource_logs }.encode_to_vec()
}

pub(crate) fn frame_bytes(lane: Lane, seq: u64, sections: &[SectionRef<'_>]) -> Vec<u8> {
    frame_bytes_of(7, lane, seq, sections)
}

/// A frame of another epoch than the usual one.
pub(crate) fn frame_of(epoch: u64, lane: Lane, seq: u64, sections: &[SectionRef<'_>]) -> Incoming {
    Incoming::from_frame(frame_bytes_of(epoch, lane, seq, sections), &SharedSeries::default()).unwrap()
}

fn frame_bytes_of(epoch: u64, lane: Lane, seq: u64, sections: &[SectionRef<'_>]) -> Vec<u8> {
    let stamp = Stamp { boot_id: [1; 16], uptime_ns: 1, wall_ns: NOW, synchronised: true };
    let header = FrameHeader { device: "vessel-1", epoch: Epoch(epoch), lane, seq, stamp };
    let mut body = Vec::new();
    wire::encode_body(sections, &mut body).unwrap();
    let mut frame = Vec::new();
    wire::seal_frame(&header, &body, &mut frame);
    frame
}

pub(crate) fn frame(lane: Lane, seq: u64, sections: &[SectionRef<'_>]) -> Incoming {
    Incoming::from_frame(frame_bytes(lane, seq, sections), &SharedSeries::default()).unwrap()
}

/// A frame with one span of trace `trace`.
pub(crate) fn one_span(seq: u64, trace: u8, start: u64) -> Incoming {
    frame(Lane::Traces, seq, &[SectionRef::Traces(&spans("orders", vec![span(trace, 1, 0, start, SECOND, false)]))])
}

pub(crate) fn options() -> Options {
    Options { group_delay: std::time::Duration::ZERO, ..Options::default() }
}

/// A store in a directory of its own, which can be closed and opened again.
pub(crate) struct Place {
    dir: TempDir,
    pub(crate) options: Options,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), options: options() }
    }

    pub(crate) fn open(&self) -> Store {
        Store::open(self.dir.path(), self.options.clone()).unwrap()
    }

    pub(crate) fn path(&self) -> &std::path::Path {
        self.dir.path()
    }
}

pub(crate) fn store_all(store: &Store, frames: Vec<Incoming>) -> Vec<FrameOutcome> {
    store.store(frames, NOW).unwrap()
}

/// Packs everything that is in heads, whatever its age.
pub(crate) fn pack_all(store: &Store) -> crate::Compacted {
    store.compact(NOW + 3600 * SECOND).unwrap()
}

pub(crate) fn shared(store: Store) -> Arc<Store> {
    Arc::new(store)
}
