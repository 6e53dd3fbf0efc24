//! SIGTERM and a new start, with the recorder in memory.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use model::proto::{put_bytes, put_fixed64, put_message, put_uint};
use support::{Agent, PROTOBUF, now_ns, request, wait_until};

const SAMPLING: &str = "sampling:\n  decision_wait: 1s\n  policies: [{ name: errors, type: status_code, status_code: { \
                        status_codes: [ERROR] } }]\n";

fn agent() -> Agent {
    Agent::start_delivering(&["{ name: hub, type: hub, url: 'http://127.0.0.1:9' }".into()], SAMPLING)
}

fn span(trace: u8, id: u8, failed: bool) -> Vec<u8> {
    request(|out| {
        put_message(out, 2, |out| {
            put_bytes(out, 1, &[trace; 16]);
            put_bytes(out, 2, &[id; 8]);
            put_bytes(out, 5, b"GET /x");
            put_fixed64(out, 7, now_ns() - 1_000_000);
            put_fixed64(out, 8, now_ns());
            if failed {
                put_message(out, 15, |out| put_uint(out, 3, 2));
            }
        });
    })
}

fn line(trace: u8) -> Vec<u8> {
    request(|out| {
        put_message(out, 2, |out| {
            put_fixed64(out, 1, now_ns());
            put_message(out, 5, |out| put_bytes(out, 1, b"a line"));
            put_bytes(out, 9, &[trace; 16]);
        });
    })
}

fn post(agent: &Agent, path: &str, body: &[u8]) {
    assert_eq!(agent.post(path, PROTOBUF, body).0, 200);
}

fn restart(agent: &mut Agent) {
    let status = agent.terminate();
    assert!(status.success(), "{}", agent.log());
    agent.restart_logged();
}

/// Scenario: the agent is told to end while a trace is undecided: a good span and a log record came, and the failed span that keeps it comes after
/// the next start; a second trace was kept before, and a good span of it comes late. Guarantees: the first trace is judged once, whole, and
/// delivered whole; the second one's late span follows its decision; nothing is lost, and the books balance (P1, P4).
#[test]
fn s5_an_orderly_end_keeps_what_is_undecided() {
    let mut agent = agent();
    post(&agent, "/v1/traces", &span(2, 1, true));
    wait_until("the second trace is kept", || agent.status()["ledger"]["routed"]["traces"] == 1);
    post(&agent, "/v1/traces", &span(1, 1, false));
    post(&agent, "/v1/logs", &line(1));
    restart(&mut agent);
    assert!(agent.log().contains("2 undecided records wait again"), "{}", agent.log());
    post(&agent, "/v1/traces", &span(1, 2, true));
    post(&agent, "/v1/traces", &span(2, 2, false));
    wait_until("all is decided", || agent.status()["ledger"]["pending"]["traces"] == 0);
    let ledger = agent.status()["ledger"].clone();
    assert_eq!(ledger["lost_crash"]["traces"].as_u64(), Some(0), "{ledger}");
    assert_eq!(
        (ledger["routed"]["traces"].as_u64(), ledger["routed"]["logs"].as_u64()),
        (Some(4), Some(1)),
        "{ledger}"
    );
    assert_eq!((ledger["received"]["traces"].as_u64(), ledger["difference"].as_u64()), (Some(4), Some(0)), "{ledger}");
    assert_eq!(agent.status()["ledger"]["sampled_out"]["traces"], 0);
    assert!(agent.terminate().success());
}

/// Scenario: it ends with something undecided, starts again, and is killed; and starts again. Guarantees: what was undecided is taken over
/// once; what the kill took is told as lost, and nothing comes twice (P1).
#[test]
fn s5_what_was_taken_over_is_taken_over_once() {
    let mut agent = agent();
    post(&agent, "/v1/traces", &span(1, 1, false));
    restart(&mut agent);
    wait_until("it is committed", || !agent.directory.path().join("data/undecided").try_exists().unwrap());
    agent.kill();
    agent.restart_logged();
    let ledger = agent.status()["ledger"].clone();
    let counts = |name: &str| ledger[name]["traces"].as_u64().unwrap();
    let known = counts("lost_crash") + counts("pending") + counts("sampled_out");
    assert_eq!((counts("received"), known, ledger["difference"].as_u64()), (1, 1, Some(0)), "{ledger}");
}

/// Scenario: what is undecided cannot be written at the end. Guarantees: the log tells how many traces are judged now, and they are: the
/// end is in good order, and the books balance (P1).
#[test]
fn s5_what_cannot_be_kept_is_judged_and_told() {
    let mut agent = agent();
    post(&agent, "/v1/traces", &span(1, 1, true));
    std::fs::create_dir(agent.directory.path().join("data/undecided.tmp")).unwrap();
    restart(&mut agent);
    assert!(agent.log().contains("1 undecided traces cannot be kept for the next start"), "{}", agent.log());
    let ledger = agent.status()["ledger"].clone();
    assert_eq!((ledger["routed"]["traces"].as_u64(), ledger["difference"].as_u64()), (Some(1), Some(0)), "{ledger}");
}
