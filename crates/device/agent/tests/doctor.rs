//! `lightship doctor` against servers that a test plays: what it finds, and what it says to do.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use support::PROGRAM;
use support::server::Server;

/// What it says as JSON of these destinations, and its exit code.
fn doctor(directory: &Path, destinations: &[String], more: &[&str]) -> (Option<i32>, Value) {
    let file = directory.join("lightship.yaml");
    let text = format!(
        "version: 0\ndevice: {{ id: test-1 }}\ndata_dir: {}\njournal: {{ budget: 8MiB, keep_free: 1MiB }}\ndestinations:\n  - {}\n",
        directory.join("data").display(),
        destinations.join("\n  - ")
    );
    std::fs::write(&file, text).unwrap();
    let mut command = Command::new(PROGRAM);
    for name in ["http_proxy", "https_proxy", "all_proxy", "no_proxy"] {
        command.env_remove(name).env_remove(name.to_ascii_uppercase());
    }
    let output = command.args(["doctor", "--json", "--config"]).arg(&file).args(more).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let found =
        serde_json::from_str(&text).unwrap_or_else(|_| String::from_utf8_lossy(&output.stderr).into_owned().into());
    (output.status.code(), found)
}

/// Whether a finding of this level says this, and its fix that.
fn finds(found: &Value, level: &str, about: &str, says: &str, fix: &str) -> bool {
    found["findings"].as_array().unwrap().iter().any(|one| {
        let has = |key: &str, wanted: &str| one[key].as_str().unwrap().contains(wanted);
        one["level"] == level && has("about", about) && has("says", says) && has("fix", fix)
    })
}

/// Scenario: a backend that takes everything, one behind a portal, one that takes no traces, one that wants a token, one that is not there,
/// one whose name nobody knows, one that speaks no TLS, one behind a proxy that refuses, one whose authority file is missing, a secret that
/// everyone may read. Guarantees: each is found, told of its destination alone, with what to do; exit code 1 when something is wrong, else 0;
/// nothing is made on disk.
#[test]
fn d6_d9_doctor_finds_what_is_in_the_way() {
    let directory = tempfile::tempdir().unwrap();
    let good = Server::start(|_| (200, String::new(), Vec::new()));
    let portal = Server::start(|_| (200, "content-type: text/html\r\n".into(), b"<html>log in".to_vec()));
    let picky = Server::start(|seen| match seen.path.as_str() {
        "/v1/traces" => (404, String::new(), Vec::new()),
        "/v1/logs" => (401, String::new(), Vec::new()),
        _ => (200, String::new(), Vec::new()),
    });
    let proxy = Server::start(|_| (403, String::new(), b"not there".to_vec()));
    let token = directory.path().join("token");
    std::fs::write(&token, "t").unwrap();
    std::fs::set_permissions(&token, PermissionsExt::from_mode(0o644)).unwrap();
    let one = |name: &str, url: &str, more: &str| format!("{{ name: {name}, type: otlp, url: '{url}'{more} }}");
    let at = |server: &Server| format!("http://{}", server.address);
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let ca_file = ", ca_file: /nowhere/ca.pem";
    let ca = if Path::new("/etc/ssl/certs/ca-certificates.crt").is_file() { "" } else { ca_file };
    let destinations = [
        one("good", &at(&good), &format!(", token_file: {}", token.display())),
        one("portal", &at(&portal), ""),
        one("picky", &at(&picky), ""),
        one("gone", &format!("http://{free}"), ""),
        one("unknown", "http://backend.invalid:4318", ""),
        one("plain", &at(&good).replace("http:", "https:"), ca),
        one("proxied", "http://backend.invalid:4318", &format!(", proxy: '{}'", at(&proxy))),
        one("missing", "https://127.0.0.1:1", ca_file),
    ];
    let (code, found) = doctor(directory.path(), &destinations, &[]);
    assert_eq!((code, found["good"].as_bool()), (Some(1), Some(false)), "{found}");
    for (level, about, says, fix) in [
        ("ok", "destination good", "without a proxy", ""),
        ("ok", "destination good.traces", "takes what this device sends", ""),
        ("ok", "destination good.metrics", "takes what this device sends", ""),
        ("bad", "destination portal.logs", "which is no OTLP answer", "a captive portal (log in)"),
        ("bad", "destination picky.traces", "404", "take this signal out of signals"),
        ("bad", "destination picky.logs", "401", "token_file"),
        ("ok", "destination picky.metrics", "takes what", ""),
        ("bad", "destination gone", "cannot reach", "firewall"),
        ("bad", "destination unknown", "the name backend.invalid cannot be looked up", "/etc/resolv.conf"),
        (
            "bad",
            "destination proxied",
            "answers 403 Forbidden when it is asked for backend.invalid:4318: not there",
            "",
        ),
        ("bad", "configuration", "/nowhere/ca.pem", "put the file there"),
        ("warn", "destination good: ", "every user may get at it (mode 644)", "chmod o-rwx"),
        ("ok", "data_dir", "it is not there yet", ""),
        ("ok", "disk of", "MiB more and leaves 1 MiB free", ""),
        ("", "clock", "", ""),
        ("", "file descriptors", "", ""),
    ] {
        let levels: &[&str] = if level.is_empty() { &["ok", "warn", "bad"] } else { &[level] };
        assert!(levels.iter().any(|level| finds(&found, level, about, says, fix)), "{about} {says}: {found}");
    }
    if ca.is_empty() {
        assert!(finds(&found, "bad", "destination plain", "TLS with 127.0.0.1", "ca_file"), "{found}");
    }
    let (code, found) = doctor(directory.path(), &destinations, &["--backend", "good"]);
    assert_eq!(code, Some(0), "{found}");
    assert!(!found.to_string().contains("portal."), "{found}");
    assert!(
        good.seen().iter().all(|seen| !seen.body.windows(9).any(|part| part == b"lightship")),
        "nothing is sent unasked"
    );
    assert!(std::fs::metadata(directory.path().join("data")).is_err(), "nothing is made");
    assert_eq!(doctor(directory.path(), &destinations, &["--backend", "nobody"]).0, Some(2));
    assert_eq!(doctor(directory.path(), &destinations, &["--aged", "soon"]).0, Some(2));
}

/// Scenario: servers that take, refuse, and only in part take a record of two days ago; one that takes any age. Guarantees: one record that
/// says whose it is goes to each, beside a sample of now for metrics; a refusal is told with the server's words and the setting to change.
#[test]
fn doctor_asks_whether_old_records_are_taken() {
    let directory = tempfile::tempdir().unwrap();
    let is_aged = |body: &[u8]| body.windows(3).any(|part| part == b"48h");
    let prometheus = Server::start(move |seen| {
        let written = "x-prometheus-remote-write-samples-written: 0\r\n";
        let body = snap::raw::Decoder::new().decompress_vec(&seen.body).unwrap();
        match is_aged(&body) {
            true => (400, written.into(), b"too old sample".to_vec()),
            false => (204, written.replace('0', "1"), Vec::new()),
        }
    });
    let backend = Server::start(move |seen| match (seen.path.as_str(), is_aged(&seen.body)) {
        ("/v1/logs", true) => (200, String::new(), b"\x0a\x09\x08\x01\x12\x05stale".to_vec()),
        _ => (200, String::new(), Vec::new()),
    });
    let destinations = [
        format!("{{ name: prometheus, type: prometheus, url: 'http://{}' }}", prometheus.address),
        format!("{{ name: backend, type: otlp, url: 'http://{}', compression: none }}", backend.address),
    ];
    let (code, found) = doctor(directory.path(), &destinations, &["--aged", "48"]);
    assert_eq!(code, Some(1), "{found}");
    let setting = "storage.tsdb.out_of_order_time_window: 48h";
    assert!(finds(&found, "bad", "prometheus.metrics", "of 48 h ago, is refused: ", setting), "{found}");
    assert!(finds(&found, "bad", "prometheus.metrics", "too old sample", ""), "{found}");
    assert!(finds(&found, "bad", "backend.logs", "is refused: stale", "reject_old_samples_max_age: 48h"), "{found}");
    assert!(finds(&found, "ok", "backend.traces", "a span of 48 h ago, was taken", ""), "{found}");
    assert!(finds(&found, "ok", "backend.traces", "ingestion_time_range_slack", ""), "{found}");
    assert!(finds(&found, "ok", "backend.metrics", "a sample of 48 h ago, was taken", ""), "{found}");
    let probes: Vec<_> = backend.seen().into_iter().filter(|seen| !seen.body.is_empty()).collect();
    assert_eq!(probes.len(), 4, "a span, a log record, a sample of now and one of then");
    assert!(probes.iter().all(|seen| seen.body.windows(22).any(|part| part == b"lightship_doctor_probe")));
}
