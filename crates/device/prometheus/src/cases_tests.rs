//! Names and requests against what Prometheus' own OTLP endpoint makes of them (`tests/prometheus-otlp`).

use prost::Message as _;
use serde_json::Value;

use crate::names::{NamedAs, unit_name};
use crate::{Message, Options, Translation, Translator};

const TRANSLATIONS: [Translation; 4] = [
    Translation::UnderscoreEscapingWithSuffixes,
    Translation::UnderscoreEscapingWithoutSuffixes,
    Translation::NoUtf8EscapingWithSuffixes,
    Translation::NoTranslation,
];

/// The messages of remote write, as its page has them.
mod v2 {
    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Request {
        #[prost(string, repeated, tag = "4")]
        pub(super) symbols: Vec<String>,
        #[prost(message, repeated, tag = "5")]
        pub(super) timeseries: Vec<TimeSeries>,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct TimeSeries {
        #[prost(uint32, repeated, tag = "1")]
        pub(super) labels_refs: Vec<u32>,
        #[prost(message, repeated, tag = "2")]
        pub(super) samples: Vec<Sample>,
        #[prost(message, repeated, tag = "3")]
        pub(super) histograms: Vec<Histogram>,
        #[prost(message, repeated, tag = "4")]
        pub(super) exemplars: Vec<Exemplar>,
        #[prost(message, optional, tag = "5")]
        pub(super) metadata: Option<Metadata>,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Sample {
        #[prost(double, tag = "1")]
        pub(super) value: f64,
        #[prost(int64, tag = "2")]
        pub(super) timestamp: i64,
        #[prost(int64, tag = "3")]
        pub(super) start_timestamp: i64,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Exemplar {
        #[prost(uint32, repeated, tag = "1")]
        pub(super) labels_refs: Vec<u32>,
        #[prost(double, tag = "2")]
        pub(super) value: f64,
        #[prost(int64, tag = "3")]
        pub(super) timestamp: i64,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Metadata {
        #[prost(int32, tag = "1")]
        pub(super) kind: i32,
        #[prost(uint32, tag = "3")]
        pub(super) help_ref: u32,
        #[prost(uint32, tag = "4")]
        pub(super) unit_ref: u32,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Histogram {
        #[prost(uint64, tag = "1")]
        pub(super) count_int: u64,
        #[prost(double, tag = "3")]
        pub(super) sum: f64,
        #[prost(sint32, tag = "4")]
        pub(super) schema: i32,
        #[prost(double, tag = "5")]
        pub(super) zero_threshold: f64,
        #[prost(uint64, tag = "6")]
        pub(super) zero_count_int: u64,
        #[prost(message, repeated, tag = "8")]
        pub(super) negative_spans: Vec<Span>,
        #[prost(sint64, repeated, tag = "9")]
        pub(super) negative_deltas: Vec<i64>,
        #[prost(message, repeated, tag = "11")]
        pub(super) positive_spans: Vec<Span>,
        #[prost(sint64, repeated, tag = "12")]
        pub(super) positive_deltas: Vec<i64>,
        #[prost(int64, tag = "15")]
        pub(super) timestamp: i64,
        #[prost(int64, tag = "17")]
        pub(super) start_timestamp: i64,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Span {
        #[prost(sint32, tag = "1")]
        pub(super) offset: i32,
        #[prost(uint32, tag = "2")]
        pub(super) length: u32,
    }
}

/// `prometheus.WriteRequest`.
mod v1 {
    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Request {
        #[prost(message, repeated, tag = "1")]
        pub(super) timeseries: Vec<TimeSeries>,
        #[prost(message, repeated, tag = "3")]
        pub(super) metadata: Vec<Metadata>,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct TimeSeries {
        #[prost(message, repeated, tag = "1")]
        pub(super) labels: Vec<Label>,
        #[prost(message, repeated, tag = "2")]
        pub(super) samples: Vec<super::v2::Sample>,
        #[prost(message, repeated, tag = "3")]
        pub(super) exemplars: Vec<Exemplar>,
        #[prost(message, repeated, tag = "4")]
        pub(super) histograms: Vec<super::v2::Histogram>,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Label {
        #[prost(string, tag = "1")]
        pub(super) name: String,
        #[prost(string, tag = "2")]
        pub(super) value: String,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Exemplar {
        #[prost(message, repeated, tag = "1")]
        pub(super) labels: Vec<Label>,
        #[prost(double, tag = "2")]
        pub(super) value: f64,
        #[prost(int64, tag = "3")]
        pub(super) timestamp: i64,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Metadata {
        #[prost(int32, tag = "1")]
        pub(super) kind: i32,
        #[prost(string, tag = "2")]
        pub(super) family: String,
        #[prost(string, tag = "4")]
        pub(super) help: String,
        #[prost(string, tag = "5")]
        pub(super) unit: String,
    }
}

fn cases() -> Value {
    serde_json::from_str(include_str!("prometheus_cases.json")).unwrap()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

/// Scenario: 700 names and units, with digits in front, without a letter, with words of units in them, in every translation.
/// Guarantees: the names that Prometheus' library gives them.
#[test]
fn prometheus_gives_the_same_names() {
    for case in cases()["names"].as_array().unwrap() {
        let kind = match text(&case["kind"]) {
            "gauge" => NamedAs::Gauge,
            "counter" => NamedAs::Counter,
            _ => NamedAs::Other,
        };
        let (name, unit) = (text(&case["name"]), text(&case["unit"]));
        for (at, translation) in TRANSLATIONS.into_iter().enumerate() {
            let found = translation.metric_name(name, unit, kind).unwrap_or_default();
            assert_eq!(found, text(&case["metric"][at]), "{translation:?} of '{name}' in '{unit}', {kind:?}");
            let mut label = String::new();
            if !translation.label_name(text(&case["label"][2]), &mut label) {
                label.clear();
            }
            let expected = text(&case["label"][usize::from(!translation.escapes())]);
            // Its library refuses a label of underscores alone even where names stay as they are; its endpoint does not ask it then.
            if !expected.is_empty() || translation.escapes() {
                assert_eq!(label, expected, "{translation:?} of '{}'", case["label"][2]);
            }
        }
        assert_eq!(unit_name(unit), text(&case["unit_name"]), "'{unit}'");
    }
}

fn joined(mut pairs: Vec<(String, String)>) -> String {
    assert!(pairs.is_sorted_by(|one, other| one.0 < other.0), "labels are sorted, each once: {pairs:?}");
    pairs.sort_by_key(|(name, value)| format!("{name}={value}"));
    pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("|")
}

fn buckets(spans: &[v2::Span], deltas: &[i64]) -> String {
    let (mut out, mut index, mut count, mut deltas) = (Vec::new(), 0, 0, deltas.iter());
    for span in spans {
        index += span.offset;
        for _ in 0..span.length {
            count += deltas.next().unwrap();
            if count != 0 {
                out.push(format!("{index}:{count}"));
            }
            index += 1;
        }
    }
    assert_eq!(deltas.next(), None);
    out.join(",")
}

fn histogram(found: &v2::Histogram) -> String {
    format!(
        "h {} {} {} {:016x} [{}] [{}]",
        found.schema,
        found.count_int,
        found.zero_count_int,
        found.sum.to_bits(),
        buckets(&found.negative_spans, &found.negative_deltas),
        buckets(&found.positive_spans, &found.positive_deltas)
    )
}

/// A message of version 2.0 in the words of the cases.
fn lines(message: &[u8]) -> Vec<String> {
    let request = v2::Request::decode(message).unwrap();
    assert_eq!(request.symbols.first().map(String::as_str), Some(""));
    let symbol = |number: u32| request.symbols[number as usize].clone();
    let labels = |refs: &[u32]| joined(refs.chunks(2).map(|pair| (symbol(pair[0]), symbol(pair[1]))).collect());
    let mut lines = Vec::new();
    for series in &request.timeseries {
        let name = labels(&series.labels_refs);
        let metadata = series.metadata.as_ref().unwrap();
        let kind = ["unknown", "counter", "gauge", "histogram", "", "summary"][metadata.kind as usize];
        let about = format!("{kind} {:?} {:?}", symbol(metadata.help_ref), symbol(metadata.unit_ref));
        let times: Vec<i64> = series.samples.iter().map(|one| one.timestamp).collect();
        let native_times: Vec<i64> = series.histograms.iter().map(|one| one.timestamp).collect();
        assert!(times.is_sorted() && native_times.is_sorted() && times.is_empty() != native_times.is_empty());
        for one in &series.samples {
            let (start, time) = (one.start_timestamp, one.timestamp);
            lines.push(format!("{name} @{start}-{time} {:016x} {about}", one.value.to_bits()));
        }
        for one in &series.histograms {
            lines.push(format!("{name} @{}-{} {} {about}", one.start_timestamp, one.timestamp, histogram(one)));
        }
        for one in &series.exemplars {
            let value = one.value.to_bits();
            lines.push(format!("{name} exemplar @{} {value:016x} {}", one.timestamp, labels(&one.labels_refs)));
        }
    }
    lines.sort();
    lines
}

/// The same of a message of version 1.0, which has neither starts nor what a series is about.
fn lines_v1(message: &[u8]) -> Vec<String> {
    let request = v1::Request::decode(message).unwrap();
    let labels =
        |labels: &[v1::Label]| joined(labels.iter().map(|one| (one.name.clone(), one.value.clone())).collect());
    let mut lines = Vec::new();
    for series in &request.timeseries {
        let name = labels(&series.labels);
        for one in &series.samples {
            lines.push(format!("{name} @{} {:016x}", one.timestamp, one.value.to_bits()));
        }
        for one in &series.histograms {
            lines.push(format!("{name} @{} {}", one.timestamp, histogram(one)));
        }
        for one in &series.exemplars {
            let value = one.value.to_bits();
            lines.push(format!("{name} exemplar @{} {value:016x} {}", one.timestamp, labels(&one.labels)));
        }
    }
    lines.sort();
    lines
}

/// A line of a case without what version 1.0 does not have.
fn without_v2(line: &str) -> String {
    let Some((name, rest)) = line.split_once(" @").filter(|(name, _)| !name.ends_with("exemplar")) else {
        return line.into();
    };
    let (times, rest) = rest.split_once(' ').unwrap();
    let time = times.rsplit('-').next().unwrap();
    let value = ["counter", "gauge", "histogram", "summary"]
        .iter()
        .find_map(|kind| rest.split_once(&format!(" {kind} \"")))
        .unwrap()
        .0;
    format!("{name} @{time} {value}")
}

/// Scenario: 60 random requests with every kind of metric, attributes that collide and that Prometheus keeps for itself, promoted
/// resource attributes, exemplars, points without a value, bounds at infinity, scales from -4 to 20, in every translation.
/// Guarantees: in version 2.0 the samples, starts, exemplars and metadata that Prometheus' own endpoint stores, series sorted and oldest
/// first; in version 1.0 the same as far as it has a place for it.
#[test]
fn prometheus_stores_the_same() {
    for case in cases()["requests"].as_array().unwrap() {
        let request = decode_base64(text(&case["request"]));
        let promote = case["promote"].as_array().unwrap().iter().map(|name| text(name).to_owned()).collect();
        let translation = TRANSLATIONS[case["strategy"].as_u64().unwrap() as usize];
        let mut translator = Translator::new(Options { translation, promote_resource_attributes: promote });
        let counts = translator.read(&request).unwrap().clone();
        assert_eq!((counts.rejected, counts.exemplars_left_out), (0, 0), "{}", counts.why);
        assert_eq!(counts.points, model::otlp::count_records(model::Signal::Metrics, &request).unwrap());
        let mut expected: Vec<String> =
            case["lines"].as_array().unwrap().iter().map(|line| text(line).to_owned()).collect();
        expected.sort();
        // The same sample twice is sent once.
        expected.dedup();
        let mut message = Vec::new();
        translator.write(Message::V2, &mut message).unwrap();
        let mut found = lines(&message);
        assert_eq!(found.len() as u64, counts.samples + counts.histograms + counts.exemplars);
        found.dedup();
        let only = |these: &[String], those: &[String]| {
            these.iter().filter(|line| !those.contains(line)).cloned().collect::<Vec<_>>()
        };
        assert_eq!((only(&found, &expected), only(&expected, &found)), (vec![], vec![]), "only here, only there");
        let mut old = Vec::new();
        translator.write(Message::V1, &mut old).unwrap();
        let mut expected: Vec<String> = expected.iter().map(|line| without_v2(line)).collect();
        expected.sort();
        expected.dedup();
        let mut found = lines_v1(&old);
        found.dedup();
        assert_eq!(found, expected);
        assert!(!v1::Request::decode(old.as_slice()).unwrap().metadata.is_empty());
        let again = translator.read(&request).unwrap().clone();
        let mut same = Vec::new();
        translator.write(Message::V2, &mut same).unwrap();
        assert!(again == counts && same == message, "what is sent again has the same bytes");
    }
}

fn decode_base64(text: &str) -> Vec<u8> {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.decode(text).unwrap()
}
