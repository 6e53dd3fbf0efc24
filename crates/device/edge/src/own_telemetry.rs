//! What the agent says of itself as telemetry, to whatever it delivers to: its counters as OTLP points, and what is lost as log records
//! (docs/operating.md, "What the agent says of itself").

use drain::Destination;
use drift::Finding;
use journal::Lost;
use model::otlp::schema::{any_value, key_value};
use model::proto::{put_bytes, put_fixed64, put_message, put_uint};

use crate::exposition::Family;

const CUMULATIVE: u64 = 2;
const WARN: u64 = 13;

/// Who says it, and when.
pub(crate) struct Speaker<'a> {
    /// The device's name.
    pub(crate) device: &'a str,
    /// The version of its masking rules.
    pub(crate) masks: &'a str,
    /// When the agent started, Unix nanoseconds.
    pub(crate) started_ns: u64,
    /// Now, Unix nanoseconds.
    pub(crate) wall_ns: u64,
}

impl Speaker<'_> {
    /// Appends a resource group, or a request of one, whose scope `write` fills.
    fn group(&self, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
        put_message(out, 1, |out| {
            put_message(out, 1, |out| {
                string_attribute(out, 1, "service.name", "lightship");
                string_attribute(out, 1, "service.instance.id", self.device);
                string_attribute(out, 1, "service.version", env!("CARGO_PKG_VERSION"));
                string_attribute(out, 1, "lightship.mask.version", self.masks);
            });
            put_message(out, 2, |out| {
                put_message(out, 1, |out| put_bytes(out, 1, b"lightship"));
                write(out);
            });
        });
    }

    /// The families of `/metrics` as a `MetricsData`. Counters lose their `_total`, which Prometheus puts there again.
    pub(crate) fn metrics(&self, families: &[Family]) -> Vec<u8> {
        let mut out = Vec::with_capacity(8 << 10);
        self.group(&mut out, |out| {
            for family in families.iter().filter(|family| !family.rows().is_empty()) {
                put_message(out, 2, |out| self.metric(family, out));
            }
        });
        out
    }

    fn metric(&self, family: &Family, out: &mut Vec<u8>) {
        let name = format!("lightship_{}", family.name().trim_end_matches("_total"));
        put_bytes(out, 1, name.as_bytes());
        put_bytes(out, 2, family.help().as_bytes());
        let is_counter = family.is_counter();
        // `sum` or `gauge`.
        put_message(out, if is_counter { 7 } else { 5 }, |out| {
            for (labels, value) in family.rows() {
                put_message(out, 1, |out| {
                    if is_counter {
                        put_fixed64(out, 2, self.started_ns);
                    }
                    put_fixed64(out, 3, self.wall_ns);
                    put_fixed64(out, 4, value.to_bits());
                    for (key, text) in labels {
                        string_attribute(out, 7, key, text);
                    }
                });
            }
            if is_counter {
                put_uint(out, 2, CUMULATIVE);
                put_uint(out, 3, 1);
            }
        });
    }

    /// What was lost to destinations as a `LogsData`, one record for each stretch; empty where there is nothing to tell.
    pub(crate) fn losses(&self, lost: &[Lost], destinations: &[Destination]) -> Vec<u8> {
        let mut out = Vec::new();
        let told = || lost.iter().filter(|one| one.records > 0);
        if told().next().is_none() {
            return out;
        }
        self.group(&mut out, |out| {
            for one in told() {
                let name = destinations.get(one.destination).map_or("", Destination::name);
                put_message(out, 2, |out| self.loss(one, name, out));
            }
        });
        out
    }

    /// Fields that changed, as a `LogsData`, one record for each; empty where there is nothing to tell. Bodies and samples were masked
    /// with their records.
    pub(crate) fn drift(&self, findings: &[Finding]) -> Vec<u8> {
        let mut out = Vec::new();
        if findings.is_empty() {
            return out;
        }
        self.group(&mut out, |out| {
            for one in findings {
                put_message(out, 2, |out| {
                    self.warning(&one.sentence(), out);
                    for (key, text) in [
                        ("weaver.finding.id", one.kind.id()),
                        ("weaver.finding.signal_type", one.signal.name()),
                        ("weaver.finding.signal_name", &one.name),
                        ("lightship.drift.service", &one.service),
                        ("lightship.drift.field", &one.field),
                        ("lightship.drift.before", &one.before),
                        ("lightship.drift.now", &one.now),
                        ("lightship.drift.sample", &one.sample),
                    ] {
                        string_attribute(out, 6, key, text);
                    }
                    put_bytes(out, 12, b"weaver.live_check.finding");
                });
            }
        });
        out
    }

    fn loss(&self, one: &Lost, destination: &str, out: &mut Vec<u8>) {
        let Lost { gap, records, .. } = one;
        let text = format!(
            "{records} records of lane {} are lost to destination {destination}: {}",
            gap.lane,
            gap.reason.name()
        );
        self.warning(&text, out);
        string_attribute(out, 6, "lightship.destination", destination);
        string_attribute(out, 6, "lightship.lane", gap.lane.name());
        string_attribute(out, 6, "lightship.reason", gap.reason.name());
        for (key, number) in [
            ("lightship.records", *records),
            ("lightship.first_sequence", gap.first),
            ("lightship.last_sequence", gap.last),
            ("lightship.first_time_unix_nano", gap.start_ns),
            ("lightship.last_time_unix_nano", gap.end_ns),
        ] {
            put_message(out, 6, |out| {
                put_bytes(out, key_value::KEY, key.as_bytes());
                put_message(out, key_value::VALUE, |out| put_uint(out, any_value::INT, number));
            });
        }
    }

    /// Time, severity and text of a log record that warns, made now.
    fn warning(&self, text: &str, out: &mut Vec<u8>) {
        put_fixed64(out, 1, self.wall_ns);
        put_uint(out, 2, WARN);
        put_bytes(out, 3, b"WARN");
        put_message(out, 5, |out| put_bytes(out, any_value::STRING, text.as_bytes()));
        put_fixed64(out, 11, self.wall_ns);
    }
}

fn string_attribute(out: &mut Vec<u8>, number: u32, key: &str, text: &str) {
    put_message(out, number, |out| {
        put_bytes(out, key_value::KEY, key.as_bytes());
        put_message(out, key_value::VALUE, |out| put_bytes(out, any_value::STRING, text.as_bytes()));
    });
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use model::otlp::{count_records, validate};
    use model::{Lane, Signal};
    use opentelemetry_proto::tonic::logs::v1::LogsData;
    use opentelemetry_proto::tonic::metrics::v1::{MetricsData, metric::Data};
    use prost::Message;
    use wire::{Gap, GapReason};

    use super::*;

    const SPEAKER: Speaker<'_> = Speaker { device: "ship-1", masks: "0123456789ab", started_ns: 1_000, wall_ns: 2_000 };

    /// Scenario: a counter with labels that hold everything which is escaped, a gauge, and a family without rows. Guarantees: they are OTLP
    /// as its schema has it, with the texts as they were; what has no row is left out (P1).
    #[test]
    fn counters_become_points() {
        let odd = "a \"quoted\" \\ back\nslash, {brace}";
        let labels = vec![("destination", odd.to_owned()), ("reason", "full".to_owned())];
        let families = [
            Family::counter("lost_total", "Records.", vec![(labels, 7.0), (Vec::new(), 1.5)]),
            Family::gauge("depth", "Bytes.", 3u64),
            Family::gauge("none", "Nothing.", Vec::new()),
        ];
        let bytes = SPEAKER.metrics(&families);
        validate(Signal::Metrics, &bytes).unwrap();
        assert_eq!(count_records(Signal::Metrics, &bytes).unwrap(), 3);
        let data = MetricsData::decode(bytes.as_slice()).unwrap();
        let group = &data.resource_metrics[0];
        assert_eq!(group.resource.as_ref().unwrap().attributes.len(), 4);
        let metrics = &group.scope_metrics[0].metrics;
        assert_eq!(
            metrics.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(),
            ["lightship_lost", "lightship_depth"]
        );
        let Some(Data::Sum(sum)) = &metrics[0].data else { panic!("no sum") };
        assert!(sum.is_monotonic && sum.aggregation_temporality == 2);
        let point = &sum.data_points[0];
        assert_eq!((point.start_time_unix_nano, point.time_unix_nano, point.attributes.len()), (1_000, 2_000, 2));
        assert!(format!("{:?}", point.attributes[0]).contains(&format!("{odd:?}")), "{:?}", point.attributes[0]);
    }

    /// Scenario: stretches are lost to two destinations, one of them without a record. Guarantees: each that cost something is a log record
    /// with its numbers; nothing is told where nothing was lost (P1).
    #[test]
    fn losses_become_log_records() {
        let gap =
            Gap { lane: Lane::Logs, first: 3, last: 8, reason: GapReason::Evicted, records: 9, start_ns: 5, end_ns: 6 };
        let new = |signal| Destination::new("backend", Some(signal), Duration::from_secs(1), None);
        let destinations = [new(Signal::Traces), new(Signal::Logs)];
        let lost = [Lost { destination: 0, gap, records: 0 }, Lost { destination: 1, gap, records: 9 }];
        let bytes = SPEAKER.losses(&lost, &destinations);
        validate(Signal::Logs, &bytes).unwrap();
        let data = LogsData::decode(bytes.as_slice()).unwrap();
        let [record] = &data.resource_logs[0].scope_logs[0].log_records[..] else { panic!("{data:?}") };
        let body = format!("{:?}", record.body);
        assert!(body.contains("9 records of lane logs are lost to destination backend.logs: evicted"), "{body}");
        assert_eq!((record.severity_number, record.attributes.len()), (13, 8));
        assert!(SPEAKER.losses(&lost[..1], &destinations).is_empty());
    }

    /// Scenario: a field that changed its type, and nothing. Guarantees: it is a log record of OTLP's schema with the id, the field, both
    /// types and the sample; nothing is told where nothing changed.
    #[test]
    fn findings_become_log_records() {
        let finding = Finding {
            kind: drift::Kind::TypeMismatch,
            service: "api".into(),
            signal: Signal::Logs,
            name: "app".into(),
            field: "duration".into(),
            before: "int".into(),
            now: "string".into(),
            sample: "[REDACTED:pan]".into(),
        };
        let bytes = SPEAKER.drift(std::slice::from_ref(&finding));
        validate(Signal::Logs, &bytes).unwrap();
        let data = LogsData::decode(bytes.as_slice()).unwrap();
        let [record] = &data.resource_logs[0].scope_logs[0].log_records[..] else { panic!("{data:?}") };
        assert_eq!((record.severity_number, record.attributes.len()), (13, 8));
        assert!(format!("{:?}", record.attributes[0]).contains("type_mismatch"));
        assert!(format!("{:?}", record.body).contains("is string, it was int"));
        assert!(SPEAKER.drift(&[]).is_empty());
    }
}
