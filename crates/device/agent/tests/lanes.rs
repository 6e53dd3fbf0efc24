//! Mission and audit through the real program: past the sampler, answered once they are synced, refused when full.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use model::proto::{put_bytes, put_fixed64, put_message, put_uint};
use support::{Agent, PROTOBUF, now_ns, request, run, text_attribute, wait_until};

/// A log record of `length` bytes that does not compress.
fn line(out: &mut Vec<u8>, number: u64, length: usize, lane: Option<&str>) {
    let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut body = format!("line {number} ");
    while body.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        body.push_str(&format!("{state:016x}"));
    }
    put_message(out, 2, |out| {
        put_fixed64(out, 1, now_ns());
        put_uint(out, 2, 9);
        put_message(out, 5, |out| put_bytes(out, 1, body.as_bytes()));
        if let Some(lane) = lane {
            text_attribute(out, 6, "lightship.lane", lane);
        }
    });
}

fn found(agent: &Agent, filter: &str) -> usize {
    let output = run(&["query", "--config", &agent.config(), "-o", "ndjson", filter]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).lines().count()
}

/// Scenario: log records for mission are sent one by one, the agent is killed right after an answer; so without the recorder in
/// files, and with it. Guarantees: what was answered is there (P2), whatever the source's acknowledgement level.
#[test]
fn mission_is_durable_when_it_is_answered() {
    for extra in ["", "recorder: { memory: 256KiB, files: 2MiB }\n"] {
        let mut agent = Agent::start_with(extra);
        for number in 0..3 {
            let body = request(|out| line(out, number, 40, Some("mission")));
            assert_eq!(agent.post("/v1/logs", PROTOBUF, &body).0, 200);
        }
        agent.kill();
        if extra.is_empty() {
            assert_eq!(found(&agent, "line"), 3);
        } else {
            // Answered when recorded: the next start brings it into its lane with its first commit.
            agent.restart();
            wait_until("three lines are found", || found(&agent, "line") == 3);
        }
    }
}

/// Scenario: a rule puts a service's log records into audit, whose budget is small, and nothing is ever delivered; meanwhile log records
/// without a rule go on. Guarantees: audit is refused when its lane is full, with none of it taken, and nothing that was
/// answered is missing; the others are still taken (P11, P1).
#[test]
fn audit_is_refused_when_it_is_full() {
    let mut agent = Agent::start_with(
        "lanes:\n  budgets: { audit: 128KiB }\n  rules:\n    - { filter: 'service=api body~\"^line 1\"', lane: audit }\n",
    );
    let (mut taken, mut refused) = (0, 0);
    for number in 1_000..1_040 {
        let body = request(|out| line(out, number, 9_000, None));
        match agent.post("/v1/logs", PROTOBUF, &body).0 {
            200 => taken += 1,
            503 | 429 => refused += 1,
            code => panic!("{code}"),
        }
    }
    assert!(taken >= 5 && refused >= 20, "{taken} taken, {refused} refused");
    assert_eq!(agent.post("/v1/logs", PROTOBUF, &request(|out| line(out, 7, 9_000, None))).0, 200);
    let status = agent.status();
    assert_eq!(status["ledger"]["refused"]["logs"], refused, "{status}");
    assert_eq!(found(&agent, "body~\"^line 1\""), taken);
    agent.kill();
    assert_eq!(found(&agent, "body~\"^line 1\""), taken);
}
