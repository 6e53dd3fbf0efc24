//! The store as LogQL's source of log records: the only place that scans.

use std::collections::HashMap;
use std::sync::Arc;

use logql::{LogSource, Matcher, Order, Record, Select, Sink, SourceError};
use model::TraceId;
use store::query::{LogScan, LogVisitor, Scoped, TimeRange, goes_on};
use store::rows::{LogRow, Origin};

use super::naming::{self, Stream};

/// Origins whose streams are kept.
const KEPT: usize = 1024;

/// The streams of origins, found by the origin's place in memory, which is held meanwhile.
#[derive(Default)]
pub(super) struct Streams(HashMap<*const Origin, (Arc<Origin>, Arc<Stream>)>);

impl Streams {
    pub(super) fn of(&mut self, origin: &Arc<Origin>) -> Arc<Stream> {
        if let Some((_, stream)) = self.0.get(&Arc::as_ptr(origin)) {
            return Arc::clone(stream);
        }
        if self.0.len() >= KEPT {
            self.0.clear();
        }
        let stream = Arc::new(naming::stream(origin));
        self.0.insert(Arc::as_ptr(origin), (Arc::clone(origin), Arc::clone(&stream)));
        stream
    }
}

/// Whether a stream fulfils all conditions.
pub(super) fn fits(stream: &Stream, matchers: &[Matcher]) -> bool {
    matchers.iter().all(|matcher| matcher.matches_labels(&stream.labels))
}

/// The store, as a source of log records.
pub(super) struct StoreLogs<'a>(pub(super) Scoped<'a>);

struct Visitor<'a> {
    select: &'a Select<'a>,
    sink: &'a mut dyn Sink,
    streams: Streams,
    /// The last origin, and whether its stream is asked for.
    last: Option<(Arc<Origin>, Arc<Stream>, bool)>,
}

impl LogVisitor for Visitor<'_> {
    fn visit(&mut self, row: &LogRow) -> bool {
        let known = self.last.as_ref().filter(|(origin, ..)| Arc::ptr_eq(origin, &row.origin));
        let (stream, is_asked) = match known {
            Some((_, stream, is_asked)) => (Arc::clone(stream), *is_asked),
            None => {
                let stream = self.streams.of(&row.origin);
                let is_asked = fits(&stream, self.select.matchers);
                self.last = Some((Arc::clone(&row.origin), Arc::clone(&stream), is_asked));
                (stream, is_asked)
            }
        };
        if !is_asked {
            return true;
        }
        let line = naming::line(&row.record);
        if !(self.select.passes)(&line) {
            return true;
        }
        let metadata = naming::metadata(row, &stream);
        self.sink.take(&Record {
            time: i64::try_from(row.time()).unwrap_or(i64::MAX),
            place: (row.order, row.index),
            stream: &stream.labels,
            line: &line,
            metadata: &metadata,
        })
    }

    fn is_settled(&self, time: u64) -> bool {
        self.sink.is_settled(i64::try_from(time).unwrap_or(i64::MAX))
    }
}

impl LogSource for StoreLogs<'_> {
    fn scan(&self, select: &Select<'_>, sink: &mut dyn Sink) -> Result<(), SourceError> {
        let ns = |time: i64| u64::try_from(time).unwrap_or(0);
        let trace = select.exact.iter().find(|(name, _)| *name == "trace_id");
        let trace_id = trace.and_then(|(_, id)| TraceId::from_hex(id));
        let range = TimeRange { from: ns(select.from), to: ns(select.to) };
        let scan = LogScan { range, trace_id, ascending: select.order == Order::Forward };
        let mut visitor = Visitor { select, sink, streams: Streams::default(), last: None };
        self.0.scan_logs(scan, &mut visitor);
        if goes_on() { Ok(()) } else { Err(SourceError::Stopped) }
    }
}
