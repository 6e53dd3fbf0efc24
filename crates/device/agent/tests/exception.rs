//! A device in production, and a signed exception from it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use model::proto::{put_bytes, put_fixed64, put_message, put_uint};
use support::{Agent, PROTOBUF, now_ns, request, run, wait_until};

/// A key as `openssl genpkey -algorithm ed25519` writes it.
const KEY: &str = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIAEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEB\n-----END PRIVATE KEY-----\n";

/// A log record of DEBUG.
fn debug() -> Vec<u8> {
    request(|out| {
        put_message(out, 2, |out| {
            put_fixed64(out, 1, now_ns());
            put_uint(out, 2, 5);
            put_message(out, 5, |out| put_bytes(out, 1, b"a detail"));
        });
    })
}

/// Whether a record of DEBUG that comes now stays.
fn stays(agent: &Agent) -> bool {
    let name = "lightship_guard_dropped_records_total{reason=\"below_info\"}";
    let dropped = || agent.get("/metrics").lines().find(|line| line.starts_with(name)).map(str::to_owned);
    let before = dropped();
    assert_eq!(agent.post("/v1/logs", PROTOBUF, &debug()).0, 200);
    dropped() == before
}

/// What the agent says of exceptions.
fn told(agent: &Agent) -> serde_json::Value {
    agent.status()["guard"]["exception"].clone()
}

/// Scenario: records of DEBUG come to a device in production. A file is signed by the program itself, for this device, and put where it is looked for; it
/// is changed by one byte; one for another device and one of yesterday take its place; it goes. Guarantees: records of DEBUG stay while a file holds, and
/// only then; each refusal is told with its reason in status, metrics and by `exception check` (P10).
#[test]
fn debug_stays_while_a_signed_file_holds() {
    let files = tempfile::tempdir().unwrap();
    let place = |name: &str| files.path().join(name).to_str().unwrap().to_owned();
    let (key, file) = (place("key.pem"), place("exception"));
    std::fs::write(&key, KEY).unwrap();
    let sign = |device: &str, times: [&str; 2]| {
        let until = ["--device-id", device, "--since", times[0], "--until", times[1], "ticket 4711"];
        let signed = run(&[["exception", "sign", &key, "debug"].as_slice(), &until].concat());
        assert!(signed.status.success(), "{}", String::from_utf8_lossy(&signed.stderr));
        let public = String::from_utf8(signed.stderr).unwrap();
        (signed.stdout, public.split('\'').nth(1).unwrap().to_owned())
    };
    // A century is long enough for the test, and is said to be believed.
    let times = ["2020-01-01T00:00:00Z", "2120-01-01T00:00:00Z"];
    let (good, public) = sign("test-1", times);
    let section = format!(
        "guard:\n  production: true\n  exception: {{ file: {file}, public_keys: ['{public}'], longest: 900000h }}\n"
    );
    let agent = Agent::start_with(&section);
    assert!(!stays(&agent) && told(&agent)["holds"].is_null());
    let check = || {
        let output = run(&["exception", "check", "-c", &agent.config()]);
        (output.status.code(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
    };
    assert_eq!(check().0, Some(1));

    std::fs::write(&file, &good).unwrap();
    wait_until("the exception begins", || told(&agent)["holds"]["what"] == "debug");
    assert!(stays(&agent) && agent.metric("exception_holds") == 1.0);
    assert!(check().1.contains("holds: debug leave test-1 until 2120-01-01T00:00:00Z (ticket 4711)"), "{}", check().1);

    let changed = String::from_utf8(good).unwrap().replace("ticket 4711", "ticket 4712").into_bytes();
    let yesterday = ["2020-01-01T00:00:00Z", "2020-01-02T00:00:00Z"];
    for (bytes, reason, says) in [
        (changed, "signature", "changed after it was signed"),
        (sign("test-2", times).0, "device", "for the device test-2"),
        (sign("test-1", yesterday).0, "expired", "its time is over"),
        (b"lightship exception 1\n".to_vec(), "malformed", "it has no signature"),
    ] {
        std::fs::write(&file, bytes).unwrap();
        wait_until("it is refused", || told(&agent)["fault"] == reason);
        assert!(!stays(&agent) && told(&agent)["holds"].is_null());
        assert!(check().0 == Some(1) && check().1.contains(says), "{}", check().1);
    }
    assert_eq!(agent.metric("exception_refused_total{reason=\"device\"}"), 1.0);
    std::fs::remove_file(&file).unwrap();
    wait_until("it is gone", || told(&agent)["fault"].is_null());
    assert!(!stays(&agent));
    let wrong = run(&["exception", "sign", &key, "debug", "--device-id", "a"]);
    assert_eq!(wrong.status.code(), Some(2));
}
