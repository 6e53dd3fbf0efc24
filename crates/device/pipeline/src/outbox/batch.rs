//! Batches: one lane's records, encoded as one frame to be.

use ledger::PerSignal;
use model::otlp::{LONGEST_NS, LogView, PointView, Selection, SpanView, count_records, for_each_scope};
use model::proto::{ProtoError, Reader, Value};
use model::{Lane, Signal, Signals};
use wire::{BodyEncoder, EncodeStats, SectionRef};

use crate::books::Encoded;

use super::parts;

/// An encoded batch: one frame to be, without its identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// Where it goes.
    pub lane: Lane,
    /// The frame body.
    pub body: Vec<u8>,
    /// What it holds.
    pub records: PerSignal,
    /// Earliest event time in it, Unix nanoseconds; 0 when it has none.
    pub start_ns: u64,
    /// Latest event time in it, Unix nanoseconds; 0 when it has none.
    pub end_ns: u64,
    /// The signals of its records; exemplars count as traces, which they follow.
    pub signals: Signals,
}

/// The sections of a batch, as OTLP bytes.
#[derive(Default)]
pub(crate) struct Sections {
    traces: Vec<u8>,
    logs: Vec<u8>,
    metrics: Vec<u8>,
    exemplars: Vec<u8>,
    /// Spans and log records in it; points are counted when they are encoded.
    records: PerSignal,
}

/// A batch that cannot be encoded.
#[derive(Debug)]
pub(crate) struct EncodeFault {
    pub(crate) error: ProtoError,
    /// The records of it, as far as they can be counted.
    pub(crate) records: PerSignal,
}

impl Sections {
    /// Of one signal only.
    pub(crate) fn of(signal: Signal, request: Vec<u8>) -> Self {
        let mut sections = Self::default();
        match signal {
            Signal::Traces => sections.traces = request,
            Signal::Logs => sections.logs = request,
            Signal::Metrics => sections.metrics = request,
        }
        sections
    }

    /// Of what was gathered: `points` is a `MetricsData`, `exemplars` an `ExemplarsData`.
    pub(super) fn gathered(spans: &Selection, log_records: &Selection, points: Vec<u8>, exemplars: Vec<u8>) -> Self {
        let mut sections = Self { metrics: points, exemplars, ..Self::default() };
        spans.write(&mut sections.traces);
        log_records.write(&mut sections.logs);
        sections.records.add(Signal::Traces, spans.records());
        sections.records.add(Signal::Logs, log_records.records());
        sections
    }

    /// Calls `each` with sections that together are these, none of them larger than what is encoded at once.
    ///
    /// # Errors
    /// The signal whose bytes do not walk; what was given before counts.
    pub(super) fn in_parts(self, mut each: impl FnMut(Self)) -> Result<(), EncodeFault> {
        let count = |signal, bytes: &[u8]| match bytes.len() {
            // Smaller than that many records can be.
            small if small as u64 <= parts::MOST_RECORDS => 0,
            _ => count_records(signal, bytes).unwrap_or(u64::MAX),
        };
        let fits =
            |signal, bytes: &[u8]| bytes.len() <= parts::MOST_BYTES && count(signal, bytes) <= parts::MOST_RECORDS;
        let Self { traces, logs, metrics, .. } = &self;
        let all = [(Signal::Traces, traces), (Signal::Logs, logs), (Signal::Metrics, metrics)];
        if all.iter().all(|(signal, bytes)| fits(*signal, bytes)) {
            each(self);
            return Ok(());
        }
        let Self { traces, logs, metrics, exemplars, records } = self;
        if !exemplars.is_empty() {
            each(Self { exemplars, ..Self::default() });
        }
        for (signal, bytes) in [(Signal::Traces, traces), (Signal::Logs, logs), (Signal::Metrics, metrics)] {
            let mut given = 0;
            let split = parts::split(signal, &bytes, |part, count| {
                let mut sections = Self::of(signal, part);
                sections.records.add(signal, count);
                given += count;
                each(sections);
            });
            if let Err(error) = split {
                let mut left = PerSignal::default();
                left.add(signal, records.get(signal).saturating_sub(given));
                return Err(EncodeFault { error, records: left });
            }
        }
        Ok(())
    }

    fn signals(&self) -> Signals {
        let Self { traces, logs, metrics, exemplars, .. } = self;
        let all = [
            (Signal::Traces, !(traces.is_empty() && exemplars.is_empty())),
            (Signal::Logs, !logs.is_empty()),
            (Signal::Metrics, !metrics.is_empty()),
        ];
        all.into_iter().filter_map(|(signal, is_there)| is_there.then_some(signal)).collect()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.traces.is_empty() && self.logs.is_empty() && self.metrics.is_empty() && self.exemplars.is_empty()
    }
}

impl Batch {
    /// Encodes sections for a lane, and gives back the memory of each as soon as it is encoded.
    pub(crate) fn encode(lane: Lane, sections: Sections) -> Result<(Self, Encoded), EncodeFault> {
        let signals = sections.signals();
        let mut batch = Self { lane, body: Vec::new(), records: PerSignal::default(), start_ns: 0, end_ns: 0, signals };
        let known = sections.records;
        match batch.measure(&sections).and_then(|()| batch.encode_all(sections)) {
            Ok(EncodeStats { unknown_fields, invalid_utf8 }) => {
                Ok((batch, Encoded { unknown_fields, invalid_utf8, ..Encoded::default() }))
            }
            Err(error) => {
                let mut records = batch.records;
                for signal in Signal::ALL {
                    records.add(signal, known.get(signal).saturating_sub(records.get(signal)));
                }
                Err(EncodeFault { error, records })
            }
        }
    }

    fn encode_all(&mut self, sections: Sections) -> Result<EncodeStats, ProtoError> {
        let Sections { traces, logs, metrics, exemplars, .. } = sections;
        let mut encoder = BodyEncoder::default();
        encode(&mut encoder, traces, |bytes| SectionRef::Traces(bytes))?;
        encode(&mut encoder, logs, |bytes| SectionRef::Logs(bytes))?;
        encode(&mut encoder, metrics, |bytes| SectionRef::Metrics(bytes))?;
        encode(&mut encoder, exemplars, |bytes| SectionRef::Exemplars(bytes))?;
        let stats = encoder.finish(&mut self.body);
        self.body.shrink_to_fit();
        Ok(stats)
    }

    fn measure(&mut self, sections: &Sections) -> Result<(), ProtoError> {
        for_each_scope::<ProtoError>(&sections.traces, |scope| {
            for item in scope.items() {
                let (start_ns, end_ns) = SpanView::times_of(item?)?;
                self.add(Signal::Traces, start_ns);
                self.spread(end_ns);
            }
            Ok(())
        })?;
        for_each_scope::<ProtoError>(&sections.logs, |scope| {
            for item in scope.items() {
                self.add(Signal::Logs, LogView::read(item?)?.time_ns);
            }
            Ok(())
        })?;
        for_each_scope::<ProtoError>(&sections.metrics, |scope| {
            for item in scope.items() {
                PointView::for_each::<ProtoError>(item?, |point| {
                    let mut reader = Reader::new(point.bytes);
                    let mut time = 0;
                    while let Some((number, value)) = reader.next_field()? {
                        // `time_unix_nano` is field 3 of every kind of point.
                        if let (3, Value::Fixed64(ns)) = (number, value) {
                            time = ns;
                        }
                    }
                    self.add(Signal::Metrics, time);
                    Ok(())
                })?;
            }
            Ok(())
        })
    }

    fn add(&mut self, signal: Signal, time_ns: u64) {
        self.records.add(signal, 1);
        self.spread(time_ns);
    }

    fn spread(&mut self, time_ns: u64) {
        // What nobody can mean says nothing of when the frame is from.
        if time_ns != 0 && time_ns <= LONGEST_NS {
            self.start_ns = if self.start_ns == 0 { time_ns } else { self.start_ns.min(time_ns) };
            self.end_ns = self.end_ns.max(time_ns);
        }
    }
}

/// Encodes one section, where there is one, and gives its memory back.
fn encode(
    encoder: &mut BodyEncoder,
    bytes: Vec<u8>,
    section: impl for<'a> Fn(&'a [u8]) -> SectionRef<'a>,
) -> Result<(), ProtoError> {
    let encoded = if bytes.is_empty() { Ok(()) } else { encoder.push(section(&bytes)) };
    drop(bytes);
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: a batch whose bytes do not walk, in each of its signals. Guarantees: a fault that tells its records, so that they can be
    /// booked; no panic, and nothing stays pending for ever (P1).
    #[test]
    fn r1_what_cannot_be_encoded_is_told() {
        for signal in Signal::ALL {
            let mut sections = Sections::of(signal, b"\x0a\x7fnot so long".to_vec());
            sections.records.add(Signal::Traces, 2);
            let fault = Batch::encode(Lane::Mission, sections).unwrap_err();
            assert_eq!(fault.records.traces, 2, "{}", fault.error);
        }
    }
}
