//! What is told of time that is not here, by each of the APIs that are other tools'.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "this is a test program")]

mod common;

use common::{SECOND, get, line, post, post_link, start, trace};
use hub::clock;

/// What a device says at a time at which it has given out sequences below `next`, of which the hub has none.
fn hello(at: u64, next: u64) -> Vec<u8> {
    let lane = |lane: u8| link::LaneHead { lane, next, oldest: 1, watermark_ns: at };
    let stamp = link::ClockStamp { boot_id: [1; 16], uptime_ns: 1, wall_ns: at, synchronised: true };
    link::encode(&link::Hello {
        device: "vessel-1".into(),
        epoch: 7,
        stamp,
        lanes: vec![lane(2), lane(3), lane(4)],
        version: "0.1.0".into(),
        settles_ms: Some(1000),
        stops: None,
    })
}

/// Scenario: a device says that it holds frames of all signals of the last hour, and the hub is asked for the last ten minutes by PromQL, LogQL, and as Jaeger and
/// Tempo are asked. Guarantees: no answer over that time passes for whole: each says so in a header or its warnings, and names the device (P5).
#[tokio::test]
async fn no_api_passes_a_part_for_the_whole() {
    let dir = tempfile::tempdir().unwrap();
    let hub = start(dir.path()).await;
    let now = clock::now_ns();
    let otlp = [("content-type", "application/x-protobuf")];
    assert_eq!(post(&hub, "/v1/traces", &otlp, &trace(1, now - 60 * SECOND)).await.status, 200);
    assert_eq!(post(&hub, "/v1/logs", &otlp, &line(1, now - 60 * SECOND, "a line")).await.status, 200);
    for hello in [hello(now - 3600 * SECOND, 1), hello(now, 5)] {
        assert_eq!(post_link(&hub, link::HELLO_PATH, &[], &hello).await.status, 200);
    }
    let (from, to) = (now - 600 * SECOND, now - 10 * SECOND);
    let ns = format!("start={from}&end={to}");
    let us = format!("start={}&end={}", from / 1000, to / 1000);
    let id = "01".repeat(16);
    let asked = [
        (format!("/loki/api/v1/query_range?query=%7Bservice_name%3D%22orders%22%7D&{ns}"), "/warnings/0"),
        (
            format!(
                "/loki/api/v1/query?query=sum(count_over_time(%7Bservice_name%3D%22orders%22%7D%5B9m%5D))&time={to}"
            ),
            "/warnings/0",
        ),
        (format!("/loki/api/v1/labels?{ns}"), ""),
        (format!("/loki/api/v1/series?{ns}"), ""),
        (format!("/loki/api/v1/index/stats?query=%7Bservice_name%3D%22orders%22%7D&{ns}"), ""),
        (format!("/loki/api/v1/index/volume?query=%7Bservice_name%3D%22orders%22%7D&{ns}"), "/warnings/0"),
        (format!("/loki/api/v1/detected_fields?query=%7Bservice_name%3D%22orders%22%7D&{ns}"), ""),
        (format!("/jaeger/api/traces?service=orders&{us}"), "/data/0/warnings/0"),
        (format!("/jaeger/api/traces/{id}"), "/data/0/warnings/0"),
        (format!("/jaeger/api/dependencies?endTs={}&lookback=600000", to / 1_000_000), ""),
        (format!("/tempo/api/v2/traces/{id}"), ""),
    ];
    for (path, warning) in asked {
        let answer = get(&hub, &path).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        assert!(answer.head.contains("x-lightship-completeness: complete=?0, fraction=0."), "{path}: {}", answer.head);
        if !warning.is_empty() {
            let said =
                answer.json().pointer(warning).and_then(|said| said.as_str().map(str::to_owned)).unwrap_or_default();
            assert!(said.starts_with("lightship: ") && said.contains("vessel-1"), "{path}: {}", answer.text());
        }
    }
    let metrics =
        format!("/prometheus/api/v1/query_range?query=up&start={}&end={}&step=60", from / SECOND, to / SECOND);
    let said = get(&hub, &metrics).await.json()["warnings"][0].to_string();
    assert!(said.contains("vessel-1"), "{said}");
    hub.stop().await;
}
