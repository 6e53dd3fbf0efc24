//! The real program and a hub that a test plays.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use link::{BlockAck, BlocksAck, Hello, HelloAck, Outcome, Verdict};
use model::proto::{put_bytes, put_fixed64, put_message};
use support::server::{Reply, Seen, Server};
use support::{Agent, PROTOBUF, now_ns, request, wait_until};
use wire::RawBlock;

fn line(number: u64) -> Vec<u8> {
    request(|out| {
        put_message(out, 2, |out| {
            put_fixed64(out, 1, now_ns());
            put_message(out, 5, |out| put_bytes(out, 1, format!("line {number}").as_bytes()));
        });
    })
}

/// A span of a trace of its own that is kept: it failed.
fn failed_span(number: u8) -> Vec<u8> {
    request(|out| {
        put_message(out, 2, |out| {
            put_bytes(out, 1, &[number; 16]);
            put_bytes(out, 2, &[number; 8]);
            put_bytes(out, 5, b"GET /x");
            put_fixed64(out, 7, now_ns() - 1_000_000);
            put_fixed64(out, 8, now_ns());
            put_message(out, 15, |out| model::proto::put_uint(out, 3, 2));
        });
    })
}

fn cbor(body: Vec<u8>) -> Reply {
    (200, "content-type: application/cbor\r\n".into(), body)
}

fn acks(body: &[u8], outcome: Outcome) -> Vec<u8> {
    let (mut rest, mut blocks) = (body, Vec::new());
    while !rest.is_empty() {
        let (block, behind) = RawBlock::parse(rest).unwrap();
        rest = behind;
        let header = block.header();
        let (lane, first, last) = (header.lane.number(), header.first, header.last());
        blocks.push(BlockAck { epoch: header.epoch.0, lane, first, last, outcome });
    }
    link::encode(&BlocksAck { blocks })
}

/// A hub that takes everything and has nothing to say.
fn content(seen: &Seen) -> Reply {
    if seen.path == link::HELLO_PATH {
        let ack = HelloAck { verdict: Verdict::Ok, lanes: Vec::new(), hub_wall_ns: now_ns(), incident_s: None };
        return cbor(link::encode(&ack));
    }
    cbor(acks(&seen.body, Outcome::Stored))
}

fn hub(server: &Server) -> String {
    format!("{{ name: hub, type: hub, url: 'http://{}', heartbeat: 200ms, max_backoff: 1s }}", server.address)
}

fn hellos(server: &Server) -> Vec<Hello> {
    let hellos = server.seen().into_iter().filter(|seen| seen.path == link::HELLO_PATH);
    hellos.map(|seen| link::decode(&seen.body).unwrap()).collect()
}

/// The last hello's watermark of a lane; 0 when there is none.
fn watermark(server: &Server, lane: model::Lane) -> u64 {
    let last = hellos(server).pop();
    last.iter()
        .flat_map(|hello| &hello.lanes)
        .find(|head| head.lane == lane.number())
        .map_or(0, |head| head.watermark_ns)
}

/// Scenario: an idle agent with the shipped waits, connected; then a span comes whose trace waits for its decision. Guarantees:
/// the hub hears how long records take to settle; the watermark of an idle device is within that, and close to now; with
/// something undecided it stays before the moment at which that came (P3).
#[test]
fn u3_an_idle_device_is_up_to_date() {
    let server = Server::start(content);
    let agent = Agent::start_delivering(&[hub(&server)], "");
    assert_eq!(agent.post("/v1/logs", PROTOBUF, &line(1)).0, 200);
    assert_eq!(agent.post("/v1/traces", PROTOBUF, &failed_span(1)).0, 200);
    let came = now_ns();
    wait_until("logs are up to date", || watermark(&server, model::Lane::Logs) > came);
    let hello = hellos(&server).pop().unwrap();
    let settles = hello.settles_ms.unwrap();
    // 30 s of waits, two heartbeats, a commit, and room.
    assert!((30_000..40_000).contains(&settles), "{settles}");
    assert_eq!(hello.stops, None);
    assert!(hello.lanes.iter().all(|head| head.watermark_ns <= hello.stamp.wall_ns));
    assert!(watermark(&server, model::Lane::Traces) < came);
}

/// Scenario: an agent is told to end; another one is killed. Guarantees: the hub hears of the first one that it stops, after
/// everything that was accepted is committed, and of the second one nothing (P3).
#[test]
fn u4_an_orderly_end_is_told() {
    let server = Server::start(content);
    let mut agent = Agent::start_delivering(&[hub(&server)], "");
    assert_eq!(agent.post("/v1/logs", PROTOBUF, &line(1)).0, 200);
    wait_until("a hello", || !hellos(&server).is_empty());
    assert!(agent.terminate().success());
    let last = hellos(&server).pop().unwrap();
    assert_eq!(last.stops, Some(true));
    assert_eq!(last.lanes.len(), 1, "{last:?}");
    agent.restart_logged();
    let before = hellos(&server).len();
    wait_until("it is back", || hellos(&server).len() > before);
    agent.kill();
    assert_eq!(hellos(&server).pop().unwrap().stops, None);
}

/// Scenario: the hub cannot be reached when the agent is told to end. Guarantees: it ends in good order all the same, soon.
#[test]
fn u4_a_hub_that_is_gone_holds_no_end_up() {
    let mut agent = Agent::start_delivering(&["{ name: hub, type: hub, url: 'http://127.0.0.1:9' }".into()], "");
    assert_eq!(agent.post("/v1/logs", PROTOBUF, &line(1)).0, 200);
    assert!(agent.terminate().success());
    assert!(agent.log().contains("everything accepted is on disk"), "{}", agent.log());
}

/// Scenario: the data directory, or one lane's, is removed while the agent runs and nothing is delivered; lines come in, and the
/// agent is told to end. Guarantees: health fails and says what is gone; the end says how many accepted records are not on disk, and
/// the exit code is not 0 (P2).
#[test]
fn j3_an_end_without_a_disk_says_so() {
    for gone in ["", "lanes/logs"] {
        let mut agent = Agent::start_delivering(&["{ name: hub, type: hub, url: 'http://127.0.0.1:9' }".into()], "");
        assert_eq!(agent.post("/v1/logs", PROTOBUF, &line(1)).0, 200);
        wait_until("it is committed", || agent.status()["destinations"][0]["queued_records"] == 1);
        std::fs::remove_dir_all(agent.directory.path().join("data").join(gone)).unwrap();
        // Idle or not.
        if gone.is_empty() {
            wait_until("health fails", || agent.get("/healthz").contains("removed or replaced"));
        }
        assert_eq!(agent.post("/v1/logs", PROTOBUF, &line(2)).0, 200);
        wait_until("health fails", || agent.get("/healthz").contains("removed or replaced"));
        let status = agent.terminate();
        let log = agent.log();
        assert_eq!(status.code(), Some(1), "{log}");
        assert!(log.contains("ended with 1 accepted records that are not on disk: cannot go on with"), "{log}");
        assert!(!log.contains("everything accepted is on disk"), "{log}");
    }
}

/// Scenario: the hub has other content under what this device sends, as when a copy of its data directory is in use elsewhere; it
/// takes everything under any other epoch. Guarantees: nothing of it counts as delivered; a new epoch begins, and every record comes
/// under it; the books balance (P3, P8).
#[test]
fn j5_what_is_quarantined_is_sent_again() {
    let refused = std::sync::Mutex::new(None);
    let server = Server::start(move |seen| {
        if seen.path == link::HELLO_PATH {
            let hello: Hello = link::decode(&seen.body).unwrap();
            refused.lock().unwrap().get_or_insert(hello.epoch);
            return content(seen);
        }
        let epoch = RawBlock::parse(&seen.body).unwrap().0.header().epoch.0;
        let other = *refused.lock().unwrap() == Some(epoch);
        cbor(acks(&seen.body, if other { Outcome::Quarantined } else { Outcome::Stored }))
    });
    let agent = Agent::start_delivering(&[hub(&server)], "");
    assert_eq!(agent.post("/v1/logs", PROTOBUF, &line(1)).0, 200);
    let epochs = || {
        let blocks = server.seen().into_iter().filter(|seen| seen.path == link::BLOCKS_PATH);
        blocks
            .map(|seen| RawBlock::parse(&seen.body).unwrap().0.header().epoch.0)
            .collect::<std::collections::BTreeSet<_>>()
    };
    wait_until("it comes under two epochs", || epochs().len() == 2);
    let admin = || std::fs::read_to_string(agent.directory.path().join("data/addresses.json")).unwrap();
    wait_until("it is told", || agent.log().contains("a copy of this data directory is in use elsewhere"));
    assert!(agent.log().contains(" begins: 1 frames"), "{}", agent.log());
    // Its second life listens elsewhere.
    let status = support::run(&["status", "--json", "--config", &agent.config()]);
    let status: serde_json::Value = serde_json::from_slice(&status.stdout).unwrap();
    let ledger = &status["ledger"];
    assert_eq!((ledger["difference"].as_u64(), ledger["destinations"][0]["rejected"].as_u64()), (Some(0), Some(0)));
    assert!(admin().contains("admin"));
}

/// Scenario: the hub keeps whatever comes aside, because it cannot read it. Guarantees: no new epoch is tried; the records are booked as
/// rejected, never as delivered, and delivery goes on (P1, P3).
#[test]
fn j5_what_the_hub_cannot_read_is_rejected() {
    let server = Server::start(|seen| match seen.path == link::HELLO_PATH {
        true => content(seen),
        false => cbor(acks(&seen.body, Outcome::Unreadable)),
    });
    let agent = Agent::start_delivering(&[hub(&server)], "");
    assert_eq!(agent.post("/v1/logs", PROTOBUF, &line(1)).0, 200);
    wait_until("it is rejected", || {
        let one = &agent.status()["ledger"]["destinations"][0];
        one["rejected"] == 1 && one["delivered"] == 0 && agent.status()["ledger"]["difference"] == 0
    });
    assert!(agent.log().contains("the hub put 1 records aside"), "{}", agent.log());
    assert!(!agent.log().contains(" begins: "), "{}", agent.log());
}

/// Scenario: somebody takes every identity of the device before it comes, under its new epoch as well. Guarantees: nothing is confirmed or
/// booked as rejected; a new epoch begins once, and again only after a while; the records wait (P3, P8).
#[test]
fn j5_identities_that_are_taken_again_lose_nothing() {
    let server = Server::start(|seen| match seen.path == link::HELLO_PATH {
        true => content(seen),
        false => cbor(acks(&seen.body, Outcome::Quarantined)),
    });
    let agent = Agent::start_delivering(&[hub(&server)], "");
    assert_eq!(agent.post("/v1/logs", PROTOBUF, &line(1)).0, 200);
    // Its second life listens elsewhere.
    let status = || -> serde_json::Value {
        let output = support::run(&["status", "--json", "--config", &agent.config()]);
        serde_json::from_slice(&output.stdout).unwrap_or_default()
    };
    wait_until("it was taken under the new epoch, too", || {
        let error = status()["destinations"][0]["last_error"].as_str().unwrap_or_default().to_owned();
        error.contains("a while after the last one")
    });
    let status = status();
    let one = &status["ledger"]["destinations"][0];
    assert_eq!(
        (&one["queued"], &one["delivered"], &one["rejected"], &one["lost"]),
        (&1.into(), &0.into(), &0.into(), &0.into())
    );
    assert_eq!(agent.log().matches(" begins: ").count(), 1, "{}", agent.log());
}

/// What a hub stored: the digest of each frame by lane and sequence.
type Stored = std::collections::BTreeMap<(u8, u64), u64>;

/// A hub that stores, and tells at each hello how far it has each lane, and the digest of the last frame of it.
fn storing(seen: &Seen, stored: &mut Stored) -> Reply {
    if seen.path != link::HELLO_PATH {
        let mut rest = &seen.body[..];
        let mut inflater = wire::Inflater::new();
        while !rest.is_empty() {
            let (block, behind) = RawBlock::parse(rest).unwrap();
            rest = behind;
            for (seq, frame) in block.frames(&mut inflater).unwrap() {
                stored.insert((block.header().lane.number(), seq), link::short_digest(&wire::digest(frame)));
            }
        }
        return cbor(acks(&seen.body, Outcome::Stored));
    }
    let hello: Hello = link::decode(&seen.body).unwrap();
    let lanes = hello.lanes.iter().map(|head| {
        let next = (1..).find(|seq| !stored.contains_key(&(head.lane, *seq))).unwrap();
        let digest = stored.get(&(head.lane, next - 1)).copied();
        link::LaneConfirmed { lane: head.lane, next_expected: next, digest }
    });
    let ack = HelloAck { verdict: Verdict::Ok, lanes: lanes.collect(), hub_wall_ns: now_ns(), incident_s: None };
    cbor(link::encode(&ack))
}

/// Scenario: the hub has everything, the agent is killed before it wrote its cursor, and starts again; more comes in. Guarantees: what the
/// hub has is not sent again, the backlog does not grow by it, and what is new comes; the books balance (P1, P3).
#[test]
fn u6_what_the_hub_has_is_not_sent_again_after_a_kill() {
    let stored = std::sync::Arc::new(std::sync::Mutex::new(Stored::new()));
    let of_server = std::sync::Arc::clone(&stored);
    let server = Server::start(move |seen| storing(seen, &mut of_server.lock().unwrap()));
    let mut agent = Agent::start_delivering(&[hub(&server)], "");
    for number in 0..12 {
        assert_eq!(agent.post("/v1/logs", PROTOBUF, &line(number)).0, 200);
        wait_until("it is stored", || stored.lock().unwrap().len() as u64 > number);
    }
    let blocks = || server.seen().iter().filter(|seen| seen.path == link::BLOCKS_PATH).count();
    let before = blocks();
    agent.kill();
    agent.restart_logged();
    wait_until("it knows", || agent.status()["ledger"]["destinations"][0]["delivered"] == 12);
    assert_eq!((blocks(), agent.status()["ledger"]["difference"].as_u64()), (before, Some(0)));
    assert_eq!(agent.post("/v1/logs", PROTOBUF, &line(12)).0, 200);
    wait_until("the new one is stored", || stored.lock().unwrap().len() == 13);
    assert_eq!(blocks(), before + 1);
    assert!(agent.log().contains("the hub has 12 records of lane logs already"), "{}", agent.log());
}
