//! The golden vectors of `tests/golden`: what `tests/python/lightship_frame.py` must agree on, byte for byte (P7).
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod chance;

use std::fmt::Write;
use std::path::PathBuf;

use chance::Chance;
use model::{Epoch, Lane, Stamp};
use prost::Message;
use wire::{FrameHeader, Gap, GapReason, Section, SectionRef, decode_frame, encode_body, seal_frame};

/// Set to write the vectors anew; the diff is then to be read.
const BLESS: &str = "LIGHTSHIP_BLESS";

enum Part {
    Otlp(u8, Vec<u8>),
    Gap(Gap),
}

impl Part {
    fn section(&self) -> SectionRef<'_> {
        match self {
            Part::Otlp(1, bytes) => SectionRef::Traces(bytes),
            Part::Otlp(2, bytes) => SectionRef::Logs(bytes),
            Part::Otlp(3, bytes) => SectionRef::Metrics(bytes),
            Part::Otlp(_, bytes) => SectionRef::Exemplars(bytes),
            Part::Gap(gap) => SectionRef::Gap(gap),
        }
    }
}

/// An `ExemplarsData` of one series, by hand: it is no message of OTLP.
fn exemplars(chance: &mut Chance) -> Vec<u8> {
    use model::proto::{put_bytes, put_message};
    let mut out = Vec::new();
    put_message(&mut out, 1, |out| {
        put_bytes(out, 1, &chance.resource().encode_to_vec());
        put_bytes(out, 3, b"traces.span.metrics.duration");
        put_bytes(out, 4, b"ms");
        for _ in 0..3 {
            put_bytes(out, 6, &chance.exemplar().encode_to_vec());
        }
    });
    out
}

/// A gauge of times in whole milliseconds and decimals with exceptions: the column forms that chance seldom meets.
fn series() -> Vec<u8> {
    use opentelemetry_proto::tonic::metrics::v1::{
        Gauge, Metric, MetricsData, NumberDataPoint, ResourceMetrics, ScopeMetrics, metric, number_data_point::Value,
    };
    let point = |row: u64| NumberDataPoint {
        time_unix_nano: 1_760_000_000_000_000_000 + row * 1_000_000_000 + row * row % 9 * 1_000_000,
        value: Some(Value::AsDouble(if row % 11 == 5 { 1.0 / row as f64 } else { row as f64 / 4.0 - 3.0 })),
        ..NumberDataPoint::default()
    };
    let data = Some(metric::Data::Gauge(Gauge { data_points: (0..100).map(point).collect() }));
    let metrics = vec![Metric { name: "tank.level".into(), data, ..Metric::default() }];
    let scope_metrics = vec![ScopeMetrics { metrics, ..ScopeMetrics::default() }];
    MetricsData { resource_metrics: vec![ResourceMetrics { scope_metrics, ..ResourceMetrics::default() }] }
        .encode_to_vec()
}

/// Protobuf that no exporter writes and every reader takes: unknown fields, a message in pieces, fields out of order, a
/// text that is not UTF-8, an explicit default.
fn odd() -> Vec<u8> {
    use model::proto::{put_bytes, put_fixed64, put_message, put_uint};
    let mut out = Vec::new();
    put_message(&mut out, 1, |out| {
        put_message(out, 2, |out| {
            put_message(out, 2, |out| {
                put_uint(out, 99, 7);
                put_fixed64(out, 8, 30);
                put_bytes(out, 5, b"bad \xff name");
                put_message(out, 15, |out| put_bytes(out, 2, b"message"));
                put_uint(out, 10, 0);
                put_message(out, 15, |out| put_uint(out, 3, 2));
                put_bytes(out, 1, &[7; 8]);
            });
        });
        put_message(out, 1, |out| put_uint(out, 2, 4));
    });
    out
}

fn vectors() -> Vec<(&'static str, Lane, Vec<Part>)> {
    let mut chance = Chance(42);
    let mut many = |make: fn(&mut Chance) -> Vec<u8>| (0..6).flat_map(|_| make(&mut chance)).collect::<Vec<u8>>();
    let traces = many(|chance| chance.traces().encode_to_vec());
    let logs = many(|chance| chance.logs().encode_to_vec());
    let metrics = many(|chance| chance.metrics().encode_to_vec());
    let parked = many(exemplars);
    let gap = Gap {
        lane: Lane::Metrics,
        first: 7,
        last: 1 << 40,
        reason: GapReason::HubRestore,
        records: 512,
        start_ns: 1_760_000_000_000_000_000,
        end_ns: 1_760_000_600_000_000_000,
    };
    vec![
        ("empty", Lane::Debug, vec![]),
        ("traces", Lane::Traces, vec![Part::Otlp(1, traces.clone())]),
        ("logs", Lane::Logs, vec![Part::Otlp(2, logs.clone())]),
        ("metrics", Lane::Metrics, vec![Part::Otlp(3, metrics)]),
        ("kept", Lane::Traces, vec![Part::Otlp(1, traces), Part::Otlp(2, logs), Part::Otlp(4, parked)]),
        ("series", Lane::Metrics, vec![Part::Otlp(3, series())]),
        ("odd", Lane::Traces, vec![Part::Otlp(1, odd())]),
        ("gap", Lane::Metrics, vec![Part::Gap(gap)]),
    ]
}

fn frame(lane: Lane, parts: &[Part]) -> Vec<u8> {
    let (mut body, mut frame) = (Vec::new(), Vec::new());
    let sections: Vec<SectionRef<'_>> = parts.iter().map(Part::section).collect();
    encode_body(&sections, &mut body).unwrap();
    let stamp = Stamp { boot_id: [9; 16], uptime_ns: 1 << 33, wall_ns: 1_760_000_000_000_000_000, synchronised: true };
    seal_frame(&FrameHeader { device: "vessel-1", epoch: Epoch(0xfeed), lane, seq: 300, stamp }, &body, &mut frame);
    frame
}

/// Scenario: the vectors' OTLP is encoded on this machine. Guarantees: the bytes are those of every other machine (P7).
#[test]
fn golden_vectors_stay() {
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../tests/golden");
    let bless = std::env::var_os(BLESS).is_some();
    for (name, lane, parts) in vectors() {
        let bytes = frame(lane, &parts);
        let path = directory.join(format!("{name}.frame"));
        if bless {
            std::fs::create_dir_all(&directory).unwrap();
            std::fs::write(&path, &bytes).unwrap();
            let mut described = Vec::new();
            let decoded = decode_frame(&bytes).unwrap();
            for (index, (part, section)) in parts.iter().zip(&decoded.sections).enumerate() {
                match (part, section) {
                    (
                        Part::Otlp(kind, sent),
                        Section::Traces(read) | Section::Logs(read) | Section::Metrics(read) | Section::Exemplars(read),
                    ) => {
                        let (otlp, canonical) = (format!("{name}.{index}.otlp"), format!("{name}.{index}.canonical"));
                        std::fs::write(directory.join(&otlp), sent).unwrap();
                        std::fs::write(directory.join(&canonical), read).unwrap();
                        described.push(format!(
                            "  {{\"kind\": {kind}, \"otlp\": \"{otlp}\", \"canonical\": \"{canonical}\"}}"
                        ));
                    }
                    (Part::Gap(gap), _) => described.push(format!(
                        "  {{\"kind\": 5, \"gap\": [{}, {}, {}, 2, {}, {}, {}]}}",
                        gap.lane.number(),
                        gap.first,
                        gap.last,
                        gap.records,
                        gap.start_ns,
                        gap.end_ns
                    )),
                    _ => panic!("{name}: other sections"),
                }
            }
            let mut text = String::new();
            writeln!(text, "[\n{}\n]", described.join(",\n")).unwrap();
            std::fs::write(path.with_extension("json"), text).unwrap();
        }
        let golden = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert!(golden == bytes, "{name}: other bytes; if that is meant, run with {BLESS}=1 and raise the version");
    }
}
