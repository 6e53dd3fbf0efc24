//! Text to scrape to OTLP to remote write: the same series, labels and values as Prometheus 3 stores of the same text.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use std::time::Duration;

use scrape::{Action, Job, Protocol, Relabel, RuleOptions, TargetState};
use support::{NOW, expected, own, scrape, scrape_in, stored, target};

const TEXT: Protocol = Protocol::PrometheusText0_0_4;
const OPEN: Protocol = Protocol::OpenMetricsText1_0_0;

fn round(job: &Job, protocol: Protocol, body: &str, lines: &str) {
    let mut state = TargetState::default();
    let found = scrape(job, &mut state, protocol, body).unwrap();
    similar(&own(&stored(&found.requests)), &expected(lines));
}

fn similar(found: &support::Stored, wanted: &support::Stored) {
    for (series, samples) in wanted {
        assert_eq!(found.get(series), Some(samples), "{series}; there are {:#?}", found.keys());
    }
    let more: Vec<_> = found.keys().filter(|series| !wanted.contains_key(*series)).collect();
    assert!(more.is_empty(), "too many: {more:#?}");
}

/// Scenario: every kind of Prometheus text, with odd names, times, texts that escape, histograms whose series are mixed or not whole, a
/// counter without `_total`. Guarantees: the series, labels and values that Prometheus 3 stores of it.
#[test]
fn text_comes_back() {
    let body = r#"# HELP http_requests_total The total number of HTTP requests.
# TYPE http_requests_total counter
http_requests_total{method="post",code="200"} 1027 1395066363000
http_requests_total{method="post",code="400"}    3
# Escaping in label values:
msdos_file_access_time_seconds{path="C:\\DIR\\FILE.TXT",error="Cannot find file:\n\"FILE.TXT\""} 1.458255915e9
metric_without_timestamp_and_labels 12.47
something_weird{problem="division by zero"} +Inf -3982045
# TYPE odd counter
odd{a="b",} 5
# TYPE _under__scores gauge
_under__scores{_x="1"} NaN
# TYPE http_request_duration_seconds histogram
http_request_duration_seconds_bucket{le="0.05"} 24054
http_request_duration_seconds_bucket{le="1"} 133988
http_request_duration_seconds_bucket{le="5"} 144300
http_request_duration_seconds_bucket{le="+Inf"} 144320
http_request_duration_seconds_sum 53423
http_request_duration_seconds_count 144320
# TYPE mixed histogram
mixed_bucket{a="1",le="1e6"} 1
mixed_bucket{a="2",le="1000000"} 2
mixed_bucket{a="1",le="+Inf"} 3
mixed_bucket{a="2",le="+Inf"} 4
mixed_sum{a="1"} 5
mixed_count{a="2"} 4
mixed_count{a="1"} 3
# TYPE broken histogram
broken_bucket{le="1"} 5
broken_count 7
# TYPE rpc_duration_seconds summary
rpc_duration_seconds{quantile="0.01"} 3102
rpc_duration_seconds{quantile="0.5"} NaN
rpc_duration_seconds_sum 1.7560473e+07
rpc_duration_seconds_count 2693
# TYPE nosum summary
nosum_count 2
# TYPE ratio gauge
ratio 0.5
# TYPE unt untyped
unt{job="mine"} -0.5
"#;
    let lines = r#"
http_requests_total{method="post",code="200"} 1027@1395066363000
http_requests_total{method="post",code="400"} 3
msdos_file_access_time_seconds{path="C:\\DIR\\FILE.TXT",error="Cannot find file:\n\"FILE.TXT\""} 1.458255915e9
metric_without_timestamp_and_labels 12.47
something_weird{problem="division by zero"} inf@1
odd{a="b"} 5
_under__scores{_x="1"} NaN
http_request_duration_seconds_bucket{le="0.05"} 24054
http_request_duration_seconds_bucket{le="1.0"} 133988
http_request_duration_seconds_bucket{le="5.0"} 144300
http_request_duration_seconds_bucket{le="+Inf"} 144320
http_request_duration_seconds_sum 53423
http_request_duration_seconds_count 144320
mixed_bucket{a="1",le="1e+06"} 1
mixed_bucket{a="2",le="1e+06"} 2
mixed_bucket{a="1",le="+Inf"} 3
mixed_bucket{a="2",le="+Inf"} 4
mixed_sum{a="1"} 5
mixed_count{a="2"} 4
mixed_count{a="1"} 3
broken_bucket{le="1.0"} 5
broken_count 7
rpc_duration_seconds{quantile="0.01"} 3102
rpc_duration_seconds{quantile="0.5"} NaN
rpc_duration_seconds_sum 1.7560473e+07
rpc_duration_seconds_count 2693
nosum_count 2
ratio 0.5
unt{exported_job="mine"} -0.5
"#;
    round(&Job::new("node"), TEXT, body, lines);
}

/// Scenario: every kind of OpenMetrics, with starts, exemplars, units, scopes and a target's own information. Guarantees: the series,
/// labels and values that Prometheus 3 stores of it, but for `_created`, which is the start time; `target_info` becomes the resource.
#[test]
fn openmetrics_comes_back() {
    let body = "# TYPE target info\ntarget_info{env=\"prod\"} 1\n\
# TYPE a_seconds counter\n# UNIT a_seconds seconds\n# HELP a_seconds It \\\"counts\\\".\n\
a_seconds_total{x=\"1\"} 17.5 # {trace_id=\"0af7651916cd43dd8448eb211c80319c\",span_id=\"b7ad6b7169203331\",u=\"v\"} 0.67 1520879607.789\n\
a_seconds_created{x=\"1\"} 1520872607.123\n\
a_seconds_total{x=\"2\"} 1\n\
# TYPE b info\nb_info{name=\"pretty\",version=\"8\"} 1\n\
# TYPE c stateset\nc{c=\"on\"} 1\nc{c=\"off\"} 0\n\
# TYPE d gaugehistogram\nd_bucket{le=\"0.01\"} 20.0\nd_bucket{le=\"+Inf\"} 42.0\nd_gcount 42.0\nd_gsum 324789.3\n\
# TYPE e histogram\ne_bucket{le=\"0.01\"} 0\ne_bucket{le=\"10.0\"} 17 # {trace_id=\"KOO5S4vxi0o\"} 9.8\ne_bucket{le=\"+Inf\"} 17\ne_count 17\ne_sum 324789.3\ne_created 1520430000.123\n\
# TYPE f summary\nf_count 17.0\nf_sum 324789.3\nf{quantile=\"0.95\"} 123.7\nf_created 1520430000.123\n\
# TYPE g unknown\ng{otel_scope_name=\"lib\",otel_scope_version=\"1\",otel_scope_kind=\"x\"} 17 1520879607\n\
# TYPE \"h.utf8\" gauge\n{\"h.utf8\",\"k.ey\"=\"v\"} 1\n\
# EOF\n";
    let lines = "a_seconds_total{x=\"1\"} 17.5\na_seconds_total{x=\"2\"} 1\nb_info{name=\"pretty\",version=\"8\"} 1\n\
c{c=\"on\"} 1\nc{c=\"off\"} 0\nd_bucket{le=\"0.01\"} 20\nd_bucket{le=\"+Inf\"} 42\nd_gcount 42\nd_gsum 324789.3\n\
e_bucket{le=\"0.01\"} 0\ne_bucket{le=\"10.0\"} 17\ne_bucket{le=\"+Inf\"} 17\ne_count 17\ne_sum 324789.3\n\
f_count 17\nf_sum 324789.3\nf{quantile=\"0.95\"} 123.7\n\
g{otel_scope_name=\"lib\",otel_scope_version=\"1\",otel_scope_kind=\"x\"} 17@1520879607000\nh_utf8{k_ey=\"v\"} 1\n";
    let job = Job::new("node");
    round(&job, OPEN, body, lines);
    let found = scrape(&job, &mut TargetState::default(), OPEN, body).unwrap();
    let all = stored(&found.requests);
    let info = all.keys().find(|name| name.starts_with("target_info")).unwrap();
    for label in ["env=\"prod\"", "server_address=\"pump.local\"", "server_port=\"9100\"", "url_scheme=\"http\""] {
        assert!(info.contains(label), "{info}");
    }
    assert_eq!((found.counts.scraped, found.counts.kept), (23, 23));
}

/// Scenario: a draft of OpenMetrics 2.0 with composite values, starts, and a native histogram that is not asked for, and one that is.
/// Guarantees: the same series as of their older forms; a native histogram is one.
#[test]
fn openmetrics_2_comes_back() {
    let body = "# TYPE s summary\ns{p=\"1\"} {count:807283,sum:9036.32,quantile:[0.95:2,0.99:20]} st@1605281325.0\n\
# TYPE t_total counter\nt_total 4.5 st@1520430000.123\n\
# TYPE h histogram\nh{p=\"1\"} {count:2,sum:1.2e2,schema:0,zero_threshold:1e-4,zero_count:0,positive_spans:[1:2],positive_buckets:[1,1],bucket:[0.5:1,1:2,+Inf:2]} st@1605301325.0\n\
# TYPE gh gaugehistogram\ngh {gcount:0.5,gsum:2.0,bucket:[1:0.5,+Inf:0.5]}\n# EOF";
    let lines = "s_count{p=\"1\"} 807283\ns_sum{p=\"1\"} 9036.32\ns{p=\"1\",quantile=\"0.95\"} 2\ns{p=\"1\",quantile=\"0.99\"} 20\nt_total 4.5\n\
h_count{p=\"1\"} 2\nh_sum{p=\"1\"} 120\nh_bucket{p=\"1\",le=\"0.5\"} 1\nh_bucket{p=\"1\",le=\"1.0\"} 2\nh_bucket{p=\"1\",le=\"+Inf\"} 2\n\
gh_gcount 0.5\ngh_gsum 2\ngh_bucket{le=\"1.0\"} 0.5\ngh_bucket{le=\"+Inf\"} 0.5\n";
    let mut job = Job::new("node");
    round(&job, Protocol::OpenMetricsText2_0_0, body, lines);
    job.native_histograms = true;
    let found = scrape(&job, &mut TargetState::default(), Protocol::OpenMetricsText2_0_0, body).unwrap();
    let all = own(&stored(&found.requests));
    let native: Vec<_> = all.keys().filter(|name| name.starts_with('h')).collect();
    assert_eq!(native, ["h{instance=\"pump.local:9100\",job=\"node\",p=\"1\",site=\"hull\"}"]);
    assert_eq!(found.counts.unsupported, 0);
}

/// Scenario: a series vanishes, comes back, its target fails, and is taken away; another one has a time of its own. Guarantees: what ends
/// is marked once, as Prometheus marks it, with all buckets of a histogram; series of the scrape end with the target (P1).
#[test]
fn what_ends_is_marked() {
    let job = Job::new("node");
    let mut state = TargetState::default();
    let histogram = "# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 2\nh_sum 3\nh_count 2\n";
    let first = format!("a 1\nb{{x=\"y\"}} 2\ntimed 3 {NOW}\nold 3 1600000000000\n{histogram}");
    let found = scrape(&job, &mut state, TEXT, &first).unwrap();
    assert_eq!((found.counts.scraped, found.counts.added, found.requests.len()), (8, 6, 1));
    let again = scrape_in(&job, &mut state, (TEXT, first.as_bytes()), (NOW + 1000, 1000)).unwrap();
    assert_eq!((again.counts.added, again.requests.len()), (0, 1));
    let held = state.bytes();
    assert!(held < 600, "{held}");
    let fewer = scrape_in(&job, &mut state, (TEXT, b"a 1\nold 3 1600000000000\n"), (NOW + 2000, 1000)).unwrap();
    let at = NOW + 2000;
    let ended = "b{x=\"y\"} stale@T\nh_bucket{le=\"1.0\"} stale@T\nh_bucket{le=\"+Inf\"} stale@T\nh_sum stale@T\nh_count stale@T\n";
    similar(&own(&stored(&fewer.requests[1..])), &expected(&ended.replace('T', &at.to_string())));
    let failed = state.failed(&target(&job), (NOW as u64 + 3000) * 1_000_000, Duration::from_secs(1));
    let all = stored(&failed.requests);
    similar(&own(&all), &expected(&format!("a stale@{}\n", NOW + 3000)));
    let up = all.iter().find(|(name, _)| name.starts_with("up{")).unwrap();
    assert_eq!(up.1, &[(NOW + 3000, 0f64.to_bits())]);
    let again = state.failed(&target(&job), (NOW as u64 + 4000) * 1_000_000, Duration::from_secs(1));
    assert_eq!(again.requests.len(), 1);
    let back = scrape_in(&job, &mut state, (TEXT, b"a 1\n"), (NOW + 5000, 1000)).unwrap();
    assert_eq!((back.counts.added, back.requests.len()), (1, 1));
    let gone = stored(&state.gone(&target(&job), (NOW as u64 + 6000) * 1_000_000));
    assert_eq!(gone.len(), 6 + 1, "{gone:?}");
    let of_target = gone.iter().filter(|(name, _)| !name.starts_with("target_info"));
    assert!(of_target.clone().all(|(_, samples)| samples == &[(NOW + 6000, support::STALE)]));
}

/// Scenario: rules that rename, drop parts of a histogram, drop series, and labels that win or yield. Guarantees: the series that Prometheus
/// has after the same rules, none made up.
#[test]
fn relabelled_series_come_back() {
    let body = "# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"2\"} 1\nh_bucket{le=\"+Inf\"} 2\nh_sum 3\nh_count 2\n\
# TYPE k histogram\nk_bucket{le=\"1\"} 1\nk_bucket{le=\"+Inf\"} 2\nk_sum 3\nk_count 2\n\
# TYPE c_total counter\nc_total{job=\"own\",instance=\"\",site=\"x\"} 1\n# TYPE go gauge\ngo 1\n";
    let rule = |action, regex: &str| RuleOptions {
        source_labels: vec!["__name__".into(), "le".into()],
        regex: Some(regex.into()),
        action,
        ..RuleOptions::default()
    };
    let mut job = Job::new("node");
    job.honor_labels = true;
    let rename = RuleOptions {
        source_labels: vec!["__name__".into()],
        target_label: "__name__".into(),
        replacement: Some("new_$1".into()),
        ..rule(Action::Replace, "k(.*)")
    };
    job.metric_relabel =
        Relabel::new(&[rule(Action::Drop, "h_bucket;1.0"), rule(Action::Drop, "go;"), rename.clone()]).unwrap();
    let lines = "h_bucket{le=\"2.0\"} 1\nh_bucket{le=\"+Inf\"} 2\nh_sum 3\nh_count 2\nnew_k_bucket{le=\"1.0\"} 1\n\
new_k_bucket{le=\"+Inf\"} 2\nnew_k_sum 3\nnew_k_count 2\nc_total{job=\"own\",instance=\"\",site=\"x\"} 1\n";
    let lines = lines.replace("new_k", "new_");
    round(&job, TEXT, body, &lines);
    job.metric_relabel = Relabel::new(&[rule(Action::Keep, "h_(bucket;2.0|count;)|k_bucket;.*")]).unwrap();
    round(&job, TEXT, body, "h_bucket{le=\"2.0\"} 1\nh_count 2\nk_bucket{le=\"1.0\"} 1\nk_bucket{le=\"+Inf\"} 2\n");
}

/// Scenario: bodies that end in the middle, break a rule in one line, or exceed a limit; each in portions of every size. Guarantees: the
/// scrape fails as a whole, and says in which line and why.
#[test]
fn a_bad_line_fails_the_scrape() {
    let fails = |job: &Job, protocol, body: &[u8], says: &str| {
        for portion in [1, 2, 3, 1000] {
            let error = scrape_in(job, &mut TargetState::default(), (protocol, body), (NOW, portion)).unwrap_err();
            assert!(error.to_string().contains(says), "{error}, not {says}");
        }
    };
    let job = Job::new("node");
    fails(&job, TEXT, b"a 1\n\nb{ 2\n", "line 3: a label is expected");
    fails(&job, TEXT, b"a 1\nb \xff 2\n", "line 2: it is not UTF-8");
    fails(&job, TEXT, b"a 1\nb 4111111111111111x\n", "line 2: '0000000000000000a' is no number");
    fails(&job, TEXT, b"a{x=\"1\",x=\"2\"} 1\n", "line 1: label 'x' stands twice");
    fails(&job, OPEN, b"a 1\n", "does not end with '# EOF'");
    fails(&job, OPEN, b"a 1\n# EOF\nb 1\n", "line 3: something stands behind");
    fails(&job, TEXT, b"<html>\n", "line 1: a name of a metric is expected, and '<html>' is none");
    fails(&job, Protocol::PrometheusProto, b"\x05abc", "cut off");
    fails(&job, Protocol::PrometheusProto, b"\x03abc", "family 1: ");
    let mut limited = Job::new("node");
    limited.limits.samples = 2;
    fails(&limited, TEXT, b"a 1\nb 1\nc 1\n", "line 3: sample limit exceeded");
    limited.limits = scrape::Limits { body_bytes: 5, ..scrape::Limits::default() };
    fails(&limited, TEXT, b"a 1\nb 1\n", "body size limit exceeded");
    limited.limits = scrape::Limits { labels: 4, ..scrape::Limits::default() };
    fails(&limited, TEXT, b"a 1\nb{x=\"1\"} 1\n", "line 2: label_limit exceeded: it has 5 labels");
    limited.limits = scrape::Limits { label_name: 8, label_value: 15, ..scrape::Limits::default() };
    fails(&limited, TEXT, b"a 1\nb{x=\"1234567890123456\"} 1\n", "label_value_length_limit");
    fails(&limited, TEXT, b"b{x23456789=\"1\"} 1\n", "label_name_length_limit");
}

/// Scenario: a series comes twice, with the same time and with times of its own. Guarantees: the first one of each time stays, the other is
/// counted.
#[test]
fn doubles_are_counted() {
    let found =
        scrape(&Job::new("node"), &mut TargetState::default(), TEXT, "a 1\na 2\na 3 5\na 4 6\na 5 6\n").unwrap();
    assert_eq!(found.counts.duplicates, 2);
    similar(&own(&stored(&found.requests)), &expected("a 3@5\na 4@6\na 1\n"));
}

/// Scenario: the protobuf form with a counter, a classic and a native histogram in one, a summary and a gauge with a time; native
/// histograms not wanted, wanted, and beside the classic buckets. Guarantees: the series of Prometheus; start times and exemplars come along.
#[test]
fn protobuf_comes_back() {
    let body: &[u8] = include_bytes!("families.bin");
    let mut job = Job::new("node");
    let mut of = |native, classic| {
        (job.native_histograms, job.always_classic) = (native, classic);
        let found = scrape_in(&job, &mut TargetState::default(), (Protocol::PrometheusProto, body), (NOW, 3)).unwrap();
        own(&stored(&found.requests))
    };
    let others = "c_total{a=\"b\"} 5\ns{quantile=\"0.5\"} 1\ns_sum 3\ns_count 2\ng 1@1000\n";
    let classic =
        "h_bucket{a=\"b\",le=\"1.0\"} 1\nh_bucket{a=\"b\",le=\"+Inf\"} 3\nh_sum{a=\"b\"} 1.5\nh_count{a=\"b\"} 3\n";
    similar(&of(false, false), &expected(&[others, classic].concat()));
    let native = |found: &support::Stored| found.keys().filter(|key| key.starts_with("h{")).count();
    let only = of(true, false);
    assert_eq!((native(&only), only.len()), (1, 6));
    let both = of(true, true);
    assert_eq!((native(&both), both.len()), (1, 10));
}
