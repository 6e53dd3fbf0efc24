//! OTLP/JSON as exporters write it, and as they do not.

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::logs::v1::LogsData;
use opentelemetry_proto::tonic::metrics::v1::{MetricsData, metric, number_data_point};
use opentelemetry_proto::tonic::trace::v1::TracesData;
use prost::Message as _;

use super::*;

const MOST: usize = 1 << 20;

fn traces(json: &str) -> TracesData {
    TracesData::decode(&*to_protobuf(Signal::Traces, json.as_bytes(), MOST).unwrap()).unwrap()
}

/// Scenario: a request as the JavaScript SDK writes it: ids in hexadecimal, times as texts, unknown fields and nulls.
/// Guarantees: every field arrives.
#[test]
fn i5_a_trace_request_is_read() {
    let data = traces(
        r#"{"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"sh\u00f6p"}}],
        "droppedAttributesCount":0,"unknown":[{"a":[1,2,{}]}]},"scopeSpans":[{"scope":{"name":"s","version":null},
        "spans":[{"traceId":"5B8EFFF798038103D269B633813FC60C","spanId":"eee19b7ec3c1b174","parentSpanId":"",
        "name":"I'm a \"server\" span","kind":"SPAN_KIND_SERVER","startTimeUnixNano":"1544712660000000000",
        "endTimeUnixNano":1544712661000000000,"attributes":[
          {"key":"i","value":{"intValue":"-9007199254740993"}},{"key":"e","value":{"intValue":1e3}},
          {"key":"d","value":{"doubleValue":"NaN"}},{"key":"b","value":{"bool_value":true}},
          {"key":"y","value":{"bytesValue":"AP8_-w"}},
          {"key":"a","value":{"arrayValue":{"values":[{"stringValue":"x"},{"kvlistValue":{"values":[{"key":"k"}]}}]}}},
          {"key":"n","value":null}],
        "events":[{"timeUnixNano":5,"name":"ev"}],"links":[{"traceId":"5b8efff798038103d269b633813fc60c"}],
        "status":{"code":2,"message":"no"},"flags":257}]}]}]}"#,
    );
    let span = &data.resource_spans[0].scope_spans[0].spans[0];
    assert_eq!((span.trace_id.len(), span.trace_id[0], span.span_id[7]), (16, 0x5b, 0x74));
    assert_eq!((span.kind, span.flags, span.name.as_str()), (2, 257, "I'm a \"server\" span"));
    assert_eq!(span.end_time_unix_nano - span.start_time_unix_nano, 1_000_000_000);
    let value = |index: usize| span.attributes[index].value.clone().and_then(|value| value.value);
    assert_eq!(value(0), Some(Value::IntValue(-9_007_199_254_740_993)));
    assert_eq!(value(1), Some(Value::IntValue(1000)));
    assert!(matches!(value(2), Some(Value::DoubleValue(value)) if value.is_nan()));
    assert_eq!(value(3), Some(Value::BoolValue(true)));
    assert_eq!(value(4), Some(Value::BytesValue(vec![0, 0xff, 0x3f, 0xfb])));
    assert!(matches!(value(5), Some(Value::ArrayValue(array)) if array.values.len() == 2));
    assert_eq!(value(6), None);
    assert_eq!((span.events[0].time_unix_nano, span.links[0].trace_id.len()), (5, 16));
    let status = span.status.as_ref().unwrap();
    assert_eq!((status.code, status.message.as_str()), (2, "no"));
    let resource = data.resource_spans[0].resource.as_ref().unwrap();
    let service = resource.attributes[0].value.clone().unwrap().value;
    assert_eq!(service, Some(Value::StringValue("sh\u{f6}p".into())));
}

/// Scenario: metrics of every kind with numbers as numbers and as texts, log records with names of severities, in both
/// spellings of fields. Guarantees: every field arrives.
#[test]
fn i5_metrics_and_logs_are_read() {
    let json = r#"{"resource_metrics":[{"scopeMetrics":[{"metrics":[
        {"name":"g","gauge":{"dataPoints":[{"asDouble":1.5,"timeUnixNano":"7"},{"asInt":"-3"},{"as_double":"-Infinity"}]}},
        {"name":"s","sum":{"aggregationTemporality":"AGGREGATION_TEMPORALITY_CUMULATIVE","isMonotonic":true,"dataPoints":[]}},
        {"name":"h","histogram":{"aggregationTemporality":1,"dataPoints":[{"count":"3","sum":1e2,
          "bucketCounts":["1",2,0],"explicitBounds":[1,2.5]}]}},
        {"name":"e","exponentialHistogram":{"dataPoints":[{"scale":-2,"zeroCount":1,
          "positive":{"offset":-5,"bucketCounts":["18446744073709551615"]}}]}},
        {"name":"q","summary":{"dataPoints":[{"quantileValues":[{"quantile":0.5,"value":2}]}]}}]}]}]}"#;
    let data = MetricsData::decode(&*to_protobuf(Signal::Metrics, json.as_bytes(), MOST).unwrap()).unwrap();
    let metrics = &data.resource_metrics[0].scope_metrics[0].metrics;
    let Some(metric::Data::Gauge(gauge)) = &metrics[0].data else { panic!("{metrics:?}") };
    let values: Vec<_> = gauge.data_points.iter().map(|point| point.value.unwrap()).collect();
    let expected = [
        number_data_point::Value::AsDouble(1.5),
        number_data_point::Value::AsInt(-3),
        number_data_point::Value::AsDouble(f64::NEG_INFINITY),
    ];
    assert_eq!(values, expected);
    let Some(metric::Data::Sum(sum)) = &metrics[1].data else { panic!("{metrics:?}") };
    assert!(sum.is_monotonic && sum.aggregation_temporality == 2);
    let Some(metric::Data::Histogram(histogram)) = &metrics[2].data else { panic!("{metrics:?}") };
    let point = &histogram.data_points[0];
    assert_eq!((point.count, point.sum, &*point.bucket_counts), (3, Some(100.0), &[1, 2, 0][..]));
    assert_eq!(point.explicit_bounds, [1.0, 2.5]);
    let Some(metric::Data::ExponentialHistogram(exponential)) = &metrics[3].data else { panic!("{metrics:?}") };
    let point = &exponential.data_points[0];
    let positive = point.positive.as_ref().unwrap();
    assert_eq!((point.scale, positive.offset, &*positive.bucket_counts), (-2, -5, &[u64::MAX][..]));
    let json = r#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"severityNumber":"SEVERITY_NUMBER_WARN2",
        "observed_time_unix_nano":9,"body":{"stringValue":"b"}},{"severityNumber":17}]}]}]}"#;
    let data = LogsData::decode(&*to_protobuf(Signal::Logs, json.as_bytes(), MOST).unwrap()).unwrap();
    let records = &data.resource_logs[0].scope_logs[0].log_records;
    assert_eq!((records[0].severity_number, records[0].observed_time_unix_nano), (14, 9));
    assert_eq!(records[1].severity_number, 17);
    assert_eq!(["TRACE", "FATAL4"].map(|name| enum_number(&format!("SEVERITY_NUMBER_{name}"))), [Some(1), Some(24)]);
}

/// Scenario: texts that are no JSON, values of another type, ids that are no hexadecimal, deep values, large output.
/// Guarantees: an error that says where, or a record that the door rejects alone; never a panic (P9).
#[test]
fn i5_what_is_no_otlp_json_is_an_error() {
    let read = |json: &str| to_protobuf(Signal::Traces, json.as_bytes(), MOST);
    for bad in ["", "[]", "1", "{", "{}x", "{\"a\":}", "{'a':1}", "\u{feff}{}", "{\"resourceSpans\":{}}"] {
        assert!(matches!(read(bad), Err(JsonError::Syntax { .. })), "{bad}: {:?}", read(bad));
    }
    let span = |fields: &str| format!("{{\"resourceSpans\":[{{\"scopeSpans\":[{{\"spans\":[{{{fields}}}]}}]}}]}}");
    for bad in ["\"kind\":\"SPAN_KIND_X\"", "\"name\":5", "\"flags\":-1", "\"startTimeUnixNano\":1.5", "\"traceId\":7"]
    {
        assert!(matches!(read(&span(bad)), Err(JsonError::Type { .. })), "{bad}");
    }
    assert!(to_protobuf(Signal::Traces, b"{\"a\":\"\xff\"}", MOST).is_err());
    assert_eq!(read("{}"), Ok(vec![]));
    let odd = read(&span("\"traceId\":\"zz\",\"spanId\":\"eee19b7ec3c1b174\"")).unwrap();
    assert_eq!(crate::otlp::inspect(Signal::Traces, &odd).unwrap().rejected.get(crate::Refusal::InvalidTraceId), 1);
    let ids = "\"traceId\":\"5b8efff798038103d269b633813fc60c\",\"spanId\":\"eee19b7ec3c1b174\"";
    for (depth, kept) in [(MAX_DEPTH, 1), (MAX_DEPTH + 1, 0), (4 * MAX_DEPTH, 0)] {
        let (open, close) = ("{\"arrayValue\":{\"values\":[", "]}}");
        let deep = format!("{}{}", open.repeat(depth as usize), close.repeat(depth as usize));
        let json = span(&format!("{ids},\"attributes\":[{{\"key\":\"k\",\"value\":{deep}}}]"));
        assert_eq!(crate::otlp::inspect(Signal::Traces, &read(&json).unwrap()).unwrap().records, kept, "{depth}");
    }
    let long = span(&format!("{ids},\"name\":\"{}\"", "x".repeat(100)));
    assert_eq!(to_protobuf(Signal::Traces, long.as_bytes(), 100), Err(JsonError::TooLarge));
    for bad in ["\"intValue\":9223372036854775808", "\"intValue\":\"1e19\"", "\"boolValue\":\"true\""] {
        let json = span(&format!("{ids},\"attributes\":[{{\"key\":\"k\",\"value\":{{{bad}}}}}]"));
        assert!(matches!(read(&json), Err(JsonError::Type { .. })), "{bad}");
    }
}

/// Scenario: every cut of a request and every byte of it changed. Guarantees: never a panic, and what is taken is
/// protobuf.
#[test]
fn i5_broken_json_never_panics() {
    let json = r#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"5b8e","kind":"SPAN_KIND_CLIENT","flags":1e1,
        "attributes":[{"key":"k\u00e9","value":{"kvlistValue":{"values":[{"key":"a","value":{"bytesValue":"AA=="}}]}}}]}]}]}]}"#;
    for cut in 0..json.len() {
        assert!(to_protobuf(Signal::Traces, &json.as_bytes()[..cut], MOST).is_err(), "{cut}");
        for change in [1, 2, 0x20, 0x80] {
            let mut changed = json.as_bytes().to_vec();
            changed[cut] ^= change;
            if let Ok(bytes) = to_protobuf(Signal::Traces, &changed, MOST) {
                crate::otlp::inspect(Signal::Traces, &bytes).unwrap();
            }
        }
    }
}
