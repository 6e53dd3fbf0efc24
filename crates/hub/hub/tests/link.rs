//! The link over a real socket: hello, blocks, and what the query API tells of them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "this is a test program")]

mod common;

use common::{SECOND, block, connect_tls, get, line, post, post_link, start, trace};
use hub::clock;
use link::{BLOCKS_PATH, BlocksAck, ClockStamp, HELLO_PATH, Hello, HelloAck, LaneHead, Outcome, Verdict};
use wire::SectionRef;

fn hello(next: u64, oldest: u64) -> Vec<u8> {
    let now = clock::now_ns();
    link::encode(&Hello {
        device: "vessel-1".into(),
        epoch: 7,
        stamp: ClockStamp { boot_id: [1; 16], uptime_ns: 1, wall_ns: now, synchronised: true },
        lanes: vec![LaneHead { lane: 2, next, oldest, watermark_ns: now }],
        version: "0.1.0".into(),
        settles_ms: None,
        stops: None,
    })
}

fn outcomes(body: &[u8]) -> Vec<(u64, u64, Outcome)> {
    let ack: BlocksAck = link::decode(body).unwrap();
    ack.blocks.iter().map(|block| (block.first, block.last, block.outcome)).collect()
}

/// Scenario: a device says hello and sends a trace with its line in two blocks; one of them again; other content under
/// its identity; a damaged one between whole ones; then the hub restarts. Guarantees: each block is told what became of
/// it, the hello tells how far the hub is, and trace, line, device and ledger are found (P3, P8).
#[tokio::test(flavor = "multi_thread")]
async fn blocks_become_traces() {
    let dir = tempfile::tempdir().unwrap();
    let hub = start(dir.path()).await;
    let ack: HelloAck = link::decode(&post_link(&hub, HELLO_PATH, &[], &hello(3, 1)).await.body).unwrap();
    assert_eq!((ack.verdict, ack.lanes[0].next_expected), (Verdict::Ok, 1));

    let now = clock::now_ns() - 10 * SECOND;
    let (spans, lines) = (trace(1, now), line(1, now + 1, "no such order"));
    let first = block("vessel-1", 1, &[&[SectionRef::Traces(&spans)]]);
    let second = block("vessel-1", 2, &[&[SectionRef::Logs(&lines)]]);
    let answer = post_link(&hub, BLOCKS_PATH, &[], &[first.clone(), second.clone()].concat()).await;
    assert_eq!(outcomes(&answer.body), [(1, 1, Outcome::Stored), (2, 2, Outcome::Stored)]);
    assert!(answer.head.contains("content-type: application/cbor"));

    let third = block("vessel-1", 3, &[&[SectionRef::Traces(&trace(3, now))]]);
    let other = block("vessel-1", 1, &[&[SectionRef::Traces(&trace(9, now))]]);
    let mut damaged = block("vessel-1", 4, &[&[SectionRef::Traces(&trace(4, now))]]);
    *damaged.last_mut().unwrap() ^= 1;
    let answer = post_link(&hub, BLOCKS_PATH, &[], &[first, other, third.clone(), damaged].concat()).await;
    assert_eq!(
        outcomes(&answer.body),
        [(1, 1, Outcome::Duplicate), (1, 1, Outcome::Quarantined), (3, 3, Outcome::Stored), (4, 4, Outcome::Corrupt)]
    );

    hub.stop().await;
    let hub = start(dir.path()).await;
    // The device still holds a sequence that came with two contents: it must not skip what is before the last frame.
    let ack: HelloAck = link::decode(&post_link(&hub, HELLO_PATH, &[], &hello(5, 1)).await.body).unwrap();
    assert_eq!((ack.verdict, ack.lanes[0].next_expected, ack.lanes[0].digest), (Verdict::Ok, 4, None));
    let ack: HelloAck = link::decode(&post_link(&hub, HELLO_PATH, &[], &hello(5, 2)).await.body).unwrap();
    let mut inflater = wire::Inflater::new();
    let (raw, _) = wire::RawBlock::parse(&third).unwrap();
    let (_, frame) = raw.frames(&mut inflater).unwrap().next().unwrap();
    assert_eq!(ack.lanes[0].digest, Some(link::short_digest(&wire::digest(frame))));

    let list = get(&hub, "/api/v0/traces?error=true&min_duration=200ms&service=orders").await.json();
    let ids: Vec<&str> =
        list["traces"].as_array().unwrap().iter().map(|row| row["trace_id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["03".repeat(16), "01".repeat(16)]);
    let row = &list["traces"][1];
    assert_eq!((row["spans"].as_u64(), row["errors"].as_u64(), row["logs"].as_u64()), (Some(2), Some(1), Some(1)));
    assert_eq!((row["start"].as_str(), row["device"].as_str()), (Some(&*now.to_string()), Some("vessel-1")));

    let whole = get(&hub, &format!("/api/v0/traces/{}", "01".repeat(16))).await.json();
    assert_eq!((whole["stored_spans"].as_u64(), whole["duplicate_spans"].as_u64()), (Some(2), Some(0)));
    let root = &whole["spans"][0];
    assert_eq!((root["parent_id"].is_null(), root["kind"].as_str()), (true, Some("server")));
    assert_eq!(root["attributes"][0]["value"].as_str(), Some("/orders"));
    let logs = get(&hub, &format!("/api/v0/logs?trace_id={}", "01".repeat(16))).await.json();
    assert_eq!((logs["stored"].as_u64(), logs["logs"][0]["body"].as_str()), (Some(1), Some("no such order")));

    let devices = get(&hub, "/api/v0/devices").await.json();
    let lane = &devices["devices"][0]["lanes"][0];
    assert_eq!(
        (lane["next"].as_u64(), lane["next_expected"].as_u64(), lane["held"].as_u64()),
        (Some(5), Some(4), Some(1))
    );
    let ledger = get(&hub, "/api/v0/ledger").await.json();
    let frames = &ledger["devices"][0]["frames"];
    let count = |name: &str| frames[name].as_u64().unwrap();
    assert_eq!([count("stored"), count("duplicate"), count("quarantined"), count("corrupt")], [3, 1, 1, 1]);
    assert!(get(&hub, "/metrics").await.text().contains("lightship_hub_devices{contact=\"yes\"} 1\n"));
    hub.stop().await;
}

/// Scenario: a device whose directory was rolled back (it gives out sequences that the hub has), and one that no longer
/// holds what the hub waits for. Guarantees: the verdicts of docs/link.md.
#[tokio::test(flavor = "multi_thread")]
async fn hello_judges_the_identity() {
    let dir = tempfile::tempdir().unwrap();
    let hub = start(dir.path()).await;
    let section = trace(1, clock::now_ns());
    let sections = [SectionRef::Traces(&section)];
    let sections = [&sections[..]; 3];
    post_link(&hub, BLOCKS_PATH, &[], &block("vessel-1", 1, &sections)).await;
    let verdict = async |next, oldest| {
        let answer = post_link(&hub, HELLO_PATH, &[], &hello(next, oldest)).await;
        link::decode::<HelloAck>(&answer.body).unwrap().verdict
    };
    assert_eq!(verdict(4, 4).await, Verdict::Ok);
    assert_eq!(verdict(3, 1).await, Verdict::NewEpoch);
    assert_eq!(verdict(9, 6).await, Verdict::Behind);
    hub.stop().await;
}

/// Scenario: no token, a wrong one, one of another length, the right one; a hello that is none; an empty and a reserved
/// name; no block; a body above the limit. Guarantees: 401, 400, 409, 413, each with a text, and intake goes on.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let token_file = dir.path().join("token");
    std::fs::write(&token_file, "s3cret\n").unwrap();
    let mut config = common::config(&dir.path().join("data"));
    config.token_file = Some(token_file);
    let hub = hub::run::start(config).await.unwrap();
    let good = [("authorization", "Bearer s3cret")];
    for wrong in [&[][..], &[("authorization", "Bearer s3creT")], &[("authorization", "Bearer s3cret2")]] {
        for path in [HELLO_PATH, BLOCKS_PATH] {
            let answer = post_link(&hub, path, wrong, &hello(1, 1)).await;
            assert_eq!(answer.status, 401);
            assert!(answer.text().contains("Bearer TOKEN"), "{}", answer.text());
        }
    }
    assert_eq!(post_link(&hub, HELLO_PATH, &good, &hello(1, 1)).await.status, 200);
    assert_eq!(post_link(&hub, HELLO_PATH, &good, b"\xff\xff").await.status, 400);
    let mut named: Hello = link::decode(&hello(1, 1)).unwrap();
    for name in ["", "otlp"] {
        named.device = name.into();
        assert_eq!(post_link(&hub, HELLO_PATH, &good, &link::encode(&named)).await.status, 409);
    }
    let answer = post_link(&hub, BLOCKS_PATH, &good, b"this is no block, but long enough for the header of one").await;
    assert_eq!(answer.status, 400);
    assert!(answer.text().contains("not a block"), "{}", answer.text());
    let answer = post_link(&hub, BLOCKS_PATH, &good, &vec![0; 2 << 20]).await;
    assert_eq!(answer.status, 413);
    let section = trace(1, clock::now_ns());
    let whole = block("vessel-1", 1, &[&[SectionRef::Traces(&section)]]);
    let answer = post_link(&hub, BLOCKS_PATH, &good, &whole).await;
    assert_eq!(outcomes(&answer.body), [(1, 1, Outcome::Stored)]);
    hub.stop().await;
}

/// Scenario: a second start with the certificate of the first, one that asks for a further name, one after the certificate's
/// time is nearly over, and a directory of the first hubs, which has no key of its authority. Guarantees: devices go on
/// trusting one authority; names are added and the end is moved without it changing; keys are readable by their owner only;
/// what cannot be renewed says what to do.
#[tokio::test(flavor = "multi_thread")]
async fn u10_one_authority_stays_and_certificates_are_renewed() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    hub::run::check(&common::config(dir.path())).unwrap();
    let mut config = common::config(dir.path());
    config.tls_names = vec!["hub.example.org".into()];
    let hub = hub::run::start(config.clone()).await.unwrap();
    let ca = hub.ca.clone().unwrap();
    let trusted = std::fs::read(&ca).unwrap();
    hub.stop().await;
    let certificate = || std::fs::read(dir.path().join("tls/cert.pem")).unwrap();
    let first = certificate();
    let hub = start(dir.path()).await;
    assert_eq!((std::fs::read(&ca).unwrap(), certificate()), (trusted.clone(), first.clone()));
    connect_tls(hub.link, &ca).await;
    hub.stop().await;
    config.tls_names = vec!["10.1.2.3".into()];
    let hub = hub::run::start(config.clone()).await.unwrap();
    assert_eq!(std::fs::read(&ca).unwrap(), trusted);
    let second = certificate();
    assert_ne!(second, first);
    let names = std::fs::read_to_string(dir.path().join("tls/names")).unwrap();
    assert!(names.contains("hub.example.org") && names.contains("10.1.2.3"), "{names}");
    connect_tls(hub.link, &ca).await;
    hub.stop().await;
    let until = dir.path().join("tls/valid-until");
    let now = clock::now_ns() / SECOND;
    let days = |text: String| text.trim().parse::<u64>().unwrap().saturating_sub(now) / 86_400;
    assert!((300..400).contains(&days(std::fs::read_to_string(&until).unwrap())));
    std::fs::write(&until, (now + 86_400).to_string()).unwrap();
    let hub = start(dir.path()).await;
    assert_ne!(certificate(), second);
    assert_eq!(std::fs::read(&ca).unwrap(), trusted);
    connect_tls(hub.link, &ca).await;
    hub.stop().await;
    for key in ["key.pem", "ca-key.pem"] {
        let mode = std::fs::metadata(dir.path().join("tls").join(key)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{key}");
    }
    std::fs::remove_file(dir.path().join("tls/ca-key.pem")).unwrap();
    config.tls_names = vec!["other.example.org".into()];
    let error = hub::run::start(config).await.err().unwrap().to_string();
    assert!(error.contains("ca-key.pem") && error.contains("new ca.pem"), "{error}");
}

/// Scenario: an operator wants an incident window on a device that was heard of, and on one that was not, and ends it.
/// Guarantees: the device is told with its next hello, for how long, and of no window when none is wanted.
#[tokio::test(flavor = "multi_thread")]
async fn a_device_is_told_of_an_incident() {
    let dir = tempfile::tempdir().unwrap();
    let hub = start(dir.path()).await;
    let ask = async || {
        let answer = post_link(&hub, HELLO_PATH, &[], &hello(1, 1)).await;
        link::decode::<HelloAck>(&answer.body).unwrap().incident_s
    };
    assert_eq!(ask().await, None);
    let open = post(&hub, "/api/v0/devices/vessel-1/incident?for=10m", &[], &[]).await;
    assert_eq!((open.status, open.json()["device"].as_str()), (200, Some("vessel-1")));
    assert!((595..=600).contains(&ask().await.unwrap()));
    assert_eq!(post(&hub, "/api/v0/devices/vessel-9/incident?for=10m", &[], &[]).await.status, 404);
    assert_eq!(post(&hub, "/api/v0/devices/vessel-1/incident", &[], &[]).await.status, 400);
    assert_eq!(post(&hub, "/api/v0/devices/vessel-1/incident?for=0s", &[], &[]).await.status, 200);
    assert_eq!(ask().await, None);
}
