//! One record as old as a backlog can get, to each destination: whether it is taken, and which setting of the server says so.

use config::DestinationKind;
use drain::{PartialSuccess, SendError};
use model::Signal;
use model::proto::{put_bytes, put_fixed64, put_message, put_uint};

use super::finding::Diagnosis;
use super::network::fix;
use crate::consumers::Consumer;
use crate::outlets::{Outlet, Sink};

/// The name of what is sent.
const NAME: &str = "lightship_doctor_probe";
const HOUR_NS: u64 = 3_600_000_000_000;

/// What is asked, and when.
#[derive(Debug, Clone, Copy)]
pub(super) struct Aged<'a> {
    pub(super) device: &'a str,
    pub(super) hours: u32,
    pub(super) now_ns: u64,
}

impl Aged<'_> {
    /// Sends it to a destination that answers.
    pub(super) async fn ask(&self, kind: DestinationKind, consumer: &Consumer, outlet: Outlet, all: &mut Diagnosis) {
        let (about, hours) = (format!("destination {}", consumer.name), self.hours);
        let (mut sink, signal) = match (outlet.sink, consumer.signal) {
            (Sink::Exporter(sink), Some(signal)) if kind != DestinationKind::File => (sink, signal),
            _ => return all.good(&about, "it takes records of any age"),
        };
        if signal == Signal::Metrics {
            // How old is too old, Prometheus judges by the newest sample that it has.
            if let Err(error) = sink.export(signal, &self.request(signal, 0)).await {
                let (says, fix) = (format!("a sample of now is not taken: {error}"), fix(&error));
                return all.bad(&about, says, fix);
            }
        }
        let what = format!("{NAME}, a {} of {hours} h ago", record(signal));
        match sink.export(signal, &self.request(signal, hours)).await {
            Ok(PartialSuccess { rejected: 0, .. }) => {
                all.good(&about, format!("{what}, was taken{}", beware(signal)));
            }
            Ok(PartialSuccess { message, .. }) => {
                all.bad(&about, format!("{what}, is refused: {message}"), self.setting(kind, signal));
            }
            Err(error @ SendError::Rejected { .. }) => {
                all.bad(&about, format!("{what}, is refused: {error}"), self.setting(kind, signal));
            }
            Err(error) => all.bad(&about, format!("{what}, found no answer: {error}"), fix(&error)),
        }
    }

    /// What lets a server take records of this age.
    fn setting(&self, kind: DestinationKind, signal: Signal) -> String {
        let hours = self.hours;
        match (kind, signal) {
            (_, Signal::Metrics) => format!(
                "Prometheus: storage.tsdb.out_of_order_time_window: {hours}h or more in its configuration; Mimir: \
                 limits.out_of_order_time_window; VictoriaMetrics: -retentionPeriod"
            ),
            (_, Signal::Logs) => format!(
                "Loki: limits_config.reject_old_samples_max_age: {hours}h or more; beside newer records of the same stream \
                 ingester.max_chunk_age: {}h (half of it counts) or shard_streams.time_sharding_enabled",
                hours.saturating_mul(2)
            ),
            (_, Signal::Traces) => {
                "raise how long the server keeps spans, or lower the age at which it refuses them".to_owned()
            }
        }
    }

    /// An export request of one record that is so old.
    fn request(&self, signal: Signal, hours: u32) -> Vec<u8> {
        let at = self.now_ns.saturating_sub(u64::from(hours) * HOUR_NS);
        // Of its own in each run: a stream that has newer records judges by them.
        let run = (self.now_ns / 1_000_000_000).to_string();
        let mut out = Vec::new();
        put_message(&mut out, 1, |out| {
            put_message(out, 1, |out| {
                attribute(out, 1, "service.name", NAME);
                attribute(out, 1, "service.instance.id", &format!("{}-{run}", self.device));
            });
            put_message(out, 2, |out| put_message(out, 2, |out| self.record(out, signal, hours, at)));
        });
        out
    }

    fn record(&self, out: &mut Vec<u8>, signal: Signal, hours: u32, at: u64) {
        let age = format!("{hours}h");
        match signal {
            Signal::Logs => {
                put_fixed64(out, 1, at);
                put_uint(out, 2, 9);
                put_message(out, 5, |out| put_bytes(out, 1, format!("{NAME}: a record of {age} ago").as_bytes()));
                attribute(out, 6, "age", &age);
                put_fixed64(out, 11, self.now_ns);
            }
            Signal::Traces => {
                let id = self.now_ns.to_be_bytes();
                put_bytes(out, 1, &[id, id].concat());
                put_bytes(out, 2, &id);
                put_bytes(out, 5, NAME.as_bytes());
                put_uint(out, 6, 1);
                put_fixed64(out, 7, at);
                put_fixed64(out, 8, at + 1_000_000);
                attribute(out, 9, "age", &age);
            }
            Signal::Metrics => {
                put_bytes(out, 1, NAME.as_bytes());
                put_bytes(out, 2, b"Sent by lightship doctor.");
                put_message(out, 5, |out| {
                    put_message(out, 1, |out| {
                        put_fixed64(out, 3, at);
                        put_fixed64(out, 4, 1f64.to_bits());
                        attribute(out, 7, "age", &age);
                    });
                });
            }
        }
    }
}

fn record(signal: Signal) -> &'static str {
    match signal {
        Signal::Traces => "span",
        Signal::Logs => "log record",
        Signal::Metrics => "sample",
    }
}

/// What an answer of success does not say.
fn beware(signal: Signal) -> &'static str {
    match signal {
        Signal::Traces => {
            "; Tempo finds a span that is older than storage.trace.wal.ingestion_time_range_slack (2m) by its trace id only: raise that to \
             the longest outage"
        }
        Signal::Logs => {
            "; Loki takes it beside newer records of the same stream up to half of ingester.max_chunk_age; Victoria servers drop what is \
             older than -retentionPeriod without a word"
        }
        Signal::Metrics => "; Victoria servers drop what is older than -retentionPeriod without a word",
    }
}

fn attribute(out: &mut Vec<u8>, number: u32, key: &str, value: &str) {
    put_message(out, number, |out| {
        put_bytes(out, 1, key.as_bytes());
        put_message(out, 2, |out| put_bytes(out, 1, value.as_bytes()));
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: the record of each signal. Guarantees: it is one record of its kind, as old as is said.
    #[test]
    fn probes_are_single_records() {
        let now_ns = 1_800_000_000_000_000_000;
        let aged = Aged { device: "d", hours: 48, now_ns };
        for signal in Signal::ALL {
            let request = aged.request(signal, 48);
            assert_eq!(model::otlp::count_records(signal, &request).unwrap(), 1);
            let time = (now_ns - 48 * HOUR_NS).to_le_bytes();
            assert!(request.windows(8).any(|window| window == time), "{signal:?}");
        }
    }
}
