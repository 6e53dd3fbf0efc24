//! Destinations that get the records that their filter means.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use model::proto::{put_bytes, put_fixed64, put_message};
use support::server::Server;
use support::{Agent, PROTOBUF, now_ns, request, wait_until};

/// Whether a text was sent to a server.
fn has(server: &Server, text: &str) -> bool {
    server.seen().iter().any(|seen| {
        let mut body = Vec::new();
        if flate2::read::GzDecoder::new(&seen.body[..]).read_to_end(&mut body).is_err() {
            body.clone_from(&seen.body);
        }
        body.windows(text.len()).any(|part| part == text.as_bytes())
    })
}

/// Scenario: two destinations share records of each signal by a filter, one of which does not answer at first; a third gets nothing of what comes; the
/// agent is killed and starts again. Guarantees: each record reaches the one that it is meant for and no other, once it answers; what a destination does
/// not get is booked as skipped for each of its signals, and nothing is left behind (P1, P3).
#[test]
fn records_go_where_their_filter_says() {
    let is_up = Arc::new(AtomicBool::new(false));
    let answers = Arc::clone(&is_up);
    let [engine, others, nobody] = [0, 1, 2].map(|number| {
        let answers = Arc::clone(&answers);
        Server::start(move |_| {
            let down = number == 0 && !answers.load(Ordering::SeqCst);
            if down { (503, String::new(), Vec::new()) } else { (200, String::new(), Vec::new()) }
        })
    });
    let to = |name: &str, server: &Server, filter: &str| {
        format!("{{ name: {name}, type: otlp, url: 'http://{}', filter: '{filter}', max_backoff: 1s }}", server.address)
    };
    let destinations = [
        to("engine", &engine, "room=engine"),
        to("others", &others, "room!=engine"),
        to("nobody", &nobody, "device=another"),
    ];
    let mut agent = Agent::start_delivering(&destinations, "");
    let bodies = ["of the pump", "of the bridge", "of the valve"];
    let records = request(|out| {
        for (body, room) in bodies.into_iter().zip(["engine", "bridge", "engine"]) {
            put_message(out, 2, |out| {
                put_fixed64(out, 1, now_ns());
                put_message(out, 5, |out| put_bytes(out, 1, body.as_bytes()));
                support::text_attribute(out, 6, "room", room);
            });
        }
    });
    assert_eq!(agent.post("/v1/logs", PROTOBUF, &records).0, 200);
    let books = |agent: &Agent, name: &str| {
        let status = agent.status();
        let rows = status["ledger"]["destinations"].as_array().unwrap().clone();
        let row = rows.into_iter().find(|row| row["name"] == name).unwrap();
        ["delivered", "rejected", "queued", "skipped"].map(|key| row[key].as_u64().unwrap_or(0))
    };
    wait_until("the others are past it", || books(&agent, "others.logs") == [1, 0, 0, 2]);
    wait_until("nobody is past it", || books(&agent, "nobody.logs") == [0, 0, 0, 3]);
    assert_eq!(books(&agent, "engine.logs"), [0, 0, 3, 0]);
    agent.kill();
    is_up.store(true, Ordering::SeqCst);
    agent.restart();
    wait_until("the engine has its own", || books(&agent, "engine.logs") == [2, 0, 0, 1]);
    for (server, expected) in [(&engine, [true, false, true]), (&others, [false, true, false]), (&nobody, [false; 3])] {
        let taken = bodies.map(|body| has(server, body));
        assert_eq!(taken, expected);
    }
    assert_eq!(books(&agent, "others.logs"), [1, 0, 0, 2]);
    assert_eq!(agent.status()["ledger"]["difference"], 0);
}
