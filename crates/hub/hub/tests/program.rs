//! The program itself: ready line, addresses, exit codes, signals.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "this is a test program")]

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

const HUB: &str = env!("CARGO_BIN_EXE_lightship-hub");

fn hub(args: &[&str]) -> Command {
    let mut command = Command::new(HUB);
    command.args(args);
    command
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Starts a hub and waits for its ready line.
fn start(data_dir: &Path) -> (Child, String) {
    let mut child = hub(&["run", "--data-dir", path(data_dir), "--http", "127.0.0.1:0", "--link", "127.0.0.1:0"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    (child, line)
}

fn says(output: &Output, what: &str) {
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.contains(what), "{text}");
    assert_eq!(text.trim_end().lines().count(), 1, "more than one line: {text}");
}

/// Scenario: a start on free ports, then SIGTERM. Guarantees: a ready line, addresses.json with both addresses, exit
/// code 0, and the directory can be opened again.
#[test]
fn it_starts_and_stops() {
    let dir = tempfile::tempdir().unwrap();
    for _ in 0..2 {
        let (mut child, line) = start(dir.path());
        assert!(line.contains("is ready"), "{line}");
        let addresses = std::fs::read(dir.path().join("addresses.json")).unwrap();
        let addresses: serde_json::Value = serde_json::from_slice(&addresses).unwrap();
        for name in ["http", "link"] {
            assert!(addresses[name].as_str().unwrap().parse::<std::net::SocketAddr>().unwrap().port() > 0);
        }
        let killed = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
        assert!(killed.success());
        assert_eq!(child.wait().unwrap().code(), Some(0));
    }
}

/// Scenario: SIGHUP to a running hub, then SIGTERM. Guarantees: the first ends nothing, the second ends it in good order.
#[test]
fn j4_a_hangup_ends_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (mut child, _) = start(dir.path());
    let send = |signal: &str| Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap().success();
    assert!(send("-HUP"));
    let addresses = std::fs::read(dir.path().join("addresses.json")).unwrap();
    let addresses: serde_json::Value = serde_json::from_slice(&addresses).unwrap();
    let well = hub(&["health", "--http", addresses["http"].as_str().unwrap()]).output().unwrap();
    assert_eq!(well.status.code(), Some(0));
    assert!(send("-TERM"));
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

/// Scenario: the health check of a running hub, and after it was killed. Guarantees: exit code 0 and the hub's own answer,
/// then 1 and one line that names the address.
#[test]
fn a_hub_tells_whether_it_is_well() {
    let dir = tempfile::tempdir().unwrap();
    let (mut child, _) = start(dir.path());
    let addresses = std::fs::read(dir.path().join("addresses.json")).unwrap();
    let addresses: serde_json::Value = serde_json::from_slice(&addresses).unwrap();
    let http = addresses["http"].as_str().unwrap();
    let well = hub(&["health", "--http", http]).output().unwrap();
    assert_eq!((well.status.code(), well.stdout.as_slice()), (Some(0), b"{\"status\":\"ok\"}\n".as_slice()));
    child.kill().unwrap();
    child.wait().unwrap();
    let gone = hub(&["health", "--http", http]).output().unwrap();
    let text = String::from_utf8_lossy(&gone.stderr);
    assert_eq!(gone.status.code(), Some(1), "{text}");
    assert!(text.contains(http) && text.trim_end().lines().count() == 1, "{text}");
}

/// Scenario: a port in use, a directory in use, a directory that cannot be made, a token file that is missing or empty,
/// a certificate without a key, an unknown option. Guarantees: exit code 2 and one line that says what to do.
#[test]
fn what_cannot_work_is_one_clear_line() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let free = "127.0.0.1:0";
    says(
        &hub(&["run", "--data-dir", path(&data), "--http", &address, "--link", free]).output().unwrap(),
        "choose another --http",
    );
    says(
        &hub(&["run", "--data-dir", path(&data), "--http", free, "--link", &address]).output().unwrap(),
        "choose another --link",
    );
    let file = dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    says(
        &hub(&["run", "--data-dir", path(&file.join("x")), "--http", free, "--link", free]).output().unwrap(),
        "(--data-dir)",
    );
    says(&hub(&["check", "--data-dir", path(&data), "--token-file", path(&file)]).output().unwrap(), "holds no token");
    let missing = dir.path().join("missing");
    says(
        &hub(&["check", "--data-dir", path(&data), "--token-file", path(&missing)]).output().unwrap(),
        "(--token-file)",
    );
    let (mut child, _) = start(&data);
    says(&hub(&["check", "--data-dir", path(&data)]).output().unwrap(), "locked by another process");
    child.kill().unwrap();
    child.wait().unwrap();
    let checked = hub(&["check", "--data-dir", path(&data)]).output().unwrap();
    assert_eq!((checked.status.code(), checked.stdout.as_slice()), (Some(0), b"ok\n".as_slice()));
    assert_eq!(hub(&["run", "--data-dir", "x", "--tls-cert", "y"]).output().unwrap().status.code(), Some(2));
    assert_eq!(hub(&["run", "--nonsense"]).output().unwrap().status.code(), Some(2));
    let version = hub(&["--version"]).output().unwrap();
    assert!(String::from_utf8_lossy(&version.stdout).starts_with("lightship-hub 0."));
}

/// Scenario: `check` of a directory that is not there; the database of a used one is removed, then `check`, `run`,
/// `repair`, `check`. Guarantees: `check` makes and changes nothing, `run` refuses and names the remedy, packs stay, and
/// after the repair both are content.
#[test]
fn h1_check_changes_nothing_and_repair_mends() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let check = || hub(&["check", "--data-dir", path(&data)]).output().unwrap();
    assert_eq!(check().status.code(), Some(0));
    assert!(!data.try_exists().unwrap());
    let (mut child, _) = start(&data);
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(check().status.code(), Some(0));
    std::fs::remove_dir_all(data.join("db")).unwrap();
    std::fs::write(data.join("packs/0000000000000001.pack"), b"LSPK").unwrap();
    says(&check(), "lightship-hub repair");
    says(
        &hub(&["run", "--data-dir", path(&data), "--http", "127.0.0.1:0", "--link", "127.0.0.1:0"]).output().unwrap(),
        "lightship-hub repair",
    );
    assert!(!data.join("db").try_exists().unwrap() && data.join("packs/0000000000000001.pack").try_exists().unwrap());
    let repaired = hub(&["repair", "--data-dir", path(&data)]).output().unwrap();
    assert_eq!(repaired.status.code(), Some(1), "a pack that cannot be read is said: {repaired:?}");
    assert!(data.join("packs/0000000000000001.pack").try_exists().unwrap());
    let told = check();
    assert_eq!(told.status.code(), Some(1), "{told:?}");
}

/// Scenario: a token is made, listed and taken back, a hub runs in between, and somebody changes its audit log. Guarantees: the token is
/// printed alone and stands nowhere else, wrong words are explained, and the audit log tells of the change by its exit code (P10).
#[test]
fn tokens_are_made_and_the_audit_log_is_checked() {
    let dir = tempfile::tempdir().unwrap();
    let at = path(dir.path());
    let run = |args: &[&str]| hub(args).output().unwrap();
    let made = run(&["token", "add", "--data-dir", at, "--name", "ann", "--role", "viewer", "--expires", "90d"]);
    let token = String::from_utf8(made.stdout).unwrap();
    assert!(token.starts_with("lightship_") && token.trim_end().lines().count() == 1, "{token}");
    let kept = std::fs::read_to_string(dir.path().join("access.json")).unwrap();
    assert!(!kept.contains(token.trim()));
    let listed = run(&["token", "list", "--data-dir", at, "--json"]);
    let listed: serde_json::Value = serde_json::from_slice(&listed.stdout).unwrap();
    assert_eq!(listed[0]["name"], "ann");
    says(&run(&["token", "add", "--data-dir", at, "--name", "ann", "--role", "admin"]), "principal ann");
    says(&run(&["token", "revoke", "--data-dir", at, "--name", "bob"]), "there is no principal bob");
    let (mut child, _) = start(dir.path());
    assert!(Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap().success());
    child.wait().unwrap();
    let printed = run(&["audit", "--data-dir", at]);
    assert_eq!(printed.status.code(), Some(0));
    assert!(String::from_utf8_lossy(&printed.stdout).contains("start"));
    let log = dir.path().join("audit.jsonl");
    let changed = std::fs::read_to_string(&log).unwrap().replace("lightship-hub", "something-else");
    std::fs::write(&log, changed).unwrap();
    assert_eq!(run(&["audit", "--data-dir", at]).status.code(), Some(1));
    assert_eq!(run(&["token", "revoke", "--data-dir", at, "--name", "ann"]).status.code(), Some(0));
}

/// Scenario: a hub whose queries have TLS is asked whether it is well, with its authority, with none, and with another one. Guarantees: only with
/// its own it is believed.
#[test]
fn health_is_asked_over_tls() {
    let dir = tempfile::tempdir().unwrap();
    let arguments =
        ["run", "--data-dir", path(dir.path()), "--http", "127.0.0.1:0", "--link", "127.0.0.1:0", "--http-tls"];
    let mut child = hub(&arguments).stdout(Stdio::piped()).spawn().unwrap();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut String::new()).unwrap();
    let addresses = std::fs::read(dir.path().join("addresses.json")).unwrap();
    let addresses: serde_json::Value = serde_json::from_slice(&addresses).unwrap();
    let http = addresses["http"].as_str().unwrap();
    let other = tempfile::tempdir().unwrap();
    hub::tls::self_made(other.path(), &[], hub::clock::now_ns()).unwrap();
    let ask = |ca: Option<&Path>| {
        let ca = ca.map(path);
        let ca = ca.iter().flat_map(|ca| ["--ca", ca]);
        hub(&["health", "--http", http]).args(ca).output().unwrap().status.code()
    };
    assert_eq!(ask(Some(&dir.path().join("tls/ca.pem"))), Some(0));
    assert_eq!(ask(None), Some(1));
    assert_eq!(ask(Some(&other.path().join("ca.pem"))), Some(1));
    assert!(Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}
