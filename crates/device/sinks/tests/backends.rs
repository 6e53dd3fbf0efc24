//! Sinks against the real programs, which `tests/backends/build-*.sh` build: `cargo xtask backends`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "support/backend.rs"]
mod backend;

use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

use backend::{Backend, local};
use model::Signal;
use model::proto::{Reader, Value as Field, put_bytes, put_fixed64, put_message, put_uint};
use serde_json::Value;
use sinks::{LokiSink, OtlpSink, PrometheusOptions, PrometheusSink};

const SECOND: u64 = 1_000_000_000;

/// The time now, Unix nanoseconds, in whole seconds.
#[allow(clippy::disallowed_methods, reason = "the backends take no samples that are older than their own clock allows")]
fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs() * SECOND
}

fn prometheus(name: &str) -> Backend {
    prometheus_with(
        name,
        "storage: {tsdb: {out_of_order_time_window: 6h}, exemplars: {max_exemplars: 10000}}\n",
        &["--enable-feature=exemplar-storage,metadata-wal-records"],
    )
}

fn prometheus_with(name: &str, config: &str, options: &[&str]) -> Backend {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("prometheus.yml"), config).unwrap();
    let options: Vec<String> = options.iter().map(|option| (*option).to_owned()).collect();
    Backend::start(name, "prometheus", directory, "/-/ready", |directory, port| {
        let mut all = vec![
            format!("--config.file={directory}/prometheus.yml"),
            format!("--storage.tsdb.path={directory}/data"),
            format!("--web.listen-address=127.0.0.1:{port}"),
            "--web.enable-remote-write-receiver".into(),
            "--web.enable-otlp-receiver".into(),
        ];
        all.extend(options);
        all
    })
}

/// What a Prometheus has of the last six hours: series with their samples as text, and each exemplar with its series as text.
async fn stored(prometheus: &Backend) -> (BTreeMap<String, String>, BTreeSet<String>) {
    let mut all = BTreeMap::new();
    let query = "/api/v1/query?query=%7B__name__%3D~%22.%2B%22%7D%5B6h%5D";
    for series in prometheus.json(query).await["data"]["result"].as_array().unwrap() {
        let samples = [&series["values"], &series["histograms"]].map(Value::to_string).concat();
        all.insert(series["metric"].to_string(), samples);
    }
    let (from, to) = (now() / SECOND - 6 * 3600, now() / SECOND + 60);
    let query = format!("/api/v1/query_exemplars?query=%7B__name__%3D~%22.%2B%22%7D&start={from}&end={to}");
    let found = prometheus.json(&query).await;
    let of_series = |series: &Value| -> Vec<String> {
        let labels = series["seriesLabels"].to_string();
        series["exemplars"].as_array().unwrap().iter().map(|one| format!("{labels} {one}")).collect()
    };
    (all, found["data"].as_array().unwrap().iter().flat_map(of_series).collect())
}

/// Requests as `tests/prometheus-otlp` made them, with their times moved to the last minutes.
fn recent_requests() -> Vec<Vec<u8>> {
    let cases = include_str!("../../prometheus/src/prometheus_cases.json");
    let cases: Value = serde_json::from_str(cases).unwrap();
    let offset = now() - 700 * SECOND - 1_700_000_000 * SECOND;
    let requests = cases["requests"].as_array().unwrap().iter();
    requests.map(|case| moved(&backend::base64(case["request"].as_str().unwrap()), offset, 0)).collect()
}

/// A message of metrics with its fixed64 numbers that look like times of 2023 moved. Data points stand five levels below the request.
fn moved(message: &[u8], offset: u64, level: u32) -> Vec<u8> {
    let (mut reader, mut out) = (Reader::new(message), Vec::new());
    while let Some((number, value)) = reader.next_field().unwrap() {
        match value {
            Field::Fixed64(time) if time / SECOND / 10_000 == 170_000 => put_fixed64(&mut out, number, time + offset),
            Field::Fixed64(bits) => put_fixed64(&mut out, number, bits),
            Field::Varint(varint) => put_uint(&mut out, number, varint),
            Field::Bytes(bytes) => {
                let inner = match (level, number) {
                    (0, 1) | (1 | 2, 2) | (3, 5 | 7 | 9 | 10 | 11) | (4, 1) => moved(bytes, offset, level + 1),
                    (5, 5 | 8 | 11) if Reader::new(bytes).next_field().is_ok() && !bytes.is_empty() => {
                        exemplar(bytes, offset)
                    }
                    _ => bytes.to_vec(),
                };
                put_bytes(&mut out, number, &inner);
            }
            Field::Fixed32(_) => unreachable!("OTLP metrics have none"),
        }
    }
    out
}

/// An exemplar with its time moved; anything else as it is.
fn exemplar(message: &[u8], offset: u64) -> Vec<u8> {
    let (mut reader, mut out) = (Reader::new(message), Vec::new());
    while let Ok(Some((number, value))) = reader.next_field() {
        match (number, value) {
            (2, Field::Fixed64(time)) => put_fixed64(&mut out, 2, time + offset),
            (number, Field::Fixed64(bits)) => put_fixed64(&mut out, number, bits),
            (number, Field::Bytes(bytes)) => put_bytes(&mut out, number, bytes),
            _ => return message.to_vec(),
        }
    }
    out
}

/// Scenario: the requests of `prometheus_cases.json`, with times of the last minutes, go to one Prometheus by OTLP and to another one by
/// remote write. Guarantees: both have the same series, samples, native histograms and exemplars, and nothing is rejected.
#[test]
#[ignore = "needs a Prometheus from tests/backends/build-prometheus.sh"]
fn prometheus_has_the_same_as_by_otlp() {
    local(async {
        let (by_otlp, by_remote_write) = (prometheus("by-otlp"), prometheus("by-remote-write"));
        by_otlp.ready().await;
        by_remote_write.ready().await;
        let mut otlp =
            OtlpSink::http(by_otlp.access("/api/v1/otlp"), false, Some(sinks::Compressor::new(sinks::Coding::Gzip)));
        let mut remote_write = PrometheusSink::new(by_remote_write.access(""), PrometheusOptions::default());
        remote_write.export(Signal::Metrics, &[]).await.unwrap();
        let mut compared = 0;
        for request in recent_requests() {
            // What its own endpoint refuses it refuses as a whole; then there is nothing to compare.
            let there = otlp.export(Signal::Metrics, &request).await;
            let here = remote_write.export(Signal::Metrics, &request).await;
            match (there, here) {
                (Ok(_), Ok(partial)) => {
                    assert_eq!((partial.rejected, partial.message.as_str()), (0, ""));
                    compared += 1;
                }
                (there, here) => panic!("by OTLP {there:?}, by remote write {here:?}"),
            }
        }
        let ((there, exemplars_there), (here, exemplars_here)) =
            (stored(&by_otlp).await, stored(&by_remote_write).await);
        let differ: Vec<_> = there.iter().filter(|(name, samples)| here.get(*name) != Some(samples)).collect();
        let more: Vec<_> = here.keys().filter(|name| !there.contains_key(*name)).collect();
        assert!(differ.is_empty() && more.is_empty(), "{differ:#?}\n{more:#?}");
        // Its endpoint takes exemplars as they come and leaves out what is late; remote write has them in order of time.
        let missing: Vec<_> = exemplars_there.difference(&exemplars_here).collect();
        assert!(missing.is_empty(), "{missing:#?}");
        assert!(
            compared > 50 && there.len() > 200 && exemplars_there.len() > 20,
            "{compared} requests, {} series",
            there.len()
        );
        eprintln!(
            "{compared} requests, {} series, {} and {} exemplars",
            there.len(),
            exemplars_there.len(),
            exemplars_here.len()
        );
    });
}

/// A request of one gauge with samples of these ages, in seconds.
fn gauge(name: &str, ages: &[u64]) -> Vec<u8> {
    let mut out = Vec::new();
    put_message(&mut out, 1, |out| {
        put_message(out, 2, |out| {
            put_message(out, 2, |out| {
                put_bytes(out, 1, name.as_bytes());
                put_message(out, 5, |out| {
                    for age in ages {
                        put_message(out, 1, |out| {
                            put_fixed64(out, 3, now() - age * SECOND);
                            put_fixed64(out, 4, (*age as f64).to_bits());
                        });
                    }
                });
            });
        });
    });
    out
}

/// Scenario: a request of which two samples are older than Prometheus takes, and one from the future. Guarantees: the others are stored,
/// and exactly these are rejected, with Prometheus' words (P1).
#[test]
#[ignore = "needs a Prometheus from tests/backends/build-prometheus.sh"]
fn prometheus_takes_the_rest_of_what_is_too_old() {
    local(async {
        let prometheus = prometheus("partly");
        prometheus.ready().await;
        let mut sink = PrometheusSink::new(prometheus.access(""), PrometheusOptions::default());
        assert_eq!(sink.export(Signal::Metrics, &gauge("level", &[0])).await.unwrap().rejected, 0);
        let told = sink.export(Signal::Metrics, &gauge("level", &[8 * 3600, 7 * 3600, 60, 30, 10])).await.unwrap();
        assert!(told.rejected == 2 && told.message.contains("too old"), "{told:?}");
        let (stored, _) = stored(&prometheus).await;
        let samples: Value = serde_json::from_str(stored["{\"__name__\":\"level\"}"].trim_end_matches("null")).unwrap();
        assert_eq!(samples.as_array().unwrap().len(), 4);
    });
}

/// Scenario: two hours of one gauge, and an old sample, for VictoriaMetrics, which knows version 1.0 only and does not say so.
/// Guarantees: all of it is found there.
#[test]
#[ignore = "needs a VictoriaMetrics from tests/backends/build-victoria-metrics.sh"]
fn victoria_metrics_gets_version_1() {
    local(async {
        let directory = tempfile::tempdir().unwrap();
        let victoria = Backend::start("victoria", "victoria-metrics", directory, "/health", |directory, port| {
            vec![
                format!("-httpListenAddr=127.0.0.1:{port}"),
                format!("-storageDataPath={directory}/data"),
                "-retentionPeriod=10y".into(),
            ]
        });
        victoria.ready().await;
        let mut sink = PrometheusSink::new(victoria.access(""), PrometheusOptions::default());
        sink.export(Signal::Metrics, &[]).await.unwrap();
        let ages: Vec<u64> = (0..720).map(|at| at * 10).chain([90 * 86_400]).collect();
        for ages in ages.chunks(100) {
            let told = sink.export(Signal::Metrics, &gauge("level", ages)).await.unwrap();
            assert_eq!((told.rejected, told.message.as_str()), (0, ""));
        }
        let _flushed = victoria.get("/internal/force_flush").await;
        let (_, lines) = victoria.get("/api/v1/export?match%5B%5D=level").await.unwrap();
        let series = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        assert_eq!(series.map(|one| one["values"].as_array().unwrap().len()).sum::<usize>(), 721, "{lines}");
    });
}

/// A request of log records of two services, with these ages in seconds.
fn log_records(ages: &[u64]) -> Vec<u8> {
    let mut out = Vec::new();
    let text = |out: &mut Vec<u8>, number: u32, key: &str, text: &str| {
        put_message(out, number, |out| {
            put_bytes(out, 1, key.as_bytes());
            put_message(out, 2, |out| put_bytes(out, 1, text.as_bytes()));
        });
    };
    for service in ["pump", "winch \"2\""] {
        put_message(&mut out, 1, |out| {
            put_message(out, 1, |out| {
                text(out, 1, "service.name", service);
                text(out, 1, "host.name", "gw");
            });
            put_message(out, 2, |out| {
                for age in ages {
                    put_message(out, 2, |out| {
                        put_fixed64(out, 1, now() - age * SECOND);
                        put_uint(out, 2, 13);
                        put_message(out, 5, |out| put_bytes(out, 1, format!("{age} seconds ago").as_bytes()));
                        text(out, 6, "http.route", "/a b");
                        put_bytes(out, 9, &[0xab; 16]);
                    });
                }
            });
        });
    }
    out
}

/// Scenario: two hours of log records, the newest first, and some of last month, for VictoriaLogs, which takes Loki's push. Guarantees:
/// all are found there, with their streams, times and metadata.
#[test]
#[ignore = "needs a VictoriaLogs from tests/backends/build-victoria-logs.sh"]
fn victoria_logs_takes_pushes() {
    local(async {
        let directory = tempfile::tempdir().unwrap();
        let victoria = Backend::start("victoria", "victoria-logs", directory, "/health", |directory, port| {
            vec![
                format!("-httpListenAddr=127.0.0.1:{port}"),
                format!("-storageDataPath={directory}/data"),
                "-retentionPeriod=10y".into(),
            ]
        });
        victoria.ready().await;
        let mut sink = LokiSink::new(victoria.access("/insert/loki/api/v1/push"), vec![]);
        sink.export(Signal::Logs, &[]).await.unwrap();
        let ages: Vec<u64> = (0..720).map(|at| at * 10).chain([30 * 86_400, 31 * 86_400]).collect();
        for ages in ages.chunks(100) {
            let told = sink.export(Signal::Logs, &log_records(ages)).await.unwrap();
            assert_eq!((told.rejected, told.message.as_str()), (0, ""));
        }
        let _flushed = victoria.get("/internal/force_flush").await;
        let query = "/select/logsql/query?query=*%20host_name:gw%20http_route:%22/a%20b%22&limit=5000";
        let (_, lines) = victoria.get(query).await.unwrap();
        let records: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(records.len(), 2 * ages.len());
        let streams: BTreeSet<&str> = records.iter().map(|one| one["_stream"].as_str().unwrap()).collect();
        let expected = [r#"{service_name="pump"}"#, r#"{service_name="winch \"2\""}"#];
        assert_eq!(streams, BTreeSet::from(expected));
        let trace = "ab".repeat(16);
        assert!(
            records.iter().all(|one| one["trace_id"] == *trace && one["severity_number"] == "13"),
            "{}",
            records[0]
        );
        let lines: BTreeSet<&str> = records.iter().map(|one| one["_msg"].as_str().unwrap()).collect();
        assert_eq!(lines.len(), ages.len());
    });
}

/// Scenario: a Prometheus as it comes, that stores no exemplars and takes nothing out of order, gets a sum with an exemplar, then an older
/// sample. Guarantees: an exemplar that it does not store is no loss of a point; the older sample is rejected.
#[test]
#[ignore = "needs a Prometheus from tests/backends/build-prometheus.sh"]
fn prometheus_as_it_comes() {
    local(async {
        let prometheus = prometheus_with("plain", "", &[]);
        prometheus.ready().await;
        let mut sink = PrometheusSink::new(prometheus.access(""), PrometheusOptions::default());
        let mut request = Vec::new();
        put_message(&mut request, 1, |out| {
            put_message(out, 2, |out| {
                put_message(out, 2, |out| {
                    put_bytes(out, 1, b"calls");
                    put_message(out, 7, |out| {
                        put_message(out, 1, |out| {
                            put_fixed64(out, 3, now());
                            put_fixed64(out, 6, 5);
                            put_message(out, 5, |out| {
                                put_fixed64(out, 2, now());
                                put_fixed64(out, 6, 1);
                                put_bytes(out, 5, &[7; 16]);
                            });
                        });
                        put_uint(out, 2, 2);
                        put_uint(out, 3, 1);
                    });
                });
            });
        });
        let told = sink.export(Signal::Metrics, &request).await.unwrap();
        assert_eq!((told.rejected, told.message.as_str()), (0, ""));
        assert_eq!(sink.export(Signal::Metrics, &gauge("level", &[0])).await.unwrap().rejected, 0);
        let told = sink.export(Signal::Metrics, &gauge("level", &[30])).await.unwrap();
        assert!(told.rejected == 1 && told.message.contains("out of order"), "{told:?}");
    });
}
