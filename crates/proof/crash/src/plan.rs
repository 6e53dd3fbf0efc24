//! What producers send, and what they were promised: every record has a number, which stands in the bytes as a name, or as a value.

use std::collections::{BTreeMap, BTreeSet};

use disk::model::Rng;
use model::otlp::{PointView, for_each_scope};
use model::proto::{ProtoError, Reader, Value, put_bytes, put_fixed64, put_message, put_uint};
use model::{Lane, Signal};
use wire::{Section, Token};

/// Unix nanoseconds at which the model's time begins.
pub(crate) const START_NS: u64 = 1_760_000_000_000_000_000;

/// One record and its fate.
#[derive(Debug, Clone, Default)]
pub(crate) struct Record {
    pub(crate) trace: Option<u64>,
    /// Whether it is a metric point.
    pub(crate) point: bool,
    /// An answer said that it is safe.
    pub(crate) answered: bool,
    /// Its frame was committed.
    pub(crate) committed: bool,
    /// A fault took it away as far as its level allows; it may come all the same.
    pub(crate) may_be_lost: bool,
    /// Taken in after a restart that had forgotten which requests it had: it may come twice.
    pub(crate) may_be_twice: bool,
}

impl Record {
    /// The lane that it is delivered in.
    pub(crate) fn lane(&self) -> Lane {
        match self.trace {
            Some(_) => Lane::Traces,
            None if self.point => Lane::Metrics,
            None => Lane::Logs,
        }
    }
}

/// A request of a producer.
#[derive(Debug, Clone)]
pub(crate) struct Planned {
    pub(crate) signal: Signal,
    pub(crate) body: Vec<u8>,
    pub(crate) key: Vec<u8>,
    pub(crate) records: Vec<u64>,
}

/// Everything that was sent.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    pub(crate) records: Vec<Record>,
    /// For each trace the record with the error that makes it worth keeping, where it has one.
    pub(crate) errors: BTreeMap<u64, u64>,
    /// Traces that may get more parts.
    open: Vec<u64>,
    traces: u64,
    /// Traces up to this one were begun before a restart that forgot its decisions: later parts are judged alone.
    pub(crate) forgotten: u64,
    requests: u64,
}

/// Letters that hardly compress, fewer than `bulk`.
fn filler(rng: &mut Rng, bulk: u64) -> String {
    let len = rng.below(bulk) as usize;
    let mut letters = Vec::with_capacity(len + 8);
    while letters.len() < len {
        letters.extend(rng.bits().to_le_bytes().map(|byte| b'a' + byte % 26));
    }
    letters.truncate(len);
    String::from_utf8(letters).unwrap_or_default()
}

/// The name of a record.
fn name(number: u64) -> String {
    format!("record:{number}")
}

/// Numbers of the records in a frame or body whose tokens `walk` tells, and whose content is `sections`.
pub(crate) fn numbers(walk: impl FnOnce(&mut dyn FnMut(Token<'_>)), sections: &[Section]) -> BTreeSet<u64> {
    let mut found = BTreeSet::new();
    point_numbers(sections, &mut found);
    walk(&mut |token| {
        if let Token::Text(text) = token
            && let Some(number) = text.strip_prefix(b"record:")
            && let Some(number) = std::str::from_utf8(number).ok().and_then(|text| text.parse().ok())
        {
            found.insert(number);
        }
    });
    found
}

fn trace_id(trace: u64) -> [u8; 16] {
    let mut id = [0x5a; 16];
    id[..8].copy_from_slice(&(trace + 1).to_be_bytes());
    id
}

impl Plan {
    fn record(&mut self, trace: Option<u64>) -> u64 {
        self.records.push(Record { trace, ..Record::default() });
        self.records.len() as u64 - 1
    }

    /// The next request; its traces get their error with their first part.
    pub(crate) fn request(&mut self, rng: &mut Rng, wall_ns: u64, bulk: u64) -> Planned {
        self.requests += 1;
        let signal = match rng.below(10) {
            0..6 => Signal::Traces,
            6..8 => Signal::Logs,
            _ => Signal::Metrics,
        };
        let mut records = Vec::new();
        let mut items = Vec::new();
        let most = if signal == Signal::Metrics { 40 } else { 4 };
        for _ in 0..1 + rng.below(most) {
            let filler = filler(rng, bulk);
            let (number, field) = match signal {
                Signal::Traces => {
                    let fresh = self.open.is_empty() || rng.percent(50);
                    let trace =
                        if fresh { self.open_trace() } else { self.open[rng.below(self.open.len() as u64) as usize] };
                    let number = self.record(Some(trace));
                    let error = fresh && rng.percent(50);
                    if error {
                        self.errors.insert(trace, number);
                    }
                    (number, self.span(trace, number, error, wall_ns, &filler))
                }
                Signal::Logs => {
                    let trace = (!self.open.is_empty() && rng.percent(50))
                        .then(|| self.open[rng.below(self.open.len() as u64) as usize]);
                    let number = self.record(trace);
                    (number, line(trace, number, wall_ns, &filler))
                }
                Signal::Metrics => {
                    let number = self.record(None);
                    self.records[number as usize].point = true;
                    (number, point(number, wall_ns))
                }
            };
            records.push(number);
            put_bytes(&mut items, 2, &field);
        }
        if self.open.len() > 6 {
            self.open.drain(..3);
        }
        // Points have their letters together, under their resource.
        let filler = if signal == Signal::Metrics { filler(rng, 4 * bulk) } else { String::new() };
        let mut body = Vec::new();
        put_message(&mut body, 1, |group| {
            put_message(group, 1, |resource| {
                put_message(resource, 1, |attribute| {
                    put_bytes(attribute, 1, b"filler");
                    put_message(attribute, 2, |value| put_bytes(value, 1, filler.as_bytes()));
                });
            });
            put_bytes(group, 2, &items);
        });
        Planned { signal, body, key: self.requests.to_le_bytes().to_vec(), records }
    }

    /// Traces begin with a part that is answered, so that a part never comes before its trace's error.
    pub(crate) fn unanswered(&mut self, request: &Planned) {
        let traces: BTreeSet<u64> =
            request.records.iter().filter_map(|number| self.records[*number as usize].trace).collect();
        self.open.retain(|trace| !traces.contains(trace));
    }

    /// A record with its trace's error.
    pub(crate) fn of(&self, number: u64) -> String {
        let record = &self.records[number as usize];
        let error = record.trace.and_then(|trace| self.errors.get(&trace));
        let error = error.map(|error| (error, &self.records[*error as usize]));
        format!("{record:?}, its error {error:?}")
    }

    /// Decisions are forgotten.
    pub(crate) fn forget(&mut self) {
        self.open.clear();
        self.forgotten = self.traces;
    }

    fn open_trace(&mut self) -> u64 {
        self.traces += 1;
        self.open.push(self.traces);
        self.traces
    }

    fn span(&self, trace: u64, number: u64, error: bool, wall_ns: u64, filler: &str) -> Vec<u8> {
        let mut span = Vec::new();
        put_bytes(&mut span, 1, &trace_id(trace));
        put_bytes(&mut span, 2, &(number + 1).to_be_bytes());
        put_bytes(&mut span, 5, name(number).as_bytes());
        put_fixed64(&mut span, 7, wall_ns);
        put_fixed64(&mut span, 8, wall_ns + 1000);
        put_message(&mut span, 9, |attribute| {
            put_bytes(attribute, 1, b"filler");
            put_message(attribute, 2, |value| put_bytes(value, 1, filler.as_bytes()));
        });
        if error {
            put_message(&mut span, 15, |status| put_uint(status, 3, 2));
        }
        span
    }
}

fn line(trace: Option<u64>, number: u64, wall_ns: u64, filler: &str) -> Vec<u8> {
    let mut line = Vec::new();
    put_fixed64(&mut line, 1, wall_ns);
    put_uint(&mut line, 2, 9);
    put_bytes(&mut line, 3, name(number).as_bytes());
    put_message(&mut line, 5, |body| put_bytes(body, 1, filler.as_bytes()));
    if let Some(trace) = trace {
        put_bytes(&mut line, 9, &trace_id(trace));
    }
    line
}

/// A point of one of a few gauges; its value is its number.
fn point(number: u64, wall_ns: u64) -> Vec<u8> {
    let mut metric = Vec::new();
    put_bytes(&mut metric, 1, [&b"level"[..], b"depth", b"load"][(number % 3) as usize]);
    put_message(&mut metric, 5, |gauge| {
        put_message(gauge, 1, |point| {
            put_fixed64(point, 3, wall_ns + number);
            put_fixed64(point, 4, (number as f64).to_bits());
        });
    });
    metric
}

/// Calls `each` with every metric point of a frame.
fn each_point(sections: &[Section], mut each: impl FnMut(PointView<'_>) -> Result<(), ProtoError>) {
    for section in sections {
        let Section::Metrics(metrics) = section else { continue };
        let walked = for_each_scope::<ProtoError>(metrics, |scope| {
            scope.items().try_for_each(|metric| PointView::for_each(metric?, &mut each))
        });
        debug_assert!(walked.is_ok(), "what was decoded is protobuf");
    }
}

/// Numbers of the points in a frame: the values of its gauges.
fn point_numbers(sections: &[Section], found: &mut BTreeSet<u64>) {
    each_point(sections, |point| {
        let mut reader = Reader::new(point.bytes);
        while let Some(field) = reader.next_field()? {
            // `as_double`
            if let (5, (4, Value::Fixed64(bits))) = (point.kind, field) {
                found.insert(f64::from_bits(bits) as u64);
            }
        }
        Ok(())
    });
}

/// Points of a frame that tell what points were that were thinned out: no producer sends histograms.
pub(crate) fn summaries(sections: &[Section]) -> u64 {
    let mut count = 0;
    each_point(sections, |point| {
        count += u64::from(point.kind == 9);
        Ok(())
    });
    count
}
