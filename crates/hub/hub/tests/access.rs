//! Who may ask for what: every path as everybody, sign-in, other pages, tries, changes while the hub runs, TLS on the port of queries.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "this is a test program")]

mod common;

use std::time::Duration;

use access::Role;
use base64::Engine;
use common::{Answer, config, get_at, line, post, request_at, request_tls, trace};
use hub::access::guard::{Need, PATHS};
use hub::access::{audit, file};
use hub::run::{self, Hub};

/// A hub with a principal of each role; their tokens in the order of `Role::ALL`.
async fn guarded(dir: &std::path::Path) -> (Hub, Vec<String>) {
    let tokens = Role::ALL.map(|role| {
        let token = file::add_token(dir, role.name(), (role, None), None).unwrap();
        token.text().to_owned()
    });
    (run::start(config(dir)).await.unwrap(), tokens.to_vec())
}

async fn ask(hub: &Hub, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
    request_at(hub.http, method, path, headers, b"").await
}

async fn with_token(hub: &Hub, method: &str, path: &str, token: &str) -> Answer {
    ask(hub, method, path, &[("authorization", &format!("Bearer {token}"))]).await
}

/// A path of the table with values in its places.
fn example(path: &str) -> String {
    path.replace("{device}", "vessel-1")
        .replace("{id}", "01010101010101010101010101010101")
        .replace("{name}", "job")
        .replace("/api/{*rest}", "/api/none")
        .replace("{*rest}", "none")
        .replace("{*path}", "none.js")
}

/// Scenario: every path and method, by every role, by nobody, with a wrong token, an ended one, and one as a password. Guarantees: each
/// gets through exactly where its role may; who is refused is told nothing but that, whatever is stored (P10).
#[tokio::test]
async fn every_path_asks_who_asks() {
    let dir = tempfile::tempdir().unwrap();
    let ended = file::add_token(dir.path(), "was", (Role::Admin, None), Some(0)).unwrap();
    let (hub, tokens) = guarded(dir.path()).await;
    let sender = format!("Bearer {}", tokens[1]);
    let now = hub::clock::now_ns();
    let headers = [("authorization", sender.as_str()), ("content-type", "application/x-protobuf")];
    assert_eq!(post(&hub, "/v1/traces", &headers, &trace(1, now)).await.status, 200);
    assert_eq!(post(&hub, "/v1/logs", &headers, &line(1, now, "a secret line")).await.status, 200);
    for (path, of_get, of_post) in PATHS {
        for (method, need) in [("GET", of_get), ("POST", of_post)] {
            let Some(need) = need else { continue };
            let place = example(path);
            for (role, token) in Role::ALL.into_iter().zip(&tokens) {
                let may = match need {
                    Need::Nothing | Need::Known => true,
                    Need::To(action) => role.may(action),
                };
                let answer = with_token(&hub, method, &place, token).await;
                let is_in = !matches!(answer.status, 401 | 403) || path == "/sign-in";
                assert_eq!(is_in, may, "{method} {path} as {}: {}", role.name(), answer.status);
            }
            let nobody = [
                ask(&hub, method, &place, &[]).await,
                with_token(&hub, method, &place, "lightship_0000").await,
                with_token(&hub, method, &place, ended.text()).await,
                ask(&hub, method, &place, &[("authorization", "Basic !!")]).await,
                ask(&hub, method, &place, &[("cookie", "lightship=0000")]).await,
            ];
            for answer in nobody {
                if need == Need::Nothing {
                    assert!(answer.status != 403, "{method} {path}");
                } else {
                    assert_eq!(answer.status, 401, "{method} {path}");
                    let text = answer.text();
                    assert!(!text.contains("orders") && !text.contains("secret"), "{method} {path}: {text}");
                }
            }
        }
    }
    // As Grafana and Prometheus send it: the token as a password of any name.
    for (password, status) in [("", 401), (tokens[0].as_str(), 200)] {
        let pair = base64::engine::general_purpose::STANDARD.encode(format!("grafana:{password}"));
        let basic = format!("Basic {pair}");
        assert_eq!(ask(&hub, "GET", "/api/v0/me", &[("authorization", &basic)]).await.status, status);
    }
    let me = with_token(&hub, "GET", "/api/v0/me", &tokens[0]).await.json();
    assert_eq!((me["name"].as_str(), me["role"].as_str()), (Some("viewer"), Some("viewer")));
    hub.stop().await;
}

fn cookie_of(answer: &Answer) -> String {
    let line = answer.head.lines().find(|line| line.starts_with("set-cookie: ")).expect("a cookie");
    line["set-cookie: ".len()..].split(';').next().unwrap().to_owned()
}

async fn sign_in(hub: &Hub, token: &str, headers: &[(&str, &str)]) -> Answer {
    request_at(hub.http, "POST", "/sign-in", headers, format!("token={token}").as_bytes()).await
}

/// Scenario: a person signs in with a browser that had a cookie of somebody else's choice, reads, another page uses the cookie, the person
/// signs out, the token is revoked. Guarantees: the session is a new one, no script and no other site gets at it; another page changes
/// nothing; it ends with sign-out, and with its token; all of it is in the audit log (P10).
#[tokio::test]
async fn a_session_is_the_persons_alone() {
    let dir = tempfile::tempdir().unwrap();
    let (hub, tokens) = guarded(dir.path()).await;
    let entered = sign_in(&hub, &tokens[2], &[("cookie", "lightship=chosen")]).await;
    assert_eq!(entered.status, 303, "{}", entered.text());
    assert!(entered.head.contains("httponly") && entered.head.contains("samesite=strict"));
    let cookie = cookie_of(&entered);
    assert!(!cookie.contains("chosen"));
    assert_eq!(ask(&hub, "GET", "/api/v0/me", &[("cookie", "lightship=chosen")]).await.status, 401);
    assert_eq!(ask(&hub, "GET", "/api/v0/traces", &[("cookie", &cookie)]).await.status, 200);
    assert_eq!(ask(&hub, "POST", "/v1/logs", &[("cookie", &cookie)]).await.status, 403);
    let incident = "/api/v0/devices/vessel-1/incident?for=10m";
    for origin in ["https://evil.example", "null", "http://localhost.evil.example"] {
        let other = [("cookie", cookie.as_str()), ("origin", origin)];
        assert_eq!(ask(&hub, "POST", incident, &other).await.status, 403, "{origin}");
        assert_eq!(sign_in(&hub, &tokens[0], &[("origin", origin)]).await.status, 403, "{origin}");
        assert_eq!(request_at(hub.http, "POST", "/sign-out", &other, b"").await.status, 403, "{origin}");
    }
    assert_eq!(ask(&hub, "POST", incident, &[("cookie", &cookie)]).await.status, 403, "no origin");
    let own = [("cookie", cookie.as_str()), ("origin", "http://localhost")];
    assert_eq!(ask(&hub, "POST", incident, &own).await.status, 404, "no such device");
    assert_eq!(request_at(hub.http, "POST", "/sign-out", &own, b"").await.status, 303);
    assert_eq!(ask(&hub, "GET", "/api/v0/traces", &[("cookie", &cookie)]).await.status, 401);
    let again = cookie_of(&sign_in(&hub, &tokens[2], &[]).await);
    assert_eq!(ask(&hub, "GET", "/api/v0/traces", &[("cookie", &again)]).await.status, 200);
    assert_eq!(file::revoke(dir.path(), "operator", None).unwrap(), 1);
    until_refused(&hub, &again).await;
    hub.stop().await;
    let entries = audit::read(dir.path()).unwrap();
    let kinds: Vec<String> = entries.iter().map(|entry| format!("{:?}", entry.kind)).collect();
    for kind in ["Start", "SignIn", "SignOut", "Refused", "Access"] {
        assert!(kinds.iter().any(|found| found == kind), "{kind} of {kinds:?}");
    }
    assert!(!std::fs::read_to_string(dir.path().join("audit.jsonl")).unwrap().contains(&tokens[2]));
}

/// The hub looks at its file once a second.
async fn until_refused(hub: &Hub, cookie: &str) {
    for _ in 0..100 {
        if ask(hub, "GET", "/api/v0/me", &[("cookie", cookie)]).await.status == 401 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("a revoked token is still good");
}

/// Scenario: wrong tokens as fast as they go, then the right one. Guarantees: after ten nobody from there gets in, with a time to wait.
#[tokio::test]
async fn guessing_is_slowed() {
    let dir = tempfile::tempdir().unwrap();
    let (hub, tokens) = guarded(dir.path()).await;
    for _ in 0..10 {
        assert_eq!(sign_in(&hub, "lightship_1", &[]).await.status, 401);
    }
    let late = sign_in(&hub, &tokens[0], &[]).await;
    assert_eq!(late.status, 429);
    assert!(late.head.contains("retry-after: "));
    // A sender has nothing to look at.
    assert_eq!(with_token(&hub, "GET", "/api/v0/traces", &tokens[0]).await.status, 200);
    hub.stop().await;
}

/// Scenario: a hub without principals gets the first while it runs; then the file is broken, and goes. Guarantees: it asks who asks from
/// then on, and a file that cannot be read opens no door (P10).
#[tokio::test]
async fn a_broken_file_opens_no_door() {
    let dir = tempfile::tempdir().unwrap();
    let hub = common::start(dir.path()).await;
    assert_eq!(ask(&hub, "GET", "/api/v0/traces", &[]).await.status, 200);
    let token = file::add_token(dir.path(), "ann", (Role::Viewer, None), None).unwrap();
    until_refused(&hub, "none").await;
    let path = file::path(dir.path());
    for broken in [Some("{"), Some(r#"{"version":9,"principals":[]}"#), None] {
        match broken {
            Some(content) => std::fs::write(&path, content).unwrap(),
            None => std::fs::remove_file(&path).unwrap(),
        }
        tokio::time::sleep(Duration::from_millis(1500)).await;
        assert_eq!(ask(&hub, "GET", "/api/v0/traces", &[]).await.status, 401, "{broken:?}");
        assert_eq!(with_token(&hub, "GET", "/api/v0/traces", token.text()).await.status, 200, "{broken:?}");
    }
    hub.stop().await;
}

/// Scenario: a sender's token that is bound to a device says hello as that one and as another; a viewer says hello. Guarantees: it speaks for
/// its device only, and who reads brings nothing (H12, P10).
#[tokio::test]
async fn a_devices_token_speaks_for_it_alone() {
    let dir = tempfile::tempdir().unwrap();
    let token = file::add_token(dir.path(), "ship-1", (Role::Sender, Some("ship-1")), None).unwrap();
    let (hub, tokens) = guarded(dir.path()).await;
    let bearer = format!("Bearer {}", token.text());
    let own = [("authorization", bearer.as_str())];
    let status = common::post_link(&hub, link::HELLO_PATH, &own, &common::hello("ship-1")).await.status;
    assert_eq!(status, 200);
    let other = common::post_link(&hub, link::HELLO_PATH, &own, &common::hello("ship-2")).await;
    assert_eq!(other.status, 409, "{}", other.text());
    let viewer = format!("Bearer {}", tokens[0]);
    let read_only =
        common::post_link(&hub, link::HELLO_PATH, &[("authorization", &viewer)], &common::hello("ship-1")).await;
    assert_eq!(read_only.status, 403);
    let unknown = post(&hub, "/v1/logs", &[("content-type", "application/json")], b"{}").await;
    assert_eq!(unknown.status, 401);
    assert!(unknown.json()["message"].as_str().unwrap().contains("token"), "OTLP answers in its own form");
    hub.stop().await;
    let refused = audit::read(dir.path()).unwrap();
    let refused: Vec<&str> = refused.iter().map(|entry| entry.what.as_str()).collect();
    assert!(refused.iter().any(|what| what.contains(link::HELLO_PATH) && what.contains("viewer")), "{refused:?}");
}

/// Scenario: queries are to have TLS; a browser signs in. Guarantees: plain text is not answered, the certificate is the hub's, and the
/// cookie is one that a browser keeps to TLS and this host.
#[tokio::test]
async fn queries_have_tls() {
    let dir = tempfile::tempdir().unwrap();
    let token = file::add_token(dir.path(), "ann", (Role::Viewer, None), None).unwrap();
    let mut config = config(dir.path());
    config.http_tls = true;
    let hub = run::start(config).await.unwrap();
    let ca = hub.ca.clone().unwrap();
    let bearer = format!("Bearer {}", token.text());
    let answer = request_tls(hub.http, &ca, "GET", "/api/v0/me", &[("authorization", &bearer)], b"").await;
    assert_eq!(answer.status, 200);
    let form = format!("token={}", token.text());
    let entered = request_tls(hub.http, &ca, "POST", "/sign-in", &[], form.as_bytes()).await;
    assert!(
        entered.head.contains("set-cookie: __host-lightship=") && entered.head.contains("; secure"),
        "{}",
        entered.head
    );
    let address = hub.http;
    let plain = tokio::time::timeout(Duration::from_secs(5), async move { get_at(address, "/healthz").await });
    let answered = tokio::spawn(plain).await;
    assert!(!matches!(answered, Ok(Ok(answer)) if answer.status == 200));
    hub.stop().await;
}

/// Scenario: a hub is to be reached from beyond its machine, without and with principals. Guarantees: without it does not start and says
/// what to do; with them queries have TLS without being told.
#[tokio::test]
async fn nothing_is_open_beyond_the_machine() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(dir.path());
    config.http = "0.0.0.0:0".into();
    let refused = run::start(config.clone()).await.err().unwrap().to_string();
    assert!(refused.contains("lightship-hub token add"), "{refused}");
    file::add_token(dir.path(), "ann", (Role::Admin, None), None).unwrap();
    assert!(config.has_http_tls());
    let hub = run::start(config).await.unwrap();
    assert!(hub.http_tls);
    hub.stop().await;
}

/// Scenario: the sources of all routes. Guarantees: each path stands in the table, and each of the table is routed; one that is added without a
/// thought of who may ask for it fails here (P10).
#[test]
fn every_route_is_in_the_table() {
    let mut routed = Vec::new();
    let mut directories = vec![std::path::PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/src"))];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
                continue;
            }
            let source = std::fs::read_to_string(path).unwrap();
            for (before, prefix) in [(".route(\"", ""), (".route(&both(\"", "/prometheus/api/v1/")] {
                let found = source.split(before).skip(1).filter_map(|rest| rest.split('"').next());
                routed.extend(found.map(|path| format!("{prefix}{path}")));
            }
        }
    }
    routed.sort();
    let mut table: Vec<&str> = PATHS.iter().map(|(path, ..)| *path).collect();
    table.sort_unstable();
    assert_eq!(routed, table);
}
